//! How far the source may read ahead: a bound on the jobs that have been read and whose outcome has not
//! arrived, and on the bytes of jobs in flight.

use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags};

use crate::sys::bell::Bell;
use crate::words::cancel::{Cancel, Level};

#[derive(Debug)]
pub struct Permits {
    jobs: usize,
    bytes: usize,
    /// So many jobs keep every worker busy; what is read beyond them is only read ahead.
    busy: usize,
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

/// Reading ahead further than this gains nothing: it is a thousand pipes full.
const AHEAD: usize = 16 << 20;

impl Permits {
    /// `jobs` and `bytes` at most; `queued` jobs fill every worker's queue, of which there are `workers`.
    pub fn new(jobs: usize, bytes: usize, queued: usize, workers: usize) -> std::io::Result<Permits> {
        // With a window that is small for the pool every permit counts at once.
        let low = if jobs >= 4 * queued { jobs / 2 } else { jobs - 1 };
        // One that runs, and one to follow it at once.
        Ok(Permits { jobs, bytes, busy: 2 * workers, low, state: Mutex::default(), bell: Bell::new()? })
    }

    /// Takes permits for the first of these jobs, given by their sizes, and says for how many: at least one,
    /// or none when the run is being stopped. Waits while there is none to have. `cancel_bell` rings for a
    /// stop. A job larger than all the memory is let through alone.
    pub fn take(&self, sizes: &mut dyn Iterator<Item = usize>, cancel: &Cancel, cancel_bell: &Bell) -> usize {
        let mut sizes = sizes.peekable();
        loop {
            // First, or a run that is being stopped would read on with the permits of what it gives up.
            if cancel.level() >= Level::Drain {
                return 0;
            }
            {
                let mut taken = self.state.lock().expect("no thread panics while it holds this lock");
                let mut count = 0;
                while let Some(&size) = sizes.peek()
                    && self.has_room(&taken, size)
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

    /// So many bytes count as if they were of jobs in flight, without a wait; `take` waits for them to return.
    pub fn hold_bytes(&self, bytes: usize) {
        self.state.lock().expect("no thread panics while it holds this lock").bytes += bytes;
    }

    /// So many bytes of jobs are in flight no more.
    pub fn return_bytes(&self, bytes: usize) {
        let mut taken = self.state.lock().expect("no thread panics while it holds this lock");
        taken.bytes -= bytes;
        self.wake(&mut taken);
    }

    fn has_room(&self, taken: &Taken, size: usize) -> bool {
        let most = if taken.jobs < self.busy { self.bytes } else { self.bytes.min(AHEAD) };
        taken.jobs < self.jobs && (taken.bytes == 0 || taken.bytes + size <= most)
    }

    fn wake(&self, taken: &mut Taken) {
        let light = taken.bytes <= self.bytes.min(AHEAD) / 2 || taken.jobs < self.busy;
        if taken.waiting && taken.jobs <= self.low && light {
            taken.waiting = false;
            self.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::cancel::Reason;

    #[test]
    fn reading_ahead_is_bounded_and_busy_workers_are_not() {
        let cancel = Cancel::new();
        let bell = cancel.bell().unwrap();
        let permits = Permits::new(100, 256 << 20, 8, 4).unwrap();
        let take = |size: usize| permits.take(&mut std::iter::repeat_n(size, 50), &cancel, &bell);
        assert_eq!(take(10 << 20), 8, "two large jobs a worker");
        permits.return_jobs(8);
        permits.return_bytes(80 << 20);
        assert_eq!(take(1 << 20), 16, "16 MiB of smaller ones");
    }

    #[test]
    fn bytes_that_are_held_must_return_first() {
        let permits = Permits::new(100, 1000, 8, 4).unwrap();
        let has_room = || permits.has_room(&permits.state.lock().unwrap(), 1);
        permits.hold_bytes(1500);
        assert!(!has_room());
        permits.return_bytes(1500);
        assert!(has_room());
    }

    #[test]
    fn a_run_that_is_being_stopped_reads_no_more() {
        let cancel = Cancel::new();
        let bell = cancel.bell().unwrap();
        let permits = Permits::new(100, 1000, 8, 4).unwrap();
        cancel.raise(Level::Drain, Reason::Signal(2));
        assert_eq!(permits.take(&mut [1].into_iter(), &cancel, &bell), 0);
    }

    #[test]
    fn a_job_larger_than_the_memory_is_let_through_alone() {
        let cancel = Cancel::new();
        let bell = cancel.bell().unwrap();
        let permits = Permits::new(100, 1000, 8, 4).unwrap();
        assert_eq!(permits.take(&mut [5000, 1].into_iter(), &cancel, &bell), 1);
    }
}
