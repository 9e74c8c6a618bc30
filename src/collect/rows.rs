//! The rows of a table whose columns are not known before its last row: kept in memory, and past a few MiB in an
//! unlinked file in the temporary directory.
//!
//! When the temporary directory takes no more, nothing is lost: what it did not take stays in memory, and so do the
//! rows that are still to come. The run is told once, and ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::encode::{decode, encode, get, put};
use crate::words::outcome::Outcome;

pub struct Rows {
    /// Rows that are in memory, behind those on disk: each is its length as a varint, then the encoded outcome.
    memory: Vec<u8>,
    /// So many bytes of rows stay in memory.
    limit: usize,
    disk: Disk,
}

enum Disk {
    Unused,
    /// `end` is where the last row that was written whole ends.
    Used {
        file: File,
        end: u64,
    },
    /// The same, of a file that takes no more; `None` if there never was one.
    Full(Option<(File, u64)>),
}

/// Rows are read back in pieces of this size.
const PIECE: usize = 64 * 1024;

impl Rows {
    /// `limit` bytes of rows stay in memory.
    pub fn new(limit: usize) -> Rows {
        Rows { memory: Vec::new(), limit, disk: Disk::Unused }
    }

    /// Keeps a row. An error says, once, that this and all further rows are kept in memory.
    pub fn push(&mut self, outcome: &Outcome) -> io::Result<()> {
        let mut row = Vec::new();
        encode(outcome, &mut row);
        put(row.len() as u64, &mut self.memory);
        self.memory.extend_from_slice(&row);
        if self.memory.len() > self.limit { self.make_room() } else { Ok(()) }
    }

    /// Moves all rows in memory to the disk.
    fn make_room(&mut self) -> io::Result<()> {
        let (file, end) = match std::mem::replace(&mut self.disk, Disk::Full(None)) {
            Disk::Full(file) => {
                self.disk = Disk::Full(file);
                return Ok(());
            }
            Disk::Unused => (tempfile::tempfile()?, 0),
            Disk::Used { file, end } => (file, end),
        };
        if let Err(error) = file.write_all_at(&self.memory, end) {
            self.disk = Disk::Full(Some((file, end)));
            return Err(error);
        }
        self.disk = Disk::Used { file, end: end + self.memory.len() as u64 };
        self.memory.clear();
        Ok(())
    }

    /// Hands out all rows, in the order they came.
    pub fn read(&self, mut take: impl FnMut(Outcome) -> io::Result<()>) -> Result<(), ReadError> {
        if let Disk::Used { file, end } | Disk::Full(Some((file, end))) = &self.disk {
            let mut piece = Vec::new();
            let mut next = 0;
            while next < *end || !piece.is_empty() {
                let more = PIECE.min(usize::try_from(*end - next).unwrap_or(PIECE));
                let old = piece.len();
                piece.resize(old + more, 0);
                file.read_exact_at(&mut piece[old..], next).map_err(ReadError::Rows)?;
                next += more as u64;
                let read = take_whole_rows(&piece, &mut take)?;
                if read == 0 && more == 0 {
                    return Err(ReadError::Rows(io::Error::other("the temporary file has been changed")));
                }
                piece.drain(..read);
            }
        }
        take_whole_rows(&self.memory, &mut take).map(drop)
    }
}

/// Why rows were not all handed out.
#[derive(Debug)]
pub enum ReadError {
    /// They cannot be read back.
    Rows(io::Error),
    /// Whoever took them could not go on.
    Taker(io::Error),
}

/// Hands out the rows that are whole in `bytes`, and says how many bytes they were.
fn take_whole_rows(bytes: &[u8], take: &mut impl FnMut(Outcome) -> io::Result<()>) -> Result<usize, ReadError> {
    let mut rest = bytes;
    let mut read = 0;
    while let Some(length) = get(&mut rest)
        && let Ok(length) = usize::try_from(length)
        && let Some((row, following)) = rest.split_at_checked(length)
    {
        let damaged = || ReadError::Rows(io::Error::other("the temporary file has been changed"));
        take(decode(row).ok_or_else(damaged)?).map_err(ReadError::Taker)?;
        rest = following;
        read = bytes.len() - rest.len();
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::words::job::Job;
    use crate::words::outcome::Status;

    fn outcome(number: u64, size: usize) -> Outcome {
        Outcome {
            job: Job { number, line: number, data: Bytes::from_static(b"{}"), extra: None },
            status: Status::Ok,
            payload: Bytes::from(vec![b'x'; size]),
            attempts: 1,
            host: crate::words::host::HostId::HERE,
            worker: Some(0),
            batch: 0,
            began: None,
            elapsed: Duration::ZERO,
        }
    }

    #[track_caller]
    fn check(rows: &Rows, count: u64) {
        let mut numbers = Vec::new();
        rows.read(|outcome| {
            numbers.push(outcome.job.number);
            Ok(())
        })
        .unwrap();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    }

    /// Where every write fails for want of room.
    fn full() -> File {
        File::options().read(true).write(true).open("/dev/full").unwrap()
    }

    #[test]
    fn rows_come_back_in_order_from_memory_and_disk() {
        for (limit, size) in [(1 << 20, 10), (1000, 10), (1000, 3000), (1000, 200_000), (0, 0)] {
            let mut rows = Rows::new(limit);
            check(&rows, 0);
            for number in 1..=50 {
                rows.push(&outcome(number, size)).unwrap();
            }
            check(&rows, 50);
        }
    }

    #[test]
    fn a_full_disk_is_told_once_and_loses_no_row() {
        let mut rows = Rows::new(1000);
        rows.disk = Disk::Used { file: full(), end: 0 };
        let failed: Vec<u64> = (1..=50).filter(|&number| rows.push(&outcome(number, 100)).is_err()).collect();
        assert_eq!(failed, [9]);
        check(&rows, 50);
    }

    #[test]
    fn a_disk_that_is_full_later_keeps_what_it_took() {
        let mut rows = Rows::new(1000);
        for number in 1..=20 {
            rows.push(&outcome(number, 100)).unwrap();
        }
        let Disk::Used { file, end } = std::mem::replace(&mut rows.disk, Disk::Full(None)) else {
            panic!("20 rows of 100 bytes are more than 1000 bytes");
        };
        // A part of a row that a failed write has left behind is no row.
        file.write_all_at(b"\x70half a row", end).unwrap();
        rows.disk = Disk::Full(Some((file, end)));
        for number in 21..=50 {
            rows.push(&outcome(number, 100)).unwrap();
        }
        check(&rows, 50);
    }
}
