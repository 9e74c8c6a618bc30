//! A worker's own advice on running a failed job again.

use std::time::Duration;

/// What a worker said of its own error; `None` where it said nothing of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryAdvice {
    pub retryable: Option<bool>,
    pub retry_after: Option<Duration>,
    /// All other jobs are to be held back as long as `retry_after` says, too.
    pub pause: bool,
}
