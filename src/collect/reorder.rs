//! Puts outcomes back into the order of their jobs. Job numbers are dense from 1, or those of a shard, so the next one
//! is known.
//!
//! What has to wait is encoded into one buffer with a small index; past the memory limit it goes to disk as a
//! sorted run. So one slow job at the head neither stalls the pool nor fills the memory.

use std::collections::BTreeMap;
use std::io;

use super::encode::{decode, encode};
use super::spill::Spill;
use crate::words::outcome::Outcome;
use crate::words::shard::Shard;

pub struct Reorder {
    /// The number of the job whose outcome is due.
    next: u64,
    /// From the number of a job to that of the one after it: jobs of other shards have no outcome here.
    step: u64,
    limit: usize,
    buffer: Vec<u8>,
    /// Where in `buffer` the waiting outcomes stand, by job number.
    waiting: BTreeMap<u64, (usize, usize)>,
    /// How many bytes of `buffer` still belong to a waiting outcome: the others belong to outcomes that have been
    /// written.
    used: usize,
    spill: Spill,
    /// The disk takes no more, so every outcome that is still to come waits in memory.
    full: bool,
}

/// How many bytes an entry of the index takes: three numbers, and as much again for nodes of the B-tree that are partly
/// empty.
const INDEX_ENTRY: usize = 48;

impl Reorder {
    /// `memory` bounds the bytes that wait in memory. Half of it is used for what waits, and never less than 64 KiB, so
    /// that runs on disk are not tiny.
    pub fn new(memory: usize, shard: Shard) -> Reorder {
        // Only half is used, because a growing buffer may be twice as large as what is in it.
        let limit = (memory / 2).max(64 * 1024);
        Reorder {
            next: shard.first(),
            step: shard.step(),
            limit,
            buffer: Vec::new(),
            waiting: BTreeMap::new(),
            used: 0,
            spill: Spill::default(),
            full: false,
        }
    }

    /// The number of the job whose outcome is due. That outcome need not be pushed: whoever writes it without that
    /// calls `advance`.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The outcome that was due has been dealt with; the next one is due.
    pub fn advance(&mut self) {
        self.next += self.step;
    }

    /// How many outcomes wait for their turn.
    #[cfg(test)]
    pub fn waiting(&self) -> u64 {
        self.waiting.len() as u64 + self.spill.len()
    }

    /// From now on the disk takes nothing; what it has can be read.
    #[cfg(test)]
    pub fn fill_disk(&mut self) {
        self.spill.fill_disk();
    }

