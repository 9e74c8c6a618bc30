//! The source's side of the journal: knows each job again, and reads back what became of it. Results are not
//! kept in memory; they are read from the file when their job is read from the input.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;
use twox_hash::XxHash3_128;

use super::format::{self, Entry, Line, Seal};
use super::index::{Index, Occurrences};
use crate::journal::settings::{JournalMode, JournalSettings};
use crate::text::json::field as json_field;
use crate::words::error::{Error, reason};
use crate::words::job::{Job, JobKey};
use crate::words::outcome::{Outcome, Status};

/// What the journal knows of a job.
pub enum Recalled {
    /// The job was done in an earlier run.
    Done(Outcome),
    /// The job is to be run. It has got its key, under which its outcome will be written.
    ToRun(Job),
    /// The job was done, but the outcome can no longer be read.
    Failed(Job, Error),
}

pub struct Recall {
    /// The field that a job is known by (`--key`); without it, the whole job.
    field: Option<String>,
    mode: JournalMode,
    occurrences: Occurrences,
    index: Index,
    /// The seals of the headers that the journal has.
    seals: Vec<Seal>,
    /// The last outcomes are of the worker that runs now.
    is_same_code: bool,
    lines: Lines,
}

impl Recall {
    pub fn new(
        path: PathBuf,
        file: File,
        index: Index,
        seals: Vec<Seal>,
        is_same_code: bool,
        settings: &JournalSettings,
    ) -> Recall {
        let (field, mode, lines) = (settings.key.clone(), settings.mode.clone(), Lines::new(path, file));
        Recall { field, mode, occurrences: Occurrences::default(), index, seals, is_same_code, lines }
    }

    /// Whether the journal has an answer of a worker, so that the worker's program is known to work.
    pub fn has_answers(&self) -> bool {
        self.is_same_code && self.index.statuses().any(|status| matches!(status, Status::Ok | Status::Error))
    }

    /// The key of the input's next job. Must be called once for each job, in the input's order, or equal jobs would be
    /// mixed up.
    pub fn next_key(&mut self, data: &[u8]) -> JobKey {
        let digest = digest(data, self.field.as_deref());
        JobKey { digest, occurrence: self.occurrences.next(digest) }
    }

    /// How many jobs there are that need not be run again, if the input has them all.
    pub fn done(&self) -> u64 {
        self.index.statuses().filter(|&status| self.mode.keeps(status)).count() as u64
    }

    /// Where the outcome of this job stands, if the job need not be run again.
    pub fn find(&self, key: JobKey) -> Option<u64> {
        let (status, place) = self.index.find(key)?;
        self.mode.keeps(status).then_some(place)
    }

    /// Names the input's next job, and brings back what became of it.
    pub fn recall(&mut self, mut job: Job) -> Recalled {
        let key = self.next_key(&job.data);
        job.extra.get_or_insert_default().key = Some(key);
        let Some(place) = self.find(key) else { return Recalled::ToRun(job) };
        let seals = &self.seals;
        let read = |line| seals.iter().rev().find_map(|&seal| format::read(line, seal));
        match self.lines.at(place).map(read) {
            Ok(Some(Line::Outcome(Entry { key: found, status, attempts, host, worker, elapsed, payload })))
                if found == key =>
            {
                let payload = Bytes::copy_from_slice(payload);
                Recalled::Done(Outcome { job, status, payload, attempts, host, worker, batch: 0, elapsed, began: None })
            }
            // The line was sound when the run began, and the run holds the lock: whoever changed it has not asked for
            // the lock.
            Ok(_) => Recalled::Failed(job, self.failed("it was changed while it was read")),
            Err(error) => Recalled::Failed(job, self.failed(&reason(&error))),
        }
    }

    fn failed(&self, why: &str) -> Error {
        Error::io(format!("cannot read the journal {}: {why}", self.lines.path.display()))
    }
}

/// Digests of a field and of a whole job start differently, so that one is never taken for the other.
const OF_FIELD: u64 = 1;
const OF_CONTENT: u64 = 0;

