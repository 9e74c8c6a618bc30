//! What the pool is told: which workers, how many jobs each may hold, and every limit.

use std::time::Duration;

use super::policies::{RecyclePolicy, RetryPolicy};
use crate::protocol::Protocol;
use crate::words::rate::Rate;
use crate::words::worker::WorkerCommand;

#[derive(Debug, Clone)]
pub struct PoolSettings {
    pub workers: usize,
    pub command: WorkerCommand,
    pub protocol: Protocol,
    /// The worker is supplied by forkpool, around a handler: it says `ready`, and gets no job before that.
    pub supplied: bool,
    /// Workers are forked from a template that `command` starts, which has loaded the handler (`--preload`).
    pub preload: bool,
    pub depth: Depth,
    pub concurrency: usize,
    /// The handler is called with up to so many jobs at once; `None` if with one that is no list (`--batch`).
    pub batch: Option<usize>,
    pub timeout: Option<Duration>,
    pub start_timeout: Duration,
    pub grace: Duration,
    pub dump: Option<i32>,
    pub retry: RetryPolicy,
    pub rate: Option<Rate>,
    pub recycle: RecyclePolicy,
    pub max_reply_bytes: usize,
    /// Jobs read and not yet ended, at most.
    pub window: usize,
    /// Bytes of jobs in flight, at most (one is always let through).
    pub memory: usize,
    /// Outcomes carry their job's data (for `--echo`, CSV and `--rejects`).
    pub keep_jobs: bool,
    pub redact: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Auto,
    Fixed(usize),
}

/// How many jobs a worker is given at depth `auto`, at most: a millisecond of jobs of 2 µs, which is as fast as
/// interpreters answer. The more jobs a worker gets with one read, the less its reads cost.
pub const AUTO_DEPTH_MAX: usize = 512;

impl PoolSettings {
    /// How many jobs one worker may have in its hands, at most.
    pub fn ahead(&self) -> usize {
        ahead(self.depth, self.concurrency, self.batch)
    }
}

/// How many jobs one worker may have in its hands, at most.
pub fn ahead(depth: Depth, concurrency: usize, batch: Option<usize>) -> usize {
    if let Some(most) = batch {
        // The batch that runs and the one behind it.
        return 2 * most;
    }
    match depth {
        _ if concurrency > 1 => concurrency,
        Depth::Auto => AUTO_DEPTH_MAX,
        Depth::Fixed(depth) => depth,
    }
}
