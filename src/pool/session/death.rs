//! Words for a worker's end: exit code or signal, who sent it, what the worker said last.

use std::ffi::OsStr;
use std::path::Path;

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
    /// What is probably wrong with the program.
    pub hint: Option<&'static str>,
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
        let hint = match live.ending.as_ref().map(|ending| &ending.why) {
            Some(Why::BadReply(_, hint)) => *hint,
            Some(Why::StartTimeout) => Some("a longer --start-timeout; --dump SIGNAL shows where it hangs"),
            // A worker that ends may be seen to close its pipes before it is seen to be gone.
            None | Some(Why::ClosedInput | Why::ClosedOutput) if how == Some(How::Code(0)) => {
                Some(exit_zero_hint(settings))
            }
            _ => None,
        };
        Death {
            words: format!("worker w{slot} {}", end(live, how, sent_by, settings, stop_reason)),
            consumed: live.input.accepted().saturating_sub(unread),
            how,
            sent_by,
            // One that says itself why it could not be started needs no other last words.
            stderr: if live.tail.is_empty() || live.start_error.is_some() { String::new() } else { live.tail.text() },
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
    let why = ending.map(|ending| &ending.why);
    if let (Some(error), None | Some(Why::ClosedInput | Why::ClosedOutput)) = (&live.start_error, why) {
        return format!("failed {}: {error}", live.step.as_deref().unwrap_or("at its start"));
    }
    match (why, how) {
        (Some(Why::Stopped), Some(how)) if ending.is_some_and(|ending| !ending.was_signalled()) => {
            // We have sent the worker no signal yet: it was told to stop by somebody else, or has ended by itself.
            let sender = if matches!(how, How::Signal(_)) { " (not sent by forkpool)" } else { "" };
            format!("{how}{sender} while the run was being stopped: {stop_reason}")
        }
        (Some(Why::Stopped), _) => format!("was ended because the run was stopped: {stop_reason}"),
        (Some(Why::StartTimeout), _) => {
            let limit = humantime::format_duration(settings.start_timeout);
            let step = match &live.step {
                Some(step) => format!("it was still {step}"),
                None => "its program had not begun to load anything".to_owned(),
            };
            format!("was ended: it was not ready within --start-timeout ({limit}); {step}")
        }
        (Some(Why::BadReply(words, _) | Why::Timeout(words) | Why::Suspended(words)), _) => words.clone(),
        (Some(Why::ClosedOutput), _) => "closed its output without an answer".to_owned(),
        _ if sent_by == Some(KERNEL) => "was killed by SIGKILL: the kernel ran out of memory".to_owned(),
        (_, Some(How::Code(0))) => "exited with status 0 without an answer".to_owned(),
        (_, Some(how)) => how.to_string(),
        (_, None) => "could not be killed and was given up".to_owned(),
    }
}

/// Whether the program is one that runs JavaScript.
fn is_javascript(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    matches!(name, Some("node" | "nodejs" | "bun" | "deno" | "npx" | "tsx" | "ts-node"))
}

