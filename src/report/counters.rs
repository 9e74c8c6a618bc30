//! What a run counts: one plain struct behind one lock. A thread that knows something adds it once a batch, and one
//! that shows something takes a copy, in which all numbers belong to the same moment. What only the end of a run asks
//! for stands behind a lock of its own, so that nobody who draws a bar waits for it.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::errors::ErrorGroups;
use super::picture::Picture;
use super::times::{Share, TimesByStatus, shares};
use crate::words::doing::Spell;
use crate::words::outcome::{Outcome, Status};
use crate::words::rate::Rate;

/// Shared by all threads of a run.
#[derive(Debug, Default)]
pub struct Counters {
    figures: Mutex<Figures>,
    details: Mutex<Details>,
    /// Where a picture of the run is wanted.
    picture: Mutex<Option<Picture>>,
}

/// What is known of the jobs that have ended besides their number.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Of the jobs of this run.
    pub times: TimesByStatus,
    /// Of all jobs, those from the journal among them.
    pub errors: ErrorGroups,
    /// A worker could run several jobs at once.
    pub asynchronous: bool,
}

/// All that is counted, as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Jobs read, including bad ones and those whose outcome comes from the journal.
    pub read: u64,
    /// Bytes of the input files that those jobs took up; about, where a file is compressed.
    pub consumed: u64,
    /// Bytes of the input files in all, if all of the input is in files.
    pub input_bytes: Option<u64>,
    /// All of the input has been read, or as much of it as will be.
    pub input_ended: bool,
    /// What `--rate` allows.
    pub rate: Option<Rate>,
    /// Jobs that this run has brought to their end.
    pub ended: ByStatus,
    /// Jobs whose outcome came from the journal.
    pub restored: ByStatus,
    /// Jobs whose outcome the journal has: those that have been restored, and those that will be if the input has them.
    pub in_journal: u64,
    /// `None` as long as no worker has brought a job to its end.
    pub timing: Option<Timing>,
    /// Jobs that ended ok after a failed attempt.
    pub passed_on_retry: u64,
    /// Workers replaced because they ended unasked, or had to be ended.
    pub restarts: u64,
    /// Workers replaced as planned.
    pub recycled: u64,
    /// The hosts of the run, if its workers are not here.
    pub hosts: Option<Hosts>,
}

/// Hosts that keep the workers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hosts {
    pub named: usize,
    pub ready: usize,
    /// On those that are ready.
    pub workers: usize,
}

/// When the jobs of this run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    pub first_end: Instant,
    pub last_end: Instant,
    /// The longest time in which no job ended, since the first one did.
    pub longest_gap: Duration,
    /// The shortest time that a job spent in its worker. The first job of a worker may seem to take as long as the
    /// worker takes to load, which the shortest one most likely does not.
    pub shortest: Duration,
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

    /// How many jobs have failed. It is the sum of their statuses, so that the two cannot differ.
    pub fn failed(&self) -> u64 {
        Status::ALL.into_iter().filter(|status| status.is_failure()).map(|status| self.get(status)).sum()
    }

    pub fn plus(mut self, other: ByStatus) -> ByStatus {
        self.0.iter_mut().zip(other.0).for_each(|(jobs, more)| *jobs += more);
        self
    }
}

impl Counters {
    /// A copy of all figures.
    pub fn snapshot(&self) -> Figures {
        *self.figures()
    }

    pub fn input_has(&self, bytes: Option<u64>) {
        self.figures().input_bytes = bytes;
    }

    pub fn rate_is(&self, rate: Option<Rate>) {
        self.figures().rate = rate;
    }

    /// The workers are on so many hosts.
    pub fn hosts_are(&self, named: usize) {
        self.figures().hosts = Some(Hosts { named, ready: 0, workers: 0 });
    }

    /// A host is ready, and keeps so many workers.
    pub fn host_ready(&self, workers: usize) {
        if let Some(hosts) = &mut self.figures().hosts {
            hosts.ready += 1;
            hosts.workers += workers;
        }
    }

    /// A host is gone that was ready, with so many workers.
    pub fn host_gone(&self, workers: usize) {
        if let Some(hosts) = &mut self.figures().hosts {
            hosts.ready -= 1;
            hosts.workers -= workers;
        }
    }

    pub fn journal_has(&self, jobs: u64) {
        self.figures().in_journal = jobs;
    }

