//! Whether the system has room for the run: descriptors for its workers, a temporary directory for results that have to
//! wait. A run that lacks one of them would fail in the middle, when it is too late to do something about it.
//!
//! **Descriptors** are reckoned, not tried: those of a worker times the workers, and those of the run itself. If the
//! soft limit is too low it is raised to the hard limit; if that is too low as well, the run is refused, with the
//! number of workers that would fit.
//!
//! **The temporary directory** is tried by making a file there; how much room it has, only writing would tell. It is
//! needed for the rows of a table whose columns are not known, past a few MiB, and for results that wait for their
//! turn, past `--memory`. A run is refused only if it needs the directory for certain: it writes such a table, and its
//! input is larger than what is kept in memory, since every row holds its job. Whether any other run will need the
//! directory nobody knows, and most do not, so they get a notice and no refusal.

use crate::cli::Settings;
use crate::collect::settings::{Order, OutputSettings};
use crate::collect::{ROWS_IN_MEMORY, temporary};
use crate::pool::process;
use crate::sys::bell::Bell;
use crate::sys::descriptors;
use crate::words::error::{Error, Result, reason};

/// The descriptors of a running worker: its bell, our ends of its three pipes, and the descriptor that tells its exit.
const WORKER: usize = Bell::DESCRIPTORS + 4;
/// The descriptors of a worker that is being started, beside those: its own ends of the three pipes, and elsewhere than
/// on Linux the pipe through which the child tells that the program could not be executed (2).
const START: usize = if cfg!(target_os = "linux") { 3 } else { 5 };
/// The descriptors of a template: its bell, our ends of its socket and pipes, and the one that tells its exit. At SIGUSR2
/// there are two for a while.
const TEMPLATE: usize = Bell::DESCRIPTORS + 4;
/// The descriptors of the run itself, beside its files: bells of the source and of the permits (4 at most), those
/// through which signals are told (4), the pipe to the watcher, temporary files for results and rows (2), and the rest
/// for what is opened for a moment: folders, files of /proc.
const RUN: usize = 17;
/// The files of the run: the output, the rejects file, the progress file, those that tell of the run (5, one of them
/// beside its old one), and the journal (3: written, read and synced).
const FILES: usize = 13;

/// Sees that there are descriptors for all workers, or refuses the run.
pub fn provide_descriptors(settings: &Settings) -> Result<()> {
    let fixed = descriptors::count()
        + settings.input.files.len()
        + FILES
        + RUN
        + if settings.pool.preload { 2 * TEMPLATE } else { 0 };
    let workers = settings.pool.workers;
    let needed = fixed + for_workers(workers);
    let (now, most) = descriptors::limits();
    if is_enough(now, needed) {
        return Ok(());
    }
    if is_enough(most, needed) && descriptors::raise_limit(needed as u64).is_ok() {
        return Ok(());
    }
    let limit = most.or(now).unwrap_or_default();
    let flag = if now == most { "-n" } else { "-Hn" };
    let error = Error::refused(format!(
        "-j {workers} needs {needed} file descriptors, and the limit (ulimit {flag}) is {limit}"
    ));
    Err(match (1..workers).rev().find(|&fewer| is_enough(Some(limit), fixed + for_workers(fewer))) {
        Some(fewer) => error.hint(format!("fewer workers (-j {fewer}), or a higher limit (ulimit {flag} {needed})")),
        None => error.hint(format!("a higher limit (ulimit {flag} {needed})")),
    })
}

fn for_workers(workers: usize) -> usize {
    workers * WORKER + workers.min(process::STARTS_AT_ONCE) * START
}

fn is_enough(limit: Option<u64>, needed: usize) -> bool {
    limit.is_none_or(|limit| limit >= needed as u64)
}

/// Tries the temporary directory if the run may need it, and returns what the user should know. `input_size` is how
/// many bytes the inputs have, if all are files.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_reckoned_with_those_that_start_at_the_same_time() {
        assert_eq!(for_workers(1), WORKER + START);
        assert_eq!(for_workers(100), 100 * WORKER + process::STARTS_AT_ONCE * START);
    }

    #[test]
    fn a_limit_is_enough_if_the_last_descriptor_fits() {
        assert!(is_enough(Some(64), 64));
        assert!(!is_enough(Some(63), 64));
        assert!(is_enough(None, usize::MAX));
    }
}
