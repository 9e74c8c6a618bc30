//! What the pool does at one moment, for people who ask.

use std::time::{Duration, Instant};

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

/// What a slot spends its time with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occupation {
    /// Its worker has jobs.
    Busy,
    /// Its worker loads and can take no job yet.
    Starting,
    /// Its worker could take a job, and none has been read.
    NoInput,
    /// The same, and none is given out because the output takes no more.
    NoOutput,
    /// The same, and `--rate` or an error that asked for a pause holds the jobs back.
    Held,
    /// The same, and no more jobs will come.
    NothingLeft,
    /// It has no worker, or one that is ending.
    Down,
}

impl Occupation {
    /// Each occupation at the place of its number (`occupation as usize`).
    pub const ALL: [Occupation; 7] = [
        Occupation::Busy,
        Occupation::Starting,
        Occupation::NoInput,
        Occupation::NoOutput,
        Occupation::Held,
        Occupation::NothingLeft,
        Occupation::Down,
    ];

    /// In a word or a few, as people are told.
    pub fn name(self) -> &'static str {
        match self {
            Occupation::Busy => "busy",
            Occupation::Starting => "starting",
            Occupation::NoInput => "waiting for input",
            Occupation::NoOutput => "waiting for the output",
            Occupation::Held => "held back by the rate",
            Occupation::NothingLeft => "nothing left to do",
            Occupation::Down => "no worker",
        }
    }
}

/// A time that a slot has spent with one thing, on the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    pub slot: u32,
    pub occupation: Occupation,
    pub from: Instant,
    pub to: Instant,
}
