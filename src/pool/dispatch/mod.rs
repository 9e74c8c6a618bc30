//! Everything that the slots share, behind one lock: jobs that wait, who sleeps, the accounts of jobs and bytes,
//! the budget of failed starts, whose turn it is to replace a worker, and the orders to stop or to stand still.
//!
//! What is decided is in `dispatcher`, a pure state machine that the simulation of the pool runs as it is. This file
//! adds what threads need: the lock, the channel that brings fresh jobs, and the bells of sleeping threads, which are
//! rung when the lock is free again: rung earlier, they would wake threads that then wait for the lock.

mod dispatcher;
mod ledger;
mod renewal;
mod slot_set;
mod slots;
mod standing;
mod starts;
mod throttle;
mod told_once;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::delivery::Delivery;
use crate::words::cancel::Level;
use crate::words::doing::{Occupation, Queue};
use crate::words::job::Job;
use crate::words::rate::Rate;
pub use dispatcher::{Orders, Turn, Wakes};
pub use ledger::Limits;
pub use standing::{Recycling, Standing, WorkerState};
pub use starts::{Consequence, Failure};

use dispatcher::Dispatcher;

pub struct Dispatch {
    state: Mutex<Dispatcher>,
    /// Told when the source has brought jobs or has ended, and when the run is being stopped.
    news: Condvar,
    /// Fresh jobs, in pieces. The source announces each piece by `offered`, which takes it out, so that no more than
    /// one is in the channel.
    fresh: Receiver<Vec<Job>>,
    /// The edition of the orders, so that a slot need not take the lock to see that nothing has been ordered.
    edition: AtomicU32,
    /// Whether the answer of a worker would be news to the dispatcher: most are not, and need not take the lock.
    has_doubts: AtomicBool,
    ring: Box<dyn Fn(&Wakes) + Send + Sync>,
}

impl Dispatch {
    /// `ring` wakes threads; `has_worked` says that the program is known to answer jobs.
    pub fn new(
        limits: Limits,
        rate: Option<Rate>,
        has_worked: bool,
        fresh: Receiver<Vec<Job>>,
        ring: impl Fn(&Wakes) + Send + Sync + 'static,
    ) -> Dispatch {
        let state = Mutex::new(Dispatcher::new(limits, rate, has_worked));
        Dispatch {
            state,
            news: Condvar::new(),
            fresh,
            edition: AtomicU32::new(0),
            has_doubts: AtomicBool::new(true),
            ring: Box::new(ring),
        }
    }

