//! Waking a thread that sleeps in `poll`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A pipe that wakes a thread sleeping in `poll`. Rings add up to one.
#[derive(Debug, Clone)]
pub struct Bell {
    ends: Arc<(OwnedFd, OwnedFd)>,
}

impl Bell {
    pub fn new() -> std::io::Result<Bell> {
        use rustix::pipe::PipeFlags;
        let ends = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Bell { ends: Arc::new(ends) })
    }

    pub fn ring(&self) {
        // A full pipe has rung already; nothing else can fail while both ends are open.
        let _ = rustix::io::write(&self.ends.1, &[1]);
    }

    /// Makes the bell silent again.
    pub fn hush(&self) {
        let mut rings = [0; 64];
        while let Ok(64) = rustix::io::read(&self.ends.0, &mut rings) {}
    }

    /// Readable when it has been rung.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ends.0.as_fd()
    }
}
