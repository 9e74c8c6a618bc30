//! Results that wait on disk: sorted runs in one unlinked temporary file, each read back once, from its
//! beginning to its end. Nothing is kept in memory per result.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::encode::{decode, get, put};
use crate::words::outcome::Outcome;

#[derive(Default)]
pub struct Spill {
    file: Option<File>,
    /// Where the next run begins.
    end: u64,
    /// The runs, by the number of the first outcome that is left in each.
    runs: BTreeMap<u64, SortedRun>,
    /// How many outcomes are left in all runs.
    outcomes: u64,
}

/// One sorted run: each entry is its length as a varint, then the encoded outcome.
struct SortedRun {
    /// Where in the file the bytes stand that follow those of `buffer`.
    next: u64,
    /// Where in the file the run ends.
    end: u64,
    buffer: Vec<u8>,
    /// How many bytes of `buffer` have been read.
    read: usize,
}

/// Runs are written and read in pieces of this size. Only a run that is being read has one in memory.
const PIECE: usize = 64 * 1024;

impl Spill {
    /// Writes a run of encoded outcomes, in ascending order; `first` is the number of the first. After an error
    /// nothing of the run has been kept.
    pub fn write_run<'a>(&mut self, first: u64, entries: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        if self.runs.is_empty() {
            // No run is left, so nothing in the file is wanted any more.
            file.set_len(0)?;
            self.end = 0;
        }
        let mut end = self.end;
        let mut outcomes = 0;
        let mut piece = Vec::with_capacity(PIECE);
        for entry in entries {
            put(entry.len() as u64, &mut piece);
            piece.extend_from_slice(entry);
            outcomes += 1;
            if piece.len() >= PIECE {
                file.write_all_at(&piece, end)?;
                end += piece.len() as u64;
                piece.clear();
            }
        }
        file.write_all_at(&piece, end)?;
        end += piece.len() as u64;
        self.runs.insert(first, SortedRun { next: self.end, end, buffer: Vec::new(), read: 0 });
        self.end = end;
        self.outcomes += outcomes;
        Ok(())
    }

    /// The outcome with this number, if it is the first that is left of a run.
    pub fn pop(&mut self, number: u64) -> io::Result<Option<Outcome>> {
        let Some(mut entry) = self.runs.first_entry().filter(|entry| *entry.key() == number) else { return Ok(None) };
        let Some(file) = &self.file else { return Ok(None) };
        let run = entry.get_mut();
        let outcome = run.take(file)?.and_then(|bytes| decode(&bytes)).ok_or_else(damaged)?;
        let following = run.peek(file)?;
        let run = entry.remove();
        if let Some(following) = following {
            self.runs.insert(following, run);
        }
        self.outcomes -= 1;
        Ok(Some(outcome))
    }

    #[cfg(test)]
    pub fn len(&self) -> u64 {
        self.outcomes
    }

    /// From now on the disk takes nothing; what it has can be read.
    #[cfg(test)]
    pub fn fill_disk(&mut self) {
        let old = self.file.take().unwrap_or_else(|| tempfile::tempfile().expect("a test can make a file"));
        // A descriptor that was opened to read refuses every write, as a full disk does.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&old));
        self.file = Some(File::open(path).expect("an open file can be opened again"));
    }
}

impl SortedRun {
    /// Takes the bytes of the next entry; `None` at the end of the run.
    fn take(&mut self, file: &File) -> io::Result<Option<Vec<u8>>> {
        // A varint has ten bytes at most.
        if !self.fill(file, 10)? {
            return Ok(None);
        }
        let mut rest = &self.buffer[self.read..];
        let before = rest.len();
        let length = get(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or_else(damaged)?;
        self.read += before - rest.len();
        self.fill(file, length)?;
        let entry = self.buffer.get(self.read..self.read + length).ok_or_else(damaged)?.to_vec();
        self.read += length;
        Ok(Some(entry))
    }

    /// The job number of the next entry; `None` at the end of the run.
    fn peek(&mut self, file: &File) -> io::Result<Option<u64>> {
        // An entry begins with two varints, its length and its number, of ten bytes at most each.
        if !self.fill(file, 20)? {
            return Ok(None);
        }
        let mut rest = &self.buffer[self.read..];
        get(&mut rest).and_then(|_| get(&mut rest)).ok_or_else(damaged).map(Some)
    }

    /// Sees that `wanted` bytes are in the buffer, or all that are left of the run. Returns whether there are any.
    fn fill(&mut self, file: &File, wanted: usize) -> io::Result<bool> {
        let left = self.buffer.len() - self.read;
        if left < wanted && self.next < self.end {
            self.buffer.drain(..self.read);
            self.read = 0;
            let more = (wanted.max(PIECE) - left).min(usize::try_from(self.end - self.next).unwrap_or(usize::MAX));
            self.buffer.resize(left + more, 0);
            file.read_exact_at(&mut self.buffer[left..], self.next)?;
            self.next += more as u64;
        }
        Ok(self.buffer.len() > self.read)
    }
}

fn damaged() -> io::Error {
    io::Error::other("the temporary file has been changed")
}
