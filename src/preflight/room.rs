//! Whether the temporary directory has room for results that have to wait. It would fail in the middle otherwise, when
//! it is too late to do something about it.
//!
//! It is tried by making a file there; how much room it has, only writing would tell. It is needed for the rows of a
//! table whose columns are not known, past a few MiB, and for results that wait for their turn, past `--memory`.
//! Refused is only what needs it for certain: such a table of an input that is larger than what is kept in memory,
//! since every row holds its job. Whether any other run will need it nobody knows, and most do not, so that is a notice
//! and no refusal.

use crate::collect::settings::{Order, OutputSettings};
use crate::collect::{ROWS_IN_MEMORY, temporary};
use crate::words::error::{Error, Result, reason};

/// Tries the temporary directory if the run may need it, and returns what the user should know. `input_size` are the
/// bytes of the inputs, if all are files.
pub fn try_temporary_directory(settings: &OutputSettings, input_size: Option<u64>) -> Result<Option<String>> {
    let keeps_rows = settings.format.is_table() && settings.columns.is_none();
    if !keeps_rows && settings.order == Order::Completion {
        return Ok(None);
    }
    let Err(error) = temporary::try_directory() else { return Ok(None) };
    if keeps_rows && input_size.is_some_and(|size| size > ROWS_IN_MEMORY as u64) {
        let Error { message, .. } = temporary::failure("rows", &error);
        return Err(Error::refused(message).hint(temporary::ROWS_HINT));
    }
    let directory = std::env::temp_dir();
    let (what, room) = if keeps_rows { ("rows", "4 MiB") } else { ("waiting results", "--memory") };
    Ok(Some(format!(
        "no temporary file can be made in {} ({}): the run ends if {what} take more than {room}",
        directory.display(),
        reason(&error)
    )))
}
