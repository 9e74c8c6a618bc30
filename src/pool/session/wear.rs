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
    /// It was ordered that all workers be replaced, and this one was there.
    is_outdated: bool,
}

impl Wear {
    /// `dice` is a random number in 0..1.
    pub fn new(policy: RecyclePolicy, dice: f64, now: Instant) -> Wear {
        let most_jobs = policy.jobs.unwrap_or(u64::MAX);
        let limits = policy.jittered(dice);
        Wear { born: now, limits, most_jobs, answered: 0, memory: 0, has_asked: false, is_outdated: false }
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

    pub fn outdated(&mut self) {
        self.is_outdated = true;
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
            _ if self.is_outdated => Recycling::InTurn,
            _ => Recycling::No,
        }
    }

    /// When the worker will be too old, if that is still to come.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.born.checked_add(self.limits.age?).filter(|&at| at > now && self.has_answered())
    }

    /// Every worker does at least one job before it is replaced, but by order. One that is larger or older than its limits when it
    /// has loaded would else be replaced again and again, and no job ever run.
    fn has_answered(&self) -> bool {
        self.answered > 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A worker without jitter that has answered so many jobs.
    fn worn(policy: RecyclePolicy, answered: u64, now: Instant) -> Wear {
        let mut wear = Wear::new(policy, 0.0, now);
        (0..answered).for_each(|_| wear.answered());
        wear
    }

    #[test]
    fn a_worker_is_given_no_more_jobs_than_it_may_do() {
        let policy = RecyclePolicy { jobs: Some(3), ..RecyclePolicy::default() };
        for (answered, open, expected) in [(0, 0, 3), (0, 3, 0), (1, 1, 1), (2, 1, 0), (3, 0, 0)] {
            let wear = worn(policy, answered, Instant::now());
            assert_eq!(wear.jobs_left(open), expected, "{answered} answered, {open} open");
        }
        assert_eq!(worn(RecyclePolicy::default(), 9, Instant::now()).jobs_left(2), usize::MAX - 11);
    }

    #[test]
    fn a_worker_is_replaced_in_turn_a_little_before_it_must_be() {
        let now = Instant::now();
        let policy = RecyclePolicy { jobs: Some(100), ..RecyclePolicy::default() };
        let recycling = |answered| {
            let mut wear = Wear::new(policy, 1.0, now);
            (0..answered).for_each(|_| wear.answered());
            wear.recycling(now)
        };
        assert_eq!([89, 90, 99].map(recycling), [Recycling::No, Recycling::InTurn, Recycling::InTurn]);
        assert_eq!(recycling(100), Recycling::AtOnce, "it may take no other job");
    }

    #[test]
    fn one_that_has_grown_or_is_old_is_replaced_after_its_first_job_at_the_earliest() {
        let born = Instant::now();
        let policy = RecyclePolicy { jobs: None, memory: Some(1000), age: Some(9 * SECOND) };
        for (answered, memory, age, expected) in [
            (1, 1000, 8, Recycling::No),
            (1, 1001, 8, Recycling::InTurn),
            (1, 1000, 9, Recycling::InTurn),
            (0, 1001, 9, Recycling::No),
        ] {
            let mut wear = worn(policy, answered, born);
            wear.measured(memory);
            assert_eq!(wear.recycling(born + age * SECOND), expected, "{answered} {memory} {age}");
        }
    }

    #[test]
    fn a_worker_that_asks_is_replaced_at_once_but_only_once_it_has_answered() {
        let now = Instant::now();
        let mut wear = worn(RecyclePolicy::default(), 0, now);
        wear.asked();
        assert_eq!((wear.recycling(now), wear.jobs_left(0) > 0), (Recycling::No, true));
        wear.answered();
        assert_eq!((wear.recycling(now), wear.jobs_left(0)), (Recycling::AtOnce, 0));
    }

    #[test]
    fn one_that_is_outdated_is_replaced_in_turn_whatever_it_has_done() {
        let now = Instant::now();
        for answered in [0, 1] {
            let mut wear = worn(RecyclePolicy::default(), answered, now);
            wear.outdated();
            assert_eq!((wear.recycling(now), wear.jobs_left(0) > 0), (Recycling::InTurn, true));
        }
    }

    #[test]
    fn age_wakes_the_slot_once_and_never_for_a_worker_that_has_done_nothing() {
        let born = Instant::now();
        let policy = RecyclePolicy { age: Some(9 * SECOND), ..RecyclePolicy::default() };
        assert_eq!(worn(policy, 0, born).deadline(born), None);
        let wear = worn(policy, 1, born);
        assert_eq!(wear.deadline(born), Some(born + 9 * SECOND));
        assert_eq!(wear.deadline(born + 9 * SECOND), None, "it is old already");
        assert_eq!(worn(RecyclePolicy::default(), 1, born).deadline(born), None);
    }
}
