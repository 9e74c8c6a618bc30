//! A worker that runs: what it has been given, what it has answered, and its clocks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::blame::Sealed;
use super::explain::Exited;
use super::ladder::Ending;
use super::pace::Pace;
use super::pipes::{InputQueue, Tail};
use super::{Delivery, Report, SILENCE, Session, State};
use crate::pool::policies::RecyclePolicy;
use crate::pool::settings::PoolSettings;
use crate::protocol::Body;
use crate::text::framing::LineQueue;
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::outcome::{Outcome, Status};

/// A job in the hands of a worker.
#[derive(Debug)]
pub struct Open {
    pub delivery: Delivery,
    /// Where its bytes stand in the worker's input.
    pub begins: u64,
    pub ends: u64,
    /// Since when it may be running: it was given to an idle worker, or the one before it was answered.
    pub started: Option<Instant>,
    /// Its end is decided, but not yet told: the worker is still being asked where it was stuck, or must be
    /// gone before the job is run again.
    pub sealed: Option<Sealed>,
}

pub struct Live {
    pub born: Instant,
    /// It has said `ready` or answered.
    pub proven: bool,
    /// It has said `ready`, so its first job needs no time to load.
    pub ready: bool,
    pub limits: RecyclePolicy,
    pub answered: u64,
    /// In the order given; the first is the head.
    pub open: VecDeque<Open>,
    pub input: InputQueue,
    pub output: LineQueue,
    pub tail: Tail,
    pub pace: Pace,
    pub memory: usize,
    /// It has asked to be replaced.
    pub asked_to_retire: bool,
    /// It takes no more jobs, and is replaced once it has none.
    pub retiring: bool,
    /// It has answered out of order without having been asked to run jobs at once.
    pub not_serial: bool,
    /// The hint about buffered output has been given.
    pub hinted: bool,
    pub ending: Option<Ending>,
    /// What it was ended for, in words: `broke the protocol: …`.
    pub complaint: String,
    pub exited: Option<Exited>,
    pub output_ended: bool,
    /// When its end is judged, although only its exit or only the end of its output is known.
    pub judge_at: Option<Instant>,
    /// How many jobs it may run at the same time.
    concurrency: usize,
}

impl Live {
    pub fn new(limits: RecyclePolicy, settings: &PoolSettings, now: Instant) -> Live {
        Live {
            born: now,
            proven: false,
            ready: false,
            limits,
            answered: 0,
            open: VecDeque::new(),
            input: InputQueue::default(),
            output: LineQueue::default(),
            tail: Tail::default(),
            pace: Pace::new(settings.depth, settings.workers, now),
            memory: 0,
            asked_to_retire: false,
            retiring: false,
            not_serial: false,
            hinted: false,
            ending: None,
            complaint: String::new(),
            exited: None,
            output_ended: false,
            judge_at: None,
            concurrency: settings.concurrency,
        }
    }

    pub fn wants_jobs(&self, settings: &PoolSettings, one_at_a_time: bool, now: Instant) -> usize {
        let closed = self.ending.is_some() || self.exited.is_some() || self.output_ended || self.input.is_broken();
        let wants_to_go = self.asked_to_retire && self.has_answered();
        if closed || self.retiring || wants_to_go || self.open.iter().any(|open| open.delivery.alone) {
            return 0;
        }
        let room = if !self.proven {
            // It may still be starting: one job, and none before `ready` where that is certain to come.
            usize::from(!settings.supplied && self.open.is_empty())
        } else if self.concurrency > 1 {
            self.concurrency - self.open.len().min(self.concurrency)
        } else if one_at_a_time || self.not_serial {
            usize::from(self.open.is_empty())
        } else {
            self.pace.room(self.open.len(), now)
        };
        // The policy's own limit is hard; the worker's jittered one is only when it would like to go.
        let left = settings.recycle.jobs.map_or(u64::MAX, |jobs| jobs.saturating_sub(self.answered));
        room.min(usize::try_from(left).unwrap_or(usize::MAX).saturating_sub(self.open.len()))
    }

    pub fn wants_recycle(&self, now: Instant) -> bool {
        let due = self.asked_to_retire
            || self.limits.jobs.is_some_and(|jobs| self.answered >= jobs)
            || self.limits.memory.is_some_and(|bytes| self.memory > bytes)
            || self.limits.age.is_some_and(|age| now.saturating_duration_since(self.born) >= age);
        due && self.has_answered() && !self.retiring && self.ending.is_none() && self.exited.is_none()
    }

    /// Every worker does at least one job before it is replaced, or one that is too large or too slow for its
    /// limits from the start would be replaced for ever.
    fn has_answered(&self) -> bool {
        self.answered > 0
    }