    /// So many jobs more are read, and all jobs up to here have taken up `consumed` bytes of the input. Called before
    /// the jobs are sent on, so that no job has ended that was not read.
    pub fn read(&self, jobs: u64, consumed: u64) {
        let mut figures = self.figures();
        figures.read += jobs;
        figures.consumed = consumed;
    }

    pub fn input_ended(&self) {
        self.figures().input_ended = true;
    }

    /// Adds jobs that have ended, and says what shares of their workers' time they have taken.
    pub fn ended<'a>(&self, outcomes: &'a [Outcome], now: Instant) -> Vec<Share<'a>> {
        let jobs = ByStatus::of(outcomes);
        let mut figures = self.figures();
        figures.ended = figures.ended.plus(jobs);
        figures.timing = Timing::after(figures.timing, outcomes, now);
        drop(figures);
        let shares = shares(outcomes);
        let mut details = self.details();
        details.times.add(&shares);
        details.errors.add(outcomes);
        drop(details);
        if let Some(picture) = &mut *self.picture() {
            picture.ended(outcomes, &shares, now);
        }
        shares
    }

    pub fn restored(&self, outcomes: &[Outcome]) {
        let jobs = ByStatus::of(outcomes);
        let mut figures = self.figures();
        figures.restored = figures.restored.plus(jobs);
        drop(figures);
        self.details().errors.add(outcomes);
        if let Some(picture) = &mut *self.picture() {
            picture.restored(outcomes);
        }
    }

    /// A picture of the run is wanted, which begins now on its clock; these fields of jobs are blanked out in it.
    pub fn draw(&self, now: Instant, redact: &[String]) {
        self.details().errors.examples = Some(redact.to_vec());
        *self.picture() = Some(Picture::new(now, redact.to_vec()));
    }

    /// A slot has spent a time with one thing.
    pub fn spent(&self, spell: &Spell) {
        if let Some(picture) = &mut *self.picture() {
            picture.spent(spell);
        }
    }

    /// What the picture of the run is drawn from, if one is wanted. It is taken, so this is for the end.
    pub fn take_picture(&self) -> Option<Picture> {
        self.picture().take()
    }

    /// A copy of what is known besides the figures.
    pub fn copy_of_details(&self) -> Details {
        self.details().clone()
    }

    pub fn asynchronous(&self) {
        self.details().asynchronous = true;
    }

    pub fn passed_on_retry(&self) {
        self.figures().passed_on_retry += 1;
    }

    /// A worker is replaced unplanned, for this reason in words.
    pub fn restarted(&self, why: &str) {
        self.figures().restarts += 1;
        if let Some(picture) = &mut *self.picture() {
            picture.replaced.add(why);
        }
    }

    pub fn recycled(&self) {
        self.figures().recycled += 1;
    }

    fn picture(&self) -> MutexGuard<'_, Option<Picture>> {
        self.picture.lock().expect("no thread panics while it holds this lock")
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().expect("no thread panics while it holds this lock")
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().expect("no thread panics while it holds this lock")
    }
}

impl Timing {
    /// The timing once these jobs, too, have ended.
    fn after(timing: Option<Timing>, outcomes: &[Outcome], now: Instant) -> Option<Timing> {
        let run = outcomes.iter().filter(|outcome| outcome.attempts > 0);
        let shortest = run.map(|outcome| outcome.elapsed).min();
        let Some(timing) = timing else {
            let shortest = shortest?;
            return Some(Timing { first_end: now, last_end: now, longest_gap: Duration::ZERO, shortest });
        };
        let gap = now.saturating_duration_since(timing.last_end);
        Some(Timing {
            last_end: now,
            longest_gap: timing.longest_gap.max(gap),
            shortest: shortest.map_or(timing.shortest, |shortest| timing.shortest.min(shortest)),
            ..timing
        })
    }

    /// When the first job that has ended was begun, most likely: the time that a worker takes to load is no job's.
    pub fn begun(&self) -> Instant {
        // The subtraction fails only for a time before the system's clock began.
        self.first_end.checked_sub(self.shortest).unwrap_or(self.first_end)
    }
}

impl Figures {
    /// Jobs that have their outcome, from this run or from the journal.
    pub fn all(&self) -> ByStatus {
        self.ended.plus(self.restored)
    }
}

#[cfg(test)]
pub mod testing {
    use bytes::Bytes;

    use super::*;
    use crate::words::job::Job;
    use crate::words::outcome::JobError;

    /// So many outcomes with this status.
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
                    counters.read(3, 0);
                    counters.ended(&batch, Instant::now());
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
