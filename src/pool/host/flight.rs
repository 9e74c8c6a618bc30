//! The jobs that a host has been given: which of them it has said to begin, in the order in which they were sent.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::pool::delivery::Delivery;

#[derive(Debug, Default)]
pub struct Flight {
    jobs: HashMap<u64, Flying>,
    /// The numbers of the jobs that have not begun, as they were sent. Jobs that were answered all the same stay in it
    /// until their turn comes.
    unbegun: VecDeque<u64>,
    bytes: usize,
}

/// A job at a host.
#[derive(Debug)]
pub struct Flying {
    pub delivery: Delivery,
    /// When the host said that it begins; `None` if it has not.
    pub begun: Option<Instant>,
}

impl Flight {
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// How many bytes the data of all jobs has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn sent(&mut self, delivery: Delivery) {
        let number = delivery.job.number;
        self.bytes += delivery.job.data.len();
        self.unbegun.push_back(number);
        self.jobs.insert(number, Flying { delivery, begun: None });
    }

    /// The next `count` jobs begin. Returns false if there are not so many.
    pub fn begin(&mut self, count: u64, now: Instant) -> bool {
        for _ in 0..count {
            let Some(number) = self.unbegun.pop_front() else { return false };
            if let Some(flying) = self.jobs.get_mut(&number) {
                flying.begun = Some(now);
            }
        }
        true
    }

    pub fn take(&mut self, number: u64) -> Option<Flying> {
        let flying = self.jobs.remove(&number)?;
        self.bytes -= flying.delivery.job.data.len();
        Some(flying)
    }

    /// The job that began first, and when.
    pub fn oldest(&self) -> Option<(u64, Instant)> {
        let begun = self.jobs.iter().filter_map(|(&number, flying)| Some((number, flying.begun?)));
        begun.min_by_key(|&(number, at)| (at, number))
    }

    /// All jobs, in the order of their numbers; none is left.
    pub fn take_all(&mut self) -> Vec<Flying> {
        let mut all: Vec<Flying> = std::mem::take(self).jobs.into_values().collect();
        all.sort_by_key(|flying| flying.delivery.job.number);
        all
    }
}
