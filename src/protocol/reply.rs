//! What a worker has said.

use bytes::Bytes;

use crate::words::advice::RetryAdvice;

/// One line from a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The job it belongs to; `None` where the protocol has no ids, or the line concerns no job.
    pub id: Option<u64>,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// The result, as JSON text.
    Ok(Bytes),
    /// The handler's own error, as a JSON object with at least `name` and `message`.
    Error {
        error: Bytes,
        advice: RetryAdvice,
    },
    /// The batch that the job was in has failed, and the job is to be run by itself.
    Again,
    Progress(Bytes),
    Ready,
    /// The worker is loading, and has come to this step; JSON text.
    Loading(Bytes),
    /// The worker calls the init function of its handler, which has this name; JSON text.
    Initializing(Bytes),
    /// The worker could run several jobs at once (`--concurrency`).
    Asynchronous,
    /// The worker asks to be replaced once its jobs are answered.
    Recycle,
    /// The worker could not be started, and ends; a new one may fare better. The error says why.
    Unstarted(Bytes),
    /// The worker cannot work at all, and a new one could not either: the error says why.
    Fatal(Bytes),
    /// Not meant for us.
    Noise,
}
