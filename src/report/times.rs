//! How long jobs took: a histogram that takes a few KiB however many jobs there are (hdrhistogram).

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::words::outcome::Outcome;

/// The times that jobs spent in their workers.
#[derive(Debug, Clone)]
pub struct Times {
    micros: Histogram<u64>,
    max: Duration,
    /// Of all jobs together.
    sum: Duration,
}

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

impl Times {
    /// Adds the times of those jobs that were given to a worker.
    ///
    /// Where a worker has answered several jobs before it was listened to, the first of them has all the time and the
    /// others none. Nobody knows how long each of them took, so they share it.
    pub fn add(&mut self, outcomes: &[Outcome]) {
        let run = |outcome: &&Outcome| outcome.attempts > 0;
        let mut rest = outcomes.iter().filter(run).peekable();
        while let Some(first) = rest.next() {
            let mut jobs = 1;
            while rest.next_if(|next| next.elapsed.is_zero() && next.worker == first.worker).is_some() {
                jobs += 1;
            }
            let each = first.elapsed / jobs;
            let micros = u64::try_from(each.as_micros()).unwrap_or(u64::MAX);
            self.micros.saturating_record_n(micros, u64::from(jobs));
            self.max = self.max.max(each);
            self.sum = self.sum.saturating_add(first.elapsed);
        }
    }

    /// How long the workers had a job, all together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// `None` if no job was given to a worker.
    pub fn percentiles(&self) -> Option<Percentiles> {
        if self.micros.is_empty() {
            return None;
        }
        // The histogram rounds up, so that a percentile might seem to be longer than the longest time.
        let at = |quantile| Duration::from_micros(self.micros.value_at_quantile(quantile)).min(self.max);
        Some(Percentiles { p50: at(0.50), p95: at(0.95), max: self.max })
    }
}

fn in_ms<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::counters::testing::outcomes;
    use super::*;
    use crate::words::outcome::Status;

    fn job(attempts: u32, elapsed: Duration) -> Outcome {
        Outcome { attempts, elapsed, ..outcomes(Status::Ok, 1).remove(0) }
    }

    #[test]
    fn percentiles_are_those_of_the_jobs_that_were_run() {
        let mut times = Times::default();
        times.add(&[job(0, Duration::from_secs(1))]);
        assert_eq!(times.percentiles(), None);
        let ran: Vec<Outcome> = (1..=100).map(|ms| job(1, Duration::from_millis(ms))).collect();
        times.add(&ran);
        let Percentiles { p50, p95, max } = times.percentiles().unwrap();
        let near = |time: Duration, ms: u64| time.as_micros().abs_diff(u128::from(ms) * 1000) <= u128::from(ms) * 10;
        assert!(near(p50, 50) && near(p95, 95) && near(max, 100), "{p50:?} {p95:?} {max:?}");
    }

    #[test]
    fn answers_that_came_together_share_their_time() {
        let mut times = Times::default();
        let [zero, time] = [Duration::ZERO, Duration::from_millis(4)];
        times.add(&[job(1, time), job(1, zero), job(0, zero), job(1, zero), job(1, zero)]);
        let expected = Duration::from_millis(1);
        assert_eq!(times.percentiles(), Some(Percentiles { p50: expected, p95: expected, max: expected }));
        times.add(&[job(1, time), Outcome { worker: Some(7), ..job(1, zero) }]);
        assert_eq!(times.percentiles().map(|times| times.max), Some(time));
    }

    #[test]
    fn any_time_fits() {
        let mut times = Times::default();
        times.add(&[job(1, Duration::ZERO), job(1, Duration::MAX)]);
        let Percentiles { p50, max, .. } = times.percentiles().unwrap();
        assert_eq!((p50, max), (Duration::ZERO, Duration::MAX));
    }
}
