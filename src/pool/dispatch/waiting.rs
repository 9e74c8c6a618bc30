//! Jobs that wait for a worker: fresh ones in the input's order, and those that came back, which go first.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::super::delivery::Delivery;
use crate::words::job::Job;

#[derive(Debug, Default)]
pub struct Waiting {
    fresh: VecDeque<Job>,
    /// Jobs that came back and must have a worker to themselves; the earliest of the input first.
    alone: BTreeMap<u64, Delivery>,
    /// Jobs that came back and may share a worker.
    shared: BTreeMap<u64, Delivery>,
    /// Jobs that may not run before a time.
    delayed: BTreeMap<(Instant, u64), Delivery>,
}

/// What a slot may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    Any,
    /// The slot's worker has jobs, so that one that must be alone is not for it.
    Shared,
}

impl Waiting {
    pub fn push_fresh(&mut self, jobs: Vec<Job>) {
        self.fresh.extend(jobs);
    }

    pub fn push_returned(&mut self, delivery: Delivery) {
        match delivery.not_before {
            Some(at) => drop(self.delayed.insert((at, delivery.job.number), delivery)),
            None => self.push_due(delivery),
        }
    }

    fn push_due(&mut self, delivery: Delivery) {
        let due = if delivery.alone { &mut self.alone } else { &mut self.shared };
        due.insert(delivery.job.number, delivery);
    }

    /// Moves the delayed jobs whose time has come to those that are due.
    pub fn mature(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let delivery = entry.remove();
            self.push_due(delivery);
        }
    }

    /// When the next delayed job will be due.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|(&(at, _), _)| at)
    }

    /// How many jobs are due for a slot that may take what `fits` says. While a job waits that must be alone, a worker
    /// that has jobs gets no more of any kind, so that some worker is soon empty and can take it.
    pub fn due(&self, fits: Fits) -> usize {
        match fits {
            _ if self.alone.is_empty() => self.shared.len() + self.fresh.len(),
            Fits::Any => self.alone.len() + self.shared.len() + self.fresh.len(),
            Fits::Shared => 0,
        }
    }

    /// Takes up to `most` jobs for one of `slots` slots, which gets no more than its share of what waits, so that it
    /// does not queue what another slot could run. A job that must be alone is taken alone.
    pub fn take(&mut self, most: usize, fits: Fits, slots: usize) -> Vec<Delivery> {
        if !self.alone.is_empty() {
            return match fits {
                Fits::Any => self.alone.pop_first().map(|(_, delivery)| delivery).into_iter().collect(),
                Fits::Shared => Vec::new(),
            };
        }
        if !self.shared.is_empty() {
            let count = most.min(self.shared.len().div_ceil(slots));
            return std::iter::from_fn(|| self.shared.pop_first()).take(count).map(|(_, delivery)| delivery).collect();
        }
        let count = most.min(self.fresh.len().div_ceil(slots));
        self.fresh.drain(..count).map(Delivery::new).collect()
    }

    /// Everything that waits, for a run that is being stopped.
    pub fn take_all(&mut self) -> Vec<Delivery> {
        let Waiting { fresh, alone, shared, delayed } = std::mem::take(self);
        let returned = alone.into_values().chain(shared.into_values()).chain(delayed.into_values());
        returned.chain(fresh.into_iter().map(Delivery::new)).collect()
    }

    /// How many jobs wait, due or not.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.alone.len() + self.shared.len() + self.delayed.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn job(number: u64) -> Job {
        Job { number, line: number, data: Bytes::from_static(b"{}"), extra: None }
    }

    fn waiting(fresh: std::ops::RangeInclusive<u64>) -> Waiting {
        let mut waiting = Waiting::default();
        waiting.push_fresh(fresh.map(job).collect());
        waiting
    }

    fn numbers(taken: &[Delivery]) -> Vec<u64> {
        taken.iter().map(|delivery| delivery.job.number).collect()
    }

    #[test]
    fn fresh_jobs_are_spread_over_the_slots() {
        let mut waiting = waiting(1..=10);
        assert_eq!(numbers(&waiting.take(100, Fits::Any, 2)), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&waiting.take(1, Fits::Any, 2)), [6]);
    }

    #[test]
    fn returned_jobs_go_first_and_one_that_must_be_alone_goes_to_an_empty_worker() {
        let mut waiting = waiting(10..=19);
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let returned = |number, alone, not_before| Delivery { alone, not_before, ..Delivery::new(job(number)) };
        waiting.push_returned(returned(3, false, None));
        waiting.push_returned(returned(2, true, None));
        waiting.push_returned(returned(1, false, Some(later)));
        waiting.mature(now);
        assert_eq!((waiting.due(Fits::Shared), waiting.next_due()), (0, Some(later)), "a busy worker runs empty first");
        assert_eq!(numbers(&waiting.take(5, Fits::Shared, 2)), [0; 0]);
        assert_eq!(numbers(&waiting.take(5, Fits::Any, 2)), [2]);
        assert_eq!(numbers(&waiting.take(5, Fits::Shared, 2)), [3]);
        assert_eq!(numbers(&waiting.take(2, Fits::Shared, 2)), [10, 11]);
        waiting.mature(later);
        assert_eq!(numbers(&waiting.take(5, Fits::Shared, 2)), [1]);
        assert_eq!((waiting.next_due(), waiting.len()), (None, 8));
    }
}
