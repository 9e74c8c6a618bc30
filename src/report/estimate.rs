//! How much of a run is done and how long the rest will take: pure arithmetic on the figures of one moment.
//!
//! Only the jobs of this run count. A job whose outcome comes from the journal takes no time, so it is neither in the
//! rate nor in the work that is left.

use std::time::{Duration, Instant};

use super::counters::Figures;

/// What can be said of a run whose input is known, in bytes or to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// How much of this run's work is done, in 0..=1.
    pub share: f64,
    /// How long the rest will take. `None` as long as no worker has answered, and once nothing is left.
    pub left: Option<Duration>,
}

/// `None` if nobody can know how many jobs there will be.
pub fn estimate(figures: &Figures, now: Instant) -> Option<Estimate> {
    let left = jobs_left(figures)?;
    let ended = figures.ended.total() as f64;
    if ended + left == 0.0 {
        return None;
    }
    Some(Estimate { share: ended / (ended + left), left: time_left(figures, left, now) })
}

/// Jobs that end per second, since the first one was begun.
pub fn rate(figures: &Figures, now: Instant) -> f64 {
    let Some(timing) = &figures.timing else { return 0.0 };
    // A millisecond keeps the rate of a run that has just begun within reason.
    figures.ended.total() as f64 / now.saturating_duration_since(timing.begun()).as_secs_f64().max(0.001)
}

/// Jobs that this run still has to bring to their end.
fn jobs_left(figures: &Figures) -> Option<f64> {
    let open = figures.read.saturating_sub(figures.all().total()) as f64;
    if figures.input_ended {
        return Some(open);
    }
    let total = figures.input_bytes.filter(|_| figures.consumed > 0)? as f64;
    // Jobs in the rest of the input are taken to be as long as those that were read.
    let read = figures.read as f64;
    let unread = (read * total / figures.consumed as f64 - read).max(0.0);
    let restored_later = figures.in_journal.saturating_sub(figures.restored.total()) as f64;
    Some(open + (unread - restored_later).max(0.0))
}

fn time_left(figures: &Figures, jobs_left: f64, now: Instant) -> Option<Duration> {
    let timing = figures.timing?;
    if jobs_left == 0.0 {
        return None;
    }
    let waited = now.saturating_duration_since(timing.last_end);
    // The time since the last end is taken for that of the next job, and so is not counted as time in which jobs were
    // slow, as long as it is no longer than others took. What goes beyond that makes the jobs slower than they were.
    let usual = waited.min(timing.longest_gap.max(timing.shortest));
    let passed = now.saturating_duration_since(timing.begun()).saturating_sub(usual);
    let per_job = passed.as_secs_f64() / figures.ended.total() as f64;
    let left = (jobs_left * per_job - usual.as_secs_f64()).max(0.0);
    // The conversion fails only for a time that no Duration holds, of which nothing need be said.
    Duration::try_from_secs_f64(left).ok()
}

#[cfg(test)]
mod tests {
    use super::super::counters::Counters;
    use super::super::counters::testing::outcomes;
    use super::*;
    use crate::words::outcome::Status;

    /// A run with a virtual clock: a file of equal jobs, and workers that take `per_job` for each.
    struct SimulatedRun {
        jobs: u64,
        workers: u64,
        /// Jobs that are read and have not ended, at most.
        window: u64,
        per_job: Duration,
        /// Time until the workers take jobs.
        start: Duration,
        /// So many of the jobs, the first ones, are in the journal.
        in_journal: u64,
    }

    const USUAL: SimulatedRun = SimulatedRun {
        jobs: 5000,
        workers: 1,
        window: 1024,
        per_job: Duration::from_millis(10),
        start: Duration::ZERO,
        in_journal: 0,
    };
    const JOB_BYTES: u64 = 7;

