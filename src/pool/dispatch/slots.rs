//! The slots as the dispatcher sees them: who sleeps, what each could do with a job, and who has been called.

use super::standing::{Recycling, Standing, WorkerState};
use super::waiting::Fits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// The slot is at work, or sleeps with all the jobs it wants: nobody needs to wake it.
    Away,
    Asleep(Need),
    /// The slot has been woken and has not asked yet.
    Called(Need),
    /// The slot has been told to start a worker, which cannot take a job yet.
    Starting,
}

/// What a sleeping slot could do with a job; the greatest is called first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The slot's worker has jobs, and is to be replaced in turn: the slot takes other jobs only while another slot has
    /// the turn.
    RunEmpty,
    /// The slot's worker has jobs, and room for more.
    Queue,
    /// The slot has no worker, and would start one.
    Start,
    /// The slot's worker has no job, and has not shown yet that it works.
    Begin,
    /// The slot's worker has nothing to do, and is to be replaced in turn.
    IdleInTurn,
    /// The slot's worker has nothing to do.
    Idle,
}

impl Need {
    /// Each need at the place of its number (`need as usize`), by which they are counted.
    pub const ALL: [Need; 6] = [Need::RunEmpty, Need::Queue, Need::Start, Need::Begin, Need::IdleInTurn, Need::Idle];

    pub fn of(standing: Standing) -> Need {
        match (standing.in_flight, standing.worker, standing.recycling) {
            (0, WorkerState::Proven, Recycling::No) => Need::Idle,
            (0, WorkerState::Proven, _) => Need::IdleInTurn,
            (_, WorkerState::Absent { .. }, _) => Need::Start,
            (0, ..) => Need::Begin,
            (_, _, Recycling::No) => Need::Queue,
            _ => Need::RunEmpty,
        }
    }

    /// Which jobs are for a slot with this need.
    pub fn fits(self) -> Fits {
        if self >= Need::Start { Fits::Any } else { Fits::Shared }
    }
}

/// All slots, and how many of each kind there are, so that finding nobody to wake costs nothing.
#[derive(Debug)]
pub struct Slots {
    slots: Vec<SlotState>,
    asleep: [usize; Need::ALL.len()],
    called: [usize; Need::ALL.len()],
    starting: usize,
}

impl Slots {
    pub fn new(slots: usize) -> Slots {
        Slots {
            slots: vec![SlotState::Away; slots],
            asleep: [0; Need::ALL.len()],
            called: [0; Need::ALL.len()],
            starting: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn get(&self, slot: u32) -> SlotState {
        self.slots[slot as usize]
    }

    pub fn set(&mut self, slot: u32, state: SlotState) {
        match std::mem::replace(&mut self.slots[slot as usize], state) {
            SlotState::Away => {}
            SlotState::Asleep(need) => self.asleep[need as usize] -= 1,
            SlotState::Called(need) => self.called[need as usize] -= 1,
            SlotState::Starting => self.starting -= 1,
        }
        match state {
            SlotState::Away => {}
            SlotState::Asleep(need) => self.asleep[need as usize] += 1,
            SlotState::Called(need) => self.called[need as usize] += 1,
            SlotState::Starting => self.starting += 1,
        }
    }

    pub fn any_asleep(&self) -> bool {
        self.asleep.iter().any(|&count| count > 0)
    }

    /// The first slot that sleeps with this need.
    pub fn find_asleep(&self, need: Need) -> Option<u32> {
        if self.asleep[need as usize] == 0 {
            return None;
        }
        (0..).zip(&self.slots).find_map(|(slot, state)| (*state == SlotState::Asleep(need)).then_some(slot))
    }

    /// How many slots will come for a job without being called for it: those that have been called already and, if the
    /// job would have to wait for a worker to be started, those that are starting one.
    pub fn expected(&self, need: Need) -> usize {
        self.called() + if need == Need::Start { self.starting } else { 0 }
    }

    /// How many slots with an empty worker sleep.
    pub fn idle(&self) -> usize {
        [Need::Begin, Need::IdleInTurn, Need::Idle].map(|need| self.asleep[need as usize]).iter().sum()
    }

    /// How many slots have been called.
    pub fn called(&self) -> usize {
        self.called.iter().sum()
    }

    /// How many slots have been called whose need is greater than this one, so that a slot with this need must leave
    /// them their jobs. The idle ones leave nobody anything: whichever comes first takes what waits.
    pub fn called_above(&self, need: Need) -> usize {
        if need >= Need::IdleInTurn { 0 } else { self.called[need as usize + 1..].iter().sum() }
    }
}
