//! The replacement of all workers, which SIGUSR2 asks for: which workers are older than that order, and which of their
//! successors do not take jobs yet. One slot at a time has the turn to replace its worker, and keeps it until its new
//! worker would take a job, so that the pool is never short of more than one worker for it.

use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub struct Renewal {
    /// Slots whose workers were there when the order came.
    old: BTreeSet<u32>,
    /// Slots whose old workers are gone and whose new ones would not take a job yet.
    coming: BTreeSet<u32>,
    /// How many workers have been replaced since the order.
    replaced: usize,
}

impl Renewal {
    /// The workers of these slots are to be replaced.
    pub fn begin(&mut self, slots: &BTreeSet<u32>) {
        self.old.extend(slots);
        self.replaced = 0;
    }

    /// The worker of `slot` is gone. Returns whether its successor is waited for.
    pub fn buried(&mut self, slot: u32) -> bool {
        if self.old.remove(&slot) {
            self.coming.insert(slot);
        }
        self.coming.contains(&slot)
    }

    /// The new worker of `slot` would take a job. Returns how many workers have been replaced, when it was the last.
    pub fn arrived(&mut self, slot: u32) -> Option<usize> {
        if !self.coming.remove(&slot) {
            return None;
        }
        self.replaced += 1;
        (self.old.is_empty() && self.coming.is_empty()).then_some(self.replaced)
    }

    pub fn is_coming(&self, slot: u32) -> bool {
        self.coming.contains(&slot)
    }

    pub fn is_old(&self, slot: u32) -> bool {
        self.old.contains(&slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_is_replaced_once_its_successor_would_take_a_job() {
        let mut renewal = Renewal::default();
        renewal.begin(&BTreeSet::from([0, 2]));
        assert_eq!((renewal.is_old(0), renewal.is_old(1)), (true, false));
        assert!(renewal.buried(0) && !renewal.buried(1), "slot 1 had no worker when the order came");
        assert!(renewal.buried(0), "a successor that failed to start has one of its own");
        assert_eq!((renewal.arrived(0), renewal.arrived(0)), (None, None));
        assert!(renewal.buried(2));
        assert_eq!(renewal.arrived(2), Some(2));
        assert!(!renewal.buried(2));
    }

    #[test]
    fn an_order_in_the_middle_of_another_begins_again() {
        let mut renewal = Renewal::default();
        renewal.begin(&BTreeSet::from([0, 1]));
        renewal.buried(0);
        assert_eq!(renewal.arrived(0), None);
        renewal.begin(&BTreeSet::from([0, 1]));
        renewal.buried(1);
        assert_eq!(renewal.arrived(1), None);
        renewal.buried(0);
        assert_eq!(renewal.arrived(0), Some(2));
    }
}
