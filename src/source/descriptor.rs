//! The files of a run: opened, and read so that every wait for input is a wait for a stop of the run as well.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::source::settings::InputFile;
use crate::sys;
use crate::sys::bell::Bell;
use crate::sys::descriptors;
use crate::words::cancel::{Cancel, Level};
use crate::words::error::{Error, Result, reason};

/// What an input needs of the run.
#[derive(Clone)]
pub struct Context {
    pub cancel: Arc<Cancel>,
    pub bell: Bell,
}

impl Context {
    /// For reading outside of a run: nobody stops it.
    pub fn alone() -> Result<Context> {
        let cancel = Cancel::new();
        Ok(Context { bell: cancel.bell()?, cancel })
    }
}

/// Opens a file, or stdin, or a descriptor that the path stands for. Nothing is read.
pub fn open(file: &InputFile) -> Result<OwnedFd> {
    let name = file.name();
    let refused = |error: io::Error| Error::refused(format!("cannot read {name}: {}", reason(&error)));
    let fd = match &file.path {
        Some(path) => open_path(path).map_err(refused)?,
        None if sys::was_closed(0) => {
            return Err(Error::refused("stdin is closed: there is nothing to read jobs from"));
        }
        None => io::stdin().as_fd().try_clone_to_owned().map_err(refused)?,
    };
    let stat = rustix::fs::fstat(&fd).map_err(|error| refused(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Error::refused(format!("cannot read {name}: it is a directory")));
    }
    Ok(fd)
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    if let Some(number) = descriptors::number_of(path) {
        return descriptors::given(number);
    }
    let mut options = File::options();
    options.read(true);
    // A named pipe is there at once, also without a writer: poll waits for its first one. Elsewhere than on Linux
    // poll may say that such a pipe has ended, so opening it must wait.
    if cfg!(target_os = "linux") && std::fs::metadata(path)?.file_type().is_fifo() {
        options.custom_flags(libc::O_NONBLOCK);
    }
    Ok(OwnedFd::from(options.open(path)?))
}

/// The size of a regular file, in bytes.
pub fn size(fd: &OwnedFd) -> Option<u64> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    regular.then(|| u64::try_from(stat.st_size).unwrap_or(0))
}

/// A descriptor that is waited for together with a stop.
pub struct Descriptor {
    fd: OwnedFd,
    /// Reading it may take for ever; a regular file is there.
    waits: bool,
    context: Context,
}

/// Travels as an error through decoders that know nothing of it.
#[derive(Debug)]
struct Stop;

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stop {}

/// The run is being stopped: that is why a read failed.
pub fn is_stop(error: &io::Error) -> bool {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|error| error as _);
    while let Some(error) = inner {
        if error.is::<Stop>() {
            return true;
        }
        inner = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|error| error as _),
            None => error.source(),
        };
    }
    false
}

impl Descriptor {
    pub fn new(fd: OwnedFd, context: Context) -> Descriptor {
        Descriptor { waits: size(&fd).is_none(), fd, context }
    }

    fn wait(&self) -> io::Result<()> {
        loop {
            if self.context.cancel.level() >= Level::Drain {
                return Err(io::Error::other(Stop));
            }
            if !self.waits {
                return Ok(());
            }
            let mut fds =
                [PollFd::new(&self.fd, PollFlags::IN), PollFd::from_borrowed_fd(self.context.bell.fd(), PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
                Ok(_) => self.context.bell.hush(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read_with(&self, mut read: impl FnMut(&OwnedFd) -> rustix::io::Result<usize>) -> io::Result<usize> {
        loop {
            self.wait()?;
            match read(&self.fd) {
                Ok(bytes) => return Ok(bytes),
                // Somebody else has taken the bytes, or the call was interrupted: wait again.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Appends what has arrived, as far as there is room.
    pub fn read_into(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        self.read_with(|fd| rustix::io::read(fd, rustix::buffer::spare_capacity(into)))
    }
}

impl Read for Descriptor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_with(|fd| rustix::io::read(fd, &mut *into))
    }
}
