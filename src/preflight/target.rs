//! A file that is to be written while the run goes: opened, or made, and not touched yet.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::made::Made;
use crate::sys;
use crate::sys::descriptors;
use crate::text::destination::{Destination, Old};
use crate::words::error::{Error, Result, reason};

#[derive(Debug)]
pub struct Target {
    /// How messages name it.
    name: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// A descriptor that this process was given: it is written where it stands, and never emptied.
    Given { fd: OwnedFd, number: i32 },
    /// A file or device that was opened by its name, or made.
    Named { fd: OwnedFd },
    /// A named pipe, not opened yet, since that would wait for its reader.
    Fifo { path: PathBuf, stat: Box<Stat> },
}

impl Target {
    pub fn stdout() -> Result<Target> {
        if sys::was_closed(1) {
            return Err(Error::refused("stdout is closed: there is nowhere to write records to"));
        }
        let name = "stdout".to_owned();
        let fd = io::stdout().as_fd().try_clone_to_owned().map_err(|error| refused(&name, &error))?;
        Ok(Target { name, way: Way::Given { fd, number: 1 } })
    }

    /// Opens `path`, which keeps its content, or makes a file, which goes into `made`.
    pub fn open(path: &Path, made: &mut Made) -> Result<Target> {
        let name = path.display().to_string();
        let way = Way::of(path, made).map_err(|error| refused(&name, &error))?;
        Ok(Target { name, way })
    }

    pub fn stat(&self) -> Option<Stat> {
        match &self.way {
            Way::Given { fd, .. } | Way::Named { fd } => rustix::fs::fstat(fd).ok(),
            Way::Fifo { stat, .. } => Some(**stat),
        }
    }

    pub fn is_stdout(&self) -> bool {
        matches!(self.way, Way::Given { number: 1, .. })
    }

    /// Refuses a descriptor that was opened to read only: nothing could be written to it.
    pub fn check_given(&self) -> Result<()> {
        let Way::Given { fd, .. } = &self.way else { return Ok(()) };
        let flags = rustix::fs::fcntl_getfl(fd).map_err(|error| refused(&self.name, &error.into()))?;
        if flags & OFlags::RWMODE == OFlags::RDONLY {
            return Err(Error::refused(format!("cannot write {}: it was opened to read only", self.name)));
        }
        Ok(())
    }

    /// The target, ready to be written. Waits for the reader of a named pipe.
    pub fn into_destination(self) -> Result<Destination> {
        Ok(match self.way {
            Way::Given { fd, .. } => Destination::new(fd, Old::Kept),
            Way::Fifo { path, .. } => {
                let fd = open(&path, OFlags::empty()).map_err(|error| refused(&self.name, &error.into()))?;
                Destination::new(fd, Old::Kept)
            }
            Way::Named { fd } => {
                let stat = rustix::fs::fstat(&fd).map_err(|error| refused(&self.name, &error.into()))?;
                let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                Destination::new(fd, if is_regular { Old::Replaced } else { Old::Kept })
            }
        })
    }
}

impl Way {
    fn of(path: &Path, made: &mut Made) -> io::Result<Way> {
        if let Some(number) = descriptors::number_of(path) {
            return Ok(Way::Given { fd: descriptors::given(number)?, number });
        }
        match rustix::fs::stat(path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo => {
                rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)?;
                Ok(Way::Fifo { path: path.to_owned(), stat: Box::new(stat) })
            }
            Ok(_) => Ok(Way::Named { fd: open(path, OFlags::empty())? }),
            Err(Errno::NOENT) => {
                let fd = open(path, OFlags::CREATE)?;
                made.add(path, &fd);
                Ok(Way::Named { fd })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn open(path: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    // The process's file mode creation mask (umask) takes bits away, as for any other file.
    let mode = Mode::from_raw_mode(0o666);
    loop {
        match rustix::fs::open(path, flags, mode) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

fn refused(name: &str, error: &io::Error) -> Error {
    Error::refused(format!("cannot write {name}: {}", reason(error)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Opens a path in a folder with the file `old`, the folder `folder`, and links.
    fn open_in(name: &str) -> (tempfile::TempDir, Made, Result<Target>) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old"), "old content").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        symlink("old", folder.path().join("link")).unwrap();
        symlink("new", folder.path().join("dangling")).unwrap();
        symlink("circle", folder.path().join("circle")).unwrap();
        let mut made = Made::default();
        let target = Target::open(&folder.path().join(name), &mut made);
        (folder, made, target)
    }

    #[test]
    fn what_cannot_be_opened_is_refused_by_its_name() {
        for (name, why) in [
            ("folder", "Is a directory"),
            ("no/such/file", "No such file or directory"),
            ("old/file", "Not a directory"),
            ("circle", "Too many levels of symbolic links"),
        ] {
            let (folder, _made, target) = open_in(name);
            let name = folder.path().join(name);
            assert_eq!(target.unwrap_err().message, format!("cannot write {}: {why}", name.display()));
        }
        let error = Target::open(Path::new("/dev/fd/9999"), &mut Made::default()).unwrap_err();
        assert_eq!(error.message, "cannot write /dev/fd/9999: Bad file descriptor");
    }

    #[test]
    fn an_old_file_is_replaced_by_what_is_written() {
        for name in ["old", "link"] {
            let (folder, made, target) = open_in(name);
            let destination = target.unwrap().into_destination().unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("old")).unwrap(), "old content");
            (&destination).write_all(b"new").unwrap();
            drop(made);
            assert_eq!(fs::read_to_string(folder.path().join("old")).unwrap(), "new");
        }
    }

    #[test]
    fn a_file_that_was_made_goes_with_the_run_that_is_refused() {
        for name in ["new", "dangling"] {
            let (folder, mut made, target) = open_in(name);
            target.unwrap();
            assert!(folder.path().join("new").exists());
            drop(made);
            assert!(!folder.path().join("new").exists());
            made = Made::default();
            Target::open(&folder.path().join(name), &mut made).unwrap();
            made.keep();
            drop(made);
            assert!(folder.path().join("new").exists());
        }
    }

    #[test]
    fn a_device_is_written_and_not_emptied() {
        let target = Target::open(Path::new("/dev/null"), &mut Made::default()).unwrap();
        (&target.into_destination().unwrap()).write_all(b"words").unwrap();
    }

    #[test]
    fn stdout_is_known_by_its_other_names() {
        for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert!(Target::open(Path::new(name), &mut Made::default()).unwrap().is_stdout(), "{name}");
        }
        assert!(!Target::open(Path::new("/dev/stderr"), &mut Made::default()).unwrap().is_stdout());
    }
}
