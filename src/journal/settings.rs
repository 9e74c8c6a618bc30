//! What the journal is told: where it is, what is taken from it, when it is forced to the disk.

use std::path::PathBuf;
use std::time::Duration;

use crate::words::format::Format;
use crate::words::outcome::Status;
use crate::words::shard::Shard;
use crate::words::worker::{HandlerChoice, WorkerCommand};

#[derive(Debug, Clone)]
pub struct JournalSettings {
    pub path: PathBuf,
    pub mode: JournalMode,
    /// Results of the worker as it was before it was changed are kept.
    pub accepts_changes: bool,
    /// The worker that the outcomes come from.
    pub worker: WorkerIdentity,
    /// The input's format.
    pub input: Format,
    /// The field that a job is known by, instead of by its whole content.
    pub key: Option<String>,
    /// The shard whose jobs the journal is about.
    pub shard: Option<Shard>,
    pub sync: SyncPolicy,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalMode {
    /// A journal that exists is refused.
    New,
    /// What a worker has answered, well or with an error, is not run again.
    Resume,
    /// What ended with one of these statuses is run again.
    RunAgain(Vec<Status>),
}

impl JournalMode {
    /// Whether a job that ended so is done.
    pub fn keeps(&self, status: Status) -> bool {
        match self {
            JournalMode::New => false,
            JournalMode::Resume => matches!(status, Status::Ok | Status::Error),
            JournalMode::RunAgain(statuses) => !statuses.contains(&status),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After each write.
    Always,
    /// At most this long after a write, by a thread, so that a slow disk holds nobody up.
    Every(Duration),
    /// Whenever the system likes. A power cut may lose outcomes, which are run again then.
    Never,
}
