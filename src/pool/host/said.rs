//! What the agent of a host says, and what it means for the jobs there.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ahead::{Ahead, TO_HOST};
use super::link::{Link, SIGN_OF_LIFE, Stage};
use super::{HostSession, State};
use crate::pool::delivery::Delivery;
use crate::pool::outbox::Report;
use crate::pool::own_program::mismatch;
use crate::protocol::advice_of;
use crate::protocol::stream::{self, Answer, FromAgent, HELLO, Hello, Note, Order, WANTED};
use crate::text::framing::lines;
use crate::text::gather::Put;
use crate::text::people::cut;
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::error::Error;
use crate::words::outcome::{Outcome, Status};

/// What may come before the agent's first line. More is no greeting of a login shell.
const NOISE: usize = 64 * 1024;
/// How much of a line is shown that is none.
const SHOWN: usize = 200;

impl HostSession {
    /// Takes the whole lines that have arrived.
    pub(super) fn hear(&mut self, now: Instant) {
        let Some(link) = self.link_mut() else { return };
        link.heard = now;
        let whole = link.output.take_lines();
        let mut times = Vec::new();
        let mut begun = 0;
        for line in lines(&whole) {
            if !self.link().is_some_and(Link::is_heard) {
                return;
            }
            match self.line(&line, now) {
                Ok(Heard::Answer(elapsed)) => times.push(elapsed),
                Ok(Heard::Begun(count)) => begun += count,
                Ok(Heard::Else) => {}
                Err(why) => return self.fault(why, now),
            }
        }
        let longest = self.settings.max_reply_bytes + NOISE;
        let Some(link) = self.link_mut() else { return };
        if begun > 0 {
            link.send(&Order::Seen(begun));
        }
        if let Some(ahead) = &mut link.ahead
            && !times.is_empty()
        {
            ahead.answered(times.into_iter());
        }
        if link.output.partial() > if link.is_answered() { longest } else { NOISE } {
            let words = format!("wrote a line that does not end: {}", shown(link.output.partial_bytes()));
            self.fault(words, now);
        }
    }

    fn line(&mut self, line: &Bytes, now: Instant) -> Result<Heard, String> {
        let State::Live(link) = &mut self.state else { return Ok(Heard::Else) };
        if !link.is_answered() {
            if line.starts_with(WANTED) {
                return self.bring(line, now);
            }
            if !line.starts_with(HELLO) {
                link.noise.extend_from_slice(line);
                link.noise.push(b'\n');
                let too_much = link.noise.len() > NOISE;
                return if too_much {
                    Err("printed much, but is no agent of forkpool".to_owned())
                } else {
                    Ok(Heard::Else)
                };
            }
            let hello: Hello = serde_json::from_slice(line).map_err(|error| format!("said hello badly: {error}"))?;
            if let Some(words) = hello.mismatch() {
                link.failed = Some((Error::pool(words).hint("the same version on both"), false));
                return Ok(Heard::Else);
            }
            link.stage = Stage::Loading { since: now };
            self.out.reports.extend(link.take_held_back());
            let opening = std::mem::take(&mut link.opening);
            opening.iter().for_each(|piece| link.input.bytes().payload(piece));
            if self.is_held {
                link.send(&Order::Hold(true));
            }
            return Ok(Heard::Else);
        }
        let broken = |why: String| format!("{why}: {}", shown(line));
        match stream::from_agent(line).map_err(|why| broken(format!("wrote what is no line of the stream ({why})")))? {
            FromAgent::Answer(answer) => {
                let elapsed = answer.elapsed;
                self.answer(answer, now).map_err(broken)?;
                Ok(Heard::Answer(elapsed))
            }
            FromAgent::Note(note) => self.note(note, now).map_err(broken),
        }
    }

    /// A shell on the host asks for this program.
    fn bring(&mut self, line: &Bytes, now: Instant) -> Result<Heard, String> {
        let State::Live(link) = &mut self.state else { return Ok(Heard::Else) };
        let program = link.program.take().ok_or("asked for forkpool, which it was not offered")?;
        if let Some(words) = mismatch(line)? {
            link.failed = Some((Error::pool(words).hint("install it there, in the same version"), false));
            return Ok(Heard::Else);
        }
        self.out.reports.push(Report::Brought(program.len()));
        link.input.bytes().payload(&program);
        link.stage = Stage::Calling { since: now };
        Ok(Heard::Else)
    }

