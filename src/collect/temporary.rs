//! The temporary directory, where results wait that are too many for the memory: what is said when it takes none.

use std::io;

use crate::words::error::{Error, reason};

/// Tries whether the temporary directory takes a file. How much room there is, only writing would tell.
pub fn try_directory() -> io::Result<()> {
    tempfile::tempfile().map(drop)
}

/// The error when the temporary directory takes no more. `what` are the rows or results that were to be kept there.
pub fn failure(what: &str, error: &io::Error) -> Error {
    let directory = std::env::temp_dir();
    Error::io(format!("cannot keep {what} in the temporary directory {}: {}", directory.display(), reason(error)))
}

/// What to do when rows of a table cannot be kept.
pub const ROWS_HINT: &str = "name another directory with TMPDIR; with --columns rows are written as they come";
/// What to do when results that wait for their turn cannot be kept.
pub const RESULTS_HINT: &str =
    "name another directory with TMPDIR, or allow more --memory; with --unordered nothing waits";
