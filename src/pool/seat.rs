//! One slot's dealings between its session, its worker's process, the dispatcher and the rest of the run: what is
//! done in one round of its loop, and when the next round is due.
//!
//! The process (`WorkerControl`) and whoever hears of the work (`Ear`) are traits, so that the simulation of the pool runs these
//! very rounds. What only a real slot has, the wait in `poll` and the reading of pipes, is in `slot`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::delivery::Delivery;
use super::dispatch::{Consequence, Dispatch, Failure, Turn};
use super::fatal::fatal_error;
use super::lane::Lane;
use super::life::Life;
use super::luggage::Luggage;
use super::outbox::{Action, Report};
use super::settings::PoolSettings;
use crate::text::people::counted;
use crate::words::cancel::Level;
use crate::words::doing::{Doing, Occupation, Spell};
use crate::words::error::{Error, HIGHER_LIMIT, reason};
use crate::words::host::Way;
use crate::words::outcome::Outcome;

/// What a seat does to its worker's process.
pub trait WorkerControl {
    /// Starts a worker, or what leads to the agent of a host in this way. The one before it has been buried. Returns what
    /// it is to be told first. The kind of the error is `NotConnected` where there is no template now to fork it from.
    fn spawn(&mut self, way: Way) -> io::Result<Luggage>;
    fn write(&mut self, bytes: &[u8]) -> Wrote;
    /// Says that a job of so many bytes is about to be written, for which a larger pipe may be worth while.
    fn expect(&mut self, bytes: usize);
    /// Closes the worker's stdin. Returns whether its output is closed with it, as that of a socket is.
    fn close_input(&mut self) -> bool;
    /// Sends a signal to the worker's process group, if there is a worker.
    fn signal(&mut self, signal: i32);
    /// Kills the process group's remains, reaps the worker and closes its pipes.
    fn bury(&mut self);
    /// Resident memory of the worker's process group, in bytes, where the system tells.
    fn memory(&mut self) -> Option<usize>;
    /// Whether the worker has read all that it was given and waits for more.
    fn waits_for_input(&mut self) -> bool;
}

/// What a write into a worker's stdin came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    Bytes(usize),
    /// The pipe takes nothing now.
    Full,
    /// The worker has closed its end of the pipe, and has left so many bytes unread in it.
    Broken(u64),
}

/// Whoever hears what comes of a seat's work: the collector hears of outcomes, everybody else of news.
pub trait Ear {
    fn outcomes(&mut self, outcomes: Vec<Outcome>);
    fn news(&mut self, news: News);
}

/// What the collector does not need to know, but people or the run do.
#[derive(Debug)]
pub enum News {
    Started,
    /// A worker has ended before it showed that it works; in words.
    StartFailed(String),
    /// The system gives no process now, and the slot tries again; in words.
    Starved(String),
    /// The pool cannot go on.
    GaveUp(Error),
    /// A worker has shown that it works.
    Proven,
    /// The agent of a host is ready, and keeps so many workers.
    HostReady(usize),
    /// What was written to stderr a while ago.
    Said(Bytes),
    /// The host has no forkpool, and this one is sent there, which is so many bytes.
    Brought(usize),
    /// A host has failed to start again and again, and the others go on without it; in words.
    LeftOut(String),
    /// A worker is gone that was to go on; in words.
    Lost(String),
    Recycled,
    /// A worker is gone, planned or not: its stderr has ended.
    Buried,
    /// A worker has answered out of order, for the first time in this run.
    NotSerial,
    /// A worker has been silent for so long and probably holds its output back.
    Silent(Duration),
    /// These slots' workers are still loading, `so_far` after one of them was started. They may take up to `limit`.
    Loading {
        slots: Vec<u32>,
        so_far: Duration,
        limit: Duration,
    },
    /// These slots' workers have not ended although their input was closed; they get so much longer.
    Lingering(Vec<u32>, Duration),
    Progress {
        job: u64,
        data: Bytes,
    },
    PassedOnRetry,
    /// An attempt has failed, and the job is to be run again.
    Retried(Box<Outcome>),
    /// The slot has spent a time with one thing.
    Spent(Spell),
    /// The error of a job has the whole pool held back for so long.
    HeldBack {
        job: u64,
        pause: Duration,
    },
    /// A worker could run several jobs at once.
    Asynchronous,
    /// What the worker does, which people have asked for.
    Doing(Doing),
    /// No worker will ever work: the handler's own error, as JSON.
    Fatal(Bytes),
    /// A worker that was replaced by order has no successor yet; in words, why.
    NotReplaced(String),
    /// All workers have been replaced that an order was for, so many.
    Renewed(usize),
}

