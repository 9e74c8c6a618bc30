//! Exit statuses: what they are, which one wins, and how the process leaves.

use crate::sys;

/// Weakest first: when several apply, the strongest is the exit status. `Refused` comes alone, before any job has
/// ended: an input that turns out to be of no use after that has failed (`IoFailed`), as the collector sees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Every job ok and every byte of output accepted by the system.
    Ok,
    /// The run completed, some records are not ok.
    JobsFailed,
    /// The run was stopped after enough jobs had failed, as it was told, and is not complete.
    Stopped,
    /// Wrong usage, or an input or output that cannot be used.
    Refused,
    /// Workers cannot be started, or keep dying.
    PoolFailed,
    /// Input, output or journal failed during the run.
    IoFailed,
    /// The reader of stdout went away.
    ReaderGone,
    /// Stopped by this signal: 1 (SIGHUP), 2 (SIGINT) or 15 (SIGTERM).
    Signal(i32),
}

impl Exit {
    /// The exit status that a shell shows.
    pub fn status(self) -> i32 {
        match self {
            Exit::Ok => 0,
            Exit::JobsFailed => 1,
            Exit::Stopped => 5,
            Exit::Refused => 2,
            Exit::PoolFailed => 3,
            Exit::IoFailed => 4,
            Exit::ReaderGone => 128 + libc::SIGPIPE,
            Exit::Signal(signal) => 128 + signal,
        }
    }

    /// Ends the process. A signal is raised again with its default action, so that a shell sees the real
    /// thing and ends its own loop; SIGPIPE is a plain status, since shells stay silent about it anyway.
    pub fn leave(self) -> ! {
        if let Exit::Signal(signal) = self {
            // This returns only in process 1, the entry point of a container, which no signal ends. There the status
            // says the same.
            sys::signals::act_by_default(signal);
        }
        std::process::exit(self.status())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::*;

    #[test]
    fn the_strongest_reason_wins() {
        let order = [Ok, JobsFailed, Stopped, PoolFailed, IoFailed, ReaderGone, Signal(2)];
        assert!(order.is_sorted());
        assert_eq!(order.map(super::Exit::status), [0, 1, 5, 3, 4, 141, 130]);
        assert_eq!([Signal(1), Signal(15), Refused].map(super::Exit::status), [129, 143, 2]);
    }
}
