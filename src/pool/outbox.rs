//! What the life of a worker or a host has to say: what is to be done with the process, what has become of jobs, what people should know.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::delivery::Delivery;
use super::dispatch::Failure;
use crate::words::error::Error;
use crate::words::outcome::Outcome;

/// What has come out of a session, or of a host, since it was last emptied.
#[derive(Debug, Default)]
pub struct Outbox {
    pub outcomes: Vec<Outcome>,
    /// Jobs that are to be run by somebody else, or again. They end if the run is being stopped.
    pub returned: Vec<Delivery>,
    pub reports: Vec<Report>,
    pub actions: Vec<Action>,
    /// The worker has answered a job, well or with an error.
    pub answered: bool,
}

/// What is to be done with the worker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Close the worker's stdin, once all that is queued has been written.
    CloseInput,
    /// Send this signal to the worker's process group.
    Signal(i32),
    /// Kill the process group's remains, reap the worker and close its pipes.
    Bury,
}

/// What the pool, the bar or the log should know.
#[derive(Debug)]
pub enum Report {
    /// A worker ended, or was ended, before it showed that it works; in words, and what is probably wrong with it.
    FailedStart(Failure, String, Option<String>),
    /// A worker has said `ready` or answered.
    Proven,
    /// A worker answered out of order without being asked to run jobs at once.
    NotSerial,
    /// The worker could run several jobs at once.
    Asynchronous,
    /// The agent of a host is ready for jobs, and keeps so many workers.
    HostReady(usize),
    /// What was written to stderr while it was not known whether anybody should see it.
    Said(Bytes),
    /// The host has no forkpool, and this one is sent there, which is so many bytes.
    Brought(usize),
    /// The pool cannot go on.
    GaveUp(Error),
    /// No worker will ever work: the handler's own error, as JSON.
    Fatal(Bytes),
    /// A worker is gone, unplanned; it is replaced if there is work.
    Lost(String),
    /// A worker is gone as planned.
    Recycled,
    /// A worker has answered nothing although its first job was given so long ago.
    Silent(Duration),
    /// A worker has not ended although its input was closed a while ago. It is waited for until this time.
    Lingers(Instant),
    Progress {
        job: u64,
        data: Bytes,
    },
    /// The error of a job asks that the whole pool is held back for so long.
    HoldBack {
        job: u64,
        pause: Duration,
    },
    /// An attempt has failed, and the job is to be run again.
    Retried(Box<Outcome>),
    /// A job succeeded after a failed attempt.
    PassedOnRetry,
}
