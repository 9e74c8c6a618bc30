//! The budget of failed starts: a program that does not work is not started for each of a million jobs, and a job that
//! kills its worker, or a system that is short of processes, does not use the budget up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::policies::{restart_pause, start_budget};

/// What a worker's end says of how workers start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The worker ended before it had read its first job, or before it was given one.
    AtStart,
    /// The worker read its first job and died. Either the job killed it or the program is broken: only other jobs can
    /// tell.
    InFirstJob,
    /// The worker read its first job and died, and the job has had an attempt before.
    InRetriedJob,
    /// The agent of a host has given up, after all the tries that a pool has.
    OfHost,
    /// No process could be had, for want of memory, descriptors or processes.
    Starved,
}

/// What follows from a failed start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The next start must wait so long.
    Pause(Duration),
    /// So many starts of this slot in a row have failed: the others go on without it.
    LeaveOut(u32),
    /// So many starts in a row have failed: the pool gives up.
    GiveUp(u32),
}

/// What is known of how workers start.
#[derive(Debug)]
pub struct Starts {
    /// Failed starts in a row, over the whole pool.
    failed: u32,
    /// Some worker of this program has answered a job, in this run or in the one that is resumed.
    has_worked: bool,
    /// Whether a slot that keeps failing is left out, as a host is: its workers are not the others'.
    leaves_out: bool,
    /// Failed starts in a row of each slot, where slots may be left out.
    of_slots: BTreeMap<u32, u32>,
    left_out: BTreeSet<u32>,
    /// Slots whose worker processes run.
    pub running: BTreeSet<u32>,
}

impl Starts {
    pub fn new(has_worked: bool, leaves_out: bool) -> Starts {
        Starts {
            failed: 0,
            has_worked,
            leaves_out,
            of_slots: BTreeMap::new(),
            left_out: BTreeSet::new(),
            running: BTreeSet::new(),
        }
    }

    /// A worker has answered a job.
    pub fn answered(&mut self) {
        self.failed = 0;
        self.has_worked = true;
    }

    /// The worker of `slot` has said that it is ready, or has answered.
    pub fn proven(&mut self, slot: u32) {
        self.failed = 0;
        self.of_slots.remove(&slot);
    }

    /// Whether an answer would change anything here.
    pub fn has_doubts(&self) -> bool {
        self.failed > 0 || !self.has_worked
    }

    /// Counts a failed start of a slot of its own. Returns how many there were in a row if it is to be left out, which
    /// the last slot never is.
    fn leaves_out(&mut self, slot: u32, failure: Failure, slots: usize) -> Option<u32> {
        /// A host that is started anew may fail twice; four times in a row is no accident.
        const TRIES: u32 = 4;
        let failures = self.of_slots.entry(slot).or_default();
        *failures += 1;
        let (failures, is_last) = (*failures, self.left_out.len() + 1 >= slots);
        let is_enough = failures >= TRIES || failure == Failure::OfHost;
        let is_out = self.leaves_out && is_enough && !is_last;
        if is_out {
            self.left_out.insert(slot);
            // What this slot has used up of the budget is not the others'.
            self.failed = self.failed.saturating_sub(failures);
        }
        is_out.then_some(failures)
    }

    /// A worker of `slot`, of a pool of so many slots, has ended, or could not be had, before it showed that it works.
    pub fn failed(&mut self, slot: u32, failure: Failure, slots: usize) -> Consequence {
        let is_excused = match failure {
            Failure::AtStart | Failure::OfHost => false,
            // If some worker of this program has answered a job, the program works, and it was the job that killed this
            // worker.
            Failure::InFirstJob => self.has_worked,
            // The job has had an attempt before, and --retries bounds how many there are: one bad job must not use up
            // the budget.
            Failure::InRetriedJob => true,
            // Other workers run the jobs; the pool gives up only where there is no worker at all.
            Failure::Starved => !self.running.is_empty(),
        };
        if is_excused {
            let longest = restart_pause(u32::MAX);
            return Consequence::Pause(if failure == Failure::Starved { longest } else { Duration::ZERO });
        }
        self.failed += 1;
        if let Some(failures) = self.leaves_out(slot, failure, slots) {
            return Consequence::LeaveOut(failures);
        }
        if self.failed >= start_budget(slots) || failure == Failure::OfHost {
            Consequence::GiveUp(self.failed)
        } else {
            Consequence::Pause(restart_pause(self.failed))
        }
    }
}