    /// Runs `call` under the lock. Whom it wants woken is woken after that.
    fn with<T>(&self, call: impl FnOnce(&mut Dispatcher) -> T) -> T {
        let mut state = self.lock();
        let result = call(&mut state);
        let wakes = state.take_wakes();
        self.edition.store(state.edition(), Ordering::Release);
        self.has_doubts.store(state.has_doubts(), Ordering::Relaxed);
        drop(state);
        if wakes.source || !wakes.slots.is_empty() {
            (self.ring)(&wakes);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Dispatcher> {
        self.state.lock().expect("no thread panics while it holds this lock")
    }

    // ---- For the source ----

    /// Enters the first of these jobs, given by their sizes in bytes, into the accounts, and says how many. If that
    /// is none, the source is woken when there is room.
    pub fn admit(&self, sizes: &mut dyn Iterator<Item = usize>) -> usize {
        self.with(|state| state.admit(sizes))
    }

    /// A piece of fresh jobs has been put into the channel. In a run that is being stopped jobs come back, to be
    /// ended.
    pub fn offered(&self, now: Instant) -> Vec<Delivery> {
        self.with(|state| {
            let jobs: Vec<Job> = self.fresh.try_iter().flatten().collect();
            self.news.notify_all();
            state.offer(jobs, now)
        })
    }

    /// No more jobs will be offered.
    pub fn source_ended(&self) {
        self.with(Dispatcher::source_ended);
        self.news.notify_all();
    }

    // ---- For the slots ----

    /// A number that changes whenever the orders do.
    pub fn edition(&self) -> u32 {
        self.edition.load(Ordering::Acquire)
    }

    pub fn orders(&self) -> Orders {
        self.lock().orders().clone()
    }

    /// What `slot` is to do next. If that is to sleep, the slot counts as asleep from now on.
    pub fn ask(&self, slot: u32, standing: Standing, now: Instant) -> Turn {
        self.with(|state| state.ask(slot, standing, now))
    }

    /// Why there is no job for a worker that could take one.
    pub fn why_idle(&self, now: Instant) -> Occupation {
        self.lock().why_idle(now)
    }

    /// Takes jobs that are to be run by somebody else, or again. In a run that is being stopped they come back, to
    /// be ended.
    pub fn give_back(&self, deliveries: Vec<Delivery>, now: Instant) -> Vec<Delivery> {
        self.with(|state| state.give_back(deliveries, now))
    }

    /// Jobs of `job_bytes` have ended in outcomes of `result_bytes`, which will be sent to the collector.
    pub fn ended(&self, job_bytes: usize, result_bytes: usize) {
        self.with(|state| state.ended(job_bytes, result_bytes));
    }

    /// A worker has answered a job: the program works.
    pub fn answered(&self) {
        if self.has_doubts.load(Ordering::Relaxed) {
            self.with(Dispatcher::answered);
        }
    }

    /// A worker's process has been started.
    pub fn started(&self, slot: u32) {
        self.with(|state| state.started(slot));
    }

    /// The worker of `slot` is the agent of a host, which keeps so many workers.
    pub fn keeps(&self, slot: u32, workers: usize) {
        self.with(|state| state.keeps(slot, workers));
    }

    /// The worker of `slot` has been asked to end, by the end of its input.
    pub fn asked_to_end(&self, slot: u32) {
        self.with(|state| state.asked_to_end(slot));
    }

    /// The worker of `slot` is gone. If it was being replaced in turn, that turn is over. If it was to be replaced by
    /// order, this returns true: the turn is over when the new worker has `arrived`.
    pub fn buried(&self, slot: u32, now: Instant) -> bool {
        self.with(|state| state.buried(slot, now))
    }

    /// The new worker of `slot` would take a job. Returns how many workers have been replaced by order, when this one
    /// was the last.
    pub fn arrived(&self, slot: u32, now: Instant) -> Option<usize> {
        self.with(|state| state.arrived(slot, now))
    }

    /// Whether the worker of `slot` may fail to start and nothing is lost: others work, and it is to be replaced by
    /// order, or to take the place of one that was.
    pub fn may_fail(&self, slot: u32) -> bool {
        self.lock().may_fail(slot)
    }

    /// A worker has not ended although it was asked to a while ago. The first time, returns all slots whose workers are
    /// waited for, so that people are told once; after that, returns none.
    pub fn lingering(&self) -> Vec<u32> {
        self.with(Dispatcher::lingering)
    }

    /// A worker has been loading for a while. The first time, returns all slots whose workers are, so that people are
    /// told once; after that, returns none.
    pub fn loading(&self) -> Vec<u32> {
        self.with(Dispatcher::loading)
    }

    /// The worker of `slot` has shown that it works.
    pub fn proven(&self, slot: u32) {
        self.with(|state| state.proven(slot));
    }

    /// A worker of `slot` has ended, or could not be had, before it showed that it works.
    pub fn failed_start(&self, slot: u32, failure: Failure) -> Consequence {
        self.with(|state| state.failed_start(slot, failure))
    }

    /// From now on no worker is started, or workers are started again.
    pub fn hold_starts(&self, held: bool) {
        self.with(|state| state.hold_starts(held));
    }

    /// A worker has answered out of order. Returns whether that is news.
    pub fn not_serial(&self) -> bool {
        self.with(Dispatcher::not_serial)
    }

    /// An error asks that the whole pool gives out nothing for so long. Returns whether that is news.
    pub fn hold_back(&self, pause: Duration, now: Instant) -> bool {
        self.with(|state| state.hold_back(pause, now))
    }

    /// Whether the hint about silent workers is still to be given. It counts as given after this call, since people
    /// need it once.
    pub fn take_hint(&self) -> bool {
        self.with(Dispatcher::take_hint)
    }

    // ---- For the collector ----

    /// The collector has dealt with the outcomes of `jobs` jobs, of `result_bytes`. Of all it has received,
    /// `waiting_bytes` wait in memory for their turn.
    pub fn received(&self, jobs: usize, result_bytes: usize, waiting_bytes: usize, now: Instant) {
        self.with(|state| state.received(jobs, result_bytes, waiting_bytes, now));
    }

    // ---- For those who steer the run ----

    /// The run is being stopped. Returns the jobs that wait, to be ended.
    pub fn stop(&self, level: Level, why: &str) -> Vec<Delivery> {
        let waiting = self.with(|state| state.stop(level, why));
        self.news.notify_all();
        waiting
    }

    /// Whether there is work for so many slots, or may still be. Waits until it is known, or `until`.
    pub fn has_work_for(&self, slots: u64, until: Instant) -> bool {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            match state.has_work_for(slots) {
                Some(known) => return known,
                None if now >= until => return true,
                None => {
                    let waited = self.news.wait_timeout(state, until - now);
                    state = waited.expect("no thread panics while it holds this lock").0;
                }
            }
        }
    }

    /// No job is left anywhere: the slots end.
    pub fn finish(&self) {
        self.with(Dispatcher::finish);
        self.news.notify_all();
    }

    /// The run stands still from now on.
    pub fn pause(&self) {
        self.with(|state| state.pause(true));
    }

    /// The run goes on.
    pub fn resume(&self) {
        self.with(|state| state.pause(false));
    }

    /// All workers that are there are to be replaced, one slot at a time. Returns how many; none in a run that ends.
    pub fn renew(&self) -> usize {
        self.with(Dispatcher::renew)
    }

    /// People ask what the workers do: each slot is to say so. Returns what waits for the workers.
    pub fn look_at_all(&self, now: Instant) -> Queue {
        self.with(|state| state.look(now))
    }

    /// Wakes all slots to look at their workers: one of them may have been stopped.
    pub fn rouse(&self) {
        self.with(Dispatcher::rouse);
    }

    /// What the dispatcher knows, for the simulation.
    #[cfg(test)]
    pub fn look<T>(&self, look: impl FnOnce(&Dispatcher) -> T) -> T {
        look(&self.lock())
    }
}
