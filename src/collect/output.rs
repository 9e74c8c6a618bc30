//! A file or stdout, written in large pieces.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::sys;
use crate::text::gather::{Gather, Put};
use crate::words::error::{Error, Result, reason};

pub struct Output {
    fd: OwnedFd,
    bytes: Gather,
}

/// Written at once when so much has gathered: large enough to make the call's own cost vanish.
const PIECE: usize = 256 * 1024;

impl Output {
    /// Opens `path` (created, emptied), or stdout. Refused if it is one of `inputs`, by whatever name, before
    /// anything in it is touched.
    pub fn open(path: Option<&Path>, inputs: &[OwnedFd]) -> Result<Output> {
        let Some(path) = path else {
            if sys::was_closed(1) {
                return Err(Error::refused("stdout is closed: there is nowhere to write records to"));
            }
            let stdout = io::stdout();
            let fd = stdout.as_fd().try_clone_to_owned();
            let fd = fd.map_err(|error| Error::refused(format!("stdout: {}", reason(&error))))?;
            refuse_input(&fd, "stdout", inputs)?;
            return Ok(Output::new(fd));
        };
        let name = path.display().to_string();
        let refused = |error: io::Error| Error::refused(format!("cannot write {name}: {}", reason(&error)));
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(refused)?;
        let fd = OwnedFd::from(file);
        refuse_input(&fd, &name, inputs)?;
        let file = File::from(fd);
        if file.metadata().map_err(refused)?.is_file() {
            file.set_len(0).map_err(refused)?;
        }
        Ok(Output::new(OwnedFd::from(file)))
    }

    fn new(fd: OwnedFd) -> Output {
        Output { fd, bytes: Gather::default() }
    }

    /// Where records are appended; `wrote` must follow.
    pub fn bytes(&mut self) -> &mut Gather {
        &mut self.bytes
    }

    /// The same for text.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.text()
    }

    /// Something has been appended to the buffer.
    pub fn wrote(&mut self) -> io::Result<()> {
        if self.bytes.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match rustix::io::write(&self.fd, self.bytes.first()) {
                Ok(bytes) => self.bytes.advance(bytes),
                Err(Errno::INTR) => {}
                // Somebody has made the shared descriptor non-blocking: that only means waiting.
                Err(Errno::AGAIN) => {
                    let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
                    match rustix::event::poll(&mut fds, None) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer().extend_from_slice(bytes);
        self.wrote()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Output::flush(self)
    }
}

/// An output that is also an input would be overwritten while it is read.
fn refuse_input(output: &OwnedFd, name: &str, inputs: &[OwnedFd]) -> Result<()> {
    let identity = |fd: &OwnedFd| {
        let stat = rustix::fs::fstat(fd).ok()?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        regular.then_some((stat.st_dev, stat.st_ino))
    };
    match identity(output) {
        Some(output) if inputs.iter().any(|input| identity(input) == Some(output)) => {
            Err(Error::refused(format!("{name}: the output is the input"))
                .hint("write to another file, then rename it"))
        }
        _ => Ok(()),
    }
}
