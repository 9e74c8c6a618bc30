//! What the slots share, as a pure state machine: calls and the time go in; jobs, and who is to be woken, come out.
//!
//! A slot asks for jobs and, if there is none for it, sleeps from that call on: both happen in one step, so a job that
//! comes later finds the slot among the sleepers, and no wake-up is lost. A sleeper that is woken is *called*, and the
//! job that it was called for is promised to it: nobody else is woken for that job, and slots whose need is smaller
//! leave the job alone. After each call of a method, whatever it was, enough sleepers have been called for the jobs
//! that wait, and one sleeper, the *keeper*, knows when the next job is due that is delayed, or held back by `--rate` or
//! a pause.
//!
//! Nobody waits here, nothing is sent, and no clock is read.

use std::time::{Duration, Instant};

use super::super::delivery::Delivery;
use super::super::policies::restart_pause;
use super::ledger::{Ledger, Limits};
use super::renewal::Renewal;
use super::slots::{Need, SlotState, Slots};
use super::standing::{Recycling, Standing, WorkerState};
use super::starts::{Consequence, Failure, Starts};
use super::throttle::Throttle;
use super::told_once::ToldOnce;
use super::waiting::{Fits, Waiting};
use crate::words::cancel::Level;
use crate::words::doing::{Occupation, Queue};
use crate::words::job::Job;
use crate::words::rate::Rate;

/// What a slot is to do next.
#[derive(Debug)]
pub enum Turn {
    /// Give these to the worker.
    Jobs(Vec<Delivery>),
    /// Start a worker.
    Start,
    /// Replace the worker.
    Recycle,
    /// Sleep until something happens: to the worker, a ring of the bell, or this time.
    Sleep(Option<Instant>),
}

/// What all slots must obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    pub level: Level,
    /// Why the run is being stopped; empty while it is not.
    pub why: String,
    /// No job is left anywhere.
    pub finished: bool,
    /// A worker has shown that it does not take its jobs in order.
    pub one_at_a_time: bool,
    /// The run stands still (Ctrl-Z).
    pub paused: bool,
    /// How often it has been ordered that all workers be replaced: those that are there at an order are outdated.
    pub renewals: u32,
    /// How often people have asked what the workers do.
    pub looks: u32,
}

/// Who is to be woken after a call.
#[derive(Debug, Default)]
pub struct Wakes {
    pub slots: Vec<u32>,
    pub source: bool,
}

#[derive(Debug)]
pub struct Dispatcher {
    waiting: Waiting,
    ledger: Ledger,
    throttle: Throttle,
    slots: Slots,
    orders: Orders,
    /// How often the orders have changed, so that a slot sees at a glance whether it knows them.
    edition: u32,
    source: SourceState,
    /// How many fresh jobs the source has offered.
    offered: u64,
    /// The slot that is replacing its worker in turn.
    recycling: Option<u32>,
    renewal: Renewal,
    /// The sleeper that wakes by itself when the next job is due that is delayed or held back, and when that is.
    keeper: Option<(u32, Instant)>,
    starts: Starts,
    /// There is nothing now that a worker could be forked from (`--preload`), so none is started.
    starts_are_held: bool,
    /// Slots whose workers have been asked to end and are still there.
    ending: ToldOnce,
    /// Slots whose workers have not shown yet that they work.
    loading: ToldOnce,
    /// The hint about silent workers has been given.
    hinted: bool,
    wakes: Wakes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceState {
    Reading,
    /// The source sleeps until there is room for a job of this size.
    Waiting(usize),
    Ended,
}

impl Dispatcher {
    /// `has_worked` says that the program is known to answer jobs.
    pub fn new(limits: Limits, rate: Option<Rate>, has_worked: bool) -> Dispatcher {
        let orders = Orders {
            level: Level::Run,
            why: String::new(),
            finished: false,
            one_at_a_time: false,
            paused: false,
            renewals: 0,
            looks: 0,
        };
        Dispatcher {
            waiting: Waiting::default(),
            ledger: Ledger::new(limits),
            throttle: Throttle::new(rate),
            slots: Slots::new(limits.slots),
            orders,
            edition: 0,
            source: SourceState::Reading,
            offered: 0,
            recycling: None,
            renewal: Renewal::default(),
            keeper: None,
            starts: Starts::new(has_worked, limits.leaves_out),
            starts_are_held: false,
            ending: ToldOnce::default(),
            loading: ToldOnce::default(),
            hinted: false,
            wakes: Wakes::default(),
        }
    }

