//! The error that a supplied worker sends when it cannot load its handler.

use crate::words::error::Error;

/// The error that ends the run; `json` is what the worker sent.
pub fn fatal_error(json: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Fatal {
        #[serde(default)]
        name: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        stack: String,
    }
    let Ok(fatal) = serde_json::from_slice::<Fatal>(json) else {
        return Error::pool(format!("the handler cannot be loaded: {}", String::from_utf8_lossy(json)));
    };
    let mut message = format!("the handler cannot be loaded: {}: {}", fatal.name, fatal.message);
    // The stack says where it happened. Most stacks also hold the message, at their beginning or end, which is not said
    // twice.
    let last = fatal.message.lines().last().unwrap_or_default();
    let is_message = |line: &&str| !last.is_empty() && line.starts_with(&fatal.name) && line.ends_with(last);
    for line in fatal.stack.lines().filter(|line| !is_message(line)) {
        message.push('\n');
        message.push_str(line);
    }
    Error::pool(message)
}
