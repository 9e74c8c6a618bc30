//! What stderr can show.

use std::ffi::OsStr;
use std::io::IsTerminal;

/// Whether stderr is a terminal that can move its cursor and erase.
pub fn can_erase() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").as_deref() != Some(OsStr::new("dumb"))
}

/// How many columns stderr has now: a window may change its size at any time.
pub fn columns() -> usize {
    /// Where the system does not know, as on a serial line.
    const USUAL: usize = 80;
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(USUAL)
}
