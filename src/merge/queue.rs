//! What all files have, in the order of the jobs: of each file one record is held, and the first of them is next.
//!
//! Each file is in order already, as every run without `--unordered` writes it, so that no more than one record of a
//! file is ever in memory. One that is not is refused where that shows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::words::error::{Error, Result};

/// One record of a file.
pub struct Numbered<Record> {
    pub job: u64,
    pub is_ok: bool,
    pub record: Record,
}

/// A file that is being read.
pub trait Part {
    type Record;

    /// How messages name it.
    fn name(&self) -> &str;

    fn next(&mut self) -> Result<Option<Numbered<Self::Record>>>;

    /// That the file is cut, once it has been read.
    fn notice(&self) -> Option<String>;

    /// How to put a file of this kind into order.
    fn hint(&self) -> String;
}

pub struct Queue<P: Part> {
    pub parts: Vec<P>,
    held: Vec<Option<Numbered<P::Record>>>,
    /// The job of each record that is held, with its file: of two files that have the same job, the one that was named
    /// first comes first.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// The job that was handed out last, and its file, whose next record is not held yet.
    last: Option<(u64, usize)>,
}

impl<P: Part> Queue<P> {
    /// Reads the first record of each file.
    pub fn new(parts: Vec<P>) -> Result<Queue<P>> {
        let held = parts.iter().map(|_| None).collect();
        let mut queue = Queue { parts, held, next: BinaryHeap::new(), last: None };
        for part in 0..queue.parts.len() {
            queue.advance(part, 0)?;
        }
        Ok(queue)
    }

    /// The record that is next.
    pub fn first(&self) -> Option<&P::Record> {
        let Reverse((_, part)) = self.next.peek()?;
        self.held[*part].as_ref().map(|held| &held.record)
    }

    /// The next record, and the file that it is from. Whatever fails after that, all records before it have been handed
    /// out.
    pub fn pop(&mut self) -> Result<Option<(Numbered<P::Record>, usize)>> {
        if let Some((job, part)) = self.last.take() {
            self.advance(part, job)?;
        }
        let Some(Reverse((job, part))) = self.next.pop() else { return Ok(None) };
        let record = self.held[part].take().expect("a file in the heap holds a record");
        self.last = Some((job, part));
        Ok(Some((record, part)))
    }

    /// Reads the record that follows that of `last` in its file.
    fn advance(&mut self, part: usize, last: u64) -> Result<()> {
        let Some(record) = self.parts[part].next()? else { return Ok(()) };
        if record.job < last {
            let words = format!("{}: job {} comes after job {last}", self.parts[part].name(), record.job);
            return Err(Error::refused(words).hint(self.parts[part].hint()));
        }
        self.next.push(Reverse((record.job, part)));
        self.held[part] = Some(record);
        Ok(())
    }
}
