//! What a job, a worker and the run may take.

use std::time::Duration;

use super::values::{FailureLimit, RetryOn, failure_limit, positive_duration, signal, size};
use crate::text::people::duration;
use crate::words::rate::Rate;
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Time limit for each job; its worker is killed and replaced
    ///
    /// Durations are 500ms, 30s, 2m; a bare number is seconds. The clock starts when the worker begins the
    /// job, not when the job was queued.
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    pub timeout: Option<Duration>,

    /// The job's field FIELD is its own time limit (seconds, or a duration)
    #[arg(long, value_name = "FIELD", hide_short_help = true)]
    pub timeout_field: Option<String>,

    /// Time a worker may take to load [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "60s", hide_default_value = true, hide_short_help = true)]
    pub start_timeout: Duration,

    /// Time between asking a worker to end and killing it [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s", hide_default_value = true, hide_short_help = true)]
    pub grace: Duration,

    /// At a timeout, first send SIGNAL (QUIT, USR1 …) and keep what the worker prints in the record
    #[arg(long, value_name = "SIGNAL", value_parser = signal, hide_short_help = true)]
    pub dump: Option<i32>,

    /// Run a failed job again up to N times [default: 0]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub retries: u32,

    /// Which failures are retried [default: died,timeout,bad_reply]
    #[arg(long, value_name = "STATUSES", value_delimiter = ',', value_enum, hide_short_help = true)]
    pub retry_on: Option<Vec<RetryOn>>,

    /// Pause before the first retry; doubles each time, with jitter, up to 1 minute [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s", hide_default_value = true, hide_short_help = true)]
    pub retry_delay: Duration,

    /// Give out no more jobs than this, over all workers: 100/s, 90/m, 1000/h; 100/s:20 lets 20 go at once
    ///
    /// Each attempt counts. An error with `"retry_after":30,"pause":true` holds the whole pool back for 30 s, whether
    /// there is a rate or not. Example: forkpool -j 8 --rate 50/s --handler fetch.mjs < urls.ndjson
    #[arg(long, value_name = "RATE", hide_short_help = true)]
    pub rate: Option<Rate>,

    /// Replace a worker after N jobs; 1 is a fresh worker for each job
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    pub recycle_jobs: Option<u64>,

    /// Replace a worker, between jobs, once it holds more than SIZE of memory
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true)]
    pub recycle_memory: Option<usize>,

    /// Replace a worker, between jobs, once it is older than DURATION
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, hide_short_help = true)]
    pub recycle_age: Option<Duration>,

    /// Stop after N failed jobs, or N% of the jobs (once 100 have ended)
    #[arg(long, value_name = "N", value_parser = failure_limit)]
    pub max_failures: Option<FailureLimit>,

    /// Stop at the first failed job, and kill what is in flight
    #[arg(long, conflicts_with = "max_failures")]
    pub fail_fast: bool,

    /// Jobs read and not yet ended, at most [default: max(1024, 4 × workers × depth)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 24), hide_short_help = true)]
    pub window: Option<u64>,

    /// Memory for jobs in flight and for results that wait for their turn [default: 256MiB]
    ///
    /// Results beyond it wait in an unlinked temporary file (in TMPDIR), so that one slow job neither stalls
    /// the pool nor fills the memory.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "256MiB", hide_default_value = true, hide_short_help = true)]
    pub memory: usize,

    /// Refuse a reply larger than SIZE (a bad_reply record) [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MiB", hide_default_value = true, hide_short_help = true)]
    pub max_reply_bytes: usize,
}