    /// Takes whom the calls since the last time want to be woken.
    pub fn take_wakes(&mut self) -> Wakes {
        std::mem::take(&mut self.wakes)
    }

    /// A number that changes whenever the orders do.
    pub fn edition(&self) -> u32 {
        self.edition
    }

    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    // ---- For the source ----

    /// Enters the first of these jobs, given by their sizes, into the accounts, and says how many. If that is none,
    /// the source is woken when there is room.
    pub fn admit(&mut self, sizes: &mut dyn Iterator<Item = usize>) -> usize {
        let mut admitted = 0;
        for size in sizes {
            if !self.ledger.admit(size) {
                if admitted == 0 {
                    self.source = SourceState::Waiting(size);
                }
                break;
            }
            admitted += 1;
        }
        admitted
    }

    /// Takes fresh jobs. In a run that is being stopped they come back, to be ended.
    pub fn offer(&mut self, jobs: Vec<Job>, now: Instant) -> Vec<Delivery> {
        if self.orders.level >= Level::Drain {
            return jobs.into_iter().map(Delivery::new).collect();
        }
        self.offered += jobs.len() as u64;
        self.waiting.push_fresh(jobs);
        self.call(now);
        Vec::new()
    }

    /// Whether there have been jobs for so many slots; `None` as long as more may come.
    pub fn has_work_for(&self, slots: u64) -> Option<bool> {
        if self.orders.finished || self.orders.level >= Level::Drain {
            return Some(false);
        }
        let enough = self.offered >= slots;
        if enough || self.source == SourceState::Ended { Some(enough) } else { None }
    }

    pub fn source_ended(&mut self) {
        self.source = SourceState::Ended;
    }

    // ---- For the slots ----

    /// What `slot` is to do. If that is to sleep, the slot counts as asleep from now on.
    pub fn ask(&mut self, slot: u32, standing: Standing, now: Instant) -> Turn {
        self.leave(slot, SlotState::Away);
        self.waiting.mature(now);
        let turn = self.turn(slot, standing, now);
        self.call(now);
        turn
    }

    fn turn(&mut self, slot: u32, standing: Standing, now: Instant) -> Turn {
        if let WorkerState::Absent { start_at, is_first } = standing.worker {
            if self.starts_are_held {
                return Turn::Sleep(None);
            }
            return match (self.needs_another_worker() || is_first, start_at <= now) {
                (true, true) => {
                    self.slots.set(slot, SlotState::Starting);
                    Turn::Start
                }
                (true, false) => Turn::Sleep(Some(start_at)),
                (false, _) => self.sleep(slot, Need::Start, now),
            };
        }
        if standing.in_flight == 0 && self.may_recycle(standing.recycling) {
            self.recycling.get_or_insert(slot);
            return Turn::Recycle;
        }
        if standing.recycling == Recycling::AtOnce || standing.room == 0 {
            return Turn::Sleep(None);
        }
        let need = Need::of(standing);
        let free = self.available(need, now).saturating_sub(self.slots.called_above(need));
        if free == 0 {
            return self.sleep(slot, need, now);
        }
        let jobs = self.waiting.take(standing.room.min(free), need.fits(), self.slots.len());
        assert!(!jobs.is_empty(), "a slot that has a turn has something to do");
        self.throttle.took(jobs.len(), now);
        Turn::Jobs(jobs)
    }

    /// Puts `slot` among the sleepers. One of them wakes when the next job is due.
    fn sleep(&mut self, slot: u32, need: Need, now: Instant) -> Turn {
        self.slots.set(slot, SlotState::Asleep(need));
        let due = self.next_due(now).filter(|&due| self.keeper.is_none_or(|(_, at)| at > due));
        if let Some(at) = due {
            self.keeper = Some((slot, at.max(now)));
        }
        Turn::Sleep(due)
    }

