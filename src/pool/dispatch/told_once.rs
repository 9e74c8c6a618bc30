//! Slots of which people are told once in a run, all together.

use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub struct ToldOnce {
    slots: BTreeSet<u32>,
    is_told: bool,
}

impl ToldOnce {
    pub fn insert(&mut self, slot: u32) {
        self.slots.insert(slot);
    }

    pub fn contains(&self, slot: u32) -> bool {
        self.slots.contains(&slot)
    }

    pub fn remove(&mut self, slot: u32) {
        self.slots.remove(&slot);
    }

    /// The first time, returns all slots; after that, returns none.
    pub fn tell(&mut self) -> Vec<u32> {
        if std::mem::replace(&mut self.is_told, true) { Vec::new() } else { self.slots.iter().copied().collect() }
    }
}
