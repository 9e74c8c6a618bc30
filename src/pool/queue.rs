//! Where jobs wait for a worker, and how a sleeping slot learns of them.
//!
//! Fresh jobs come in pieces through a bounded channel; returned ones (bystanders of a crash, retries) are
//! kept beside them and go first. A slot that has room for a job and finds none marks itself hungry and looks
//! once more before it sleeps; whoever offers a job wakes hungry slots. So no job is missed and nobody polls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::permits::Permits;
use super::session::Delivery;
use crate::sys::bell::Bell;
use crate::words::job::Job;

/// How much a sleeping slot would like a job; the most eager is woken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hunger {
    None = 0,
    /// It has jobs, and room for more.
    Busy = 1,
    /// Its worker has not shown yet that it works, or must be started first.
    Unproven = 2,
    Idle = 3,
}

pub struct Queue {
    fresh: Receiver<Vec<Job>>,
    front: Mutex<Front>,
    slots: Vec<Seat>,
    pub permits: Permits,
    source_ended: AtomicBool,
    finished: AtomicBool,
    /// Bytes of results that the collector has not received, because its output is slow.
    backlog: AtomicUsize,
    /// No more jobs are handed out while the backlog is larger.
    backlog_most: usize,
    /// A slot was refused a job because of the backlog.
    held: AtomicBool,
    /// A worker has shown that it does not take its jobs in order.
    pub one_at_a_time: AtomicBool,
    /// A slot is replacing its worker as planned.
    recycling: AtomicBool,
    /// The hint about silent workers has been given.
    pub hinted: AtomicBool,
    /// Failed starts in a row, over the whole pool.
    pub failed_starts: AtomicU32,
    /// Workers that there are.
    pub live: AtomicU32,
    /// The run stands still (Ctrl-Z).
    pub paused: AtomicBool,
}

struct Seat {
    hunger: AtomicU8,
    bell: Bell,
}

#[derive(Default)]
struct Front {
    fresh: VecDeque<Job>,
    returned: Returned,
}

/// Jobs that came back, by how and when they may go again; the earliest of the input first.
#[derive(Default)]
struct Returned {
    /// These must have a worker to themselves.
    alone: BTreeMap<u64, Delivery>,
    shared: BTreeMap<u64, Delivery>,
    delayed: BTreeMap<(Instant, u64), Delivery>,
}

impl Returned {
    fn push(&mut self, delivery: Delivery) {
        match delivery.not_before {
            Some(at) => drop(self.delayed.insert((at, delivery.job.number), delivery)),
            None => self.push_due(delivery),
        }
    }

    fn push_due(&mut self, delivery: Delivery) {
        let due = if delivery.alone { &mut self.alone } else { &mut self.shared };
        due.insert(delivery.job.number, delivery);
    }

    /// Moves what has waited long enough, and says when the next one will have.
    fn mature(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.delayed.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return Some(at);
            }
            let delivery = entry.remove();
            self.push_due(delivery);
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.shared.is_empty() && self.delayed.is_empty()
    }

    fn take_all(&mut self) -> Vec<Delivery> {
        let Returned { alone, shared, delayed } = std::mem::take(self);
        alone.into_values().chain(shared.into_values()).chain(delayed.into_values()).collect()
    }
}

/// What a slot got.
#[derive(Debug, Default)]
pub struct Taken {
    pub deliveries: Vec<Delivery>,
    /// When a delayed job will be there to take.
    pub next_due: Option<Instant>,
}

impl Queue {
    /// `bells` wake the slots, one each. `backlog_most` bounds the bytes of results nobody has received.
    pub fn new(fresh: Receiver<Vec<Job>>, permits: Permits, bells: Vec<Bell>, backlog_most: usize) -> Queue {
        let seat = |bell| Seat { hunger: AtomicU8::new(0), bell };
        Queue {
            fresh,
            front: Mutex::default(),
            slots: bells.into_iter().map(seat).collect(),
            permits,
            source_ended: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            backlog: AtomicUsize::new(0),
            backlog_most,
            held: AtomicBool::new(false),
            one_at_a_time: AtomicBool::new(false),
            recycling: AtomicBool::new(false),
            hinted: AtomicBool::new(false),
            failed_starts: AtomicU32::new(0),
            live: AtomicU32::new(0),
            paused: AtomicBool::new(false),
        }
    }

