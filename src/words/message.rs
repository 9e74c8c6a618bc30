//! What the collector is told, by the source and by the slots.

use bytes::Bytes;

use super::doing::Spell;
use super::error::Error;
use super::outcome::Outcome;

/// What the collector is told, by the source and by the slots.
#[derive(Debug)]
pub enum Message {
    Outcomes(Vec<Outcome>),
    /// An attempt has failed, and the job is to be run again.
    Retried(Box<Outcome>),
    /// A slot has spent a time with something else than jobs.
    Spent(Spell),
    /// Outcomes of an earlier run, from the journal.
    Restored(Vec<Outcome>),
    /// A worker has shown that it works.
    Proven,
    /// A worker could run several jobs at once.
    Asynchronous,
    /// No worker will ever work, wherever it is started.
    Unfit,
    /// What a worker has said of a job under way, as JSON, where nobody else hears of it.
    Progress(u64, Bytes),
    /// No more jobs will be read.
    InputEnded(InputEnd),
    /// The thread of this name has died of a bug; the jobs that it had may be lost.
    Panicked(String),
}

/// How the input ended.
#[derive(Debug)]
pub struct InputEnd {
    /// Jobs read, bad ones included.
    pub jobs: u64,
    /// All of the input was read. If not, the run was stopped, or `error` says what went wrong.
    pub complete: bool,
    /// Lines that were not read, if anybody knows.
    pub unread: Option<u64>,
    /// Reading the input failed.
    pub error: Option<Error>,
}
