//! A session's state. What happens to it is in the files beside this one, a topic each.

use std::sync::Arc;
use std::time::Instant;

use super::live::Live;
use crate::pool::outbox::Outbox;
use crate::pool::settings::PoolSettings;
use crate::pool::stopping::Stopping;

pub struct Session {
    pub(super) slot: u32,
    pub(super) settings: Arc<PoolSettings>,
    pub(super) state: State,
    pub(super) stopping: Stopping,
    /// How many of this slot's workers have died since the last answer. Deaths pause the slot, and never stop the run.
    pub(super) deaths: u32,
    /// Another worker of the pool has shown that it does not take its jobs in order.
    pub(super) one_at_a_time: bool,
    /// Random numbers for jitter.
    pub(super) dice: fastrand::Rng,
    pub out: Outbox,
}

pub(super) enum State {
    /// There is no process; one may be started from `start_at` on.
    Absent {
        start_at: Instant,
    },
    Live(Box<Live>),
    /// There is no process, and none will be started.
    Over,
}

impl Session {
    /// `seed` makes the jitter of this slot.
    pub fn new(slot: u32, settings: Arc<PoolSettings>, now: Instant, seed: u64) -> Session {
        Session {
            slot,
            settings,
            state: State::Absent { start_at: now },
            stopping: Stopping::new(),
            deaths: 0,
            one_at_a_time: false,
            dice: fastrand::Rng::with_seed(seed),
            out: Outbox::default(),
        }
    }

    pub(super) fn live(&self) -> Option<&Live> {
        if let State::Live(live) = &self.state { Some(live) } else { None }
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Live> {
        if let State::Live(live) = &mut self.state { Some(live) } else { None }
    }

    /// Whether neither a stop nor the end of all work has been ordered.
    pub(super) fn goes_on(&self) -> bool {
        self.stopping.goes_on()
    }
}
