//! What the journal is told: where it is, what is taken from it, when it is forced to the disk.

use std::path::PathBuf;
use std::time::Duration;

use crate::words::format::Format;
use crate::words::worker::{HandlerChoice, WorkerCommand};

#[derive(Debug, Clone)]
pub struct JournalSettings {
    pub path: PathBuf,
    pub mode: JournalMode,
    /// What the outcomes are of.
    pub worker: WorkerIdentity,
    /// The input's format.
    pub input: Format,
    /// Know a job by this field instead of by its whole content.
    pub key: Option<String>,
    pub sync: Sync,
}

/// What a worker is known by in a journal.
#[derive(Debug, Clone)]
pub struct WorkerIdentity {
    /// The protocol's name on the command line.
    pub protocol: &'static str,
    pub code: WorkerCode,
}

#[derive(Debug, Clone)]
pub enum WorkerCode {
    Handler(HandlerChoice),
    Command(WorkerCommand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalMode {
    /// A journal that exists is refused.
    New,
    /// What ended `ok` or `error` is not run again.
    Resume,
    /// What ended `ok` is not run again.
    RetryFailed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    Always,
    Every(Duration),
    Never,
}
