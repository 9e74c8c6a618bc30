//! The slots as the dispatcher sees them: who sleeps, what each could do with a job, and who has been called.

use super::slot_set::SlotSet;
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
            (_, WorkerState::Absent { .. }, _) => Need::Start,
            (0, WorkerState::Proven, _) | (0, _, Recycling::InTurn) => Need::IdleInTurn,
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

/// All slots, who of them sleeps, and how many of each kind there are, so that finding somebody to wake, or nobody, costs
/// next to nothing, however many there are.
#[derive(Debug)]
pub struct Slots {
    slots: Vec<SlotState>,
    asleep: [SlotSet; Need::ALL.len()],
    called: [usize; Need::ALL.len()],
    starting: usize,
}

impl Slots {
    pub fn new(slots: usize) -> Slots {
        Slots {
            slots: vec![SlotState::Away; slots],
            asleep: Need::ALL.map(|_| SlotSet::new(slots)),
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
            SlotState::Asleep(need) => self.asleep[need as usize].remove(slot),
            SlotState::Called(need) => self.called[need as usize] -= 1,
            SlotState::Starting => self.starting -= 1,
        }
        match state {
            SlotState::Away => {}
            SlotState::Asleep(need) => self.asleep[need as usize].insert(slot),
            SlotState::Called(need) => self.called[need as usize] += 1,
            SlotState::Starting => self.starting += 1,
        }
    }

    pub fn any_asleep(&self) -> bool {
        self.asleep.iter().any(|slots| !slots.is_empty())
    }

    /// The first slot that sleeps with this need.
    pub fn find_asleep(&self, need: Need) -> Option<u32> {
        self.asleep[need as usize].first()
    }

    /// How many slots will come for a job without being called for it: those that have been called already and, if the
    /// job would have to wait for a worker to be started, those that are starting one.
    pub fn expected(&self, need: Need) -> usize {
        self.called() + if need == Need::Start { self.starting } else { 0 }
    }

    /// How many slots with an empty worker sleep.
    pub fn idle(&self) -> usize {
        [Need::Begin, Need::IdleInTurn, Need::Idle].map(|need| self.asleep[need as usize].len()).iter().sum()
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_need_follows_from_how_a_slot_stands() {
        let absent = WorkerState::Absent { start_at: Instant::now(), is_first: false };
        for (in_flight, worker, recycling, expected) in [
            (0, WorkerState::Proven, Recycling::No, Need::Idle),
            (0, WorkerState::Proven, Recycling::InTurn, Need::IdleInTurn),
            (0, WorkerState::Unproven, Recycling::No, Need::Begin),
            (0, WorkerState::Unproven, Recycling::InTurn, Need::IdleInTurn),
            (0, absent, Recycling::No, Need::Start),
            (3, WorkerState::Proven, Recycling::No, Need::Queue),
            (3, WorkerState::Proven, Recycling::InTurn, Need::RunEmpty),
        ] {
            let need = Need::of(Standing { room: 1, in_flight, worker, recycling });
            assert_eq!(need, expected);
            assert_eq!(need.fits() == Fits::Any, in_flight == 0, "only an empty worker may take a job alone");
        }
    }

    #[test]
    fn slots_are_counted_by_what_they_do_and_the_first_is_found() {
        let mut slots = Slots::new(4);
        assert_eq!((slots.any_asleep(), slots.find_asleep(Need::Idle)), (false, None));
        slots.set(1, SlotState::Asleep(Need::Idle));
        slots.set(2, SlotState::Asleep(Need::Idle));
        slots.set(3, SlotState::Asleep(Need::Queue));
        assert_eq!((slots.find_asleep(Need::Idle), slots.find_asleep(Need::Queue)), (Some(1), Some(3)));
        assert_eq!((slots.idle(), slots.called()), (2, 0));
        slots.set(1, SlotState::Called(Need::Idle));
        slots.set(0, SlotState::Starting);
        assert_eq!((slots.idle(), slots.called(), slots.find_asleep(Need::Idle)), (1, 1, Some(2)));
        assert_eq!((slots.expected(Need::Idle), slots.expected(Need::Start)), (1, 2), "a start is a worker to come");
        assert_eq!((slots.called_above(Need::Queue), slots.called_above(Need::IdleInTurn)), (1, 0));
    }
}
