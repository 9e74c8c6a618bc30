//! When a worker is to be replaced although nothing is wrong with it.

use std::time::Instant;

use super::super::dispatch::Recycling;
use super::super::policies::RecyclePolicy;

/// What a worker has done and how large it has become, and its limits.
#[derive(Debug)]
pub struct Wear {
    born: Instant,
    /// The limits of this worker, a little below the policy's, so that workers that started together do not end
    /// together.
    limits: RecyclePolicy,
    /// How many jobs the worker may be given in its life: the policy's number, exactly.
    most_jobs: u64,
    answered: u64,
    /// Resident memory of the worker's process group, in bytes.
    memory: usize,
    /// The worker itself has asked to be replaced.
    has_asked: bool,
}

impl Wear {
    /// `dice` is a random number in 0..1.
    pub fn new(policy: RecyclePolicy, dice: f64, now: Instant) -> Wear {
        let most_jobs = policy.jobs.unwrap_or(u64::MAX);
        Wear { born: now, limits: policy.jittered(dice), most_jobs, answered: 0, memory: 0, has_asked: false }
    }

    pub fn answered(&mut self) {
        self.answered += 1;
    }

    pub fn measured(&mut self, memory: usize) {
        self.memory = memory;
    }

    pub fn asked(&mut self) {
        self.has_asked = true;
    }

    /// How many jobs the worker may still be given when it has `open` of them.
    pub fn jobs_left(&self, open: usize) -> usize {
        let left = if self.has_asked && self.has_answered() { 0 } else { self.most_jobs.saturating_sub(self.answered) };
        usize::try_from(left).unwrap_or(usize::MAX).saturating_sub(open)
    }

    /// Whether, and how urgently, the worker is to be replaced. A worker that may take no other job is of no use
    /// while it waits for its turn.
    pub fn recycling(&self, now: Instant) -> Recycling {
        let Wear { limits, answered, .. } = self;
        let is_due = limits.jobs.is_some_and(|jobs| *answered >= jobs)
            || limits.memory.is_some_and(|bytes| self.memory > bytes)
            || limits.age.is_some_and(|age| now.saturating_duration_since(self.born) >= age);
        match self.has_answered() {
            true if self.has_asked || *answered >= self.most_jobs => Recycling::AtOnce,
            true if is_due => Recycling::InTurn,
            _ => Recycling::No,
        }
    }

    /// When the worker will be too old, if that is still to come.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.born.checked_add(self.limits.age?).filter(|&at| at > now && self.has_answered())
    }

    /// Every worker does at least one job before it is replaced. One that is larger or older than its limits when it
    /// has loaded would else be replaced again and again, and no job ever run.
    fn has_answered(&self) -> bool {
        self.answered > 0
    }
}
