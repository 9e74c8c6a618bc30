//! `--journal` and `--resume`: every outcome is appended to a file before its record is written out, and a run
//! that resumes takes what is there instead of running the job again.
//!
//! In reading order: `format` is a line of the file and `identity` its first one, `reader` finds the sound lines of a
//! file that may be damaged, `repair` sets the damage aside, `index` knows what is done. Both ends of a run then have a
//! part of the journal: `recall` belongs to the source, `writer` to the collector.
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
use std::path::Path;

use crate::journal::settings::{JournalMode, JournalSettings};
use crate::text::people::counted;
use crate::words::error::{Error, Result, reason};
use format::Seal;
use identity::{Difference, JournalHeader};
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
    /// Words for the user about what was mended, and what was accepted.
    pub notices: Vec<String>,
}

/// A journal's file, which this run alone has. Nothing is read yet, and nothing changed.
pub struct Locked {
    pub file: File,
    /// The file was made just now.
    pub is_new: bool,
}

/// A journal that fits this run. Nothing is changed yet.
pub struct Fitting {
    file: File,
    index: Index,
    scan: Scan,
    header: JournalHeader,
    /// What has changed of the worker since the journal was written, in words, where the user accepts that; `None` if
    /// nothing has.
    change: Option<String>,
    settings: JournalSettings,
}

/// Opens and locks the journal that the settings name, or makes it.
pub fn lock(settings: &JournalSettings) -> Result<Locked> {
    let (file, is_new) = file::open(&settings.path)?;
    Ok(Locked { file, is_new })
}

impl Locked {
    /// Reads the journal, and sees that it fits this run.
    pub fn read(self, settings: &JournalSettings) -> Result<Fitting> {
        let header = JournalHeader::of(settings)?;
        let (path, file) = (settings.path.clone(), self.file);
        let is_empty = file.metadata().map_err(|error| unusable(&path, &error))?.len() == 0;
        if settings.mode == JournalMode::New && !is_empty {
            return Err(Error::refused(format!("the journal {} exists already", path.display()))
                .hint("--resume goes on with it; remove it, or name another, to start anew"));
        }
        let (index, scan, change) = read(settings, &file, &header)?;
        Ok(Fitting { file, index, scan, header, change, settings: settings.clone() })
    }
}

impl Fitting {
    /// Makes the journal ready to be written: private, if it is empty, and without damage.
    pub fn begin(self) -> Result<Journal> {
        let Fitting { file, index, mut scan, header, change, settings } = self;
        let path = &settings.path;
        let seal = Seal::of(&header);
        file::make_private(path, &file)?;
        let (mut end, mut notices) = (scan.length, Vec::new());
        if !scan.damage.is_empty() {
            let (aside, sound_end) = repair::set_aside(path, &file, &scan).map_err(|error| unusable(path, &error))?;
            notices.push(words_of_repair(path, &aside, &scan));
            end = sound_end;
        }
        let is_same_code = change.is_none();
        let to_write = if scan.header.is_none() || !is_same_code { Some(header) } else { None };
        let reading = file.try_clone().map_err(|error| unusable(path, &error))?;
        let recall =
            Recall::new(path.clone(), reading, index, std::mem::take(&mut scan.seals), is_same_code, &settings);
        notices.extend(change.map(|change| words_of_change(path, &change, recall.done())));
        Ok(Journal { recall, writer: Writer::new(path.clone(), file, end, to_write, seal), notices })
    }
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::refused(format!("cannot use the journal {}: {}", path.display(), reason(error)))
}

/// What a run with `--resume` would find done, for `--dry-run`: nothing is locked, mended or made.
pub fn peek(settings: &JournalSettings) -> Result<Option<Recall>> {
    let header = JournalHeader::of(settings)?;
    let Some(file) = file::open_to_read(&settings.path)? else { return Ok(None) };
    let (index, scan, change) = read(settings, &file, &header)?;
    Ok(Some(Recall::new(settings.path.clone(), file, index, scan.seals, change.is_none(), settings)))
}

/// Reads a journal. It is refused if it is of another worker or input format, or no journal at all. What has changed of
/// the worker is returned if the run goes on all the same.
fn read(settings: &JournalSettings, file: &File, header: &JournalHeader) -> Result<(Index, Scan, Option<String>)> {
    let name = settings.path.display();
    let mut index = Index::default();
    let scan = reader::scan(file, header, |place, entry| index.push(entry.key, entry.status, place))
        .map_err(|error| Error::refused(format!("cannot read the journal {name}: {}", reason(&error))))?;
    let mut change = None;
    match &scan.header {
        // The last outcomes prove by their seal that they are this worker's, although the header before them may be
        // lost.
        Some(_) if scan.ends_as_expected => {}
        Some(found) => change = accept(settings, header.difference(found))?,
        // The outcomes prove the same where no header is left at all.
        None if scan.outcomes > 0 => {}
        // The file is empty, or has nothing but the beginning of a header that was never written whole.
        None if scan.begins_well && !scan.has_lines => {}
        None if scan.begins_well => {
            return Err(Error::refused(format!("the journal {name} is damaged: its first line cannot be read"))
                .hint("and nothing in it is of this worker and this input's format: start a new journal"));
        }
        None => return Err(Error::refused(format!("{name} is not a journal of forkpool"))),
    }
    index.sort();
    Ok((index, scan, change))
}

/// What has changed of the worker, if the user accepts it. If not, or if no run could go on with the journal, the error
/// says what can be done.
fn accept(settings: &JournalSettings, difference: Option<Difference>) -> Result<Option<String>> {
    let (difference, hint) = match difference {
        None => return Ok(None),
        Some(Difference::Code(words)) if settings.accepts_changes => return Ok(Some(words)),
        Some(difference @ Difference::Code(_)) => (
            difference,
            "--retry-failed keeps what ended ok and runs the rest with the worker as it is now; --accept-changes keeps \
             all that is done; a new journal runs everything again",
        ),
        Some(difference @ Difference::Jobs(_)) => {
            (difference, "start a new journal: its jobs would not be known again")
        }
    };
    let (name, words) = (settings.path.display(), difference.words());
    Err(Error::refused(format!("the journal {name} does not fit: {words}")).hint(hint))
}

fn words_of_change(path: &Path, change: &str, kept: u64) -> String {
    format!("the journal {}: {change}; {} of before that are kept", path.display(), counted(kept, "result"))
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
