//! Words for a worker's end: exit code or signal, who sent it, what the worker said last.

use super::ending::Why;
use super::explain::shown;
use super::hands::Open;
use super::live::{Live, ProcessState};
use crate::pool::exited::{How, signal_name};
use crate::pool::settings::PoolSettings;
use crate::protocol::Protocol;
use crate::words::outcome::JobError;
use crate::words::worker::Channel;

/// A worker's end, for the records of its jobs and for the log.
pub struct Death {
    /// `worker w3 was killed by SIGSEGV`
    pub words: String,
    /// How many bytes of its input the worker has read.
    pub consumed: u64,
    how: Option<How>,
    sent_by: Option<&'static str>,
    stderr: String,
    partial: String,
    hint: Option<&'static str>,
}

impl Death {
    pub fn of(slot: u32, live: &Live, settings: &PoolSettings, stop_reason: &str) -> Death {
        let exited = match live.process {
            ProcessState::Exited { exited, .. } => Some(exited),
            ProcessState::Running | ProcessState::OutputEnded { .. } => None,
        };
        let how = exited.map(|exited| exited.how);
        let out_of_memory = exited.is_some_and(|exited| exited.out_of_memory);
        let sent_by = how.and_then(|how| sent_by(how, live, out_of_memory));
        let unread = exited.and_then(|exited| exited.unread).unwrap_or(0);
        let is_unasked_exit = how == Some(How::Code(0)) && live.ending.is_none();
        Death {
            words: format!("worker w{slot} {}", end(live, how, sent_by, settings, stop_reason)),
            consumed: live.input.accepted().saturating_sub(unread),
            how,
            sent_by,
            stderr: if live.tail.is_empty() { String::new() } else { live.tail.text() },
            partial: shown(live.output.partial_bytes()),
            hint: is_unasked_exit.then(|| exit_zero_hint(settings)),
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

    /// The error of a job that was in the worker's hands. `begun` says that the worker had read it.
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
        if let Some(sent_by) = self.sent_by {
            error = error.with("sent_by", sent_by);
        }
        for (field, text) in [("partial_reply", &self.partial), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                error = error.with(field, text.as_str());
            }
        }
        match self.hint {
            Some(hint) => error.with("hint", hint),
            None => error,
        }
    }
}

/// Who sent the signal that the worker died of; `None` if it died of none.
fn sent_by(how: How, live: &Live, out_of_memory: bool) -> Option<&'static str> {
    let How::Signal(signal) = how else { return None };
    let was_us = live.ending.as_ref().is_some_and(|ending| ending.has_sent(signal));
    Some(match signal {
        _ if was_us => "forkpool",
        libc::SIGKILL if out_of_memory => KERNEL,
        _ => "unknown",
    })
}

/// Says in `sent_by` that the kernel killed the worker for want of memory.
const KERNEL: &str = "kernel (out of memory)";

/// What happened to the worker, in words that follow its name.
fn end(
    live: &Live,
    how: Option<How>,
    sent_by: Option<&'static str>,
    settings: &PoolSettings,
    stop_reason: &str,
) -> String {
    let ending = live.ending.as_ref();
    match (ending.map(|ending| &ending.why), how) {
        (Some(Why::Stopped), Some(how)) if ending.is_some_and(|ending| !ending.was_signalled()) => {
            // We have sent the worker no signal yet: it was told to stop by somebody else, or has ended by itself.
            format!("{how} while the run was being stopped: {stop_reason}")
        }
        (Some(Why::Stopped), _) => format!("was ended because the run was stopped: {stop_reason}"),
        (Some(Why::StartTimeout), _) => {
            let limit = humantime::format_duration(settings.start_timeout);
            format!("was ended: it was not ready within --start-timeout ({limit})")
        }
        (Some(Why::BadReply(words) | Why::Timeout(words) | Why::Suspended(words)), _) => words.clone(),
        (Some(Why::ClosedOutput), _) => "closed its output without an answer".to_owned(),
        _ if sent_by == Some(KERNEL) => "was killed by SIGKILL: the kernel ran out of memory".to_owned(),
        (_, Some(How::Code(0))) => "exited with status 0 without an answer".to_owned(),
        (_, Some(how)) => how.to_string(),
        (_, None) => "could not be killed and was given up".to_owned(),
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