    /// About how many bytes of memory the outcomes take that wait and are not on disk.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.waiting.len() * INDEX_ENTRY
    }

    /// Keeps an outcome until its turn comes. An error says, once, that the disk takes no more: this outcome and
    /// all further ones wait in memory, and the run must end.
    pub fn push(&mut self, outcome: &Outcome) -> io::Result<()> {
        let start = self.buffer.len();
        encode(outcome, &mut self.buffer);
        let length = self.buffer.len() - start;
        self.used += length;
        self.waiting.insert(outcome.job.number, (start, length));
        if self.buffer.len() + self.waiting.len() * INDEX_ENTRY > self.limit {
            self.make_room()?;
        }
        Ok(())
    }

    /// The outcome that is due, if it is here.
    pub fn pop(&mut self) -> io::Result<Option<Outcome>> {
        let outcome = match self.waiting.first_entry() {
            Some(entry) if *entry.key() == self.next => {
                let (start, length) = entry.remove();
                self.used -= length;
                decode(&self.buffer[start..start + length])
            }
            _ => self.spill.pop(self.next)?,
        };
        if self.waiting.is_empty() {
            self.buffer.clear();
            self.used = 0;
        }
        self.next += self.step * u64::from(outcome.is_some());
        Ok(outcome)
    }

    /// Makes room in a full buffer: if at most half of it still waits, the rest is squeezed out; if more, all that
    /// waits goes to disk.
    fn make_room(&mut self) -> io::Result<()> {
        if self.used + self.waiting.len() * INDEX_ENTRY <= self.limit / 2 {
            let mut squeezed = Vec::with_capacity(self.used);
            for (start, length) in self.waiting.values_mut() {
                let moved = squeezed.len();
                squeezed.extend_from_slice(&self.buffer[*start..*start + *length]);
                *start = moved;
            }
            self.buffer = squeezed;
            return Ok(());
        }
        let Some((&first, _)) = self.waiting.first_key_value().filter(|_| !self.full) else { return Ok(()) };
        let entries = self.waiting.values().map(|&(start, length)| &self.buffer[start..start + length]);
        if let Err(error) = self.spill.write_run(first, entries) {
            self.full = true;
            return Err(error);
        }
        self.waiting.clear();
        self.buffer.clear();
        self.used = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::words::job::{Extra, Job};
    use crate::words::outcome::Status;

    fn outcome(number: u64, size: usize) -> Outcome {
        let raw = number.is_multiple_of(2).then(|| Bytes::from_static(b"raw"));
        let extra = raw.map(|raw| Box::new(Extra { raw: Some(raw), ..Extra::default() }));
        Outcome {
            job: Job { number, line: number * 2, data: Bytes::from_static(b"{}"), extra },
            status: Status::ALL[number as usize % 7],
            payload: Bytes::from(vec![b'x'; size]),
            attempts: number as u32 % 4,
            host: crate::words::host::HostId::of_number(number as u16 % 3),
            worker: (!number.is_multiple_of(5)).then_some(number as u32 % 5),
            batch: number as u16 % 3,
            began: None,
            elapsed: Duration::from_nanos(number * 1000),
        }
    }

    fn text(outcome: &Outcome) -> String {
        format!("{outcome:?}")
    }

    proptest! {
        #![proptest_config(crate::testing::random())]

        #[test]
        fn outcomes_come_out_in_order_whatever_the_order_and_the_memory(
            order in Just((1..=200_u64).collect::<Vec<_>>()).prop_shuffle(),
            size in 0..3000_usize,
        ) {
            let mut reorder = Reorder::new(0, Shard::WHOLE);
            let mut popped = Vec::new();
            for number in order {
                reorder.push(&outcome(number, size)).unwrap();
                while let Some(outcome) = reorder.pop().unwrap() {
                    popped.push(text(&outcome));
                }
            }
            prop_assert_eq!(reorder.waiting(), 0);
            let expected: Vec<String> = (1..=200).map(|number| text(&outcome(number, size))).collect();
            prop_assert_eq!(popped, expected);
        }
    }

    #[test]
    fn behind_a_slow_head_memory_stays_bounded_and_the_rest_is_on_disk() {
        let mut reorder = Reorder::new(256 * 1024, Shard::WHOLE);
        for number in 2..=50_000 {
            reorder.push(&outcome(number, 100)).unwrap();
            assert!(reorder.buffer.len() + reorder.waiting.len() * INDEX_ENTRY <= 128 * 1024 + 4096);
        }
        assert!(reorder.pop().unwrap().is_none());
        assert_eq!(reorder.waiting(), 49_999);
        reorder.advance();
        for number in 2..=50_000 {
            assert_eq!(reorder.pop().unwrap().map(|outcome| outcome.job.number), Some(number));
        }
        assert_eq!(reorder.waiting(), 0);
    }

    #[test]
    fn a_full_disk_is_told_once_and_loses_no_outcome() {
        for runs_before in [0, 1] {
            let mut reorder = Reorder::new(0, Shard::WHOLE);
            let mut failed = 0;
            for number in 2..=100 {
                if number == 2 + 50 * runs_before {
                    reorder.fill_disk();
                }
                failed += u64::from(reorder.push(&outcome(number, 3000)).is_err());
            }
            assert_eq!((failed, reorder.waiting()), (1, 99));
            reorder.advance();
            for number in 2..=100 {
                assert_eq!(reorder.pop().unwrap().map(|outcome| outcome.job.number), Some(number));
            }
        }
    }
}