    // ---- For the source, and whoever returns a job ----

    /// So many jobs have been put into the channel.
    pub fn offered(&self, jobs: usize) {
        let mut left = jobs;
        for hunger in [Hunger::Idle, Hunger::Unproven, Hunger::Busy] {
            for seat in &self.slots {
                if left == 0 {
                    return;
                }
                if seat.wake_if(hunger) {
                    left -= 1;
                }
            }
        }
    }

    pub fn give_back(&self, deliveries: Vec<Delivery>) {
        let count = deliveries.len();
        {
            let mut front = self.lock();
            deliveries.into_iter().for_each(|delivery| front.returned.push(delivery));
        }
        self.offered(count);
    }

    pub fn source_ended(&self) {
        self.source_ended.store(true, Ordering::Release);
    }

    // ---- For the collector ----

    /// Results of so many bytes have been received.
    pub fn received(&self, bytes: usize) {
        let left = self.backlog.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if left <= self.backlog_most / 2 && self.held.swap(false, Ordering::SeqCst) {
            self.ring_all();
        }
    }

    /// No job is left anywhere: the slots end.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.ring_all();
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    pub fn ring_all(&self) {
        for seat in &self.slots {
            seat.bell.ring();
        }
    }

    // ---- For the slots ----

    /// Up to `most` deliveries for a slot that has `in_flight` jobs. Returned ones go first; one that must
    /// have a worker to itself goes only to a slot that has nothing else. Near the end fresh ones are spread,
    /// so that no slot queues what another could run.
    pub fn take(&self, most: usize, in_flight: usize, proven: bool, now: Instant) -> Taken {
        if self.is_held_up() {
            return Taken::default();
        }
        let mut front = self.lock();
        let mut taken = Taken { next_due: front.returned.mature(now), ..Taken::default() };
        if !front.returned.alone.is_empty() {
            if in_flight == 0 && (proven || !self.idle_slot_is_waiting()) {
                taken.deliveries.extend(front.returned.alone.pop_first().map(|(_, delivery)| delivery));
            }
            // A slot with jobs first runs empty, so that somebody takes the returned one soon.
            return taken;
        }
        if !front.returned.shared.is_empty() {
            if proven || !self.idle_slot_is_waiting() {
                let count = most.min(front.returned.shared.len().div_ceil(self.slots.len()));
                let first = std::iter::from_fn(|| front.returned.shared.pop_first()).take(count);
                taken.deliveries.extend(first.map(|(_, delivery)| delivery));
            }
            return taken;
        }
        let enough = most.saturating_mul(self.slots.len());
        while front.fresh.len() < enough
            && let Ok(jobs) = self.fresh.try_recv()
        {
            front.fresh.extend(jobs);
        }
        if front.fresh.is_empty() || (!proven && self.idle_slot_is_waiting()) {
            return taken;
        }
        let share = front.fresh.len().div_ceil(self.slots.len());
        let count = most.min(share);
        taken.deliveries.extend(front.fresh.drain(..count).map(Delivery::new));
        taken
    }

