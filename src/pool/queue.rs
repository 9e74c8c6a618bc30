//! Where jobs wait for a worker, and how a sleeping slot learns of them.
//!
//! Fresh jobs come in pieces through a bounded channel; returned ones (bystanders of a crash, retries) are
//! kept beside them and go first. A slot that has room for a job and finds none marks itself hungry and looks
//! once more before it sleeps; whoever offers a job wakes hungry slots. So no job is missed and nobody polls.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::permits::Permits;
use super::session::Delivery;
use crate::cancel::Bell;
use crate::job::Job;

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
    /// A worker has shown that it does not take its jobs in order.
    pub one_at_a_time: AtomicBool,
    /// A slot is replacing its worker as planned.
    recycling: AtomicBool,
    /// The hint about silent workers has been given.
    pub hinted: AtomicBool,
    /// Failed starts in a row, over the whole pool.
    pub failed_starts: AtomicU32,
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
    returned: Vec<Delivery>,
}

/// What a slot got.
#[derive(Debug, Default)]
pub struct Taken {
    pub deliveries: Vec<Delivery>,
    /// When a delayed job will be there to take.
    pub next_due: Option<Instant>,
}

impl Queue {
    /// `bells` wake the slots, one each.
    pub fn new(fresh: Receiver<Vec<Job>>, permits: Permits, bells: Vec<Bell>) -> Queue {
        let seat = |bell| Seat { hunger: AtomicU8::new(0), bell };
        Queue {
            fresh,
            front: Mutex::default(),
            slots: bells.into_iter().map(seat).collect(),
            permits,
            source_ended: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            one_at_a_time: AtomicBool::new(false),
            recycling: AtomicBool::new(false),
            hinted: AtomicBool::new(false),
            failed_starts: AtomicU32::new(0),
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
        self.lock().returned.extend(deliveries);
        self.offered(count);
    }

    pub fn source_ended(&self) {
        self.source_ended.store(true, Ordering::Release);
    }

    // ---- For the collector ----

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

    /// Up to `most` deliveries for a slot that has `in_flight` jobs. Returned ones go first, one at a time
    /// and only to a slot that has nothing else. Near the end fresh ones are spread, so that no slot queues
    /// what another could run.
    pub fn take(&self, most: usize, in_flight: usize, proven: bool, now: Instant) -> Taken {
        let mut front = self.lock();
        let mut taken = Taken::default();
        let mut due: Option<usize> = None;
        for (index, delivery) in front.returned.iter().enumerate() {
            match delivery.not_before {
                Some(at) if at > now => taken.next_due = Some(taken.next_due.map_or(at, |other| other.min(at))),
                _ if due.is_none_or(|other| delivery.job.number < front.returned[other].job.number) => {
                    due = Some(index)
                }
                _ => {}
            }
        }
        if let Some(index) = due {
            if in_flight == 0 && !(!proven && self.idle_slot_is_waiting()) {
                taken.deliveries.push(front.returned.swap_remove(index));
            }
            // A slot with jobs first runs empty, so that somebody takes the returned one soon.
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

    /// Everything that waits, for a run that is being stopped.
    pub fn take_rest(&self) -> Vec<Delivery> {
        let mut front = self.lock();
        let mut rest = std::mem::take(&mut front.returned);
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
