//! Why workers were replaced unplanned: reasons that differ in nothing but numbers are one.

use crate::report::errors::push_without_numbers;

#[derive(Debug, Clone, Default)]
pub struct Replaced {
    /// Each reason, and how often it came; the first that came first.
    reasons: Vec<(String, u64)>,
    /// How often others came, for which there was no room.
    others: u64,
}

/// So many reasons are kept.
const KEPT: usize = 20;
/// Letters of a reason.
const LETTERS: usize = 200;

impl Replaced {
    pub fn add(&mut self, words: &str) {
        let first: String = words.lines().next().unwrap_or_default().chars().take(LETTERS).collect();
        let mut reason = String::new();
        push_without_numbers(&first, &mut reason);
        match self.reasons.iter().position(|(known, _)| *known == reason) {
            Some(place) => self.reasons[place].1 += 1,
            None if self.reasons.len() < KEPT => self.reasons.push((reason, 1)),
            None => self.others += 1,
        }
    }

    /// The reasons, the commonest first, and how often there were others.
    pub fn reasons(&self) -> (Vec<(&str, u64)>, u64) {
        let mut reasons: Vec<(&str, u64)> = self.reasons.iter().map(|(words, times)| (&**words, *times)).collect();
        reasons.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        (reasons, self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_without_their_numbers() {
        let mut replaced = Replaced::default();
        ["worker w1 exited with status 1", "worker w2 exited with status 1", "job 3 took too long"]
            .iter()
            .for_each(|words| replaced.add(words));
        let expected = vec![("worker w# exited with status #", 2), ("job # took too long", 1)];
        assert_eq!(replaced.reasons(), (expected, 0));
        let letters = |number: u32| char::from_u32(0x4e00 + number).unwrap().to_string();
        (0..100).for_each(|number| replaced.add(&letters(number)));
        assert_eq!((replaced.reasons().0.len(), replaced.reasons().1), (KEPT, 82));
    }
}
