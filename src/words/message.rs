//! What the collector is told, by the source and by the slots.

use super::error::Error;
use super::outcome::Outcome;

/// What the collector is told, by the source and by the slots.
#[derive(Debug)]
pub enum Message {
    Outcomes(Vec<Outcome>),
    /// Outcomes of an earlier run, from the journal.
    Restored(Vec<Outcome>),
    /// No more jobs will be read.
    InputEnded(InputEnd),
    /// A thread has died of a bug; jobs may be lost.
    Panicked(String),
}

/// How the input ended.
#[derive(Debug)]
pub struct InputEnd {
    /// Jobs read, bad ones included.
    pub jobs: u64,
    /// Not all of the input was read: the run was stopped, or this happened.
    pub complete: bool,
    /// Lines that were not read, if anybody knows.
    pub unread: Option<u64>,
    pub error: Option<Error>,
}
