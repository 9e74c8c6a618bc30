//! Sets damaged parts of a journal aside, so that what follows is written behind a sound line. The file is
//! changed in its place: lines keep theirs, nothing has to be written twice, and a repair that is interrupted
//! is done again the next time.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::file::MODE;
use super::reader::Scan;

/// Damage is copied in pieces of this size.
const PIECE: u64 = 64 * 1024;

/// Appends all damage to a file beside the journal, then cuts it off the end of the journal, or blanks it out. Returns
/// that file's name, and where the journal ends then.
pub fn set_aside(path: &Path, journal: &File, scan: &Scan) -> io::Result<(PathBuf, u64)> {
    let mut name = OsString::from(path);
    name.push(".damaged");
    let name = PathBuf::from(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut aside = File::from(rustix::fs::open(&name, flags, MODE)?);
    for range in &scan.damage {
        for (place, piece) in pieces(range) {
            let mut bytes = vec![0; piece];
            journal.read_exact_at(&mut bytes, place)?;
            aside.write_all(&bytes)?;
        }
    }
    // What was set aside is on the disk before it is taken out of the journal.
    aside.sync_data()?;
    let mut end = scan.length;
    for range in &scan.damage {
        if range.end == scan.length {
            end = range.start;
            journal.set_len(end)?;
        } else {
            blank(journal, range)?;
        }
    }
    Ok((name, end))
}

/// Makes a damaged part a line of blanks, so that a sound line follows.
fn blank(journal: &File, range: &Range<u64>) -> io::Result<()> {
    for (place, piece) in pieces(range) {
        let mut blanks = vec![b' '; piece];
        if place + piece as u64 == range.end {
            blanks[piece - 1] = b'\n';
        }
        journal.write_all_at(&blanks, place)?;
    }
    Ok(())
}

fn pieces(range: &Range<u64>) -> impl Iterator<Item = (u64, usize)> {
    let end = range.end;
    (range.start..end).step_by(PIECE as usize).map(move |place| (place, (end - place).min(PIECE) as usize))
}
