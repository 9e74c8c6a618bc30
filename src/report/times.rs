//! How long jobs took: a histogram that takes a few KiB however many jobs there are (hdrhistogram).

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::words::outcome::{Outcome, Status};

/// The times that jobs spent in their workers.
#[derive(Debug, Clone)]
pub struct Times {
    micros: Histogram<u64>,
    max: Duration,
    /// Of all jobs together.
    sum: Duration,
}

/// The times of the jobs for each way in which a job can end.
#[derive(Debug, Clone, Default)]
pub struct TimesByStatus([Option<Box<Times>>; Status::ALL.len()]);

/// What a summary says of the times; in its JSON they are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Percentiles {
    /// Half of the jobs took no longer than this.
    #[serde(serialize_with = "in_ms")]
    pub p50: Duration,
    /// 95 of 100 jobs took no longer than this.
    #[serde(serialize_with = "in_ms")]
    pub p95: Duration,
    #[serde(serialize_with = "in_ms")]
    pub max: Duration,
}

/// Times are told apart to one part in a hundred, which two digits are enough for.
const DIGITS: u8 = 2;
/// 30 days, in microseconds: a job that takes longer counts as one that takes as long as this, save for the maximum.
const LONGEST: u64 = 30 * 24 * 3600 * 1_000_000;

impl Default for Times {
    fn default() -> Times {
        let micros = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        let micros = micros.expect("the bounds and the digits are such as a histogram takes");
        Times { micros, max: Duration::ZERO, sum: Duration::ZERO }
    }
}

impl TimesByStatus {
    /// Adds the times of those jobs that were given to a worker.
    ///
    /// Where a worker has answered several jobs before it was listened to, the first of them has all the time and the
    /// others none. Nobody knows how long each of them took, so they share it.
    pub fn add(&mut self, outcomes: &[Outcome]) {
        let run = |outcome: &&Outcome| outcome.attempts > 0;
        let mut rest = outcomes.iter().filter(run).peekable();
        let mut group = Vec::new();
        while let Some(first) = rest.next() {
            group.clear();
            group.push(first.status);
            while let Some(next) = rest.next_if(|next| next.elapsed.is_zero() && next.worker == first.worker) {
                group.push(next.status);
            }
            let each = first.elapsed / group.len() as u32;
            // Nearly always all of them have ended in the same way.
            for same in group.chunk_by(|one, other| one == other) {
                self.0[same[0] as usize].get_or_insert_default().add(each, same.len() as u32);
            }
        }
    }

    /// Of the jobs that ended in one way.
    pub fn of(&self, status: Status) -> Option<&Times> {
        self.0[status as usize].as_deref()
    }

    /// Of all jobs.
    pub fn all(&self) -> Times {
        self.together(|_| true)
    }

    fn together(&self, is_meant: impl Fn(Status) -> bool) -> Times {
        let mut together = Times::default();
        Status::ALL.into_iter().filter(|&status| is_meant(status)).filter_map(|status| self.of(status)).for_each(
            |times| {
                // The two have the same bounds, so that every value of one fits into the other.
                let added = together.micros.add(&times.micros);
                added.expect("histograms of the same bounds can be added");
                together.max = together.max.max(times.max);
                together.sum = together.sum.saturating_add(times.sum);
            },
        );
        together
    }
}

impl Times {
    /// So many jobs took so long, each.
    fn add(&mut self, each: Duration, jobs: u32) {
        let micros = u64::try_from(each.as_micros()).unwrap_or(u64::MAX);
        self.micros.saturating_record_n(micros, u64::from(jobs));
        self.max = self.max.max(each);
        self.sum = self.sum.saturating_add(each.saturating_mul(jobs));
    }

    /// How many jobs were given to a worker.
    pub fn jobs(&self) -> u64 {
        self.micros.len()
    }

    /// The time that so great a part of the jobs took no longer than; `None` if no job was given to a worker.
    pub fn at(&self, quantile: f64) -> Option<Duration> {
        // The histogram rounds up, so that a percentile might seem to be longer than the longest time.
        let at = || Duration::from_micros(self.micros.value_at_quantile(quantile)).min(self.max);
        (!self.micros.is_empty()).then(at)
    }

    /// How long the workers had a job, all together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// `None` if no job was given to a worker.
    pub fn percentiles(&self) -> Option<Percentiles> {
        Some(Percentiles { p50: self.at(0.50)?, p95: self.at(0.95)?, max: self.max })
    }
}

fn in_ms<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::counters::testing::outcomes;
    use super::*;

    fn job(attempts: u32, elapsed: Duration) -> Outcome {
        Outcome { attempts, elapsed, ..outcomes(Status::Ok, 1).remove(0) }
    }

    #[test]
    fn percentiles_are_those_of_the_jobs_that_were_run() {
        let mut times = TimesByStatus::default();
        times.add(&[job(0, Duration::from_secs(1))]);
        assert_eq!(times.all().percentiles(), None);
        let ran: Vec<Outcome> = (1..=100).map(|ms| job(1, Duration::from_millis(ms))).collect();
        times.add(&ran);
        let Percentiles { p50, p95, max } = times.all().percentiles().unwrap();
        let near = |time: Duration, ms: u64| time.as_micros().abs_diff(u128::from(ms) * 1000) <= u128::from(ms) * 10;
        assert!(near(p50, 50) && near(p95, 95) && near(max, 100), "{p50:?} {p95:?} {max:?}");
    }

    #[test]
    fn answers_that_came_together_share_their_time() {
        let mut times = TimesByStatus::default();
        let [zero, time] = [Duration::ZERO, Duration::from_millis(4)];
        times.add(&[job(1, time), job(1, zero), job(0, zero), job(1, zero), job(1, zero)]);
        let expected = Duration::from_millis(1);
        assert_eq!(times.all().percentiles(), Some(Percentiles { p50: expected, p95: expected, max: expected }));
        times.add(&[job(1, time), Outcome { worker: Some(7), ..job(1, zero) }]);
        assert_eq!(times.all().percentiles().map(|times| times.max), Some(time));
    }

    #[test]
    fn any_time_fits() {
        let mut times = TimesByStatus::default();
        times.add(&[job(1, Duration::ZERO), job(1, Duration::MAX)]);
        let Percentiles { p50, max, .. } = times.all().percentiles().unwrap();
        assert_eq!((p50, max), (Duration::ZERO, Duration::MAX));
    }
}
