//! Writing to stderr until all of it is written.
//!
//! `write_all` of the standard library stops where a descriptor is non-blocking and full, and the rest is lost. A
//! process that shares stderr with us may have made it non-blocking, as Node does.

use std::io;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

/// stderr, for one thread at a time.
#[derive(Debug, Default)]
pub struct Stderr {
    /// The far end is gone: there is nobody left to tell.
    is_broken: bool,
}

/// The most bytes of one write: a quarter of a pipe on Linux, so that `moved` is called while a slow reader takes a
/// large text.
const PIECE: usize = 16 * 1024;

impl Stderr {
    /// Waits as long as it takes, and calls `moved` for each piece that the system has taken. What the system refuses
    /// is lost: there is no place to say so.
    pub fn write(&mut self, text: &[u8], mut moved: impl FnMut()) {
        let mut rest = text;
        while !rest.is_empty() && !self.is_broken {
            match rustix::io::write(io::stderr(), &rest[..rest.len().min(PIECE)]) {
                Ok(bytes) => {
                    rest = &rest[bytes..];
                    moved();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let stderr = io::stderr();
                    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
                    // A poll that fails needs no answer: whatever is wrong with stderr, the next write says it.
                    let _ = rustix::event::poll(&mut fds, None);
                }
                // A full disk may have room again for the next text.
                Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => return,
                Err(_) => self.is_broken = true,
            }
        }
    }
}
