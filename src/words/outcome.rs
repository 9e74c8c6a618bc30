//! What becomes of a job: its status, and the result or the error that its record will hold.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::host::HostId;
use super::job::Job;
use crate::text::json::field;

/// How a job ended, in the order in which the summary names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Ok,
    Error,
    Timeout,
    Died,
    BadReply,
    BadInput,
    NotRun,
}

impl Status {
    /// Each status at the place of its number (`status as usize`), which counters and the journal's index go by.
    pub const ALL: [Status; 7] =
        [Status::Ok, Status::Error, Status::Timeout, Status::Died, Status::BadReply, Status::BadInput, Status::NotRun];

    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Error => "error",
            Status::Timeout => "timeout",
            Status::Died => "died",
            Status::BadReply => "bad_reply",
            Status::BadInput => "bad_input",
            Status::NotRun => "not_run",
        }
    }

    /// Whether a job that ended so has failed. One that was never begun has not.
    pub fn is_failure(self) -> bool {
        !matches!(self, Status::Ok | Status::NotRun)
    }

    /// Whether an attempt that ended so ended its worker as well.
    pub fn is_of_the_worker(self) -> bool {
        matches!(self, Status::Timeout | Status::Died | Status::BadReply)
    }

    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What a job ended in; the collector makes the record from it.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub job: Job,
    pub status: Status,
    /// The result (`ok`) or the error (all others), as JSON text on one line.
    pub payload: Bytes,
    /// Deliveries to a worker; 0 when the job never reached one.
    pub attempts: u32,
    /// Where the last attempt ran.
    pub host: HostId,
    /// The slot of that host that ran the last attempt.
    pub worker: Option<u32>,
    /// How many jobs the call of the handler had that gave the outcome; 0 where jobs are not handed over in batches.
    pub batch: u16,
    /// Time in the worker, of the last attempt.
    pub elapsed: Duration,
    /// When the last attempt began, on the run's clock; `None` where no worker of this run has begun the job, and where
    /// nobody asks for it any more.
    pub began: Option<Instant>,
}

/// When an attempt was in its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stay {
    /// On the run's clock; `None` if the worker has not begun the job.
    pub began: Option<Instant>,
    pub elapsed: Duration,
}

impl Outcome {
    /// About how many bytes of memory the outcome takes.
    pub fn size(&self) -> usize {
        self.payload.len() + self.job.data.len()
    }

    /// An outcome of a job that no worker has begun.
    pub fn unrun(job: Job, status: Status, error: &JobError) -> Outcome {
        let Stay { began, elapsed } = Stay::default();
        Outcome {
            job,
            status,
            payload: error.to_json(),
            attempts: 0,
            host: HostId::HERE,
            worker: None,
            batch: 0,
            elapsed,
            began,
        }
    }
}

/// An error that forkpool itself reports for a job; a handler's own errors stay the JSON they were sent as.
#[derive(Debug, Clone)]
pub struct JobError {
    name: &'static str,
    message: String,
    fields: serde_json::Map<String, serde_json::Value>,
}

impl JobError {
    pub fn new(name: &'static str, message: impl Into<String>) -> JobError {
        JobError { name, message: message.into(), fields: serde_json::Map::new() }
    }

    pub fn bad_input(message: impl Into<String>) -> JobError {
        JobError::new("BadInput", message)
    }

    pub fn not_run(message: impl Into<String>) -> JobError {
        JobError::new("NotRun", message)
    }

    pub fn with(mut self, field: &str, value: impl Into<serde_json::Value>) -> JobError {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// `{"name":…,"message":…,…}`
    pub fn to_json(&self) -> Bytes {
        #[derive(serde::Serialize)]
        struct Wire<'a> {
            name: &'a str,
            message: &'a str,
            #[serde(flatten)]
            fields: &'a serde_json::Map<String, serde_json::Value>,
        }
        let wire = Wire { name: self.name, message: &self.message, fields: &self.fields };
        Bytes::from(serde_json::to_vec(&wire).expect("strings and JSON values always serialize"))
    }
}

/// The words of an error that is JSON, as in an outcome: `KittenBites: Felix bites`.
pub fn error_words(error: &[u8]) -> String {
    format!("{}: {}", error_text(error, "name"), error_text(error, "message"))
}

/// A field of an error that is JSON; empty where there is no such field, or it is no text.
pub fn error_text(error: &[u8], name: &str) -> String {
    field(error, name).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}
