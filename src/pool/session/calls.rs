//! How jobs are put together to batches, each of which is one call of the handler (`--batch`).
//!
//! A batch is what is there, up to its size: an idle worker is told to begin with what it has been given, and the next
//! batch is put together while that one runs, so that a worker of quick calls has it in its pipe before it needs it.
//! Nobody waits behind a slow call, though: another worker may be free.

use std::time::Duration;

#[derive(Debug)]
pub struct Calls {
    /// The jobs of one batch, at most.
    most: usize,
    /// The pool has no other worker that could take the next batch.
    is_only_worker: bool,
    /// How long the last call took that was answered whole.
    last: Duration,
}

/// A batch may be queued behind a call that takes no longer than this: short for whoever stands behind it, long beside
/// the tenth of a millisecond that it takes to hand over a batch.
const QUICK: Duration = Duration::from_millis(10);

impl Calls {
    /// `workers` is how many the pool has.
    pub fn new(most: usize, workers: usize) -> Calls {
        Calls { most, is_only_worker: workers == 1, last: Duration::MAX }
    }

    /// A call has been answered whole after so long.
    pub fn answered(&mut self, took: Duration) {
        self.last = took;
    }

    /// Whether a batch of so many jobs takes no more.
    pub fn is_full(&self, jobs: usize) -> bool {
        jobs >= self.most
    }

    /// How many more jobs to give to a worker that has `open` of them, of which `forming` are in a batch that it has not
    /// been told to begin; the others have been running, or waiting for that, since `running`.
    pub fn room(&self, open: usize, forming: usize, running: Duration) -> usize {
        if open == forming {
            return self.most - forming;
        }
        let is_quick = self.last <= QUICK && running <= QUICK;
        if self.is_only_worker || is_quick { (2 * self.most).saturating_sub(open) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_idle_worker_takes_one_batch() {
        let calls = Calls::new(64, 8);
        assert_eq!((calls.room(0, 0, Duration::ZERO), calls.room(60, 60, Duration::ZERO)), (64, 4));
        assert_eq!((calls.is_full(63), calls.is_full(64)), (false, true));
    }

    #[test]
    fn the_next_batch_is_queued_behind_a_quick_call_only() {
        let mut calls = Calls::new(64, 8);
        assert_eq!(calls.room(64, 0, MS), 0, "nobody knows how long a call takes");
        calls.answered(MS);
        assert_eq!([calls.room(64, 0, MS), calls.room(100, 36, MS), calls.room(128, 0, MS)], [64, 28, 0]);
        assert_eq!(calls.room(64, 0, 11 * MS), 0, "this one has turned out slow");
        calls.answered(11 * MS);
        assert_eq!(calls.room(64, 0, MS), 0);
    }

    #[test]
    fn the_only_worker_always_has_its_next_batch() {
        let mut calls = Calls::new(64, 1);
        calls.answered(1000 * MS);
        assert_eq!(calls.room(64, 0, 1000 * MS), 64);
    }
}
