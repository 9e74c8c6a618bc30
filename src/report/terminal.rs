//! What stderr can show.

use std::ffi::OsStr;
use std::io::IsTerminal;

/// Whether stderr is a terminal that can move its cursor and erase.
pub fn can_erase() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").as_deref() != Some(OsStr::new("dumb"))
}

/// Whether stderr shows colours, and the user wants them (<https://no-color.org>).
pub fn has_colours() -> bool {
    can_erase() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How many columns stderr has now: a window may change its size at any time.
pub fn columns() -> usize {
    /// The columns where the system does not know them, as on a serial line: those of a VT100.
    const USUAL: usize = 80;
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(USUAL)
}