    /// When a job will be due that is not due now: a delayed one, or one that --rate or a pause holds back.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let is_held = self.waiting.due(Fits::Any) > self.throttle.allows(now) && self.orders.level < Level::Drain;
        let held = if is_held { self.throttle.next(now) } else { None };
        [self.waiting.next_due(), held].into_iter().flatten().min()
    }

    /// How many of the jobs that wait a slot with this need could take, if none were promised to others.
    fn available(&self, need: Need, now: Instant) -> usize {
        let runs_empty = need == Need::RunEmpty && self.recycling.is_none();
        if self.ledger.is_behind() || runs_empty || self.orders.level >= Level::Drain {
            return 0;
        }
        self.waiting.due(need.fits()).min(self.throttle.allows(now))
    }

    fn may_recycle(&self, recycling: Recycling) -> bool {
        match recycling {
            Recycling::No => false,
            Recycling::InTurn => self.recycling.is_none(),
            Recycling::AtOnce => true,
        }
    }

    /// Calls sleepers until there is one for each job that waits, one for a turn that is free, and one that keeps
    /// the time of the next delayed job.
    fn call(&mut self, now: Instant) {
        if self.slots.any_asleep() {
            self.waiting.mature(now);
            for need in Need::ALL.into_iter().rev() {
                let jobs = self.available(need, now);
                while self.slots.expected(need) < jobs
                    && let Some(slot) = self.slots.find_asleep(need)
                {
                    self.wake(slot);
                }
            }
            if self.recycling.is_none()
                && let Some(slot) = self.slots.find_asleep(Need::IdleInTurn)
            {
                self.wake(slot);
            }
            self.keep_time(now);
        }
        self.call_source();
    }

    /// Sees that a sleeper wakes when the next job is due.
    fn keep_time(&mut self, now: Instant) {
        let Some(due) = self.next_due(now) else { return };
        // A slot that has been called will ask again, and learns the time then.
        if self.keeper.is_some_and(|(_, at)| at <= due) || self.slots.called() > 0 {
            return;
        }
        if let Some(slot) = Need::ALL.into_iter().rev().find_map(|need| self.slots.find_asleep(need)) {
            self.wake(slot);
        }
    }

    fn wake(&mut self, slot: u32) {
        if let SlotState::Asleep(need) = self.slots.get(slot) {
            self.leave(slot, SlotState::Called(need));
            self.wakes.slots.push(slot);
        }
    }

    /// `slot` is no sleeper any more, so somebody else must keep the time of the next delayed job.
    fn leave(&mut self, slot: u32, state: SlotState) {
        self.slots.set(slot, state);
        self.keeper = self.keeper.filter(|&(keeper, _)| keeper != slot);
    }

    fn call_source(&mut self) {
        if let SourceState::Waiting(size) = self.source
            && self.ledger.is_low(size)
        {
            self.source = SourceState::Reading;
            self.wakes.source = true;
        }
    }

    /// Whether a worker that is started now could get a job: more jobs may come, or more are waiting than there are
    /// workers without a job, called slots and workers that are being started.
    fn needs_another_worker(&self) -> bool {
        let is_stopped = self.orders.finished || self.orders.level >= Level::Drain;
        let is_wanted = self.source != SourceState::Ended
            || self.waiting.len() > self.slots.expected(Need::Start) + self.slots.idle();
        !is_stopped && is_wanted
    }

    /// Takes jobs that are to be run by somebody else, or again. In a run that is being stopped they come back, to
    /// be ended.
    pub fn give_back(&mut self, deliveries: Vec<Delivery>, now: Instant) -> Vec<Delivery> {
        if self.orders.level >= Level::Drain {
            return deliveries;
        }
        deliveries.into_iter().for_each(|delivery| self.waiting.push_returned(delivery));
        self.call(now);
        Vec::new()
    }

    /// Jobs of `job_bytes` have ended in outcomes of `result_bytes`.
    pub fn ended(&mut self, job_bytes: usize, result_bytes: usize) {
        self.ledger.ended(job_bytes, result_bytes);
        self.call_source();
    }

    /// A worker has answered a job.
    pub fn answered(&mut self) {
        self.starts.answered();
    }

