//! What goes over a worker's pipes: pure codecs between jobs and bytes, and between lines and replies.
//!
//! A codec sees one whole line at a time; framing, matching a reply to its job and judging a broken protocol
//! belong to the session. The wire itself is described in man/forkpool-worker.7.

mod json;
mod lines;
mod node_ipc;
mod reply;
pub mod stream;

use bytes::Bytes;

pub use json::advice as advice_of;

pub use reply::{Body, Reply};

use crate::text::gather::Put;
use crate::words::job::Job;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One JSON text per line each way, matched by id.
    Json,
    /// A line in, a line out, matched by position.
    Lines,
    /// Node's `child_process.fork` channel, matched by position.
    NodeIpc,
}

impl Protocol {
    /// The protocol's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Json => "json",
            Protocol::Lines => "lines",
            Protocol::NodeIpc => "node-ipc",
        }
    }

    pub fn has_ids(self) -> bool {
        self == Protocol::Json
    }

    /// Appends the line that gives `job` to a worker. The reason why it cannot be sent makes it `bad_input`;
    /// nothing has been appended then. `attempt` counts from 1.
    pub fn encode(self, job: &Job, attempt: u32, out: &mut impl Put) -> Result<(), String> {
        match self {
            Protocol::Json => {
                json::encode(job, attempt, out);
                Ok(())
            }
            Protocol::Lines => lines::encode(job, out.text()),
            Protocol::NodeIpc => node_ipc::encode(job, out),
        }
    }

    /// Reads one line, without its line end. `Err` says what is wrong with it.
    pub fn decode(self, line: &Bytes) -> Result<Reply, String> {
        match self {
            Protocol::Json => json::decode(line),
            Protocol::Lines => lines::decode(line),
            Protocol::NodeIpc => node_ipc::decode(line),
        }
    }
}