fn exit_zero_hint(settings: &PoolSettings) -> &'static str {
    match (settings.protocol, settings.command.channel) {
        (Protocol::NodeIpc, _) => {
            "npx, npm run and node --watch lose the channel; so does a worker that exits before process.send() is done"
        }
        (Protocol::Lines, _) => "a worker must go on until the end of its input, answering every line",
        (_, Channel::Private) => "the handler ended the process instead of returning or throwing",
        _ if is_javascript(&settings.command.program) => {
            "a worker for child_process.fork needs --protocol node-ipc, a plain function --handler FILE; \
             any other must go on until the end of its input, answering every job"
        }
        _ => "a worker must go on until the end of its input, answering every job",
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::Value;

    use super::*;
    use crate::pool::delivery::Delivery;
    use crate::pool::exited::Exited;
    use crate::pool::policies::RecyclePolicy;
    use crate::pool::session::ending::{Ending, Step};
    use crate::pool::session::hands::Hands;
    use crate::pool::session::wear::Wear;
    use crate::testing::{job, pool_settings};
    use crate::text::gather::Put;

    /// A worker that has ended so.
    fn ended(how: How) -> Live {
        let now = Instant::now();
        let mut live = Live::new(Wear::new(RecyclePolicy::default(), 0.0, now), &pool_settings("cat"), now);
        let exited = Exited { how, unread: Some(0), out_of_memory: false };
        live.process = ProcessState::Exited { exited, judge_at: now };
        live
    }

    fn ending(why: Why, signal: Option<i32>) -> Option<Ending> {
        let now = Instant::now();
        let mut ending = Ending::new(why, Step::Answering, now);
        signal.into_iter().for_each(|signal| ending.signal(signal, Step::Terminated, now));
        Some(ending)
    }

    fn death(live: &Live) -> Death {
        let settings = PoolSettings { start_timeout: Duration::from_secs(60), ..pool_settings("cat") };
        Death::of(3, live, &settings, "stopped by SIGTERM")
    }

    /// A job in the worker's hands.
    fn open(delivery: Delivery) -> Open {
        let mut hands = Hands::new(1);
        hands.push(delivery, 0, 9, Instant::now());
        Open { started: None, ..hands.take(0, Instant::now()) }
    }

    /// The error of a job that the worker had read.
    fn error(live: &Live) -> Value {
        let started = Some(Instant::now());
        let open = Open { started, ..open(Delivery::new(job(1, "{}"))) };
        serde_json::from_slice(&death(live).error(&open, true).to_json()).unwrap()
    }

    #[test]
    fn an_end_is_told_by_its_cause_and_not_by_what_followed_from_it() {
        let check = |how, ending: Option<Ending>, expected: &str| {
            let live = Live { ending, ..ended(how) };
            assert_eq!(death(&live).words, format!("worker w3 {expected}"));
        };
        let term = How::Signal(libc::SIGTERM);
        check(How::Code(3), None, "exited with status 3");
        check(How::Code(0), None, "exited with status 0 without an answer");
        check(How::Signal(libc::SIGSEGV), None, "was killed by SIGSEGV");
        check(term, ending(Why::Timeout("was ended: too slow".into()), Some(libc::SIGTERM)), "was ended: too slow");
        check(term, ending(Why::ClosedOutput, Some(libc::SIGTERM)), "closed its output without an answer");
        let words =
            "was ended: it was not ready within --start-timeout (1m); its program had not begun to load anything";
        check(term, ending(Why::StartTimeout, Some(libc::SIGTERM)), words);
        let step = Some("loading a model".to_owned());
        let live = Live { ending: ending(Why::StartTimeout, Some(libc::SIGTERM)), step, ..ended(term) };
        assert!(death(&live).words.ends_with("(1m); it was still loading a model"), "{}", death(&live).words);
        let step = Some("in the init function connect".to_owned());
        let live = Live { start_error: Some("E: refused\n  at f".to_owned()), step, ..ended(How::Code(1)) };
        let words = "worker w3 failed in the init function connect: E: refused\n  at f";
        assert_eq!(death(&live).full_words(), words);
        let words = "was ended because the run was stopped: stopped by SIGTERM";
        check(term, ending(Why::Stopped, Some(libc::SIGTERM)), words);
        let words = "was killed by SIGTERM (not sent by forkpool) while the run was being stopped: stopped by SIGTERM";
        check(term, ending(Why::Stopped, None), words);
        let words = "exited with status 3 while the run was being stopped: stopped by SIGTERM";
        check(How::Code(3), ending(Why::Stopped, None), words);
    }

    #[test]
    fn one_that_cannot_be_killed_is_given_up() {
        let live = Live { process: ProcessState::Running, ..ended(How::Code(0)) };
        assert_eq!(death(&live).words, "worker w3 could not be killed and was given up");
    }

    #[test]
    fn a_signal_has_a_sender() {
        let check = |signal, ours: Option<i32>, out_of_memory, expected: &str| {
            let mut live = ended(How::Signal(signal));
            let exited = Exited { how: How::Signal(signal), unread: None, out_of_memory };
            live.process = ProcessState::Exited { exited, judge_at: Instant::now() };
            live.ending = ours.and_then(|ours| ending(Why::Stopped, Some(ours)));
            assert_eq!(error(&live)["sent_by"], expected, "{signal} {ours:?}");
        };
        check(libc::SIGTERM, Some(libc::SIGTERM), false, "forkpool");
        check(libc::SIGKILL, Some(libc::SIGTERM), false, "unknown");
        check(libc::SIGSEGV, None, true, "unknown");
        check(libc::SIGKILL, None, true, "kernel (out of memory)");
        check(libc::SIGKILL, Some(libc::SIGKILL), true, "forkpool");
    }

    #[test]
    fn what_the_worker_said_last_is_in_the_record_and_in_the_log() {
        let mut live = ended(How::Code(3));
        live.tail.push(b"Traceback\n");
        live.output.buffer().extend_from_slice(b"{\"id\":1,");
        live.output.take_lines();
        let error = error(&live);
        assert_eq!((&error["stderr"], &error["partial_reply"]), (&"Traceback\n".into(), &"{\"id\":1,".into()));
        let words = "worker w3 exited with status 3; it wrote: {\"id\":1,; its last words:\nTraceback";
        assert_eq!(death(&live).full_words(), words);
    }

    #[test]
    fn what_was_written_and_not_left_in_the_pipe_was_read() {
        let mut live = ended(How::Code(3));
        live.input.bytes().text().extend_from_slice(&[b'x'; 100]);
        live.input.written(100);
        let consumed = |live: &mut Live, unread| {
            let exited = Exited { how: How::Code(3), unread, out_of_memory: false };
            live.process = ProcessState::Exited { exited, judge_at: Instant::now() };
            death(live).consumed
        };
        assert_eq!([Some(0), Some(30), Some(100), None].map(|unread| consumed(&mut live, unread)), [100, 70, 0, 100]);
    }

    #[test]
    fn an_exit_with_status_0_that_nobody_asked_for_has_a_hint_for_its_protocol() {
        let hint = |protocol, channel| {
            let mut settings = pool_settings("cat");
            (settings.protocol, settings.command.channel) = (protocol, channel);
            let death = Death::of(3, &ended(How::Code(0)), &settings, "");
            death.hint.unwrap_or_default()
        };
        assert!(hint(Protocol::Lines, Channel::Stdio).contains("every line"));
        assert!(hint(Protocol::Json, Channel::Stdio).contains("every job"));
        assert!(hint(Protocol::Json, Channel::Private).contains("the handler ended the process"));
        assert!(hint(Protocol::NodeIpc, Channel::NodeIpc).contains("npx"));
        assert!(error(&ended(How::Code(3)))["hint"].is_null());
        let asked = Live { ending: ending(Why::Finish, None), ..ended(How::Code(0)) };
        assert!(error(&asked)["hint"].is_null());
    }

    #[test]
    fn a_job_that_no_worker_began_says_how_many_were_given_it() {
        let delivery = Delivery { returns: 8, ..Delivery::new(job(1, "{}")) };
        let open = open(delivery);
        let error = death(&ended(How::Code(3))).error(&open, false).to_json();
        assert!(String::from_utf8_lossy(&error).contains("as did 8 before it that were given this job"));
        assert_eq!(open.elapsed(Instant::now()), Duration::ZERO);
    }
}
