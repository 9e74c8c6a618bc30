//! Decisions that are only arithmetic: what is retried and when, when a worker is replaced, how long to pause
//! after a failed start. No clock, no process.

use std::time::Duration;

use crate::words::advice::RetryAdvice;
use crate::words::outcome::Status;

/// Whether a failed job is run again, and when.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts beyond the first.
    pub retries: u32,
    /// Pause before the first retry.
    pub delay: Duration,
    /// The failures that are retried.
    pub on: Vec<Status>,
}

/// A retry waits this long at most, unless the worker itself asked for more: if it doubled for ever, the tenth would
/// wait for minutes.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

impl RetryPolicy {
    /// The pause before the next attempt, or `None` if the failure is final. `attempt` counts from 1;
    /// `dice` is a random number in 0..1.
    pub fn next(&self, status: Status, attempt: u32, advice: RetryAdvice, dice: f64) -> Option<Duration> {
        if attempt > self.retries || advice.retryable == Some(false) {
            return None;
        }
        let asked = advice.retryable == Some(true) || advice.retry_after.is_some();
        if !asked && !self.on.contains(&status) {
            return None;
        }
        if let Some(after) = advice.retry_after {
            return Some(after);
        }
        // Half to full, so that retries of jobs that failed together spread out.
        let doubled = self.delay.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        Some(doubled.min(RETRY_DELAY_MAX).mul_f64(0.5 + dice / 2.0))
    }
}

/// When a worker is replaced although nothing is wrong with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecyclePolicy {
    pub jobs: Option<u64>,
    /// Bytes of resident memory.
    pub memory: Option<usize>,
    pub age: Option<Duration>,
}

impl RecyclePolicy {
    /// The limits of one worker: earlier than the policy's by up to a tenth, so that workers that started
    /// together do not end together. A single job cannot be divided: that limit is exact.
    pub fn jittered(self, dice: f64) -> RecyclePolicy {
        let early = 1.0 - dice / 10.0;
        RecyclePolicy {
            jobs: self.jobs.map(|jobs| ((jobs as f64 * early).round() as u64).max(1)),
            memory: self.memory,
            age: self.age.map(|age| age.mul_f64(early)),
        }
    }
}

/// The pause before the next start of a worker, after `failures` starts in a row have failed. It doubles from 0.1 s to
/// 2 s, so that one failed start holds up hardly anything, and a program that always fails does not keep the machine
/// busy with its starts.
pub fn restart_pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        // The shift is bounded so that it cannot overflow: 100 ms times 2^5 is above the 2 s already.
        n => Duration::from_millis(100 << (n - 1).min(5)).min(Duration::from_secs(2)),
    }
}

/// How many failed starts in a row, over the whole pool, stop the run: one for each worker, which start together, and
/// five more tries.
pub fn start_budget(workers: usize) -> u32 {
    5 + u32::try_from(workers).unwrap_or(u32::MAX - 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: fn(u32) -> RetryPolicy =
        |retries| RetryPolicy { retries, delay: Duration::from_secs(1), on: vec![Status::Died] };

    #[test]
    fn retries_double_with_jitter_up_to_a_minute() {
        let none = RetryAdvice::default();
        let policy = POLICY(40);
        assert_eq!(policy.next(Status::Died, 1, none, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(policy.next(Status::Died, 1, none, 0.0), Some(Duration::from_millis(500)));
        assert_eq!(policy.next(Status::Died, 3, none, 1.0), Some(Duration::from_secs(4)));
        assert_eq!(policy.next(Status::Died, 39, none, 1.0), Some(Duration::from_secs(60)));
    }

    #[test]
    fn only_listed_failures_are_retried_unless_the_worker_says_so() {
        let says = |retryable| RetryAdvice { retryable: Some(retryable), ..RetryAdvice::default() };
        let policy = POLICY(1);
        assert_eq!(policy.next(Status::Error, 1, RetryAdvice::default(), 0.5), None);
        assert!(policy.next(Status::Error, 1, says(true), 0.5).is_some());
        assert_eq!(policy.next(Status::Died, 1, says(false), 0.5), None);
        assert_eq!(policy.next(Status::Died, 2, says(true), 0.5), None, "retries are used up");
        let after = RetryAdvice { retry_after: Some(Duration::from_secs(90)), ..RetryAdvice::default() };
        assert_eq!(policy.next(Status::Error, 1, after, 0.5), Some(Duration::from_secs(90)));
        assert_eq!(POLICY(0).next(Status::Error, 1, after, 0.5), None, "without --retries nothing is retried");
    }

    #[test]
    fn pauses_grow_to_two_seconds() {
        let pauses: Vec<u128> = (0..8).map(|n| restart_pause(n).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(restart_pause(u32::MAX).as_millis(), 2000);
    }

    #[test]
    fn recycling_is_early_by_up_to_a_tenth_and_exact_for_one() {
        let policy = RecyclePolicy { jobs: Some(100), memory: None, age: None };
        assert_eq!([policy.jittered(0.0).jobs, policy.jittered(1.0).jobs], [Some(100), Some(90)]);
        assert_eq!(RecyclePolicy { jobs: Some(1), ..policy }.jittered(1.0).jobs, Some(1));
    }
}
