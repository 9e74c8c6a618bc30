//! How much of the input was not read when the run was stopped, for the summary.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::source::settings::InputFile;
use crate::text::magic::Magic;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::format::Compression;

/// Counting is a courtesy: nobody waits for it longer than this.
const PATIENCE: Duration = Duration::from_millis(500);
const PIECE: usize = 256 * 1024;

/// Lines of `files` after the first `read` lines of the first of them. `None` where nobody can know: a pipe, a
/// compressed file, or one so large that counting takes too long.
pub fn lines(files: &[InputFile], read: u64, cancel: &Cancel) -> Option<u64> {
    let end = Instant::now() + PATIENCE;
    let mut lines = 0;
    for file in files {
        if file.compression != Compression::None {
            return None;
        }
        lines += match &file.path {
            Some(path) => count(&File::open(path).ok()?, end, cancel)?,
            None => count(&io::stdin(), end, cancel)?,
        };
    }
    Some(lines.saturating_sub(read))
}

fn count(fd: &impl AsFd, end: Instant, cancel: &Cancel) -> Option<u64> {
    let mut piece = vec![0; PIECE];
    let mut lines = 0;
    let mut at = 0;
    let mut last = b'\n';
    loop {
        let is_urgent = cancel.level() >= Level::Abort && matches!(cancel.reason(), Some(Reason::Signal(_)));
        if Instant::now() >= end || is_urgent {
            return None;
        }
        // Fails for a pipe.
        let bytes = rustix::io::pread(fd, &mut piece[..], at).ok()?;
        if bytes == 0 {
            // A last line without a line end is a line.
            return Some(lines + u64::from(last != b'\n'));
        }
        if at == 0 && matches!(Magic::of(&piece[..bytes]), Some(Magic::Gzip | Magic::Zstd)) {
            return None;
        }
        lines += memchr::memchr_iter(b'\n', &piece[..bytes]).count() as u64;
        last = piece[bytes - 1];
        at += bytes as u64;
    }
}
