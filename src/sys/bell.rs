//! Waking a thread that sleeps in `poll`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Wakes a thread that sleeps in `poll`: the descriptor of a bell that has been rung is readable. Any number of rings
/// is one. A bell is cheap to clone, and all clones are the same bell.
#[derive(Debug, Clone)]
pub struct Bell {
    ends: Arc<Ends>,
}

/// One descriptor that counts rings. A pipe would take two, and there is a bell for each worker and more, while
/// descriptors are limited.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Ends {
    counter: OwnedFd,
}

#[cfg(target_os = "linux")]
impl Ends {
    fn new() -> io::Result<Ends> {
        use rustix::event::EventfdFlags;
        let counter = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Ends { counter })
    }

    fn ring(&self) {
        // The write fails only when the counter is full, after 2^64 rings that nobody has heard: the bell is rung then.
        let _ = rustix::io::write(&self.counter, &1_u64.to_ne_bytes());
    }

    fn hush(&self) {
        // One read sets the counter to zero. The read fails only when the counter is zero, and the bell silent,
        // already.
        let _ = rustix::io::read(&self.counter, &mut [0; 8]);
    }

    fn heard(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

/// Two ends of a pipe, where the system has no descriptor that counts.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Ends {
    heard: OwnedFd,
    rung: OwnedFd,
}

#[cfg(not(target_os = "linux"))]
impl Ends {
    fn new() -> io::Result<Ends> {
        use rustix::pipe::PipeFlags;
        let (heard, rung) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Ends { heard, rung })
    }

    fn ring(&self) {
        // A full pipe has rung already; nothing else can fail while both ends are open.
        let _ = rustix::io::write(&self.rung, &[1]);
    }

    fn hush(&self) {
        let mut rings = [0; 64];
        while let Ok(64) = rustix::io::read(&self.heard, &mut rings) {}
    }

    fn heard(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}

impl Bell {
    /// How many descriptors a bell has open.
    pub const DESCRIPTORS: usize = if cfg!(target_os = "linux") { 1 } else { 2 };

    pub fn new() -> io::Result<Bell> {
        Ok(Bell { ends: Arc::new(Ends::new()?) })
    }

    pub fn ring(&self) {
        self.ends.ring();
    }

    /// Makes the bell silent again.
    pub fn hush(&self) {
        self.ends.hush();
    }

    /// A descriptor that is readable when the bell has been rung.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ends.heard()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec};

    use super::*;

    #[test]
    fn it_is_heard_from_the_first_ring_until_it_is_hushed() {
        let bell = Bell::new().unwrap();
        let is_heard = || {
            let mut fds = [PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
        };
        assert!(!is_heard());
        for _ in 0..1000 {
            bell.clone().ring();
        }
        assert!(is_heard());
        bell.hush();
        assert!(!is_heard());
        bell.hush();
        bell.ring();
        assert!(is_heard());
    }
}
