//! How a worker is brought to its end, step by step: asked first, then told, then killed. The steps and their times
//! are in `ending`.

use std::time::Instant;

use super::ending::{ABANDONED, DUMP, Ending, LAST_WORDS, PROBE, Step, Why};
use super::explain;
use super::hands::Fate;
use super::live::{Intake, ProcessState};
use super::state::{Session, State};
use crate::pool::outbox::{Action, Report};
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::outcome::{JobError, Status};

impl Session {
    /// The run is being stopped, or no work is left.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        let (grace, level) = (self.settings.grace, self.stopping.level);
        let State::Live(live) = &mut self.state else {
            self.state = State::Over;
            return;
        };
        if level >= Level::Abort {
            if live.ending.as_ref().is_none_or(|ending| ending.step != Step::Killed) {
                self.kill(Why::Stopped, now);
            }
        } else if live.ending.is_none() {
            let why = if level >= Level::Drain { Why::Stopped } else { Why::Finish };
            if live.hands.is_empty() {
                self.close_input(why, now);
            } else {
                live.ending = Some(Ending::new(why, Step::Answering, now + grace));
            }
        }
    }

    /// Asks the worker to end if it has no job in its hands any more, and was to end then.
    pub(super) fn end_if_idle(&mut self, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        if !live.hands.is_empty() {
            return;
        }
        match &live.ending {
            Some(ending) if ending.is_answering() => {
                let why = ending.why.clone();
                self.close_input(why, now);
            }
            None if live.input.is_broken() => self.close_input(Why::ClosedInput, now),
            None if live.intake == Intake::Retiring => self.close_input(Why::Recycle, now),
            _ => {}
        }
    }

    /// Asks the worker to end: the end of its input says that no more is to be done.
    fn close_input(&mut self, why: Why, now: Instant) {
        let until = now + self.settings.grace;
        let Some(live) = self.live_mut() else { return };
        live.ending = Some(Ending::asked(why, now, until));
        self.out.actions.push(Action::CloseInput);
    }

    fn terminate(&mut self, why: Why, now: Instant) {
        self.signal(why, libc::SIGTERM, Step::Terminated, now + self.settings.grace, now);
    }

    pub(super) fn kill(&mut self, why: Why, now: Instant) {
        self.signal(why, libc::SIGKILL, Step::Killed, now + ABANDONED, now);
    }

    fn signal(&mut self, why: Why, signal: i32, step: Step, next: Instant, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        let mut ending = match live.ending.take() {
            // A stop of the run only hurries an end that has been begun for another reason, and the reason stays.
            Some(ending) if why == Why::Stopped => ending,
            Some(ending) => ending.because(why),
            None => Ending::new(why, Step::Answering, now),
        };
        ending.signal(signal, step, next);
        live.ending = Some(ending);
        self.out.actions.push(Action::Signal(signal));
    }

    /// Takes the next step of an ending, or tells people that the worker is waited for, whichever is due.
    pub(super) fn climb(&mut self, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        let Some(ending) = &mut live.ending else { return };
        if ending.next > now {
            ending.tell = None;
            let until = ending.next;
            self.out.reports.push(Report::Lingers(until));
            return;
        }
        let why = ending.why.clone();
        match ending.step {
            Step::Answering | Step::Asked => {
                self.signal(why, libc::SIGTERM, Step::Terminated, now + LAST_WORDS, now);
            }
            Step::Probed | Step::Dumping => {
                self.tell_fate(now);
                self.terminate(why, now);
            }
            Step::Terminated => self.kill(why, now),
            Step::Killed => self.gone(now),
        }
    }

    /// Only the end of the worker's output is known, or only its exit, and the other has been waited for long enough. A
    /// worker that has exited is gone; one that has only closed its output is told to end.
    pub(super) fn judge_at_last(&mut self, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        match &mut live.process {
            ProcessState::Running => {}
            ProcessState::Exited { .. } => self.gone(now),
            ProcessState::OutputEnded { judge_at } => {
                *judge_at = None;
                if live.ending.is_none() {
                    self.terminate(Why::ClosedOutput, now);
                }
            }
        }
    }

    /// The time of the job at `index` is up.
    pub(super) fn timed_out(&mut self, index: usize, now: Instant) {
        let (slot, default, dump, supplied) =
            (self.slot, self.settings.timeout, self.settings.dump, self.settings.supplied);
        let Some(live) = self.live_mut() else { return };
        let open = live.hands.get(index);
        let limit = humantime::format_duration(open.delivery.job.timeout().or(default).unwrap_or_default());
        if open.call.is_shared() {
            let words = format!("was ended: no answer to a batch of {} jobs within {limit}", open.call.size);
            // Nobody knows which of its jobs took so long, so that none ends by this.
            return self.dump_and_terminate(Why::Timeout(words), now);
        }
        let why = Why::Timeout(format!("was ended: no answer to job {} within {limit}", open.number()));
        let error = JobError::new("TimeoutError", format!("no answer within {limit}; worker w{slot} was ended"));
        let fate = Fate { status: Status::Timeout, error, stay: open.stay(now) };
        live.hands.seal(index, fate);
        if let Some(signal) = dump {
            self.signal(why, signal, Step::Dumping, now + DUMP, now);
        } else if !live.is_proven() && !supplied {
            live.ending = Some(Ending::new(why, Step::Probed, now + PROBE));
            self.out.actions.push(Action::CloseInput);
        } else {
            self.tell_fate(now);
            self.terminate(why, now);
        }
    }

    pub(super) fn start_timed_out(&mut self, now: Instant) {
        self.dump_and_terminate(Why::StartTimeout, now);
    }

    fn dump_and_terminate(&mut self, why: Why, now: Instant) {
        match self.settings.dump {
            Some(signal) => self.signal(why, signal, Step::Dumping, now + DUMP, now),
            None => self.terminate(why, now),
        }
    }

    /// What the worker wrote is no reply: the head is charged, with what was written, unless it is one of a batch.
    pub(super) fn broken_protocol(&mut self, reason: &str, line: &[u8], now: Instant) {
        let hint = explain::bad_reply_hint(self.settings.protocol, line);
        let error = explain::bad_reply(&self.name(), reason, line, hint);
        let Some(live) = self.live_mut() else { return };
        if let Some(head) = live.hands.head_mut().filter(|head| !head.call.is_shared()) {
            head.fate = Some(Fate { status: Status::BadReply, error, stay: head.stay(now) });
        }
        live.output.discard();
        self.tell_fate(now);
        self.terminate(Why::BadReply(explain::broken(reason, line), hint), now);
    }

    /// A reply of which these bytes have come is longer than it may be.
    pub(super) fn reply_too_long(&mut self, start: &[u8], now: Instant) {
        let reason = format!("the reply is longer than --max-reply-bytes ({} bytes)", self.settings.max_reply_bytes);
        let start = start[..start.len().min(explain::SHOWN)].to_vec();
        self.broken_protocol(&reason, &start, now);
    }

    /// Ends the job whose fate is decided. A job that is to be run again stays until the worker is gone, so that it
    /// never runs twice at a time.
    fn tell_fate(&mut self, now: Instant) {
        let stopped = self.stopping.level >= Level::Drain;
        let retry = self.settings.retry.clone();
        let Some(live) = self.live_mut() else { return };
        let is_final = |attempt, status| retry.next(status, attempt, RetryAdvice::default(), 0.0).is_none();
        let fated = live.hands.take_fated(|open, fate| stopped || is_final(open.delivery.charged + 1, fate.status));
        let Some((delivery, Fate { status, mut error, stay })) = fated else { return };
        if let Some(ending) = &live.ending {
            error = ending.explain(error);
        }
        self.fail(delivery, status, error.to_json(), RetryAdvice::default(), stay, now);
    }
}