pub struct Seat<M, E> {
    pub number: u32,
    pub session: Box<dyn Life>,
    pub machine: M,
    settings: Arc<PoolSettings>,
    dispatch: Arc<Dispatch>,
    ear: E,
    lane: Lane,
    /// The edition of the orders that were obeyed last: only when there is a newer one are the orders asked for, which
    /// takes the lock.
    obeyed: u32,
    /// The run stands still (Ctrl-Z), and so does the worker.
    paused: bool,
    /// How many orders to replace all workers have been obeyed.
    renewals: u32,
    /// How many questions what the worker does have been answered.
    looks: u32,
    /// The slot's worker was replaced by order, and the dispatcher waits for the new one to take jobs.
    is_awaited: bool,
    /// People have been told that the new worker fails to start.
    told_unreplaced: bool,
    /// A worker has been started, or tried to be.
    has_started: bool,
    /// The worker's stdin is to be closed once all that is queued for it has been written.
    close_when_written: bool,
    /// The dispatcher has put this slot among its sleepers. The slot must ask again when it is awake, since jobs may be
    /// promised to it.
    asleep: bool,
    /// People have been told that no process can be had.
    told_starved: bool,
    /// When the worker's memory is to be looked at next.
    memory_due: Instant,
}

/// The time between two looks at a worker's memory, at least: reading /proc costs time, and a worker does not grow by
/// gigabytes meanwhile.
const MEMORY_CHECK: Duration = Duration::from_millis(100);

/// The pause before another start of a worker when the template has died in the middle of one. Its keeper hears of that at
/// once, and holds all starts then until there is another.
const UNTIL_HELD: Duration = Duration::from_millis(20);

/// The pause before another start of a worker when the pool has given up: longer than it takes to stop the run.
const UNTIL_STOPPED: Duration = Duration::from_millis(100);

impl<M: WorkerControl, E: Ear> Seat<M, E> {
    pub fn new(
        number: u32,
        settings: Arc<PoolSettings>,
        dispatch: Arc<Dispatch>,
        session: Box<dyn Life>,
        machine: M,
        ear: E,
        now: Instant,
    ) -> Seat<M, E> {
        Seat {
            number,
            session,
            machine,
            settings,
            dispatch,
            ear,
            lane: Lane::new(number),
            obeyed: 0,
            paused: false,
            renewals: 0,
            looks: 0,
            is_awaited: false,
            told_unreplaced: false,
            has_started: false,
            close_when_written: false,
            asleep: false,
            told_starved: false,
            memory_due: now,
        }
    }

    /// Does all that can be done now. Returns when the next round is due, if nothing happens before.
    pub fn round(&mut self, now: Instant) -> Option<Instant> {
        loop {
            self.obey(now);
            self.write(now);
            // What the session has decided about a worker that has ended is done before the next one is started: the
            // old one is buried first.
            self.settle(now);
            self.check_memory(now);
            match self.next_turn(now) {
                Turn::Sleep(_) if self.session.begin_batch(now) => {}
                Turn::Sleep(until) => {
                    self.note(now);
                    return self.deadline(until, now);
                }
                Turn::Start => self.start(now),
                Turn::Recycle => self.session.retire(now),
                Turn::Jobs(deliveries) => self.give(deliveries, now),
            }
        }
    }

