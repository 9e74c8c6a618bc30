//! What a picture of a run is drawn from, in bounded memory however many jobs there are: jobs over time, what each slot
//! spent its time with, the slowest jobs, why workers were replaced. It is collected only where a picture is wanted. What
//! every run counts is not here: numbers, times and errors stand in the counters.

mod excerpt;
mod lanes;
mod replaced;
mod slices;
mod slowest;

use std::time::Instant;

use super::times::Share;
use crate::words::doing::Spell;
use crate::words::outcome::{Outcome, Status};

pub use excerpt::excerpt;
pub use lanes::{DRAWN, Lanes, Spent};
pub use replaced::Replaced;
pub use slices::Slices;
pub use slowest::Slowest;

#[derive(Debug, Clone)]
pub struct Picture {
    /// When the run began, on its clock.
    pub start: Instant,
    /// When the last job ended, or the last spell of a slot.
    pub end: Instant,
    /// Jobs of this run by the time of their end and by status.
    pub jobs: Slices<u32, { Status::ALL.len() }>,
    pub lanes: Lanes,
    /// Of all jobs, also those from the journal.
    pub slowest: Slowest,
    pub replaced: Replaced,
    /// Fields that are blanked out in inputs.
    redact: Vec<String>,
}

impl Picture {
    pub fn new(start: Instant, redact: Vec<String>) -> Picture {
        Picture {
            start,
            end: start,
            jobs: Slices::default(),
            lanes: Lanes::default(),
            slowest: Slowest::default(),
            replaced: Replaced::default(),
            redact,
        }
    }

    pub fn ended(&mut self, outcomes: &[Outcome], shares: &[Share], now: Instant) {
        self.end = self.end.max(now);
        let slice = self.jobs.at(now.saturating_duration_since(self.start));
        outcomes.iter().for_each(|outcome| slice[outcome.status as usize] += 1);
        for share in shares {
            self.slowest.add(share.outcome, share.elapsed, &self.redact);
        }
    }

    pub fn restored(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.slowest.add(outcome, outcome.elapsed, &self.redact);
        }
    }

    pub fn spent(&mut self, spell: &Spell) {
        self.end = self.end.max(spell.to);
        self.lanes.add(spell, self.start);
    }
}
