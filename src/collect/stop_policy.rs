//! When a run has failed enough: only arithmetic.

/// When a run has failed enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StopPolicy {
    Never,
    /// Stop at the first failure and kill what is in flight.
    FailFast,
    /// Drain after so many failures.
    Count(u64),
    /// Drain when more than this share of the ended jobs has failed.
    Percent(f64),
}

/// A share of failures counts only once this many jobs have ended: before, one bad job more or less would decide.
const PERCENT_AFTER: u64 = 100;

impl StopPolicy {
    /// Whether a run has failed enough in which `failed` of `ended` jobs have failed.
    pub fn reached(self, failed: u64, ended: u64) -> bool {
        match self {
            StopPolicy::Never => false,
            StopPolicy::FailFast => failed > 0,
            StopPolicy::Count(most) => failed >= most,
            StopPolicy::Percent(most) => ended >= PERCENT_AFTER && failed as f64 * 100.0 > most * ended as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_failures_counts_once_a_hundred_jobs_have_ended() {
        let policy = StopPolicy::Percent(5.0);
        assert!(!policy.reached(50, 99));
        assert!(!policy.reached(5, 100));
        assert!(policy.reached(6, 100));
        assert!(StopPolicy::Count(3).reached(3, 3) && !StopPolicy::Count(3).reached(2, 900));
    }
}
