//! The one thread that talks to the far end: it lets jobs begin, and writes what becomes of them.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::gate::Gate;
use super::stream::Event;
use crate::pool::Reins;
use crate::pool::delivery::Delivery;
use crate::pool::dispatch::Dispatch;
use crate::protocol::stream::{Note, Order, SentJob, ToAgent, put, put_answer};
use crate::sys::clock::Clock;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::Error;
use crate::words::exit::Exit;
use crate::words::job::Job;
use crate::words::message::Message;
use crate::words::outcome::{JobError, Outcome, Status};

pub struct Desk {
    pub gate: Gate,
    pub dispatch: Arc<Dispatch>,
    pub reins: Reins,
    pub cancel: Arc<Cancel>,
    pub clock: Clock,
    pub jobs: Sender<Vec<Job>>,
    pub messages: Receiver<Message>,
    pub events: Receiver<Event>,
    pub output: File,
    /// How many workers are kept.
    pub workers: usize,
    /// Lines that have not been written yet.
    pub lines: Vec<u8>,
    pub state: State,
}

#[derive(Debug, Default)]
pub struct State {
    /// Workers have shown that they work, and the far end knows.
    pub is_ready: bool,
    /// No job will come any more.
    pub has_ended: bool,
    /// The far end is gone: nothing is written any more.
    pub is_lost: bool,
    /// The run stands still, and so do the workers.
    pub is_held: bool,
    /// No worker will work, on any host.
    pub is_unfit: bool,
    pub told_async: bool,
}

/// How many messages are taken before what they brought is written.
const PIECE: usize = 256;

impl Desk {
    /// Works until no job is left and none will come.
    pub fn run(&mut self) {
        loop {
            self.let_begin();
            self.flush();
            let is_over = self.state.has_ended || self.cancel.level() > Level::Run;
            // Workers that stand still cannot end, and nobody would hear that they are to go on.
            if self.gate.is_empty() && is_over && !self.state.is_held {
                return;
            }
            crossbeam_channel::select! {
                recv(self.messages) -> message => self.message(message.ok()),
                recv(self.events) -> event => self.event(event.ok()),
            }
            for _ in 0..PIECE {
                match (self.messages.try_recv(), self.events.try_recv()) {
                    (Err(_), Err(_)) => break,
                    (message, event) => {
                        self.message(message.ok());
                        self.event(event.ok());
                    }
                }
            }
        }
    }

    /// The workers are gone.
    pub fn say_bye(&mut self) {
        if let Some(Reason::Failed(Error { message, hint, .. })) = self.cancel.reason() {
            put(&Note::Failed(message, hint, self.state.is_unfit), &mut self.lines);
        }
        put(&Note::Bye, &mut self.lines);
        self.flush();
    }

    fn event(&mut self, event: Option<Event>) {
        match event {
            None | Some(Event::Stopped) => {}
            Some(Event::Lost(why)) => {
                self.state.is_lost |= !self.state.has_ended;
                self.stop(Level::Abort, format!("the stream to whoever gave the jobs is gone: {why}"));
            }
            Some(Event::Lines(lines)) => lines.into_iter().for_each(|line| match line {
                ToAgent::Job(job) => self.gate.arrived(job),
                ToAgent::Order(order) => self.obey(order),
            }),
        }
        if self.cancel.level() > Level::Run {
            self.give_up_unbegun();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Seen(count) => {
                let now = self.clock.now();
                match self.gate.seen(usize::try_from(count).unwrap_or(usize::MAX), now) {
                    Some(jobs) => self.offer(jobs),
                    None if self.cancel.level() > Level::Run => {}
                    None => self.stop(Level::Abort, "the stream is broken: it lets unknown jobs begin".to_owned()),
                }
            }
            Order::Ping(number) => put(&Note::Pong(number), &mut self.lines),
            Order::Hold(held) => self.hold(held),
            Order::End => self.state.has_ended = true,
            Order::Drain(why) => self.stop(Level::Drain, why),
            Order::Abort(why) => self.stop(Level::Abort, why),
        }
    }

    fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.state.is_held, held) == held {
            return;
        }
        if held {
            self.reins.pause();
        } else {
            self.reins.resume();
        }
    }

    /// Stops the run on this host. Workers that stand still go on, or they could not end.
    fn stop(&mut self, level: Level, why: String) {
        self.hold(false);
        self.cancel.raise(level, Reason::MaxFailures(why));
    }

    /// Answers for all jobs that have not begun, and never will.
    fn give_up_unbegun(&mut self) {
        let why = self.cancel.reason().map_or_else(String::new, |reason| reason.to_string());
        for sent in self.gate.take_unbegun() {
            let error = JobError::not_run(format!("never begun: {why}"));
            put_answer(&Outcome::unrun(sent.job, Status::NotRun, &error), &mut self.lines);
        }
    }

    fn message(&mut self, message: Option<Message>) {
        match message {
            Some(Message::Outcomes(outcomes)) => {
                let bytes = outcomes.iter().map(Outcome::size).sum();
                outcomes.iter().for_each(|outcome| put_answer(outcome, &mut self.lines));
                let times: Vec<Duration> = outcomes.iter().map(|outcome| outcome.elapsed).collect();
                self.gate.answered(&times);
                self.dispatch.received(outcomes.len(), bytes, 0, self.clock.now());
            }
            Some(Message::Proven) => self.ready(),
            Some(Message::Unfit) => self.state.is_unfit = true,
            Some(Message::Asynchronous) => {
                if !std::mem::replace(&mut self.state.told_async, true) {
                    put(&Note::Async, &mut self.lines);
                }
            }
            Some(Message::Progress(job, data)) => {
                // What a worker sent as progress is JSON.
                if let Ok(data) = serde_json::from_slice(&data) {
                    put(&Note::Progress(job, data), &mut self.lines);
                }
            }
            Some(Message::Panicked(thread)) => {
                let error = Error::pool(format!("a bug in forkpool: thread {thread} has panicked"));
                self.cancel.raise(Level::Abort, Reason::Failed(error));
                // Its jobs have no outcome, and nobody would ever end.
                self.say_bye();
                std::process::exit(Exit::PoolFailed.status());
            }
            Some(Message::Retried(_) | Message::Spent(_) | Message::Restored(_) | Message::InputEnded(_)) | None => {}
        }
    }

    /// Jobs may come.
    pub fn ready(&mut self) {
        if !std::mem::replace(&mut self.state.is_ready, true) {
            self.gate.ready();
            put(&Note::Ready(self.workers), &mut self.lines);
        }
    }

    /// Announces jobs that are about to begin.
    fn let_begin(&mut self) {
        let count = self.gate.announce(self.clock.now());
        if count > 0 {
            put(&Note::Begun(count as u64), &mut self.lines);
        }
    }

    /// Hands jobs to the workers.
    fn offer(&mut self, jobs: Vec<SentJob>) {
        let now = self.clock.now();
        let admitted = self.dispatch.admit(&mut jobs.iter().map(|sent| sent.job.data.len()));
        assert_eq!(admitted, jobs.len(), "the limits of an agent are none");
        let (again, fresh): (Vec<SentJob>, Vec<SentJob>) =
            jobs.into_iter().partition(|sent| sent.attempt > 1 || sent.alone);
        let again = again.into_iter().map(|sent| Delivery {
            charged: sent.attempt - 1,
            alone: sent.alone,
            ..Delivery::new(sent.job)
        });
        let mut refused = self.dispatch.give_back(again.collect(), now);
        if !fresh.is_empty() && self.jobs.send(fresh.into_iter().map(|sent| sent.job).collect()).is_ok() {
            refused.extend(self.dispatch.offered(now));
        }
        if !refused.is_empty() {
            let why = self.dispatch.orders().why;
            let mut unrun: Vec<Outcome> = refused.into_iter().map(|delivery| delivery.not_run(&why)).collect();
            crate::pool::account(&self.dispatch, &mut unrun, false);
            self.message(Some(Message::Outcomes(unrun)));
        }
    }

    fn flush(&mut self) {
        if !self.state.is_lost && !self.lines.is_empty() && self.output.write_all(&self.lines).is_err() {
            // Nobody hears of what the workers do: they are killed.
            self.state.is_lost = true;
            self.stop(Level::Abort, "the stream to whoever gave the jobs is gone".to_owned());
            self.give_up_unbegun();
        }
        self.lines.clear();
    }
}