    impl SimulatedRun {
        /// Runs it and looks at the estimate ten times for each job, from where 5 % are done. What is left, and the
        /// share, must be right within 10 %.
        fn check(&self) {
            let counters = Counters::default();
            counters.input_has(Some(self.jobs * JOB_BYTES));
            counters.journal_has(self.in_journal);
            self.read(&counters, self.in_journal + self.window);
            counters.restored(&outcomes(Status::Ok, usize::try_from(self.in_journal).unwrap()));
            let begun = Instant::now();
            let to_run = self.jobs - self.in_journal;
            let rounds = to_run.div_ceil(self.workers);
            let end = self.start + self.per_job * u32::try_from(rounds).unwrap();
            let mut ended = 0;
            for round in 1..=rounds {
                let at = self.start + self.per_job * u32::try_from(round).unwrap();
                for _ in 0..self.workers.min(to_run - ended) {
                    let mut outcome = outcomes(Status::Ok, 1);
                    // A worker that does not say when it is ready is given its first job while it loads.
                    let loading = if round == 1 { self.start } else { Duration::ZERO };
                    (outcome[0].attempts, outcome[0].elapsed) = (1, self.per_job + loading);
                    counters.ended(&outcome, begun + at);
                    ended += 1;
                }
                self.read(&counters, self.in_journal + ended + self.window);
                for tenth in (0..10).filter(|_| ended * 20 >= to_run && ended < to_run) {
                    let now = at + self.per_job * tenth / 10;
                    let estimate = estimate(&counters.snapshot(), begun + now).expect("the input's size is known");
                    let share = ended as f64 / to_run as f64;
                    assert!((estimate.share / share - 1.0).abs() < 0.1, "{} at {share}", estimate.share);
                    let left = estimate.left.expect("jobs have ended").as_secs_f64();
                    let truth = (end - now).as_secs_f64();
                    let off = (left - truth).abs();
                    assert!(off <= 0.1 * truth + 0.001, "{left} s at {share}, truth {truth} s");
                }
            }
        }

        fn read(&self, counters: &Counters, most: u64) {
            let (read, most) = (counters.snapshot().read, most.min(self.jobs));
            counters.read(most - read, most * JOB_BYTES);
            if most == self.jobs {
                counters.input_ended();
            }
        }
    }

    #[test]
    fn the_estimate_is_right_within_a_tenth_once_a_twentieth_is_done() {
        USUAL.check();
        // A run whose whole input fits into the window.
        SimulatedRun { jobs: 100, per_job: Duration::from_secs(1), ..USUAL }.check();
        // A run in which four jobs end at a time, then none for a second.
        SimulatedRun { jobs: 400, workers: 4, window: 16, per_job: Duration::from_secs(1), ..USUAL }.check();
        // Runs whose workers load for a long time.
        SimulatedRun { jobs: 1000, window: 16, start: Duration::from_secs(60), ..USUAL }.check();
        SimulatedRun { jobs: 1000, workers: 8, start: Duration::from_secs(60), ..USUAL }.check();
    }

    #[test]
    fn jobs_from_the_journal_are_neither_in_the_rate_nor_in_what_is_left() {
        SimulatedRun { jobs: 1000, in_journal: 900, per_job: Duration::from_secs(1), ..USUAL }.check();
        SimulatedRun { jobs: 10_000, in_journal: 5000, window: 64, ..USUAL }.check();
    }

    #[test]
    fn a_job_that_takes_longer_than_all_before_it_makes_the_rest_longer() {
        let counters = Counters::default();
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        counters.read(20, 20);
        counters.input_ended();
        for number in 1..=10 {
            let mut outcome = outcomes(Status::Ok, 1);
            (outcome[0].attempts, outcome[0].elapsed) = (1, second);
            counters.ended(&outcome, begun + second * number);
        }
        let left = |seconds| estimate(&counters.snapshot(), begun + second * seconds).unwrap().left.unwrap();
        assert_eq!(left(10), second * 10);
        assert_eq!(left(11), second * 9);
        assert!(left(60) > second * 50);
    }

    #[test]
    fn nothing_is_said_of_what_nobody_knows() {
        let counters = Counters::default();
        let now = Instant::now();
        counters.read(100, 700);
        assert_eq!(estimate(&counters.snapshot(), now), None);
        counters.input_has(Some(7000));
        assert_eq!(estimate(&counters.snapshot(), now), Some(Estimate { share: 0.0, left: None }));
        assert_eq!(rate(&counters.snapshot(), now), 0.0);
    }
}