    /// Whether an answer of a worker would change anything here: most would not, and need not take the lock.
    pub fn has_doubts(&self) -> bool {
        self.starts.has_doubts()
    }

    pub fn started(&mut self, slot: u32) {
        self.loading.insert(slot);
        self.starts.running.insert(slot);
    }

    /// The worker of `slot` is the agent of a host, which keeps so many workers: each of them is to have a job.
    pub fn keeps(&mut self, slot: u32, workers: usize) {
        self.ledger.keeps(slot, workers);
        self.call_source();
    }

    /// The worker of `slot` has been asked to end, by the end of its input.
    pub fn asked_to_end(&mut self, slot: u32) {
        self.ending.insert(slot);
    }

    /// The worker of `slot` is gone. Returns whether it is to be told when the new worker would take a job (`arrived`),
    /// because the old one was to be replaced by order.
    pub fn buried(&mut self, slot: u32, now: Instant) -> bool {
        self.starts.running.remove(&slot);
        self.ending.remove(slot);
        self.loading.remove(slot);
        let is_awaited = self.renewal.buried(slot);
        if !is_awaited {
            self.end_turn(slot, now);
        }
        is_awaited
    }

    /// The new worker of `slot` would take a job. Returns how many workers have been replaced by order, when this one
    /// was the last.
    pub fn arrived(&mut self, slot: u32, now: Instant) -> Option<usize> {
        let replaced = self.renewal.arrived(slot);
        self.end_turn(slot, now);
        replaced
    }

    /// If `slot` has the turn to replace its worker, somebody else may have it now.
    fn end_turn(&mut self, slot: u32, now: Instant) {
        if self.recycling == Some(slot) {
            self.recycling = None;
            self.call(now);
        }
    }

    /// Whether the worker of `slot` may fail to start and nothing is lost: it is to be replaced by order, or to take the
    /// place of one that was, and others work, or are still as they were before the order.
    pub fn may_fail(&self, slot: u32) -> bool {
        let works = |other: u32| self.renewal.is_old(other) || !self.loading.contains(other);
        let is_renewed = self.renewal.is_old(slot) || self.renewal.is_coming(slot);
        is_renewed && self.starts.running.iter().any(|&other| other != slot && works(other))
    }

    /// A worker has not ended although it was asked to a while ago. The first time, returns all slots whose workers are
    /// waited for, so that people are told once; after that, returns none.
    pub fn lingering(&mut self) -> Vec<u32> {
        self.ending.tell()
    }

    /// A worker has been loading for a while. The first time, returns all slots whose workers are, so that people are
    /// told once; after that, returns none.
    pub fn loading(&mut self) -> Vec<u32> {
        self.loading.tell()
    }

    /// The worker of `slot` has said that it is ready, or has answered.
    pub fn proven(&mut self, slot: u32) {
        self.loading.remove(slot);
        self.starts.proven(slot);
    }

    /// A worker of `slot` has ended, or could not be had, before it showed that it works.
    pub fn failed_start(&mut self, slot: u32, failure: Failure) -> Consequence {
        if self.may_fail(slot) {
            return Consequence::Pause(restart_pause(u32::MAX));
        }
        let consequence = self.starts.failed(slot, failure, self.slots.len());
        if matches!(consequence, Consequence::LeaveOut(_)) {
            // Whoever counted on this slot's worker asks again.
            self.leave(slot, SlotState::Away);
            self.rouse();
        }
        consequence
    }

    /// From now on no worker is started, or workers are started again.
    pub fn hold_starts(&mut self, held: bool) {
        self.starts_are_held = held;
        self.rouse();
    }

    /// A worker has answered out of order. Returns whether that is news.
    pub fn not_serial(&mut self) -> bool {
        let is_news = !self.orders.one_at_a_time;
        if is_news {
            self.orders.one_at_a_time = true;
            self.announce();
        }
        is_news
    }

    /// An error asks that the whole pool gives out nothing for so long. Returns whether that is news.
    pub fn hold_back(&mut self, pause: Duration, now: Instant) -> bool {
        self.throttle.hold(now.checked_add(pause).unwrap_or(now), now)
    }

