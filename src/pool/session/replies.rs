//! What the worker writes: replies, and what they mean for its jobs.

use std::time::Instant;

use bytes::Bytes;

use super::hands::{Manner, Open};
use super::live::{Live, Stage};
use super::state::{Session, State};
use crate::pool::delivery::Delivery;
use crate::pool::fatal::error_text;
use crate::pool::outbox::Report;
use crate::protocol::Body;
use crate::text::redact::redact;
use crate::words::advice::RetryAdvice;
use crate::words::host::HostId;
use crate::words::outcome::{Outcome, Status, Stay};

/// The final answer to a job.
enum Answer {
    Ok(Bytes),
    Error(Bytes, RetryAdvice),
    /// The job was one of a batch that failed, and is to be run again by itself.
    Again,
}

impl Session {
    /// Takes one line of the worker's output. Returns whether it was the final answer to a job.
    pub(super) fn line(&mut self, line: Bytes, now: Instant) -> bool {
        let (protocol, longest) = (self.settings.protocol, self.settings.max_reply_bytes);
        let Some(live) = self.live_mut() else { return false };
        if !live.takes_replies() {
            if let Some(ending) = &mut live.ending {
                ending.late_line();
            }
            return false;
        }
        if line.len() > longest {
            self.reply_too_long(&line, now);
            return false;
        }
        let reply = match protocol.decode(&line) {
            Ok(reply) => reply,
            Err(reason) => {
                self.broken_protocol(&reason, &line, now);
                return false;
            }
        };
        match reply.body {
            Body::Ok(data) => return self.answer(reply.id, Answer::Ok(data), &line, now),
            Body::Error { error, advice } => return self.answer(reply.id, Answer::Error(error, advice), &line, now),
            Body::Again => return self.answer(reply.id, Answer::Again, &line, now),
            Body::Noise => {}
            Body::Ready => self.ready(now),
            Body::Loading(what) => live.step = Live::step_of("loading", &what),
            Body::Initializing(function) => live.step = Live::step_of("in the init function", &function),
            Body::Unstarted(error) if !live.is_proven() => live.start_error = Some(error_text(&error)),
            Body::Unstarted(_) => {}
            Body::Asynchronous => self.out.reports.push(Report::Asynchronous),
            Body::Recycle => live.wear.asked(),
            Body::Fatal(error) => self.out.reports.push(Report::Fatal(error)),
            Body::Progress(data) => {
                // Progress with a job that has its answer already is no longer of interest.
                if let Some(index) = live.hands.find(reply.id) {
                    let job = live.hands.get(index).number();
                    self.out.reports.push(Report::Progress { job, data });
                }
            }
        }
        false
    }

    fn ready(&mut self, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        if !live.is_proven() {
            // Loading is over, so the first job's clock starts here.
            if let Some(head) = live.hands.head_mut() {
                head.started = Some(now);
            }
            live.pace.begin(now);
        }
        self.proven();
    }

    fn answer(&mut self, id: Option<u64>, answer: Answer, line: &Bytes, now: Instant) -> bool {
        let is_again = matches!(answer, Answer::Again);
        let open = match self.take_answered(id, is_again, now) {
            Ok(open) => open,
            Err(reason) => {
                self.broken_protocol(&reason, line, now);
                return false;
            }
        };
        let stay = open.stay(now);
        match answer {
            Answer::Ok(data) => {
                if open.delivery.charged > 0 {
                    self.out.reports.push(Report::PassedOnRetry);
                }
                let outcome = self.outcome(open.delivery, Status::Ok, data, stay);
                self.out.outcomes.push(outcome);
            }
            Answer::Error(error, advice) => {
                let fields = &self.settings.redact;
                if let Some(pause) = advice.retry_after.filter(|_| advice.pause) {
                    self.out.reports.push(Report::HoldBack { job: open.delivery.job.number, pause });
                }
                let error = if fields.is_empty() { error } else { redact(&error, fields) };
                self.fail(open.delivery, Status::Error, error, advice, stay, now);
            }
            Answer::Again => self.out.returned.push(open.delivery.suspected()),
        }
        true
    }

    /// Takes the job that has been answered out of the worker's hands; `is_again` says that the answer is only that it
    /// must run again. The reason why there is no such job breaks the protocol.
    fn take_answered(&mut self, id: Option<u64>, is_again: bool, now: Instant) -> Result<Open, String> {
        let nobody = || match id {
            Some(id) => format!("job {id} is not in its hands"),
            None => "no job was in its hands".to_owned(),
        };
        let State::Live(live) = &mut self.state else { return Err(nobody()) };
        // A job whose bytes are not all in the pipe cannot have been answered: whoever names it has guessed its number.
        let accepted = live.input.accepted();
        let index = live.hands.find(id).filter(|&index| live.hands.get(index).ends <= accepted).ok_or_else(nobody)?;
        if is_again && !live.hands.get(index).call.is_shared() {
            return Err("its status is \"again\", and its job was in no batch".to_owned());
        }
        if index > 0 && live.hands.manner == Manner::InOrder {
            live.hands.manner = Manner::OutOfOrder;
            self.out.reports.push(Report::NotSerial);
        }
        let open = live.hands.take(index, now);
        live.wear.answered();
        let is_last = live.hands.head().is_none_or(|head| head.call != open.call);
        if let Some(calls) = live.calls.as_mut().filter(|_| is_last) {
            calls.answered(open.elapsed(now));
        }
        self.out.answered = true;
        self.proven();
        Ok(open)
    }

    fn proven(&mut self) {
        let Some(live) = self.live_mut() else { return };
        if !live.is_proven() {
            live.stage = Stage::Proven;
            self.out.reports.push(Report::Proven);
        }
    }

    /// The outcome of an attempt.
    fn outcome(&self, delivery: Delivery, status: Status, payload: Bytes, stay: Stay) -> Outcome {
        let attempts = delivery.charged + 1;
        let Delivery { job, batch, .. } = delivery;
        let Stay { began, elapsed } = stay;
        Outcome { job, status, payload, attempts, host: HostId::HERE, worker: Some(self.slot), batch, elapsed, began }
    }

    /// An attempt has failed: the job is returned, to be run again, or ends. The worker must not be running it any
    /// more, or it would run twice at a time.
    pub(super) fn fail(
        &mut self,
        delivery: Delivery,
        status: Status,
        error: Bytes,
        advice: RetryAdvice,
        stay: Stay,
        now: Instant,
    ) {
        let attempt = delivery.charged + 1;
        let dice = self.dice.f64();
        let Some(delay) = self.settings.retry.next(status, attempt, advice, dice) else {
            let outcome = self.outcome(delivery, status, error, stay);
            self.out.outcomes.push(outcome);
            return;
        };
        // In a batch it would be an error of all of them once more.
        let stays_alone = delivery.alone && self.settings.batch.is_some();
        let failure = self.outcome(delivery, status, error, stay);
        self.out.reports.push(Report::Retried(Box::new(failure.clone())));
        self.out.returned.push(Delivery {
            alone: status != Status::Error || stays_alone,
            ..Delivery::again(failure, now.checked_add(delay))
        });
    }
}
