//! A job: one unit of input, as it travels from the source to a worker.
//!
//! Its data stays the bytes it arrived as (a slice of the read buffer), so numbers, key order and duplicate keys
//! are never touched.

use std::time::Duration;

use bytes::Bytes;

/// One unit of input.
#[derive(Debug, Clone)]
pub struct Job {
    /// Counts the input from 1, over all input files.
    pub number: u64,
    /// The line of its input file where the job begins, from 1.
    pub line: u64,
    /// One JSON text without surrounding blanks and without line breaks.
    pub data: Bytes,
    /// The parts that most jobs do not have; boxed, so that a job stays small.
    pub extra: Option<Box<Extra>>,
}

/// The rare parts of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra {
    /// The bytes that were read (a CSV row, a plain line) without the line end, kept for `--rejects` where they differ
    /// from `data`.
    pub raw: Option<Bytes>,
    /// How much of the input's own bytes `raw` is.
    pub extent: Extent,
    /// The job's own time limit, from `--timeout-field`.
    pub timeout: Option<Duration>,
    /// Identity of the job in a journal.
    pub key: Option<JobKey>,
}

/// How much of a piece of input was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    #[default]
    Whole,
    /// The input ended inside of it, so whatever is written behind it would become a part of it.
    Open,
    /// It stands behind the end of the array that holds all jobs.
    Behind,
    /// It is longer than `--max-job-bytes`, and only its beginning was kept.
    Cut,
}

/// What a journal knows a job by: a digest of its content (or of its `--key` field) and how many equal ones
/// came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobKey {
    pub digest: u128,
    pub occurrence: u32,
}

impl Job {
    pub fn timeout(&self) -> Option<Duration> {
        self.extra.as_ref().and_then(|extra| extra.timeout)
    }

    pub fn extent(&self) -> Extent {
        self.extra.as_ref().map_or(Extent::Whole, |extra| extra.extent)
    }

    /// The bytes to write into a rejects file: those that were read, where they were kept, or else the data.
    pub fn raw(&self) -> &Bytes {
        self.extra.as_ref().and_then(|extra| extra.raw.as_ref()).unwrap_or(&self.data)
    }

    pub fn key(&self) -> Option<JobKey> {
        self.extra.as_ref().and_then(|extra| extra.key)
    }
}
