//! What a run counts: one plain struct behind one lock. Whoever knows something adds it once per batch, and whoever
//! shows something takes a copy, in which all numbers belong to the same moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::words::outcome::{Outcome, Status};

/// Shared by all threads of a run.
#[derive(Debug, Default)]
pub struct Counters {
    figures: Mutex<Figures>,
    /// Bytes of input read, before decompression.
    pub bytes_read: Arc<AtomicU64>,
}

/// All that is counted, as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Jobs read: bad ones, and those whose outcome is in the journal, too.
    pub read: u64,
    pub input_ended: bool,
    /// Jobs that this run has brought to their end.
    pub ended: ByStatus,
    /// Jobs whose outcome came from the journal.
    pub restored: ByStatus,
    /// Jobs that ended ok after a failed attempt.
    pub passed_on_retry: u64,
    /// Workers replaced because they ended unasked, or had to be ended.
    pub restarts: u64,
    /// Workers replaced as planned.
    pub recycled: u64,
    /// Bytes of input read, before decompression.
    pub bytes_read: u64,
    /// Bytes of input in all, if all of it is in files.
    pub bytes_total: Option<u64>,
}

/// A number of jobs for each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByStatus([u64; Status::ALL.len()]);

impl ByStatus {
    pub fn of(outcomes: &[Outcome]) -> ByStatus {
        let mut jobs = ByStatus::default();
        for outcome in outcomes {
            jobs.0[outcome.status as usize] += 1;
        }
        jobs
    }

    pub fn get(&self, status: Status) -> u64 {
        self.0[status as usize]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that ended otherwise than ok. A sum, so that it cannot be wrong by what is missing elsewhere.
    pub fn failed(&self) -> u64 {
        Status::ALL.into_iter().filter(|&status| status != Status::Ok).map(|status| self.get(status)).sum()
    }

    pub fn plus(mut self, other: ByStatus) -> ByStatus {
        self.0.iter_mut().zip(other.0).for_each(|(jobs, more)| *jobs += more);
        self
    }
}

impl Counters {
    /// A copy of all figures.
    pub fn snapshot(&self) -> Figures {
        Figures { bytes_read: self.bytes_read.load(Ordering::Relaxed), ..*self.figures() }
    }

    pub fn input_has(&self, bytes: Option<u64>) {
        self.figures().bytes_total = bytes;
    }

    /// These jobs are about to be sent on. Called before they are, so that no job has ended that was not read.
    pub fn read(&self, jobs: u64) {
        self.figures().read += jobs;
    }

    pub fn input_ended(&self) {
        self.figures().input_ended = true;
    }

    pub fn ended(&self, outcomes: &[Outcome]) {
        let jobs = ByStatus::of(outcomes);
        let mut figures = self.figures();
        figures.ended = figures.ended.plus(jobs);
    }

    pub fn restored(&self, outcomes: &[Outcome]) {
        let jobs = ByStatus::of(outcomes);
        let mut figures = self.figures();
        figures.restored = figures.restored.plus(jobs);
    }

    pub fn passed_on_retry(&self) {
        self.figures().passed_on_retry += 1;
    }

    pub fn restarted(&self) {
        self.figures().restarts += 1;
    }

    pub fn recycled(&self) {
        self.figures().recycled += 1;
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().expect("no thread panics while it holds this lock")
    }
}

impl Figures {
    /// Jobs that have their outcome, from this run or from the journal.
    pub fn all(&self) -> ByStatus {
        self.ended.plus(self.restored)
    }

    /// How much of the work is done, in 0..=1, if anybody can know.
    pub fn share(&self) -> Option<f64> {
        let (done, read) = (self.all().total() as f64, self.read as f64);
        if self.read == 0 {
            return None;
        }
        if self.input_ended {
            return Some((done / read).min(1.0));
        }
        let total = self.bytes_total.filter(|&bytes| bytes > 0)?;
        Some((self.bytes_read as f64 / total as f64 * done / read).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
pub mod testing {
    use bytes::Bytes;

    use super::*;
    use crate::words::job::Job;
    use crate::words::outcome::JobError;

    /// As many outcomes with this status.
    pub fn outcomes(status: Status, jobs: usize) -> Vec<Outcome> {
        let job = Job { number: 1, line: 1, data: Bytes::new(), extra: None };
        vec![Outcome::unrun(job, status, &JobError::bad_input("")); jobs]
    }
}

#[cfg(test)]
mod tests {
    use super::testing::outcomes;
    use super::*;

    /// While one thread counts batches of good jobs only, another never sees one that has failed, nor one that has
    /// ended and was not read.
    #[test]
    fn all_numbers_belong_to_the_same_moment() {
        let counters = Counters::default();
        let batch = outcomes(Status::Ok, 3);
        std::thread::scope(|scope| {
            let counting = scope.spawn(|| {
                for _ in 0..100_000 {
                    counters.read(3);
                    counters.ended(&batch);
                }
            });
            while !counting.is_finished() {
                let figures = counters.snapshot();
                assert_eq!(figures.all().failed(), 0);
                assert!(figures.all().total() <= figures.read && figures.read - figures.all().total() <= 3);
            }
        });
        assert_eq!(counters.snapshot().ended.get(Status::Ok), 300_000);
    }
}
