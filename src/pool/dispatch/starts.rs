//! The budget of failed starts: a program that does not work is not started for each of a million jobs, and a job that
//! kills its worker, or a system that is short of processes, does not use the budget up.

use std::collections::BTreeSet;
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
    /// No process could be had, for want of memory, descriptors or processes.
    Starved,
}

/// What follows from a failed start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The next start must wait so long.
    Pause(Duration),
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
    /// Slots whose worker processes run.
    pub running: BTreeSet<u32>,
}

impl Starts {
    pub fn new(has_worked: bool) -> Starts {
        Starts { failed: 0, has_worked, running: BTreeSet::new() }
    }

    /// A worker has answered a job.
    pub fn answered(&mut self) {
        self.failed = 0;
        self.has_worked = true;
    }

    /// A worker has said that it is ready, or has answered.
    pub fn proven(&mut self) {
        self.failed = 0;
    }

    /// Whether an answer would change anything here.
    pub fn has_doubts(&self) -> bool {
        self.failed > 0 || !self.has_worked
    }

    /// A worker of a pool of so many slots has ended, or could not be had, before it showed that it works.
    pub fn failed(&mut self, failure: Failure, slots: usize) -> Consequence {
        let is_excused = match failure {
            Failure::AtStart => false,
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
        if self.failed >= start_budget(slots) {
            Consequence::GiveUp(self.failed)
        } else {
            Consequence::Pause(restart_pause(self.failed))
        }
    }
}
