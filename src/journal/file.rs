//! The journal's file: opened so that nobody else's file is written, and nobody else writes to it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::words::error::{Error, Result, reason};

/// Only the user may read and write a journal: results may be as secret as the jobs.
pub const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// How long a journal that is locked is waited for. A worker that was being started when the run before was killed has
/// a copy of the locked descriptor until its own program is executed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens the journal, or makes it, and says whether it was made. Refused if it is no regular file (a symbolic link is
/// not followed), or if another run has it.
pub fn open(path: &Path) -> Result<(File, bool)> {
    loop {
        let Some((file, is_new)) = open_or_make(path)? else { continue };
        let stat = rustix::fs::fstat(&file).map_err(|error| unusable(path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refused(path, "it is not a regular file"));
        }
        lock(path, &file)?;
        // Whoever had the lock may have removed the file, or put another in its place: a lock on a file without that
        // name locks nobody out.
        if !is_same(rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW), &stat) {
            continue;
        }
        return Ok((file, is_new));
    }
}

/// Makes an empty journal private: somebody else may have put an empty file there, to read what is written into it. One
/// with content is left as its owner has it.
pub fn make_private(path: &Path, file: &File) -> Result<()> {
    let stat = rustix::fs::fstat(file).map_err(|error| unusable(path, error))?;
    if stat.st_size > 0 || Mode::from_raw_mode(stat.st_mode) == MODE {
        return Ok(());
    }
    rustix::fs::fchmod(file, MODE).map_err(|error| unusable(path, error))
}

/// The file, and whether it was made. `None` if somebody made it between our two looks, so that the caller must look
/// again.
fn open_or_make(path: &Path) -> Result<Option<(File, bool)>> {
    // NONBLOCK: opening a pipe or a device must not wait. CLOEXEC: a worker must not keep the lock when this process is
    // gone.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, MODE) {
        Ok(fd) => return Ok(Some((File::from(fd), false))),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(unusable(path, error)),
    }
    match rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, MODE) {
        Ok(fd) => Ok(Some((File::from(fd), true))),
        Err(Errno::EXIST) => Ok(None),
        Err(error) => Err(unusable(path, error)),
    }
}

/// Opens a journal that is only looked at; `None` if there is none.
pub fn open_to_read(path: &Path) -> Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(unusable(path, error)),
    }
}

fn lock(path: &Path, file: &File) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(PATIENCE / 50),
            Err(Errno::WOULDBLOCK) => return Err(refused(path, "it is in use by another run")),
            Err(Errno::INTR) => {}
            Err(error) => return Err(refused(path, &format!("it cannot be locked: {}", reason(&error.into())))),
        }
    }
}

fn is_same(stat: rustix::io::Result<Stat>, file: &Stat) -> bool {
    stat.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (file.st_dev, file.st_ino))
}

fn unusable(path: &Path, error: Errno) -> Error {
    match error {
        Errno::LOOP => refused(path, "it is a symbolic link, which is not followed"),
        _ => refused(path, &reason(&error.into())),
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::refused(format!("cannot use the journal {}: {why}", path.display()))
}