    /// Queues a job. One that cannot be sent comes back with the reason.
    pub fn give(
        &mut self,
        delivery: Delivery,
        settings: &PoolSettings,
        now: Instant,
    ) -> Result<(), (Delivery, String)> {
        let begins = self.input.end();
        let attempt = delivery.charged + 1;
        if let Err(reason) = settings.protocol.encode(&delivery.job, attempt, self.input.bytes()) {
            return Err((delivery, reason));
        }
        let idle = self.open.is_empty();
        if idle {
            self.pace.begin(now);
        }
        let started = (idle || self.concurrency > 1).then_some(now);
        self.open.push_back(Open { delivery, begins, ends: self.input.end(), started, sealed: None });
        Ok(())
    }

    /// The number of the job that comes first. Where the worker has shown nothing yet, its end is a failed
    /// start, and those are bounded without it.
    pub fn head_of_proven(&self) -> Option<u64> {
        self.open.front().filter(|_| self.proven).map(|open| open.delivery.job.number)
    }

    /// Replies still count: it has not been condemned.
    pub fn takes_replies(&self) -> bool {
        self.ending.as_ref().is_none_or(Ending::takes_replies)
    }

    /// Its stdin is closed. Returns the deliveries that are not wholly in the pipe; it gets no more.
    pub fn break_input(&mut self) -> Vec<Delivery> {
        let accepted = self.input.accepted();
        self.input.break_off();
        self.retiring = true;
        self.take_behind(self.open.partition_point(|open| open.ends <= accepted))
    }

    /// The deliveries that stand wholly in the last `unread` bytes of a stdin that is closed.
    pub fn take_unread(&mut self, unread: u64) -> Vec<Delivery> {
        let read = self.input.accepted().saturating_sub(unread);
        self.take_behind(self.open.partition_point(|open| open.begins < read))
    }

    fn take_behind(&mut self, index: usize) -> Vec<Delivery> {
        let (taken, kept): (Vec<Open>, Vec<Open>) = self.open.drain(index..).partition(|open| open.sealed.is_none());
        self.open.extend(kept);
        taken.into_iter().map(|open| open.delivery).collect()
    }

    /// The time limit of an open job, if it is running.
    fn job_deadline(&self, open: &Open, settings: &PoolSettings) -> Option<Instant> {
        let limit = open.delivery.job.timeout().or(settings.timeout)?;
        let started = open.started?;
        if open.sealed.is_some() {
            return None;
        }
        // One that has shown nothing yet may still be loading.
        let loading = if self.proven { Duration::ZERO } else { settings.start_timeout };
        started.checked_add(limit)?.checked_add(loading)
    }

    /// The open job whose time is up first, and when.
    pub fn next_timeout(&self, settings: &PoolSettings) -> Option<(usize, Instant)> {
        // Only the head of a serial worker has a clock.
        let running = if self.concurrency > 1 || self.not_serial { self.open.len() } else { 1 };
        let due = |(index, open)| Some((index, self.job_deadline(open, settings)?));
        self.open.iter().take(running).enumerate().filter_map(due).min_by_key(|&(_, at)| at)
    }

    /// When a supplied worker must have loaded.
    pub fn start_deadline(&self, settings: &PoolSettings) -> Option<Instant> {
        if settings.supplied && !self.proven { self.born.checked_add(settings.start_timeout) } else { None }
    }

    pub fn silence_deadline(&self, settings: &PoolSettings) -> Option<Instant> {
        if self.proven || self.hinted || settings.supplied {
            return None;
        }
        self.open.front()?.started?.checked_add(SILENCE)
    }

    pub fn deadline(&self, settings: &PoolSettings, now: Instant) -> Option<Instant> {
        let ending = self.ending.as_ref().map(|ending| ending.next);
        let clocks = if !self.has_clocks() {
            [None, None, None]
        } else {
            [
                self.next_timeout(settings).map(|(_, at)| at),
                self.start_deadline(settings),
                self.silence_deadline(settings),
            ]
        };
        // One that is too old already waits for its turn to be replaced; whose turn it is gets told.
        let age = self.age_deadline().filter(|&at| at > now && self.has_answered() && self.ending.is_none());
        [ending, self.judge_at, age].into_iter().chain(clocks).flatten().min()
    }

    /// No clock runs for a worker that is being ended, or whose end is about to be judged. One that may still
    /// answer what it has, because the run is being stopped, keeps its time limits.
    pub fn has_clocks(&self) -> bool {
        self.ending.as_ref().is_none_or(Ending::is_answering) && self.exited.is_none() && !self.output_ended
    }

    fn age_deadline(&self) -> Option<Instant> {
        self.born.checked_add(self.limits.age?)
    }

    pub fn shift(&mut self, by: Duration) {
        self.born += by;
        self.pace.shift(by);
        for open in &mut self.open {
            open.started = open.started.map(|at| at + by);
        }
        if let Some(ending) = &mut self.ending {
            ending.next += by;
        }
    }
}

