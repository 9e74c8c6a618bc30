//! What is done, and which of several equal jobs is which: of all that a run keeps in memory, only this grows with the
//! number of jobs.

use std::collections::{HashMap, HashSet};

use crate::words::job::JobKey;
use crate::words::outcome::Status;

/// Where the last outcome of each job stands in the journal. Filled once, then only looked into: a sorted list,
/// about 25 bytes a job.
#[derive(Debug, Default)]
pub struct Index {
    /// In ascending order of their identity once `sort` was called.
    places: Vec<Place>,
    /// Digests are spread evenly, so the first bits of one tell nearly where it is in `places`: those that begin with
    /// `bits` are from `starts[bits]` to `starts[bits + 1]`.
    starts: Vec<usize>,
}

/// How many places begin with the same bits, on average: few enough to lie in some lines of the processor's cache.
const TOGETHER: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The two halves of the key's identity; one number would be padded to 32 bytes.
    high: u64,
    low: u64,
    /// The place in the file, and in the lowest three bits the status.
    at: u64,
}

/// 2^128 divided by the golden ratio: an odd number whose bits are mixed well, so that its multiples are far from each
/// other.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Place {
    fn new(key: JobKey, status: Status, at: u64) -> Place {
        // Digest and occurrence become one number. That two of these numbers are equal is as unlikely as that two
        // digests are.
        let identity = key.digest.wrapping_add(SPREAD.wrapping_mul(u128::from(key.occurrence)));
        Place { high: (identity >> 64) as u64, low: identity as u64, at: at << 3 | status as u64 }
    }

    fn identity(self) -> (u64, u64) {
        (self.high, self.low)
    }
}

impl Index {
    pub fn push(&mut self, key: JobKey, status: Status, at: u64) {
        self.places.push(Place::new(key, status, at));
    }

    /// Must follow the last `push`. Of several outcomes of a job the one that was written last counts.
    pub fn sort(&mut self) {
        // Later places are larger numbers, so the last of equals is the last one written.
        self.places.sort_unstable();
        self.places.dedup_by(|later, earlier| {
            let same = later.identity() == earlier.identity();
            if same {
                *earlier = *later;
            }
            same
        });
        self.places.shrink_to_fit();
        let parts = (self.places.len() / TOGETHER).next_power_of_two().max(2);
        self.starts.reserve_exact(parts + 1);
        for (place, at) in self.places.iter().zip(0..) {
            let bits = first_bits(place.high, parts);
            self.starts.resize(self.starts.len().max(bits + 1), at);
        }
        self.starts.resize(parts + 1, self.places.len());
    }

    /// How each job ended, in no order.
    pub fn statuses(&self) -> impl Iterator<Item = Status> {
        self.places.iter().map(|place| Status::ALL[(place.at & 7) as usize])
    }

    /// How the job ended and where its line stands.
    pub fn find(&self, key: JobKey) -> Option<(Status, u64)> {
        let wanted = Place::new(key, Status::Ok, 0);
        let bits = first_bits(wanted.high, self.starts.len().checked_sub(1)?);
        let near = &self.places[self.starts[bits]..self.starts[bits + 1]];
        let at = near.iter().find(|place| place.identity() == wanted.identity())?.at;
        Some((Status::ALL[(at & 7) as usize], at >> 3))
    }
}

/// Which of so many parts (a power of two, and not 1) a number belongs to.
fn first_bits(high: u64, parts: usize) -> usize {
    (high >> (u64::BITS - parts.trailing_zeros())) as usize
}

/// Numbers equal jobs in the order of the input: about 20 bytes a job.
#[derive(Debug, Default)]
pub struct Occurrences {
    /// The lower half of each digest that has come. Half is enough: should two different jobs share it, one of them
    /// counts as the second of its kind. If it does so in the next run as well, nothing happens; if not, it is run
    /// again. A wrong result is never recalled, since the key has the whole digest.
    seen: HashSet<u64>,
    /// How often each of those has come again, if it has.
    repeated: HashMap<u64, u32>,
}

impl Occurrences {
    /// How many jobs with this digest came before.
    pub fn next(&mut self, digest: u128) -> u32 {
        let half = digest as u64;
        if self.seen.insert(half) {
            return 0;
        }
        let count = self.repeated.entry(half).or_default();
        *count += 1;
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_outcome_of_a_job_counts() {
        let key = |digest, occurrence| JobKey { digest, occurrence };
        let mut index = Index::default();
        index.push(key(7, 0), Status::Died, 100);
        index.push(key(9, 0), Status::Ok, 200);
        index.push(key(7, 1), Status::Ok, 300);
        index.push(key(7, 0), Status::Error, 1 << 50);
        index.sort();
        assert_eq!(index.find(key(7, 0)), Some((Status::Error, 1 << 50)));
        assert_eq!(index.find(key(7, 1)), Some((Status::Ok, 300)));
        assert_eq!(index.find(key(9, 0)), Some((Status::Ok, 200)));
        assert_eq!(index.find(key(9, 1)), None);
        assert_eq!(Index::default().find(key(9, 0)), None);
    }

    #[test]
    fn every_place_is_found_among_many() {
        // Digests that are spread as evenly as real ones, and some that are not.
        let key = |number: u128| JobKey { digest: SPREAD.wrapping_mul(number), occurrence: 0 };
        let keys: Vec<JobKey> = (0..1000)
            .map(key)
            .chain([u128::MAX, u128::MAX << 64, 1].map(|digest| JobKey { digest, occurrence: 0 }))
            .collect();
        for count in [0, 1, 2, 15, 16, 17, keys.len()] {
            let mut index = Index::default();
            for (key, at) in keys[..count].iter().zip(1..) {
                index.push(*key, Status::Ok, at);
            }
            index.sort();
            for (key, at) in keys.iter().zip(1..) {
                let expected = (at <= count as u64).then_some((Status::Ok, at));
                assert_eq!(index.find(*key), expected, "{at} of {count}");
            }
        }
    }

    #[test]
    fn a_place_is_24_bytes() {
        assert_eq!(size_of::<Place>(), 24);
    }

    #[test]
    fn equal_jobs_are_numbered() {
        let mut occurrences = Occurrences::default();
        assert_eq!([5, 6, 5, 5, 6].map(|digest| occurrences.next(digest)), [0, 0, 1, 2, 1]);
    }
}