/// What a job is known by: the bytes of its field, as they are written, or all of its bytes. A job that lacks the field
/// is known by its whole content, so that it can be resumed like any other.
fn digest(data: &[u8], field: Option<&str>) -> u128 {
    match field.and_then(|field| json_field(data, field)) {
        Some(value) => XxHash3_128::oneshot_with_seed(OF_FIELD, value.get().as_bytes()),
        None => XxHash3_128::oneshot_with_seed(OF_CONTENT, data),
    }
}

/// Lines of the file, read in blocks: jobs mostly come back in about the order they ended in.
struct Lines {
    path: PathBuf,
    file: File,
    /// Where `buffer` begins in the file.
    start: u64,
    buffer: Vec<u8>,
}

/// How much is read at once: some hundreds of short lines, and not too much for a single one.
const BLOCK: u64 = 32 * 1024;

impl Lines {
    fn new(path: PathBuf, file: File) -> Lines {
        Lines { path, file, start: 0, buffer: Vec::new() }
    }

    /// The line that begins at `place`, without its end.
    fn at(&mut self, place: u64) -> io::Result<&[u8]> {
        let line = match self.find(place, 0) {
            Some(line) => line,
            None => self.load(place)?,
        };
        Ok(&self.buffer[line])
    }

    /// Where the line stands in the buffer, if it is there as a whole. Its first `searched` bytes are known to have no
    /// line end.
    fn find(&self, place: u64, searched: usize) -> Option<Range<usize>> {
        let start = usize::try_from(place.checked_sub(self.start)?).ok()?;
        let length = memchr::memchr(b'\n', self.buffer.get(start + searched..)?)?;
        Some(start..start + searched + length)
    }

    /// Reads the line at `place` into a buffer that is begun anew, so that it holds no more than some blocks and one
    /// line.
    fn load(&mut self, place: u64) -> io::Result<Range<usize>> {
        self.start = place - place % BLOCK;
        // The memory of a long line is given back, and not kept for the rest of the run.
        self.buffer.clear();
        self.buffer.shrink_to(2 * BLOCK as usize);
        loop {
            let searched = self.buffer.len().saturating_sub((place - self.start) as usize);
            // The buffer is doubled each time, so that a long line is read in few pieces.
            if self.read_more(self.buffer.len().max(BLOCK as usize))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(line) = self.find(place, searched) {
                return Ok(line);
            }
        }
    }

    fn read_more(&mut self, length: usize) -> io::Result<usize> {
        let before = self.buffer.len();
        self.buffer.resize(before + length, 0);
        let got = loop {
            match self.file.read_at(&mut self.buffer[before..], self.start + before as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(before + *got.as_ref().unwrap_or(&0));
        got
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_read_in_any_order_and_little_of_the_file_is_kept() {
        let mut file = tempfile::tempfile().unwrap();
        let mut lines: Vec<(u64, String)> = Vec::new();
        let mut end = 0;
        for number in 0..3000_usize {
            let length = if number % 1000 == 77 { 200_000 } else { number * 7 % 300 };
            let line = format!("{number} {}", "x".repeat(length));
            lines.push((end, line.clone()));
            end += line.len() as u64 + 1;
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        let mut reader = Lines::new(PathBuf::new(), file);
        for step in [1, 7919] {
            for number in 0..lines.len() {
                let (place, line) = &lines[number * step % lines.len()];
                assert_eq!(reader.at(*place).unwrap(), line.as_bytes());
                assert!(reader.buffer.len() <= 8 * BLOCK as usize + 2 * line.len());
            }
        }
        assert!(reader.at(end).is_err());
    }

    #[test]
    fn a_field_is_not_taken_for_a_whole_job() {
        assert_eq!(digest(b"{\"id\":7,\"a\":1}", Some("id")), digest(b"{\"a\":2,\"id\":7}", Some("id")));
        assert_ne!(digest(b"{\"id\":7}", Some("id")), digest(b"{\"id\":\"7\"}", Some("id")));
        assert_ne!(digest(b"{\"id\":7}", Some("id")), digest(b"7", Some("id")));
        assert_eq!(
            digest(b"{\"a\":7}", Some("id")),
            digest(b"{\"a\":7}", None),
            "without the field its content counts"
        );
    }
}
