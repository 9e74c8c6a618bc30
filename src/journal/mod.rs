//! `--journal` and `--resume`: every outcome is appended to a file before its record is written out, and a run
//! that resumes takes what is there instead of running the job again.
//!
//! In reading order: `format` is a line of the file and `identity` its first one, `reader` finds the sound lines
//! of a file that may be damaged, `repair` sets the damage aside, `index` knows what is done. Then the run has two
//! ends of it: `recall` belongs to the source, `writer` to the collector.
//!
//! What a job is known by is its content and how many equal ones came before it, never its position, so that
//! lines may be added, removed and reordered between runs.
//!
//! Nothing is promised about a file that somebody else writes to meanwhile; a lock keeps other runs out.

mod file;
mod format;
mod identity;
mod index;
mod reader;
mod recall;
mod repair;
pub mod settings;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::journal::settings::{JournalMode, JournalSettings};
use crate::text::people::counted;
use crate::words::error::{Error, Result, reason};
use format::Seal;
use identity::Header;
use index::Index;
use reader::Scan;

pub use recall::{Recall, Recalled};
pub use writer::Writer;

#[cfg(test)]
use identity::testing;

/// A run's journal, opened.
pub struct Journal {
    pub recall: Recall,
    pub writer: Writer,
    /// What the user should know.
    pub notice: Option<String>,
}

/// A journal's file, which this run alone has. Nothing is read yet, and nothing changed.
pub struct Locked {
    pub file: File,
    /// There was none before.
    pub is_new: bool,
}

/// A journal that fits this run. Nothing is changed yet.
pub struct Fitting {
    path: PathBuf,
    file: File,
    index: Index,
    scan: Scan,
    header: Header,
    key: Option<String>,
    mode: JournalMode,
}

/// Opens and locks the journal that the settings name, or makes it.
pub fn lock(settings: &JournalSettings) -> Result<Locked> {
    let (file, is_new) = file::open(&settings.path)?;
    Ok(Locked { file, is_new })
}

impl Locked {
    /// Reads it, and sees that it fits this run.
    pub fn read(self, settings: &JournalSettings) -> Result<Fitting> {
        let header = Header::of(settings)?;
        let (path, file) = (settings.path.clone(), self.file);
        let is_empty = file.metadata().map_err(|error| unusable(&path, &error))?.len() == 0;
        if settings.mode == JournalMode::New && !is_empty {
            return Err(Error::refused(format!("the journal {} exists already", path.display()))
                .hint("--resume goes on with it; remove it, or name another, to start anew"));
        }
        let (index, scan) = read(&path, &file, &header)?;
        Ok(Fitting { path, file, index, scan, header, key: settings.key.clone(), mode: settings.mode })
    }
}

impl Fitting {
    /// Makes it ready to be written: private, if it is empty, and without damage.
    pub fn begin(self) -> Result<Journal> {
        let Fitting { path, file, index, scan, header, key, mode } = self;
        let seal = Seal::of(&header);
        file::make_private(&path, &file)?;
        let (mut end, mut notice) = (scan.length, None);
        if !scan.damage.is_empty() {
            let (aside, sound_end) = repair::set_aside(&path, &file, &scan).map_err(|error| unusable(&path, &error))?;
            notice = Some(words_of_repair(&path, &aside, &scan));
            end = sound_end;
        }
        let to_write = if scan.header.is_none() { Some(header) } else { None };
        let reading = file.try_clone().map_err(|error| unusable(&path, &error))?;
        Ok(Journal {
            recall: Recall::new(path.clone(), reading, index, seal, key, mode),
            writer: Writer::new(path, file, end, to_write, seal),
            notice,
        })
    }
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::refused(format!("cannot use the journal {}: {}", path.display(), reason(error)))
}

/// What a run with `--resume` would find done, for `--dry-run`: nothing is locked, mended or made.
pub fn peek(settings: &JournalSettings) -> Result<Option<Recall>> {
    let header = Header::of(settings)?;
    let Some(file) = file::open_to_read(&settings.path)? else { return Ok(None) };
    let (index, _) = read(&settings.path, &file, &header)?;
    let (path, key) = (settings.path.clone(), settings.key.clone());
    Ok(Some(Recall::new(path, file, index, Seal::of(&header), key, settings.mode)))
}

/// Refused if it is of another run, or no journal at all.
fn read(path: &Path, file: &File, header: &Header) -> Result<(Index, Scan)> {
    let name = path.display();
    let mut index = Index::default();
    let scan = reader::scan(file, header, |place, entry| index.push(entry.key, entry.status, place))
        .map_err(|error| Error::refused(format!("cannot read the journal {name}: {}", reason(&error))))?;
    match &scan.header {
        Some(found) => {
            if let Some(difference) = header.difference(found) {
                return Err(Error::refused(format!("the journal {name} does not fit: {difference}"))
                    .hint("start a new journal: its results would be mixed with this run's"));
            }
        }
        // The outcomes prove by their seal that they are this worker's: only the header is lost.
        None if scan.outcomes > 0 => {}
        // Empty, or nothing but the beginning of a header that was never written whole.
        None if scan.begins_well && !scan.has_lines => {}
        None if scan.begins_well => {
            return Err(Error::refused(format!("the journal {name} is damaged: its first line cannot be read"))
                .hint("and nothing in it is of this worker and this input's format: start a new journal"));
        }
        None => return Err(Error::refused(format!("{name} is not a journal of forkpool"))),
    }
    index.sort();
    Ok((index, scan))
}

fn words_of_repair(path: &Path, aside: &Path, scan: &Scan) -> String {
    let bytes: u64 = scan.damage.iter().map(|range| range.end - range.start).sum();
    format!(
        "the journal {} was damaged: {} ({}) moved to {}, {} kept",
        path.display(),
        counted(scan.damage.len() as u64, "part"),
        counted(bytes, "byte"),
        aside.display(),
        counted(scan.outcomes, "outcome"),
    )
}
