//! What the pool is told: which workers, how many jobs each may hold, and every limit.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::policies::{RecyclePolicy, RetryPolicy};
use crate::protocol::Protocol;
use crate::words::host::Way;
use crate::words::rate::Rate;
use crate::words::worker::WorkerCommand;

#[derive(Debug, Clone)]
pub struct PoolSettings {
    pub workers: usize,
    pub command: WorkerCommand,
    pub protocol: Protocol,
    /// The worker is supplied by forkpool, around a handler: it says `ready`, and gets no job before that.
    pub supplied: bool,
    /// Workers are forked from a template that `command` starts, which has loaded the handler (`--preload`).
    pub preload: bool,
    pub depth: Depth,
    pub concurrency: usize,
    /// The handler is called with up to so many jobs at once; `None` if with one that is no list (`--batch`).
    pub batch: Option<usize>,
    pub timeout: Option<Duration>,
    pub start_timeout: Duration,
    pub grace: Duration,
    pub dump: Option<i32>,
    pub retry: RetryPolicy,
    pub rate: Option<Rate>,
    pub recycle: RecyclePolicy,
    pub max_reply_bytes: usize,
    /// Jobs read and not yet ended, at most.
    pub window: usize,
    /// Bytes of jobs in flight, at most (one is always let through).
    pub memory: usize,
    /// Outcomes carry their job's data (for `--echo`, CSV and `--rejects`).
    pub keep_jobs: bool,
    pub redact: Vec<String>,
    /// Slots say what they spend their time with.
    pub watched: bool,
    /// The hosts whose workers are used instead of workers of this machine: each of them is a slot of the pool.
    pub hosts: Option<HostSettings>,
}

/// The hosts of a run, and what their agents are told.
#[derive(Debug, Clone)]
pub struct HostSettings {
    pub list: Vec<Host>,
    /// The command line of the run, as it was typed.
    pub words: Vec<OsString>,
    /// Where the workers are to run, if there is such a directory on the host.
    pub directory: Option<PathBuf>,
    /// Names of variables of this process's environment that the workers are to have.
    pub env: Vec<String>,
    /// Files that are sent along.
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    /// How many workers; what -j says there if this is `None`.
    pub workers: Option<usize>,
    /// What carries the stream to the agent.
    pub command: WorkerCommand,
    /// What carries a stream to a shell of the host, which this program can be brought to; `None` if the agent is
    /// to be the one that `command` names.
    pub shell: Option<WorkerCommand>,
}

impl Host {
    /// What leads to the host in this way.
    pub fn command_of(&self, way: Way) -> &WorkerCommand {
        self.shell.as_ref().filter(|_| way == Way::Brought).unwrap_or(&self.command)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Auto,
    Fixed(usize),
}

/// How many jobs a worker is given at depth `auto`, at most: a millisecond of jobs of 2 µs, which is as fast as
/// interpreters answer. The more jobs a worker gets with one read, the less its reads cost.
pub const AUTO_DEPTH_MAX: usize = 512;

impl PoolSettings {
    /// How many jobs a worker of a host has in its hands where none is queued for it.
    pub fn in_hands(&self) -> usize {
        match self.depth {
            Depth::Auto if self.concurrency == 1 && self.batch.is_none() => 1,
            _ => self.ahead(),
        }
    }

    /// The name of a slot for people: `worker w3`, or `host node1`.
    pub fn name_of(&self, slot: u32) -> String {
        match &self.hosts {
            Some(hosts) => format!("host {}", hosts.list[slot as usize].name),
            None => format!("worker w{slot}"),
        }
    }

    /// How many jobs fill the queues of all workers.
    pub fn queued(&self) -> usize {
        queued(self.workers, self.ahead(), self.hosts.is_some())
    }

    /// How many jobs one worker may have in its hands, at most.
    pub fn ahead(&self) -> usize {
        ahead(self.depth, self.concurrency, self.batch)
    }
}

/// How many jobs fill the queues of so many slots, with workers that have up to `ahead` jobs in their hands, or with hosts.
pub fn queued(slots: usize, ahead: usize, is_remote: bool) -> usize {
    /// A host has the jobs of many workers: those of eight with tiny jobs.
    const AT_A_HOST: usize = 8 * 1024;
    /// One forkpool gives out about as many tiny jobs in half a second. More of them under way would gain nothing, and with
    /// thousands of hosts take gigabytes, since the bytes that `--memory` counts are those of the jobs' data.
    const MOST: usize = 256 * 1024;
    (slots * if is_remote { AT_A_HOST } else { ahead }).min(MOST)
}

/// How many jobs one worker may have in its hands, at most.
pub fn ahead(depth: Depth, concurrency: usize, batch: Option<usize>) -> usize {
    if let Some(most) = batch {
        // The batch that runs and the one behind it.
        return 2 * most;
    }
    match depth {
        _ if concurrency > 1 => concurrency,
        Depth::Auto => AUTO_DEPTH_MAX,
        Depth::Fixed(depth) => depth,
    }
}