    /// Notes what the slot does until something happens.
    fn note(&mut self, now: Instant) {
        if !self.settings.watched {
            return;
        }
        let occupation = self.session.occupation(now);
        let occupation = match occupation {
            Some(Occupation::NoInput) => Some(self.dispatch.why_idle(now)),
            // A slot whose worker has ended because no job will come misses none.
            Some(Occupation::Down) => {
                Some(self.dispatch.why_idle(now)).filter(|why| *why == Occupation::NothingLeft).or(occupation)
            }
            occupation => occupation,
        };
        if let Some(spell) = self.lane.note(occupation, now) {
            self.ear.news(News::Spent(spell));
        }
    }

    /// Whether replies are matched to their jobs by number.
    pub fn has_ids(&self) -> bool {
        self.settings.protocol.has_ids()
    }

    /// Nothing is left to be done here, ever.
    pub fn is_over(&self) -> bool {
        self.session.is_over()
    }

    fn deadline(&self, until: Option<Instant>, now: Instant) -> Option<Instant> {
        // While the run stands still (Ctrl-Z), so does its clock, and no deadline comes nearer. When the run goes on,
        // the dispatcher rings the bell.
        if self.paused {
            return None;
        }
        let nap = Some(self.session.nap()).filter(|nap| !nap.is_zero()).map(|nap| now + nap);
        [self.session.deadline(now), until, nap].into_iter().flatten().min()
    }

    /// Judges the deadlines that have passed at `now`. All that had arrived by then must have been heard.
    pub fn tick(&mut self, now: Instant) {
        self.session.tick(now);
    }

    /// Looks at what others have ordered: stop, pause, end of work.
    fn obey(&mut self, now: Instant) {
        let edition = self.dispatch.edition();
        if edition == self.obeyed {
            return;
        }
        self.obeyed = edition;
        let orders = self.dispatch.orders();
        if orders.level >= Level::Drain {
            self.session.cancel(orders.level, &orders.why, now);
        }
        if orders.finished {
            self.session.finish(now);
        }
        if orders.one_at_a_time {
            self.session.one_at_a_time();
        }
        if orders.renewals != self.renewals {
            self.renewals = orders.renewals;
            self.session.outdated();
        }
        if orders.looks != self.looks {
            self.looks = orders.looks;
            self.ear.news(News::Doing(self.session.doing(now)));
        }
        if orders.paused != self.paused {
            self.paused = orders.paused;
            self.session.hold(orders.paused);
        }
    }

    fn check_memory(&mut self, now: Instant) {
        if self.settings.recycle.memory.is_none() || now < self.memory_due || !self.session.is_live() {
            return;
        }
        self.memory_due = now + MEMORY_CHECK;
        if let Some(bytes) = self.machine.memory() {
            self.session.memory(bytes);
        }
    }

    /// What the dispatcher would have this slot do. It is asked only where the answer may be something else than sleep,
    /// or where it believes that the slot is asleep.
    fn next_turn(&mut self, now: Instant) -> Turn {
        let Some(standing) = self.session.standing(!self.has_started, now) else { return Turn::Sleep(None) };
        if !self.asleep && !standing.wants_a_turn() {
            return Turn::Sleep(None);
        }
        if standing.room > 0 && std::mem::take(&mut self.is_awaited) {
            self.told_unreplaced = false;
            if let Some(workers) = self.dispatch.arrived(self.number, now) {
                self.ear.news(News::Renewed(workers));
            }
        }
        let turn = self.dispatch.ask(self.number, standing, now);
        self.asleep = matches!(turn, Turn::Sleep(_)) && standing.wants_a_turn();
        turn
    }

    fn give(&mut self, deliveries: Vec<Delivery>, now: Instant) {
        for delivery in deliveries {
            self.machine.expect(delivery.job.data.len());
            self.session.give(delivery, now);
        }
        self.session.begin_batch(now);
    }

