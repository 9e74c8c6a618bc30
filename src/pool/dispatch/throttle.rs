//! How many jobs may be given out now: `--rate`, and the pauses of the whole pool that errors ask for.
//!
//! The rate is kept by the generic cell rate algorithm, which is a bucket of tokens that needs no timer: all it
//! remembers is when the bucket will be full again.

use std::time::{Duration, Instant};

use crate::words::rate::Rate;

#[derive(Debug)]
pub struct Throttle {
    rate: Option<Rate>,
    /// When all that may be given out at once could be given out again; `None` before the first job.
    full_at: Option<Instant>,
    /// Nothing is given out before this time.
    held_until: Option<Instant>,
}

impl Throttle {
    pub fn new(rate: Option<Rate>) -> Throttle {
        Throttle { rate, full_at: None, held_until: None }
    }

    /// How many jobs may be given out now.
    pub fn allows(&self, now: Instant) -> usize {
        if self.held_until.is_some_and(|until| now < until) {
            return 0;
        }
        let Some(Rate { interval, slack }) = self.rate else { return usize::MAX };
        let missing = self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        match (slack + interval).checked_sub(missing) {
            Some(tokens) => usize::try_from(tokens.as_nanos() / interval.as_nanos()).unwrap_or(usize::MAX),
            None => 0,
        }
    }

    /// When more jobs may be given out than now; `None` if the number does not grow with time.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        if let Some(until) = self.held_until.filter(|&until| now < until) {
            return Some(until);
        }
        let Rate { interval, slack } = self.rate?;
        let full_at = self.full_at.filter(|&at| at > now)?;
        let one_more = u32::try_from(self.allows(now)).unwrap_or(u32::MAX).saturating_add(1);
        // The bucket holds `slack + interval`: of that, what makes one job more must be there.
        let lacking = (slack + interval).checked_sub(interval.saturating_mul(one_more))?;
        full_at.checked_sub(lacking)
    }

    /// So many jobs have been given out.
    pub fn took(&mut self, jobs: usize, now: Instant) {
        let Some(Rate { interval, .. }) = self.rate else { return };
        let spent = interval.saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX));
        self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + spent);
    }

    /// Nothing is given out before `until`. Returns whether that is news: nothing was held back before.
    pub fn hold(&mut self, until: Instant, now: Instant) -> bool {
        let is_news = self.held_until.is_none_or(|at| at <= now);
        self.held_until = self.held_until.max(Some(until));
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A throttle of one job each 100 ms, and so many more at once.
    fn throttle(more: u32) -> Throttle {
        Throttle::new(Some(Rate { interval: 100 * MS, slack: more * 100 * MS }))
    }

    #[test]
    fn without_a_rate_nothing_is_held_back() {
        let now = Instant::now();
        let mut throttle = Throttle::new(None);
        throttle.took(1000, now);
        assert_eq!((throttle.allows(now), throttle.next(now)), (usize::MAX, None));
    }

    #[test]
    fn one_job_may_go_in_each_interval_and_a_burst_at_the_beginning() {
        let now = Instant::now();
        let mut throttle = throttle(2);
        assert_eq!((throttle.allows(now), throttle.next(now)), (3, None));
        throttle.took(3, now);
        assert_eq!((throttle.allows(now), throttle.next(now)), (0, Some(now + 100 * MS)));
        let later = now + 150 * MS;
        assert_eq!((throttle.allows(later), throttle.next(later)), (1, Some(now + 200 * MS)));
        throttle.took(1, later);
        assert_eq!((throttle.allows(later), throttle.next(later)), (0, Some(now + 200 * MS)), "no time is lost");
        assert_eq!(throttle.allows(now + 3600 * 1000 * MS), 3, "what was not used for long is gone");
    }

    #[test]
    fn lateness_is_made_up_for() {
        let start = Instant::now();
        let mut throttle = Throttle::new(Some(Rate { interval: MS, slack: 10 * MS }));
        throttle.took(throttle.allows(start), start);
        let mut given = 0;
        for tick in 1..=1000 {
            // Each look comes 7 ms after the one before.
            let now = start + tick * 7 * MS;
            given += throttle.allows(now);
            throttle.took(throttle.allows(now), now);
        }
        assert_eq!(given, 7000);
    }

    #[test]
    fn a_pause_holds_everything_back_and_a_longer_one_counts() {
        let now = Instant::now();
        let mut throttle = Throttle::new(None);
        assert!(throttle.hold(now + 500 * MS, now));
        assert!(!throttle.hold(now + 300 * MS, now), "a shorter one in it is no news");
        assert_eq!((throttle.allows(now + 499 * MS), throttle.next(now)), (0, Some(now + 500 * MS)));
        assert_eq!(throttle.allows(now + 500 * MS), usize::MAX);
        assert!(throttle.hold(now + 900 * MS, now + 500 * MS));
    }
}
