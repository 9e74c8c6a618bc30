//! How long jobs took: a histogram that takes a few KiB however many jobs there are (hdrhistogram).

use std::time::{Duration, Instant};

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

/// The part of a worker's time that a job has taken, most likely.
pub struct Share<'a> {
    pub outcome: &'a Outcome,
    pub began: Option<Instant>,
    pub elapsed: Duration,
}

/// The shares of those jobs that were given to a worker.
///
/// Where a worker has answered several jobs before it was listened to, the first of them has all the time and the others
/// none. Nobody knows how long each of them took, so they share it, one after the other.
pub fn shares(outcomes: &[Outcome]) -> Vec<Share<'_>> {
    let mut shares: Vec<Share> = Vec::with_capacity(outcomes.len());
    let mut rest = outcomes.iter().filter(|outcome| outcome.attempts > 0).peekable();
    while let Some(first) = rest.next() {
        let start = shares.len();
        shares.push(Share { outcome: first, began: first.began, elapsed: Duration::ZERO });
        while let Some(outcome) =
            rest.next_if(|next| next.elapsed.is_zero() && next.worker == first.worker && next.host == first.host)
        {
            shares.push(Share { outcome, began: None, elapsed: Duration::ZERO });
        }
        let jobs = u32::try_from(shares.len() - start).unwrap_or(u32::MAX);
        let each = first.elapsed / jobs;
        let mut began = first.began;
        for share in &mut shares[start..] {
            share.elapsed = each;
            share.began = began;
            began = began.and_then(|began| began.checked_add(each));
        }
    }
    shares
}

impl TimesByStatus {
    /// Adds the times of jobs.
    pub fn add(&mut self, shares: &[Share]) {
        for share in shares {
            self.0[share.outcome.status as usize].get_or_insert_default().add(share.elapsed);
        }
    }

    /// Of the jobs that ended in one way.
    pub fn of(&self, status: Status) -> Option<&Times> {
        self.0[status as usize].as_deref()
    }

    /// Of the jobs that have failed.
    pub fn failed(&self) -> Times {
        self.together(Status::is_failure)
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
    fn add(&mut self, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.micros.saturating_record(micros);
        self.max = self.max.max(elapsed);
        self.sum = self.sum.saturating_add(elapsed);
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

    /// How many jobs took so long: `from` and more, and less than `to`.
    pub fn between(&self, from: Duration, to: Duration) -> u64 {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.micros.count_between(micros(from), micros(to).saturating_sub(1))
    }

    /// The shortest time, as the histogram knows it.
    pub fn min(&self) -> Duration {
        Duration::from_micros(self.micros.min())
    }

    pub fn max(&self) -> Duration {
        self.max
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
        times.add(&shares(&[job(0, Duration::from_secs(1))]));
        assert_eq!(times.all().percentiles(), None);
        let ran: Vec<Outcome> = (1..=100).map(|ms| job(1, Duration::from_millis(ms))).collect();
        times.add(&shares(&ran));
        let Percentiles { p50, p95, max } = times.all().percentiles().unwrap();
        let near = |time: Duration, ms: u64| time.as_micros().abs_diff(u128::from(ms) * 1000) <= u128::from(ms) * 10;
        assert!(near(p50, 50) && near(p95, 95) && near(max, 100), "{p50:?} {p95:?} {max:?}");
    }

    #[test]
    fn answers_that_came_together_share_their_time() {
        let mut times = TimesByStatus::default();
        let [zero, time] = [Duration::ZERO, Duration::from_millis(4)];
        times.add(&shares(&[job(1, time), job(1, zero), job(0, zero), job(1, zero), job(1, zero)]));
        let expected = Duration::from_millis(1);
        assert_eq!(times.all().percentiles(), Some(Percentiles { p50: expected, p95: expected, max: expected }));
        times.add(&shares(&[job(1, time), Outcome { worker: Some(7), ..job(1, zero) }]));
        assert_eq!(times.all().percentiles().map(|times| times.max), Some(time));
    }

    #[test]
    fn any_time_fits() {
        let mut times = TimesByStatus::default();
        times.add(&shares(&[job(1, Duration::ZERO), job(1, Duration::MAX)]));
        let Percentiles { p50, max, .. } = times.all().percentiles().unwrap();
        assert_eq!((p50, max), (Duration::ZERO, Duration::MAX));
    }
}
