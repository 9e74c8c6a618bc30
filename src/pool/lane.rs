//! What a slot spends its time with, noted whenever that changes.

use std::time::Instant;

use crate::words::doing::{Occupation, Spell};

#[derive(Debug)]
pub struct Lane {
    slot: u32,
    /// `None` before the first look, and once the slot is over.
    since: Option<(Occupation, Instant)>,
}

impl Lane {
    pub fn new(slot: u32) -> Lane {
        Lane { slot, since: None }
    }

    /// Notes what the slot does now; `None` is a slot that is over. Returns the spell that has ended with that.
    pub fn note(&mut self, occupation: Option<Occupation>, now: Instant) -> Option<Spell> {
        if self.since.map(|(before, _)| before) == occupation {
            return None;
        }
        let before = std::mem::replace(&mut self.since, occupation.map(|occupation| (occupation, now)));
        let (occupation, from) = before?;
        Some(Spell { slot: self.slot, occupation, from, to: now })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spells_follow_each_other_without_a_gap() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lane = Lane::new(3);
        let looks = [
            Some(Occupation::Starting),
            Some(Occupation::Busy),
            Some(Occupation::Busy),
            Some(Occupation::Down),
            None,
            None,
        ];
        let spells: Vec<Spell> = (0..).zip(looks).filter_map(|(second, look)| lane.note(look, at(second))).collect();
        let spell = |occupation, from, to| Spell { slot: 3, occupation, from: at(from), to: at(to) };
        let expected = [(Occupation::Starting, 0, 1), (Occupation::Busy, 1, 3), (Occupation::Down, 3, 4)];
        assert_eq!(spells, expected.map(|(occupation, from, to)| spell(occupation, from, to)));
    }
}
