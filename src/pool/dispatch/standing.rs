//! What a slot says of itself when it asks for something to do.

use std::time::Instant;

/// How a slot stands when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many more jobs its worker would take.
    pub room: usize,
    /// How many jobs its worker has in its hands.
    pub in_flight: usize,
    pub worker: WorkerState,
    pub recycling: Recycling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// The slot has no worker, and may start one from `start_at` on. The slot's first worker is started whether there
    /// is work or not, so that it has loaded when work comes.
    Absent {
        start_at: Instant,
        is_first: bool,
    },
    /// The worker has not shown yet that it works.
    Unproven,
    Proven,
}

/// Whether the slot would like to replace its worker although nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recycling {
    No,
    /// When the slot's turn comes; until then its worker goes on. Slots take turns, so that most of the pool goes on.
    InTurn,
    /// As soon as the worker has no job in its hands: it may be given no other.
    AtOnce,
}

impl Standing {
    /// Whether the slot could do anything else than sleep until something happens to its worker.
    pub fn wants_a_turn(&self) -> bool {
        let is_absent = matches!(self.worker, WorkerState::Absent { .. });
        is_absent || self.room > 0 || self.recycling != Recycling::No
    }
}
