//! How a worker is brought to its end: asked first, then told, then killed.
//!
//! ```text
//! end of work, recycling:      end of file, --grace, SIGTERM, 1 s, SIGKILL
//! stop of the run:             --grace to answer, then the same from SIGTERM on
//! timeout:                     (--dump, 1 s) SIGTERM, --grace, SIGKILL
//! broken protocol, bad start:  SIGTERM, --grace, SIGKILL
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::blame::Sealed;
use super::explain;
use super::{Action, Session, State};
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::outcome::{JobError, Status};

#[derive(Debug)]
pub struct Ending {
    pub why: Why,
    step: Step,
    /// When the next step is due.
    pub next: Instant,
    /// The worker has written a line once its input was closed, although its job's time was up.
    answered_probe: bool,
    /// What it wrote to stderr when it was asked where it is stuck.
    dump: Vec<u8>,
}

/// Why a worker was ended. What follows (its exit, the end of its output) never overwrites this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No work is left.
    Finish,
    Recycle,
    /// The run is being stopped.
    Stopped,
    /// It closed its stdin: it takes no more jobs.
    ClosedInput,
    /// It closed its stdout and stayed.
    ClosedOutput,
    /// It took longer than `--start-timeout` to load.
    StartTimeout,
    /// A job took longer than its time limit.
    Timeout,
    /// What it wrote is no reply.
    BadReply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It may still answer what it has.
    Answering,
    /// Its input has been closed.
    Asked,
    /// Its input has been closed to see whether that makes it answer.
    Probed,
    /// It has been sent `--dump`.
    Dumping,
    Terminated,
    Killed,
}

/// Between SIGTERM and SIGKILL, for a worker that had `--grace` already.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// For the stack dump that `--dump` asks for.
const DUMP: Duration = Duration::from_secs(1);
/// For a program that buffers its output to write it at the end of its input.
const PROBE: Duration = Duration::from_millis(500);
/// A killed process that is still there hangs in the kernel; nobody can wait for that.
const ABANDONED: Duration = Duration::from_secs(10);
/// Between a worker's exit and the end of its output, which a grandchild may hold open; and the other way
/// round.
const SETTLE: Duration = Duration::from_millis(100);
/// Enough for some dozens of stack traces.
const DUMP_KEPT: usize = 64 * 1024;

impl Ending {
    fn new(why: Why, step: Step, next: Instant) -> Ending {
        Ending { why, step, next, answered_probe: false, dump: Vec::new() }
    }

    /// An asked worker may answer; a condemned one may not.
    pub fn takes_replies(&self) -> bool {
        matches!(self.why, Why::Finish | Why::Recycle | Why::Stopped | Why::ClosedInput)
    }

    /// It has not been asked to end yet.
    pub fn is_answering(&self) -> bool {
        self.step == Step::Answering
    }

    pub fn was_signalled(&self) -> bool {
        matches!(self.step, Step::Terminated | Step::Killed | Step::Dumping)
    }

    /// A line that is nobody's any more.
    pub fn late_line(&mut self) {
        self.answered_probe |= self.step == Step::Probed;
    }

    /// Adds to a job's error what the worker has shown since its time was up.
    pub fn explain(&self, mut error: JobError) -> JobError {
        if !self.dump.is_empty() {
            error = error.with("dump", String::from_utf8_lossy(&self.dump).into_owned());
        }
        if self.answered_probe {
            error = error.with("hint", explain::BUFFERED);
        }
        error
    }

