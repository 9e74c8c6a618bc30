//! The error that a supplied worker sends when it cannot load its handler, or when the handler's init function fails.

use crate::words::error::Error;

/// The error that ends the run; `json` is what the worker sent.
pub fn fatal_error(json: &[u8]) -> Error {
    Error::pool(format!("the handler cannot be loaded: {}", error_text(json)))
}

/// An error's name and message, and below them its stack.
pub fn error_text(json: &[u8]) -> String {
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
        return String::from_utf8_lossy(json).into_owned();
    };
    let mut text = format!("{}: {}", fatal.name, fatal.message);
    // The stack says where it happened. Most stacks also hold the message, at their beginning or end, which is not said
    // twice.
    let last = fatal.message.lines().last().unwrap_or_default();
    let begins = |line: &str| line == last || line.starts_with(&fatal.name);
    let is_message = |line: &&str| !last.is_empty() && begins(line) && line.ends_with(last);
    for line in fatal.stack.lines().filter(|line| !is_message(line)) {
        text.push('\n');
        text.push_str(line);
    }
    text
}