    /// Whether the hint about silent workers is still to be given. It counts as given after this call, since people
    /// need it once.
    pub fn take_hint(&mut self) -> bool {
        !std::mem::replace(&mut self.hinted, true)
    }

    // ---- For the collector ----

    /// The collector has dealt with outcomes; see [`Ledger::received`].
    pub fn received(&mut self, jobs: usize, result_bytes: usize, waiting_bytes: usize, now: Instant) {
        let was_behind = self.ledger.is_behind();
        self.ledger.received(jobs, result_bytes, waiting_bytes);
        if was_behind && !self.ledger.is_behind() {
            self.call(now);
        } else {
            self.call_source();
        }
    }

    // ---- For those who steer the run ----

    /// The run is being stopped. Returns the jobs that wait, to be ended.
    pub fn stop(&mut self, level: Level, why: &str) -> Vec<Delivery> {
        if level > self.orders.level {
            if self.orders.why.is_empty() {
                why.clone_into(&mut self.orders.why);
            }
            self.orders.level = level;
            self.announce();
        }
        self.waiting.take_all()
    }

    /// No job is left anywhere: the slots end.
    pub fn finish(&mut self) {
        self.orders.finished = true;
        self.announce();
    }

    /// The run stands still from now on, or goes on.
    pub fn pause(&mut self, paused: bool) {
        if self.orders.paused != paused {
            self.orders.paused = paused;
            self.announce();
        }
    }

    /// All workers that are there are to be replaced, one slot at a time. Returns how many; none in a run that ends.
    pub fn renew(&mut self) -> usize {
        if self.orders.finished || self.orders.level >= Level::Drain {
            return 0;
        }
        self.renewal.begin(&self.starts.running);
        self.orders.renewals += 1;
        self.announce();
        self.starts.running.len()
    }

    /// People ask what the workers do: each slot is to say so. Returns what waits for the workers.
    pub fn look(&mut self, now: Instant) -> Queue {
        self.orders.looks += 1;
        self.announce();
        let due = self.waiting.due(Fits::Any);
        Queue {
            waiting: self.waiting.len(),
            is_held: due > 0 && self.throttle.allows(now) == 0,
            is_behind: self.ledger.is_behind(),
        }
    }

    /// Why there is no job for a worker that could take one.
    pub fn why_idle(&self, now: Instant) -> Occupation {
        if self.ledger.is_behind() {
            Occupation::NoOutput
        } else if self.waiting.due(Fits::Any) > 0 && self.throttle.allows(now) == 0 {
            Occupation::Held
        } else if self.source == SourceState::Ended || self.orders.level >= Level::Drain {
            Occupation::NothingLeft
        } else {
            Occupation::NoInput
        }
    }

    /// Wakes everybody to look at the orders.
    fn announce(&mut self) {
        self.edition += 1;
        self.rouse();
    }

    /// Wakes everybody to look at their workers.
    pub fn rouse(&mut self) {
        self.wakes.slots = (0..self.slots.len() as u32).collect();
    }
}

/// What the tests and the simulation look at.
#[cfg(test)]
impl Dispatcher {
    /// The source sleeps until there is room.
    pub fn source_waits(&self) -> bool {
        matches!(self.source, SourceState::Waiting(_))
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The slot that is replacing its worker in turn.
    pub fn in_turn(&self) -> Option<u32> {
        self.recycling
    }

    /// Whether a sleeping slot that stands so should not sleep: there is something for it to do.
    pub fn owes(&self, standing: Standing, now: Instant) -> bool {
        let has_jobs = || {
            let need = Need::of(standing);
            let is_due = self.waiting.next_due().is_some_and(|at| at <= now) && need.fits() == Fits::Any;
            let may = self.throttle.allows(now) > 0 && !self.ledger.is_behind();
            standing.room > 0 && (self.available(need, now) > 0 || (is_due && may))
        };
        match standing.worker {
            WorkerState::Absent { start_at, .. } => {
                let coming = self.slots.expected(Need::Start) + self.slots.idle();
                start_at <= now && self.available(Need::Start, now) > coming && self.needs_another_worker()
            }
            _ if standing.in_flight == 0 && self.may_recycle(standing.recycling) => true,
            _ => has_jobs(),
        }
    }
}

#[cfg(test)]
mod tests;
