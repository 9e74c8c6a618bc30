//! A set of slots, by their numbers: the first one is found without a look at each slot, since a pool of a thousand hosts
//! asks for it with nearly each job.

#[derive(Debug, Clone)]
pub struct SlotSet {
    /// One bit a slot.
    words: Vec<u64>,
    len: usize,
}

impl SlotSet {
    /// An empty set for slots with numbers below `slots`.
    pub fn new(slots: usize) -> SlotSet {
        SlotSet { words: vec![0; slots.div_ceil(64)], len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a slot that is not in the set.
    pub fn insert(&mut self, slot: u32) {
        self.words[slot as usize / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// Removes a slot that is in the set.
    pub fn remove(&mut self, slot: u32) {
        self.words[slot as usize / 64] &= !(1 << (slot % 64));
        self.len -= 1;
    }

    /// The slot with the smallest number.
    pub fn first(&self) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let at = self.words.iter().position(|&word| word != 0)?;
        Some(at as u32 * 64 + self.words[at].trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_across_words() {
        let mut set = SlotSet::new(130);
        assert_eq!((set.first(), set.len()), (None, 0));
        [129, 64, 63, 0].into_iter().for_each(|slot| set.insert(slot));
        for expected in [0, 63, 64, 129] {
            assert_eq!(set.first(), Some(expected));
            set.remove(expected);
        }
        assert!(set.is_empty() && set.first().is_none());
    }
}
