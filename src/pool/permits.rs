//! How far the source may read ahead: a bound on the jobs that have been read and whose outcome has not
//! arrived, and on the bytes of jobs in flight.

use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags};

use crate::cancel::{Bell, Cancel, Level};

#[derive(Debug)]
pub struct Permits {
    jobs: usize,
    bytes: usize,
    /// The source is woken when no more than this is taken, so that it wakes once for many jobs.
    low: usize,
    state: Mutex<Taken>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Taken {
    jobs: usize,
    bytes: usize,
    waiting: bool,
}

impl Permits {
    /// `jobs` and `bytes` at most; `busy` jobs keep the pool busy.
    pub fn new(jobs: usize, bytes: usize, busy: usize) -> std::io::Result<Permits> {
        // With a window that is small for the pool every permit counts at once.
        let low = if jobs >= 4 * busy { jobs / 2 } else { jobs - 1 };
        Ok(Permits { jobs, bytes, low, state: Mutex::default(), bell: Bell::new()? })
    }

    /// Takes permits for the first of these jobs, given by their sizes, and says for how many: at least one,
    /// or none when the run is being stopped. Waits while there is none to have. `cancel_bell` rings for a
    /// stop. A job larger than all the memory is let through alone.
    pub fn take(&self, sizes: &mut dyn Iterator<Item = usize>, cancel: &Cancel, cancel_bell: &Bell) -> usize {
        let mut sizes = sizes.peekable();
        loop {
            {
                let mut taken = self.state.lock().expect("no thread panics while it holds this lock");
                let mut count = 0;
                while let Some(&size) = sizes.peek()
                    && taken.jobs < self.jobs
                    && (taken.bytes == 0 || taken.bytes + size <= self.bytes)
                {
                    taken.jobs += 1;
                    taken.bytes += size;
                    count += 1;
                    sizes.next();
                }
                if count > 0 {
                    return count;
                }
                taken.waiting = true;
            }
            if cancel.level() >= Level::Drain {
                return 0;
            }
            let mut fds = [
                PollFd::from_borrowed_fd(self.bell.fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(cancel_bell.fd(), PollFlags::IN),
            ];
            // An interrupted or failed poll only means another look.
            let _ = rustix::event::poll(&mut fds, None);
            self.bell.hush();
        }
    }

    /// The outcomes of so many jobs have arrived.
    pub fn return_jobs(&self, jobs: usize) {
        let mut taken = self.state.lock().expect("no thread panics while it holds this lock");
        taken.jobs -= jobs;
        self.wake(&mut taken);
    }

    /// So many bytes of jobs are in flight no more.
    pub fn return_bytes(&self, bytes: usize) {
        let mut taken = self.state.lock().expect("no thread panics while it holds this lock");
        taken.bytes -= bytes;
        self.wake(&mut taken);
    }

    fn wake(&self, taken: &mut Taken) {
        if taken.waiting && taken.jobs <= self.low && (taken.bytes == 0 || taken.bytes <= self.bytes / 2) {
            taken.waiting = false;
            self.bell.ring();
        }
    }
}