    fn note(&mut self, note: Note, now: Instant) -> Result<Heard, String> {
        let per_worker = self.settings.in_hands();
        let State::Live(link) = &mut self.state else { return Ok(Heard::Else) };
        match note {
            Note::Ready(workers) => {
                link.stage = Stage::Ready;
                link.ahead = Some(Ahead::new(workers, per_worker, TO_HOST));
                link.ping_due = now;
                self.out.reports.push(Report::HostReady(workers));
                if self.settings.supplied {
                    self.proven();
                }
            }
            Note::Begun(count) => {
                if !link.flight.begin(count, now) {
                    return Err("began more jobs than it was given".to_owned());
                }
                return Ok(Heard::Begun(count));
            }
            Note::Pong(_) => {
                if let (Some(sent), Some(ahead)) = (link.pinged.take(), &mut link.ahead) {
                    ahead.round_trip(now.saturating_duration_since(sent));
                }
            }
            Note::Progress(job, data) => {
                let data = Bytes::from(data.get().to_owned());
                self.out.reports.push(Report::Progress { job, data });
            }
            Note::Failed(message, hint, is_everywhere) => {
                let error = Error { hint, ..Error::pool(message) };
                link.failed = Some((error, is_everywhere));
            }
            Note::Async => self.out.reports.push(Report::Asynchronous),
            Note::Bye => link.said_bye = true,
        }
        Ok(Heard::Else)
    }

    fn answer(&mut self, answer: Answer, now: Instant) -> Result<(), String> {
        let State::Live(link) = &mut self.state else { return Ok(()) };
        let flying =
            link.flight.take(answer.id).ok_or_else(|| format!("answered job {}, which it has not", answer.id))?;
        let is_run = !matches!(answer.status, Status::NotRun | Status::BadInput);
        if flying.begun.is_none() && is_run {
            return Err(format!("answered job {} without having begun it", answer.id));
        }
        self.losses = 0;
        if matches!(answer.status, Status::Ok | Status::Error) {
            self.proven();
        }
        let Answer { status, payload, worker, batch, elapsed, .. } = answer;
        let delivery = Delivery { batch, ..flying.delivery };
        match status {
            Status::Ok => {
                if delivery.charged > 0 {
                    self.out.reports.push(Report::PassedOnRetry);
                }
                let outcome = self.outcome(delivery, status, payload, worker, elapsed, now);
                self.out.outcomes.push(outcome);
                self.out.answered = true;
            }
            // The agent was told to end by somebody on the host, or the run is being stopped: whoever takes the job back
            // knows which.
            Status::NotRun => self.out.returned.push(delivery),
            Status::BadInput => {
                let outcome = self.outcome(delivery, status, payload, None, elapsed, now);
                self.out.outcomes.push(Outcome { attempts: 0, ..outcome });
            }
            Status::Error | Status::Timeout | Status::Died | Status::BadReply => {
                let advice = if status == Status::Error { advice_of(&payload) } else { RetryAdvice::default() };
                if let Some(pause) = advice.retry_after.filter(|_| advice.pause) {
                    self.out.reports.push(Report::HoldBack { job: delivery.job.number, pause });
                }
                self.out.answered |= status == Status::Error;
                self.fail((delivery, worker), status, payload, advice, elapsed, now);
            }
        }
        Ok(())
    }

    fn proven(&mut self) {
        if let Some(link) = self.link_mut()
            && !std::mem::replace(&mut link.is_proven, true)
        {
            self.out.reports.push(Report::Proven);
        }
    }

    fn outcome(
        &self,
        delivery: Delivery,
        status: Status,
        payload: Bytes,
        worker: Option<u32>,
        elapsed: Duration,
        now: Instant,
    ) -> Outcome {
        let attempts = delivery.charged + 1;
        let Delivery { job, batch, .. } = delivery;
        // The answer was on its way for a moment, so that the job began that much earlier.
        let began = now.checked_sub(elapsed);
        Outcome { job, status, payload, attempts, host: self.id, worker, batch, elapsed, began }
    }

    /// An attempt on a worker of the host has failed: the job is returned, to be run again, or ends.
    pub(super) fn fail(
        &mut self,
        (delivery, worker): (Delivery, Option<u32>),
        status: Status,
        error: Bytes,
        advice: RetryAdvice,
        elapsed: Duration,
        now: Instant,
    ) {
        let attempt = delivery.charged + 1;
        let dice = self.dice.f64();
        let failure = self.outcome(delivery, status, error, worker, elapsed, now);
        let next = if self.stopping.level == Level::Run {
            self.settings.retry.next(status, attempt, advice, dice)
        } else {
            None
        };
        match next {
            None => self.out.outcomes.push(failure),
            Some(delay) => {
                self.out.reports.push(Report::Retried(Box::new(failure.clone())));
                self.out.returned.push(Delivery::again(failure, now.checked_add(delay)));
            }
        }
    }

    /// A sign of life is due.
    pub(super) fn ping(&mut self, now: Instant) {
        let Some(link) = self.link_mut() else { return };
        // A busy host is asked more often, since the answers say how many jobs are to be on their way.
        link.ping_due = now + if link.flight.is_empty() { SIGN_OF_LIFE } else { SIGN_OF_LIFE / 10 };
        // Without an answer to the last one there is no time to be measured, but it is a sign of life all the same.
        link.pinged.get_or_insert(now);
        link.send(&Order::Ping(0));
    }
}

/// What one line was.
enum Heard {
    /// An answer of a job that took so long.
    Answer(Duration),
    /// So many jobs are about to begin.
    Begun(u64),
    Else,
}

/// A line that is none, as far as it says anything.
fn shown(line: &[u8]) -> String {
    cut(&String::from_utf8_lossy(line), SHOWN)
}
