//! A file that is written at the end of a run, or now and then, and whole or not at all: a reader never finds half of it, and a
//! run that is killed leaves the old one.
//!
//! The content goes into a temporary file beside it, which then takes its name. The mode and the owner of an old file
//! are kept, and so is a symbolic link that leads to it. What cannot be replaced so is written into: a descriptor that
//! we were given, a device, a named pipe, a file in a folder that takes no new files.
//!
//! Whether the file can be written is found out before the run, without touching it. A named pipe is not opened before
//! it is written, since that would wait for its reader. A reader that is not there by then gets a moment to come, and
//! no more.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::sys::descriptors;

#[derive(Debug)]
pub struct WholeFile {
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// A descriptor, a device or the like, written where it stands.
    Into(File),
    /// An old file that is emptied and written, since its folder takes no new file.
    Over(File),
    Fifo(PathBuf),
    /// A new file takes this name. `old` is the one that has it.
    Replace {
        path: PathBuf,
        old: Option<File>,
    },
}

/// How long the reader of a named pipe is waited for: one that was started at the same time as the run may still be on
/// its way.
const PATIENCE: Duration = Duration::from_secs(1);

impl WholeFile {
    /// Finds out how the file can be written. Nothing is made and nothing is changed.
    pub fn look(path: &Path) -> io::Result<WholeFile> {
        Ok(WholeFile { way: Way::of(path)? })
    }

    /// The file as it is now; `None` if there is none.
    pub fn stat(&self) -> Option<rustix::fs::Stat> {
        match &self.way {
            Way::Into(file) | Way::Over(file) => rustix::fs::fstat(file).ok(),
            Way::Fifo(path) | Way::Replace { path, .. } => rustix::fs::stat(path).ok(),
        }
    }

    /// Whether each write takes the place of the one before it.
    pub fn is_replaced(&self) -> bool {
        matches!(self.way, Way::Replace { .. } | Way::Over(_))
    }

    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        match &self.way {
            Way::Into(file) => (&mut &*file).write_all(content),
            Way::Over(file) => write_over(file, content),
            Way::Fifo(path) => open_fifo(path)?.write_all(content),
            Way::Replace { path, old } => match (replace(path, old.as_ref(), content), old) {
                (Err(_), Some(old)) => write_over(old, content),
                (result, _) => result,
            },
        }
    }
}

impl Way {
    fn of(path: &Path) -> io::Result<Way> {
        if let Some(number) = descriptors::number_of(path) {
            return Ok(Way::Into(File::from(descriptors::given(number)?)));
        }
        let path = end_of_links(path)?;
        let stat = match rustix::fs::stat(&path) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                try_folder(&path)?;
                return Ok(Way::Replace { path, old: None });
            }
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
            rustix::fs::accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS)?;
            return Ok(Way::Fifo(path));
        }
        let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if try_folder(&path).is_ok() => Way::Replace { path, old: Some(file) },
            FileType::RegularFile => Way::Over(file),
            _ => Way::Into(file),
        })
    }
}

/// Where the symbolic links lead, whether there is a file or not.
pub fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..descriptors::LINKS {
        let Ok(target) = std::fs::read_link(&path) else { return Ok(path) };
        path = folder(&path).join(target);
    }
    Err(Errno::LOOP.into())
}

/// The folder that holds the file of this name.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether the folder of a file takes a new file. A file is made there to try it, without a name where the system can
/// do that.
fn try_folder(path: &Path) -> io::Result<()> {
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Errno::ISDIR.into());
    }
    tempfile::tempfile_in(folder(path)).map(drop)
}

fn write_over(mut file: &File, content: &[u8]) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(io::SeekFrom::Start(0))?;
    file.write_all(content)
}

/// A temporary file beside `path` takes its name, once it is whole.
fn replace(path: &Path, old: Option<&File>, content: &[u8]) -> io::Result<()> {
    // The process's file mode creation mask (umask) takes bits away, as for any other file.
    let permissions = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder(path))?;
    if let Some(old) = old {
        take_after(file.as_file(), &old.metadata()?)?;
    }
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

/// Gives a file the owner and the mode of another. The owner goes first, since changing it may clear bits of the mode.
fn take_after(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

fn open_fifo(path: &Path) -> io::Result<File> {
    let end = Instant::now() + PATIENCE;
    loop {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => {
                rustix::io::ioctl_fionbio(&fd, false)?;
                return Ok(File::from(fd));
            }
            Err(Errno::NXIO) if Instant::now() < end => std::thread::sleep(PATIENCE / 50),
            Err(Errno::NXIO) => return Err(io::Error::other("nobody reads the pipe")),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_not_there_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let file = WholeFile::look(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        file.write(b"content").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "content");
        let other = folder.path().join("other");
        File::create(&other).unwrap();
        assert_eq!(mode(&path), mode(&other), "the mode is that of any other file");
    }

    #[test]
    fn an_old_file_keeps_its_mode_and_the_links_that_lead_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("old"), "old and longer").unwrap();
        std::fs::set_permissions(path("old"), Permissions::from_mode(0o640)).unwrap();
        symlink("old", path("link")).unwrap();
        symlink("new", path("dangling")).unwrap();
        for name in ["link", "dangling"] {
            WholeFile::look(&path(name)).unwrap().write(b"content").unwrap();
            assert!(path(name).is_symlink());
            assert_eq!(std::fs::read_to_string(path(name)).unwrap(), "content");
        }
        assert_eq!(mode(&path("old")), 0o640);
        assert!(!path("new").is_symlink());
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        std::fs::write(&path, "old and longer").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        // The folder is gone when the file is due.
        let way = Way::Replace { path: folder.path().join("gone/old"), old: Some(file) };
        WholeFile { way }.write(b"content").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "content");
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        symlink("circle", folder.path().join("circle")).unwrap();
        for name in ["", "no/such/folder", "circle", "folder/"] {
            assert!(WholeFile::look(&folder.path().join(name)).is_err(), "{name}");
        }
        assert!(WholeFile::look(Path::new("/dev/fd/9999")).is_err());
    }
}
