//! stdout, for what the user asked for instead of a run.

use std::io::Write;

use crate::sys;
use crate::words::error::{Error, Result, reason};
use crate::words::exit::Exit;

/// Writes all of `bytes`. A reader that has gone away is an exit status, not an error: there is nobody left to tell.
pub fn print(bytes: &[u8]) -> Result<Exit> {
    if sys::was_closed(1) {
        return Err(Error::io("stdout is closed"));
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::ReaderGone),
        Err(error) => Err(Error::io(format!("cannot write to stdout: {}", reason(&error)))),
    }
}