    /// Results of so many bytes are on their way to the collector.
    pub fn sending(&self, bytes: usize) {
        self.backlog.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Whether the collector must catch up first.
    fn is_held_up(&self) -> bool {
        let is_too_much = || self.backlog.load(Ordering::SeqCst) > self.backlog_most;
        if !is_too_much() {
            return false;
        }
        self.held.store(true, Ordering::SeqCst);
        // Looked at again, so that a collector that has caught up in between is not waited for.
        is_too_much()
    }

    /// Everything that waits, for a run that is being stopped.
    pub fn take_rest(&self) -> Vec<Delivery> {
        let mut front = self.lock();
        let mut rest = front.returned.take_all();
        rest.extend(front.fresh.drain(..).map(Delivery::new));
        while let Ok(jobs) = self.fresh.try_recv() {
            rest.extend(jobs.into_iter().map(Delivery::new));
        }
        rest
    }

    /// Whether a worker that is started now could get a job.
    pub fn expects_work(&self) -> bool {
        if self.is_finished() {
            return false;
        }
        let front = self.lock();
        !self.source_ended.load(Ordering::Acquire)
            || !front.returned.is_empty()
            || !front.fresh.is_empty()
            || !self.fresh.is_empty()
    }

    pub fn set_hunger(&self, slot: u32, hunger: Hunger) {
        self.slots[slot as usize].hunger.store(hunger as u8, Ordering::SeqCst);
    }

    /// At most one slot replaces its worker at a time.
    pub fn try_recycle(&self) -> bool {
        !self.recycling.swap(true, Ordering::AcqRel)
    }

    pub fn recycled(&self) {
        self.recycling.store(false, Ordering::Release);
        self.ring_all();
    }

    /// A slot with a proven worker and nothing to do: it is woken, and jobs are left to it.
    fn idle_slot_is_waiting(&self) -> bool {
        self.slots.iter().any(|seat| seat.wake_if(Hunger::Idle))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Front> {
        self.front.lock().expect("no thread panics while it holds this lock")
    }
}

impl Seat {
    fn wake_if(&self, hunger: Hunger) -> bool {
        let hungry = hunger as u8;
        if self.hunger.compare_exchange(hungry, Hunger::None as u8, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return false;
        }
        self.bell.ring();
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn job(number: u64) -> Job {
        Job { number, line: number, data: Bytes::from_static(b"{}"), extra: None }
    }

    /// A queue for two slots with these fresh jobs.
    fn queue(fresh: std::ops::RangeInclusive<u64>) -> Queue {
        let (jobs, receiver) = crossbeam_channel::unbounded();
        jobs.send(fresh.map(job).collect()).unwrap();
        let bells = vec![Bell::new().unwrap(), Bell::new().unwrap()];
        Queue::new(receiver, Permits::new(100, 1000, 2, 2).unwrap(), bells, 100)
    }

    fn numbers(taken: &Taken) -> Vec<u64> {
        taken.deliveries.iter().map(|delivery| delivery.job.number).collect()
    }

    #[test]
    fn fresh_jobs_are_shared_among_the_slots() {
        let queue = queue(1..=10);
        let now = Instant::now();
        assert_eq!(numbers(&queue.take(100, 0, true, now)), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&queue.take(1, 0, true, now)), [6]);
    }

    #[test]
    fn returned_jobs_go_first_and_one_that_must_be_alone_goes_to_an_empty_slot() {
        let queue = queue(10..=19);
        let now = Instant::now();
        let later = now + std::time::Duration::from_secs(1);
        let returned = |number, alone, not_before| Delivery { alone, not_before, ..Delivery::new(job(number)) };
        queue.give_back(vec![returned(3, false, None), returned(2, true, None), returned(1, false, Some(later))]);
        let busy = queue.take(5, 2, true, now);
        assert_eq!((numbers(&busy), busy.next_due), (Vec::<u64>::new(), Some(later)), "a busy slot runs empty first");
        assert_eq!(numbers(&queue.take(5, 0, true, now)), [2]);
        assert_eq!(numbers(&queue.take(5, 2, true, now)), [3]);
        assert_eq!(numbers(&queue.take(2, 2, true, now)), [10, 11]);
        assert_eq!(numbers(&queue.take(5, 2, true, later)), [1]);
    }

    #[test]
    fn nothing_is_handed_out_while_the_collector_is_behind() {
        let queue = queue(1..=4);
        let now = Instant::now();
        queue.sending(101);
        assert!(numbers(&queue.take(1, 0, true, now)).is_empty());
        queue.received(40);
        assert_eq!(numbers(&queue.take(1, 0, true, now)), [1]);
    }
}