    pub fn stderr(&mut self, bytes: &[u8]) {
        if self.step == Step::Dumping {
            let room = DUMP_KEPT - self.dump.len();
            self.dump.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

impl Session {
    /// The run is being stopped, or no work is left.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        let grace = self.settings.grace;
        let live = match &mut self.state {
            State::Live(live) => live,
            State::Absent { .. } | State::Over => {
                self.state = State::Over;
                return;
            }
        };
        if self.level >= Level::Abort {
            let ending = live.ending.get_or_insert_with(|| Ending::new(Why::Stopped, Step::Answering, now));
            if ending.step != Step::Killed {
                ending.step = Step::Killed;
                ending.next = now + ABANDONED;
                self.out.actions.push(Action::Signal(libc::SIGKILL));
            }
        } else if live.ending.is_none() {
            let why = if self.level >= Level::Drain { Why::Stopped } else { Why::Finish };
            if live.open.is_empty() {
                self.ask(why, now);
            } else {
                live.ending = Some(Ending::new(why, Step::Answering, now + grace));
            }
        }
    }

    fn ask(&mut self, why: Why, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        live.ending = Some(Ending::new(why, Step::Asked, now + self.settings.grace));
        self.out.actions.push(Action::CloseInput);
    }

    /// A worker that was only waited for may end once it has nothing in its hands.
    pub(super) fn end_if_idle(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        if !live.open.is_empty() {
            return;
        }
        match &live.ending {
            Some(ending) if ending.step == Step::Answering => {
                let why = ending.why;
                self.ask(why, now);
            }
            None if live.input.is_broken() => self.ask(Why::ClosedInput, now),
            None if live.retiring => self.ask(Why::Recycle, now),
            _ => {}
        }
    }

    fn terminate(&mut self, why: Why, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        let dump = live.ending.take().map_or_else(Vec::new, |ending| ending.dump);
        live.ending = Some(Ending { dump, ..Ending::new(why, Step::Terminated, now + self.settings.grace) });
        self.out.actions.push(Action::Signal(libc::SIGTERM));
    }

    /// The next step is due.
    pub(super) fn climb(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        let Some(ending) = &mut live.ending else { return };
        match ending.step {
            Step::Answering | Step::Asked => {
                ending.step = Step::Terminated;
                ending.next = now + LAST_WORDS;
                self.out.actions.push(Action::Signal(libc::SIGTERM));
            }
            Step::Probed | Step::Dumping => {
                let why = ending.why;
                self.tell_sealed(now);
                self.terminate(why, now);
            }
            Step::Terminated => {
                ending.step = Step::Killed;
                ending.next = now + ABANDONED;
                self.out.actions.push(Action::Signal(libc::SIGKILL));
            }
            Step::Killed => self.gone(now),
        }
    }

    /// The exit or the end of the output is known: wait for the other, but not for long.
    pub(super) fn judge_soon(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        if live.exited.is_some() && live.output_ended {
            self.gone(now);
        } else {
            live.judge_at = Some(now + SETTLE);
        }
    }

    /// The other did not come.
    pub(super) fn judge(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        live.judge_at = None;
        if live.exited.is_some() {
            self.gone(now);
        } else if live.ending.is_none() {
            self.terminate(Why::ClosedOutput, now);
        }
    }

    pub(super) fn timed_out(&mut self, index: usize, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        let open = &mut live.open[index];
        let limit = open.delivery.job.timeout().or(self.settings.timeout).unwrap_or_default();
        let elapsed = open.started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let limit = humantime::format_duration(limit);
        live.complaint = format!("was ended: no answer to job {} within {limit}", open.delivery.job.number);
        let message = format!("no answer within {limit}; worker w{} was ended", self.slot);
        let error = JobError::new("TimeoutError", message);
        open.sealed = Some(Sealed { status: Status::Timeout, error, elapsed });
        if let Some(signal) = self.settings.dump {
            live.ending = Some(Ending::new(Why::Timeout, Step::Dumping, now + DUMP));
            self.out.actions.push(Action::Signal(signal));
        } else if !live.proven && !self.settings.supplied {
            live.ending = Some(Ending::new(Why::Timeout, Step::Probed, now + PROBE));
            self.out.actions.push(Action::CloseInput);
        } else {
            self.tell_sealed(now);
            self.terminate(Why::Timeout, now);
        }
    }

    pub(super) fn start_timed_out(&mut self, now: Instant) {
        self.terminate(Why::StartTimeout, now);
    }

    /// What the worker wrote is no reply: the head is charged, with what was written.
    pub(super) fn broken_protocol(&mut self, reason: &str, line: &[u8], now: Instant) {
        let name = self.name();
        let State::Live(live) = &mut self.state else { return };
        let error = explain::bad_reply(&name, reason, line);
        if let Some(head) = live.open.front_mut() {
            let elapsed = head.started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            head.sealed = Some(Sealed { status: Status::BadReply, error, elapsed });
        }
        live.complaint = explain::broken(reason, line);
        live.output.discard();
        self.tell_sealed(now);
        self.terminate(Why::BadReply, now);
    }

    pub(super) fn reply_too_long(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        let start = Bytes::copy_from_slice(&live.output.partial_bytes()[..explain::SHOWN.min(live.output.partial())]);
        let reason = format!("the reply is longer than --max-reply-bytes ({} bytes)", self.settings.max_reply_bytes);
        self.broken_protocol(&reason, &start, now);
    }

    /// Ends the jobs whose end is decided. One that is to be run again stays until the worker is gone.
    fn tell_sealed(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        let attempted = live.open.iter_mut().position(|open| open.sealed.is_some());
        let Some(index) = attempted else { return };
        let open = &mut live.open[index];
        let attempt = open.delivery.charged + 1;
        let Some(mut sealed) = open.sealed.take() else { return };
        if let Some(ending) = &live.ending {
            sealed.error = ending.explain(sealed.error);
        }
        let retried = self.level < Level::Drain
            && self.settings.retry.next(sealed.status, attempt, RetryAdvice::default(), 0.0).is_some();
        if retried {
            open.sealed = Some(sealed);
        } else {
            let open = live.open.remove(index).expect("the index was just found");
            let payload = sealed.error.to_json();
            self.fail(open.delivery, sealed.status, payload, RetryAdvice::default(), sealed.elapsed, now);
        }
    }
}
