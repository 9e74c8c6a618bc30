//! The workers that forkpool supplies around a user's function: which runtime, which shim, which command line.

use std::ffi::OsString;
use std::path::Path;

use crate::config::{Channel, WorkerCommand};
use crate::error::{Error, Result, reason};

/// A language's supplied worker.
struct Shim {
    endings: &'static [&'static str],
    runtime: &'static str,
    code: &'static str,
    /// What stands between the runtime and the code.
    flags: &'static [&'static str],
    /// What stands between the code and its argument.
    separator: Option<&'static str>,
}

const SHIMS: [Shim; 0] = [];

/// The command of the worker for `--handler FILE[:FUNCTION]`.
pub fn command(handler: &str, runtime: Option<&str>, route: Option<&str>, concurrency: usize) -> Result<WorkerCommand> {
    let (file, function) = split(handler);
    let path = std::fs::canonicalize(file)
        .map_err(|error| Error::pool(format!("cannot load the handler {file}: {}", reason(&error))))?;
    let ending = Path::new(file).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let Some(shim) = SHIMS.iter().find(|shim| shim.endings.contains(&ending)) else {
        let known: Vec<&str> = SHIMS.iter().flat_map(|shim| shim.endings).copied().collect();
        return Err(Error::refused(format!("{file}: no worker is supplied for .{ending} files"))
            .hint(format!("the handler's name must end in one of .{}", known.join(" ."))));
    };
    let spec = serde_json::json!({
        "file": path.to_str().ok_or_else(|| Error::refused(format!("{file}: its path is not UTF-8")))?,
        "function": function,
        "route": route,
        "concurrency": concurrency,
    });
    let mut words = runtime.unwrap_or(shim.runtime).split_ascii_whitespace().map(OsString::from);
    let program = words.next().ok_or_else(|| Error::refused("--runtime is empty"))?;
    let mut args: Vec<OsString> = words.collect();
    args.extend(shim.flags.iter().map(OsString::from));
    args.push(shim.code.into());
    args.extend(shim.separator.map(OsString::from));
    args.push(spec.to_string().into());
    Ok(WorkerCommand { program, args, channel: Channel::Private })
}

/// `FILE[:FUNCTION]`; a colon in the file's own name is no separator.
pub fn split(handler: &str) -> (&str, Option<&str>) {
    if Path::new(handler).exists() {
        return (handler, None);
    }
    match handler.rsplit_once(':') {
        Some((file, function)) if !function.is_empty() => (file, Some(function)),
        _ => (handler, None),
    }
}
