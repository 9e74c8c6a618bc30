//! An open file that bytes are written to, and what becomes of its old content.
//!
//! A file that is to be replaced is emptied by the first write and not before, so that a run that is refused, or
//! fails before its first record, leaves it as it was.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

#[derive(Debug)]
pub struct Destination {
    file: File,
    /// The old content is to be replaced, and is still there.
    stale: AtomicBool,
}

/// What becomes of what a file holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// The old content goes: the user has named a file to be written anew.
    Replaced,
    /// The old content stays, and what is written comes where the descriptor stands: the user, or the user's shell, has
    /// opened it.
    Kept,
}

impl Destination {
    pub fn new(fd: OwnedFd, old: Old) -> Destination {
        Destination { file: File::from(fd), stale: AtomicBool::new(old == Old::Replaced) }
    }

    /// Empties a file that is to be replaced, unless that has been done. One that is empty stays as it is: ext4 takes it
    /// for a replaced file otherwise, and has all of it on its way to the disk before it is closed.
    pub fn begin(&self) -> io::Result<()> {
        if self.stale.swap(false, Ordering::AcqRel) && self.file.metadata()?.len() > 0 {
            self.file.set_len(0)?;
        }
        Ok(())
    }

    /// Writes some of `bytes` and says how many. Waits where a descriptor that somebody else has made
    /// non-blocking takes nothing.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        loop {
            match rustix::io::write(&self.file, bytes) {
                Ok(written) => return Ok(written),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait()?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Destination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// For `write!` and `write_all`, by whoever has the destination.
impl io::Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Destination::write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same for whoever shares it.
impl io::Write for &Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Destination::write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::path::PathBuf;

    use super::*;

    /// A file that holds `old`, opened as it is for an output.
    fn file() -> (tempfile::TempDir, PathBuf, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "old content").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        (folder, path, file)
    }

    #[test]
    fn old_content_goes_with_the_first_write_and_only_then() {
        let (_folder, path, file) = file();
        let destination = Destination::new(file.into(), Old::Replaced);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old content");
        (&destination).write_all(b"a").unwrap();
        (&destination).write_all(b"b").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ab");
    }

    #[test]
    fn a_run_that_writes_nothing_can_still_empty_it() {
        let (_folder, path, file) = file();
        let destination = Destination::new(file.into(), Old::Replaced);
        destination.begin().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn what_somebody_else_has_opened_is_written_where_it_stands() {
        let (_folder, path, mut file) = file();
        file.seek(io::SeekFrom::Start(4)).unwrap();
        let destination = Destination::new(file.try_clone().unwrap().into(), Old::Kept);
        destination.begin().unwrap();
        (&destination).write_all(b"new").unwrap();
        file.write_all(b"!").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old new!ent");
    }
}