impl Session {
    /// Takes one line of the worker's output. Returns whether it was the final answer to a job.
    pub fn line(&mut self, line: Bytes, now: Instant) -> bool {
        let State::Live(live) = &mut self.state else { return false };
        if !live.takes_replies() {
            if let Some(ending) = &mut live.ending {
                ending.late_line();
            }
            return false;
        }
        let reply = match self.settings.protocol.decode(&line) {
            Ok(reply) => reply,
            Err(reason) => {
                self.broken_protocol(&reason, &line, now);
                return false;
            }
        };
        match reply.body {
            Body::Noise => false,
            Body::Ready => {
                live.ready = true;
                if !live.proven {
                    // The first job's clock starts here: loading is over.
                    if let Some(head) = live.open.front_mut() {
                        head.started = Some(now);
                    }
                    live.pace.begin(now);
                }
                self.proven();
                false
            }
            Body::Recycle => {
                live.asked_to_retire = true;
                false
            }
            Body::Fatal(error) => {
                self.out.reports.push(Report::Fatal(error));
                false
            }
            Body::Progress(data) => {
                let job = match reply.id {
                    Some(id) => live.open.iter().map(|open| open.delivery.job.number).find(|&number| number == id),
                    None => live.open.front().map(|open| open.delivery.job.number),
                };
                // One that comes late is nobody's.
                if let Some(job) = job {
                    self.out.reports.push(Report::Progress { job, data });
                }
                false
            }
            Body::Ok(data) => self.answer(reply.id, Answer::Ok(data), &line, now),
            Body::Error { error, advice } => self.answer(reply.id, Answer::Error(error, advice), &line, now),
        }
    }

    fn answer(&mut self, id: Option<u64>, answer: Answer, line: &Bytes, now: Instant) -> bool {
        let State::Live(live) = &mut self.state else { return false };
        let index = match id {
            // Without ids the order is all there is.
            None => (!live.open.is_empty()).then_some(0),
            Some(id) => live.open.iter().position(|open| open.delivery.job.number == id),
        };
        // Bytes that are not in the pipe cannot have been answered.
        let Some(index) = index.filter(|&index| live.open[index].ends <= live.input.accepted()) else {
            let reason = match id {
                Some(id) => format!("job {id} is not in its hands"),
                None => "no job was in its hands".to_owned(),
            };
            self.broken_protocol(&reason, line, now);
            return false;
        };
        if index > 0 && live.concurrency == 1 && !live.not_serial {
            live.not_serial = true;
            self.out.reports.push(Report::NotSerial);
        }
        let open = live.open.remove(index).expect("the index was just found");
        live.answered += 1;
        if let Some(head) = live.open.front_mut() {
            head.started.get_or_insert(now);
        }
        let elapsed = open.started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.proven();
        match answer {
            Answer::Ok(data) => {
                if open.delivery.charged > 0 {
                    self.out.reports.push(Report::PassedOnRetry);
                }
                let outcome = self.outcome(open.delivery, Status::Ok, data, elapsed);
                self.out.outcomes.push(outcome);
            }
            Answer::Error(error, advice) => {
                let error = if self.settings.redact.is_empty() {
                    error
                } else {
                    crate::text::redact::redact(&error, &self.settings.redact)
                };
                self.fail(open.delivery, Status::Error, error, advice, elapsed, now);
            }
        }
        true
    }

    fn proven(&mut self) {
        let State::Live(live) = &mut self.state else { return };
        if !live.proven {
            live.proven = true;
            self.out.reports.push(Report::Proven);
        }
    }

    /// The outcome of an attempt.
    pub fn outcome(&self, delivery: Delivery, status: Status, payload: Bytes, elapsed: Duration) -> Outcome {
        let attempts = delivery.charged + 1;
        Outcome { job: delivery.job, status, payload, attempts, worker: Some(self.slot), elapsed }
    }

    /// An attempt has failed: the job is run again or ends. The worker must not be running it any more.
    pub fn fail(
        &mut self,
        delivery: Delivery,
        status: Status,
        error: Bytes,
        advice: RetryAdvice,
        elapsed: Duration,
        now: Instant,
    ) {
        let attempt = delivery.charged + 1;
        let retry = if self.level >= Level::Drain {
            None
        } else {
            self.settings.retry.next(status, attempt, advice, self.dice.roll())
        };
        match retry {
            None => {
                let outcome = self.outcome(delivery, status, error, elapsed);
                self.out.outcomes.push(outcome);
            }
            Some(delay) => {
                let job = delivery.job.clone();
                let failure = self.outcome(delivery, status, error, elapsed);
                self.out.returned.push(Delivery {
                    job,
                    charged: attempt,
                    alone: status != Status::Error,
                    doubtful: false,
                    not_before: now.checked_add(delay),
                    returns: 0,
                    last_failure: Some(Box::new(failure)),
                });
            }
        }
    }

    /// Judges the clocks of a worker that has not been asked to end.
    pub fn check_clocks(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        if live.silence_deadline(&self.settings).is_some_and(|at| at <= now) {
            live.hinted = true;
            self.out.reports.push(Report::Silent);
        }
        if live.start_deadline(&self.settings).is_some_and(|at| at <= now) {
            self.start_timed_out(now);
            return;
        }
        if let Some((index, at)) = live.next_timeout(&self.settings)
            && at <= now
        {
            self.timed_out(index, now);
        }
    }
}

enum Answer {
    Ok(Bytes),
    Error(Bytes, RetryAdvice),
}
