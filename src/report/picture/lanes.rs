//! What each slot has spent its time with: in all, and of the first slots also when.

use std::time::{Duration, Instant};

use super::slices::Slices;
use crate::words::doing::{Occupation, Spell};

/// So many slots are drawn: more lanes than this are no picture any more, and would take megabytes.
pub const DRAWN: usize = 64;

/// Time by occupation.
pub type Spent = [Duration; Occupation::ALL.len()];

#[derive(Debug, Clone, Default)]
pub struct Lanes {
    /// Of each slot that has had anything to do.
    pub totals: Vec<Spent>,
    /// Of the first slots: seconds by occupation over time.
    pub lanes: Vec<Slices<f32, { Occupation::ALL.len() }>>,
}

impl Lanes {
    /// Adds a spell to a run that began at `start`.
    pub fn add(&mut self, spell: &Spell, start: Instant) {
        let slot = spell.slot as usize;
        if slot >= self.totals.len() {
            self.totals.resize(slot + 1, Spent::default());
            self.lanes.resize((slot + 1).min(DRAWN), Slices::default());
        }
        let (from, to) = (spell.from.saturating_duration_since(start), spell.to.saturating_duration_since(start));
        self.totals[slot][spell.occupation as usize] += to.saturating_sub(from);
        let Some(lane) = self.lanes.get_mut(slot) else { return };
        // The last slice is made first: it decides how wide slices are.
        lane.at(to);
        let mut from = from;
        while from < to {
            let width = lane.width();
            let index = u32::try_from(from.as_nanos() / width.as_nanos()).unwrap_or(u32::MAX);
            let end = width.saturating_mul(index.saturating_add(1)).min(to);
            lane.at(from)[spell.occupation as usize] += (end - from).as_secs_f32();
            from = end;
        }
    }

    /// Of all slots together.
    pub fn total(&self) -> Spent {
        let mut total = Spent::default();
        for spent in &self.totals {
            total.iter_mut().zip(spent).for_each(|(total, more)| *total += *more);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_is_shared_out_among_the_slices_that_it_covers() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut lanes = Lanes::default();
        let busy = Occupation::Busy;
        lanes.add(&Spell { slot: 1, occupation: busy, from: at(0), to: at(2500) }, start);
        lanes.add(&Spell { slot: 1, occupation: Occupation::Down, from: at(2500), to: at(3000) }, start);
        assert_eq!(lanes.totals.len(), 2);
        assert_eq!(lanes.total()[busy as usize], Duration::from_millis(2500));
        let columns = lanes.lanes[1].columns(6, Duration::from_millis(3000));
        let all: f32 = columns.iter().map(|column| column[busy as usize]).sum();
        assert!((all - 2.5).abs() < 0.001, "{all}");
        assert!(columns[0][busy as usize] > 0.49 && columns[5][busy as usize] < 0.05, "{columns:?}");
    }

    #[test]
    fn of_many_slots_the_first_are_drawn_and_all_are_counted() {
        let start = Instant::now();
        let mut lanes = Lanes::default();
        for slot in 0..1000 {
            lanes.add(
                &Spell { slot, occupation: Occupation::Busy, from: start, to: start + Duration::from_secs(1) },
                start,
            );
        }
        assert_eq!((lanes.lanes.len(), lanes.total()[0].as_secs()), (DRAWN, 1000));
    }
}
