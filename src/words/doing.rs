//! What the pool does at one moment, for people who ask.

use std::time::Duration;

/// What the worker of a slot does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// The slot has no worker.
    Absent,
    /// The worker has been loading for so long, and has said that it does this: `loading a model`.
    Loading(Duration, Option<String>),
    Idle,
    Running {
        /// The job that has been running the longest.
        job: u64,
        since: Duration,
        /// How many other jobs the worker has in its hands.
        others: usize,
    },
    /// The worker has been told to end.
    Ending,
}

/// Jobs that are with no worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    pub waiting: usize,
    /// `--rate`, or an error that asked for a pause, holds them back.
    pub is_held: bool,
    /// The output is so far behind that no job is given out.
    pub is_behind: bool,
}