    fn start(&mut self, now: Instant) {
        self.has_started = true;
        match self.machine.spawn(self.session.way()) {
            Ok(luggage) => {
                self.dispatch.started(self.number);
                self.close_when_written = false;
                self.session.spawned(luggage, now);
                self.ear.news(News::Started);
            }
            Err(error) => self.failed_to_spawn(&error, now),
        }
    }

    fn failed_to_spawn(&mut self, error: &io::Error, now: Instant) {
        if error.kind() == io::ErrorKind::NotConnected {
            return self.session.pause(now + UNTIL_HELD);
        }
        let program = self.settings.command.program.to_string_lossy();
        let words = format!("cannot start {}: {program}: {}", self.settings.name_of(self.number), reason(error));
        let starved = [libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOMEM];
        if error.raw_os_error().is_some_and(|code| starved.contains(&code)) {
            if !std::mem::replace(&mut self.told_starved, true) {
                self.ear.news(News::Starved(words.clone()));
            }
            self.failed_start(Failure::Starved, &words, Some(HIGHER_LIMIT), now);
            return;
        }
        if self.dispatch.may_fail(self.number) {
            self.not_replaced(words.clone());
            self.failed_start(Failure::AtStart, &words, None, now);
            return;
        }
        let mut error = Error::pool(words);
        if error.message.ends_with("Exec format error") {
            error = error.hint("a script needs a first line such as #!/bin/sh");
        }
        // Whoever hears of `GaveUp` stops the run, and the next look at the orders shows that. Until then no start may
        // be tried again.
        self.session.pause(now + UNTIL_STOPPED);
        self.ear.news(News::GaveUp(error));
    }

    /// The worker that is to take the place of one that was replaced by order fails to start. People are told once.
    fn not_replaced(&mut self, why: String) {
        if !std::mem::replace(&mut self.told_unreplaced, true) {
            self.ear.news(News::NotReplaced(why));
        }
    }

    fn failed_start(&mut self, failure: Failure, words: &str, hint: Option<&str>, now: Instant) {
        match self.dispatch.failed_start(self.number, failure) {
            Consequence::Pause(pause) => self.session.pause(now + pause),
            Consequence::LeaveOut(failures) => {
                self.session.leave_out();
                self.ear.news(News::LeftOut(format!(
                    "{words}; it is left out after {}",
                    counted(u64::from(failures), "failed start")
                )));
            }
            Consequence::GiveUp(failures) => {
                let message = match failure {
                    Failure::OfHost => words.to_owned(),
                    _ => format!("workers keep failing to start ({failures} in a row): {words}"),
                };
                let wrap = || {
                    let wrapper = self.settings.command.wrap.first()?;
                    Some(format!("--wrap puts {wrapper} before the worker: it may be that which fails"))
                };
                let hint = hint.map(str::to_owned).or_else(wrap);
                let error = Error { hint, ..Error::pool(message) };
                self.session.pause(now + UNTIL_STOPPED);
                self.ear.news(News::GaveUp(error));
            }
        }
    }

    /// Writes into the worker's stdin as much as it takes now.
    fn write(&mut self, now: Instant) {
        loop {
            let pending = self.session.pending_input();
            if pending.is_empty() {
                if std::mem::take(&mut self.close_when_written) && self.machine.close_input() {
                    self.session.output_ended(now);
                }
                return;
            }
            match self.machine.write(pending) {
                Wrote::Bytes(bytes) => self.session.written(bytes),
                Wrote::Full => return,
                Wrote::Broken(unread) => self.session.input_broken(unread, now),
            }
        }
    }

