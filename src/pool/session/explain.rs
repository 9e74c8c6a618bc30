//! Words for what happened to a worker: exit code or signal, who sent it, what it said last.

use super::ladder::Why;
use super::live::{Live, Open};
use crate::pool::settings::PoolSettings;
use crate::protocol::Protocol;
use crate::words::outcome::JobError;
use crate::words::worker::Channel;

/// How a worker's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exited {
    pub how: How,
    /// Bytes of its stdin that it never read; `None` where the system cannot tell.
    pub unread: Option<u64>,
    /// The kernel has killed a process for want of memory meanwhile.
    pub out_of_memory: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Code(i32),
    Signal(i32),
}

/// How much of a worker's junk is shown.
pub const SHOWN: usize = 200;

/// The cure for the commonest reason why a worker seems to hang.
pub const BUFFERED: &str = "the worker answered once its input was closed, so it holds its output back in a buffer: \
    flush after each line (python -u, sed -u, jq --unbuffered, stdbuf -oL, fflush)";

/// A worker's end, for the records of its jobs and for the log.
pub struct Death {
    /// `worker w3 was killed by SIGSEGV`
    pub words: String,
    /// How many bytes of its input the worker has read.
    pub consumed: u64,
    how: Option<How>,
    sent_by: Option<String>,
    stderr: String,
    partial: String,
    hint: Option<&'static str>,
}

impl Death {
    pub fn of(slot: u32, live: &Live, settings: &PoolSettings, stop_reason: &str) -> Death {
        let why = live.ending.as_ref().map(|ending| ending.why);
        let how = live.exited.map(|exited| exited.how);
        let signalled = live.ending.as_ref().is_some_and(|ending| ending.was_signalled());
        let out_of_memory = live.exited.is_some_and(|exited| exited.out_of_memory) && !signalled;
        let sent_by = match how {
            Some(How::Signal(_)) if signalled => Some("forkpool".to_owned()),
            Some(How::Signal(libc::SIGKILL)) if out_of_memory => Some("kernel (out of memory)".to_owned()),
            Some(How::Signal(_)) => Some("unknown".to_owned()),
            _ => None,
        };
        let end = match (why, how) {
            (Some(Why::Stopped), _) => format!("was ended because the run was stopped: {stop_reason}"),
            (Some(Why::StartTimeout), _) => {
                let limit = humantime::format_duration(settings.start_timeout);
                format!("was ended: it was not ready within --start-timeout ({limit})")
            }
            (Some(Why::BadReply | Why::Timeout), _) => live.complaint.clone(),
            (Some(Why::ClosedOutput), _) => "closed its output without an answer".to_owned(),
            (_, Some(How::Signal(libc::SIGKILL))) if out_of_memory => {
                "was killed by SIGKILL: the kernel ran out of memory".to_owned()
            }
            (_, Some(How::Code(0))) => "exited with status 0 without an answer".to_owned(),
            (_, Some(how)) => explain_exit(how),
            (_, None) => "could not be killed and was given up".to_owned(),
        };
        let hint = match how {
            Some(How::Code(0)) if why.is_none() => Some(exit_zero_hint(settings)),
            _ => None,
        };
        let accepted = live.input.accepted();
        let unread = live.exited.and_then(|exited| exited.unread).unwrap_or(0);
        Death {
            words: format!("worker w{slot} {end}"),
            consumed: accepted.saturating_sub(unread),
            how,
            sent_by,
            stderr: if live.tail.is_empty() { String::new() } else { live.tail.text() },
            partial: shown(live.output.partial_bytes()),
            hint,
        }
    }

    /// The words for people, with what the worker said last.
    pub fn full_words(&self) -> String {
        let mut words = self.words.clone();
        if !self.partial.is_empty() {
            words.push_str(&format!("; it wrote: {}", self.partial));
        }
        if !self.stderr.is_empty() {
            words.push_str("; its last words:\n");
            words.push_str(self.stderr.trim_end());
        }
        words
    }

    /// The error of a job that was in the worker's hands.
    pub fn error(&self, open: &Open, begun: bool) -> JobError {
        let mut message = self.words.clone();
        if !begun {
            message.push_str(&format!(", as did {} before it that were given this job", open.delivery.returns));
        }
        let mut error = JobError::new("WorkerDied", message);
        match self.how {
            Some(How::Code(code)) => error = error.with("exit_code", code),
            Some(How::Signal(signal)) => error = error.with("signal", signal_name(signal)),
            None => {}
        }
        if let Some(sent_by) = &self.sent_by {
            error = error.with("sent_by", sent_by.as_str());
        }
        if !self.partial.is_empty() {
            error = error.with("partial_reply", self.partial.as_str());
        }
        if !self.stderr.is_empty() {
            error = error.with("stderr", self.stderr.as_str());
        }
        if let Some(hint) = self.hint {
            error = error.with("hint", hint);
        }
        error
    }
}

/// `was killed by SIGSEGV`, `exited with status 3`
pub fn explain_exit(how: How) -> String {
    match how {
        How::Code(code) => format!("exited with status {code}"),
        How::Signal(signal) => format!("was killed by {}", signal_name(signal)),
    }
}

fn exit_zero_hint(settings: &PoolSettings) -> &'static str {
    match (settings.protocol, settings.command.channel) {
        (Protocol::NodeIpc, _) => {
            "npx, npm run and node --watch lose the channel; so does a worker that exits before process.send() is done"
        }
        (Protocol::Lines, _) => "a worker must go on until the end of its input, answering every line",
        (_, Channel::Private) => "the handler ended the process instead of returning or throwing",
        _ => "a worker must go on until the end of its input, answering every job",
    }
}

/// What a worker did that wrote something that is no reply.
pub fn broken(reason: &str, line: &[u8]) -> String {
    format!("broke the protocol: {reason}; it wrote: {}", shown(line))
}

/// The error of a job whose worker wrote something that is no reply.
pub fn bad_reply(worker: &str, reason: &str, line: &[u8]) -> JobError {
    let message = format!("worker {worker} {}", broken(reason, line));
    let error = JobError::new("BadReply", message).with("output", shown(line));
    if line.trim_ascii_start().starts_with(b"{") {
        error
    } else {
        error.with("hint", "stdout is for replies only: print to stderr, or use --handler, which keeps them apart")
    }
}

/// The beginning of foreign bytes, as text where they are text.
fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(SHOWN)];
    let mut text = String::from_utf8_lossy(start).into_owned();
    if bytes.len() > SHOWN {
        text.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    text
}

pub fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}