    /// Does what the session decided, and passes on what it has to say.
    fn settle(&mut self, now: Instant) {
        loop {
            let actions = std::mem::take(&mut self.session.out().actions);
            let reports = std::mem::take(&mut self.session.out().reports);
            if actions.is_empty() && reports.is_empty() {
                break;
            }
            actions.into_iter().for_each(|action| self.act(action, now));
            reports.into_iter().for_each(|report| self.report(report, now));
        }
        if self.close_when_written {
            self.write(now);
        }
        let mut outcomes = std::mem::take(&mut self.session.out().outcomes);
        let returned = std::mem::take(&mut self.session.out().returned);
        if !returned.is_empty() {
            let refused = self.dispatch.give_back(returned, now);
            if !refused.is_empty() {
                let why = self.dispatch.orders().why;
                outcomes.extend(refused.into_iter().map(|delivery| delivery.not_run(&why)));
            }
        }
        if std::mem::take(&mut self.session.out().answered) {
            self.dispatch.answered();
        }
        if !outcomes.is_empty() {
            account(&self.dispatch, &mut outcomes, self.settings.keep_jobs);
            self.ear.outcomes(outcomes);
        }
    }

    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::CloseInput => {
                self.close_when_written = true;
                self.dispatch.asked_to_end(self.number);
            }
            Action::Signal(signal) => self.machine.signal(signal),
            Action::Bury => {
                self.machine.bury();
                self.is_awaited = self.dispatch.buried(self.number, now);
                self.ear.news(News::Buried);
            }
        }
    }

    fn report(&mut self, report: Report, now: Instant) {
        let news = match report {
            Report::FailedStart(failure, words, hint) => {
                if self.dispatch.may_fail(self.number) {
                    self.not_replaced(words.clone());
                } else {
                    self.ear.news(News::StartFailed(words.clone()));
                }
                return self.failed_start(failure, &words, hint.as_deref(), now);
            }
            Report::Proven => {
                self.dispatch.proven(self.number);
                News::Proven
            }
            Report::HostReady(workers) => {
                self.dispatch.keeps(self.number, workers);
                News::HostReady(workers)
            }
            Report::Said(text) => News::Said(text),
            Report::Brought(bytes) => News::Brought(bytes),
            Report::GaveUp(error) => News::GaveUp(error),
            Report::NotSerial if self.dispatch.not_serial() => News::NotSerial,
            Report::NotSerial => return,
            Report::Silent(silent) if self.settings.supplied => match self.dispatch.loading() {
                slots if slots.is_empty() => return,
                slots => News::Loading { slots, so_far: silent, limit: self.settings.start_timeout },
            },
            Report::Silent(silent) if self.machine.waits_for_input() && self.dispatch.take_hint() => {
                News::Silent(silent)
            }
            Report::Silent(_) => return,
            Report::Lingers(until) => match self.dispatch.lingering() {
                slots if slots.is_empty() => return,
                slots => News::Lingering(slots, until.saturating_duration_since(now)),
            },
            Report::Fatal(error) => match self.dispatch.may_fail(self.number) {
                true => return self.not_replaced(fatal_error(&error).message),
                false => News::Fatal(error),
            },
            Report::Asynchronous => News::Asynchronous,
            Report::Lost(words) => News::Lost(words),
            Report::Recycled => News::Recycled,
            Report::Progress { job, data } => News::Progress { job, data },
            Report::HoldBack { job, pause } if self.dispatch.hold_back(pause, now) => News::HeldBack { job, pause },
            Report::HoldBack { .. } => return,
            Report::PassedOnRetry => News::PassedOnRetry,
            Report::Retried(failure) => News::Retried(failure),
        };
        self.ear.news(news);
    }
}

/// Enters outcomes that are about to be sent to the collector into the accounts of jobs and bytes. The data of their
/// jobs is dropped, unless `keep_jobs` says that the outputs need it, so that it no longer takes memory.
pub fn account(dispatch: &Dispatch, outcomes: &mut [Outcome], keep_jobs: bool) {
    let (mut job_bytes, mut result_bytes) = (0, 0);
    for outcome in outcomes {
        job_bytes += outcome.job.data.len();
        if !keep_jobs {
            outcome.job.data = Bytes::new();
        }
        result_bytes += outcome.size();
    }
    dispatch.ended(job_bytes, result_bytes);
}

#[cfg(test)]
mod tests;
