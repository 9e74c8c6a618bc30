//! Everything that is said to people, on stderr, by one thread.
//!
//! Every thread of a run has a `Reporter` to say things with; `notes` is the queue behind it, and `voice` the thread
//! that writes. Records are none of its business: nothing here writes to stdout.

// What is counted and what is shown of it.
mod bar;
pub mod counters;
mod times;
mod errors;
pub mod picture;
mod bound;
pub mod page;
mod estimate;
mod progress;
pub mod state;
pub mod summary;

// The files that tell of a run.
pub mod files;
mod whole_file;

// What is said, on its way to stderr.
mod log;
pub mod log_files;
mod notes;
mod screen;
mod stderr;
mod terminal;
mod voice;

pub mod settings;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::report::settings::{ReportSettings, Verbosity};
use crate::sys::clock::Clock;
use crate::text::destination::Destination;
use crate::text::people::escape;
use counters::Counters;
use log::Colours;
use log_files::LogFiles;
use notes::{Note, Notes};
use progress::Shown;
use stderr::Stderr;
use voice::Voice;

pub use files::ReportFiles;
pub use whole_file::{WholeFile, end_of_links, folder};

/// What every thread of a run says things with; all clones are one reporter.
#[derive(Clone)]
pub struct Reporter {
    notes: Arc<Notes>,
    verbosity: Verbosity,
    /// Every progress message of a worker is wanted, not only the last one.
    has_progress_file: bool,
    log_files: Option<LogFiles>,
}

/// At the end of a run, a stderr that has taken nothing for this long is given up: a terminal that is held (Ctrl-S), or
/// a pipe that nobody reads.
const PATIENCE: Duration = Duration::from_secs(1);

impl Reporter {
    /// `clock` is the one that the counters go by; `progress_file` gets the workers' own progress messages.
    pub fn start(
        settings: &ReportSettings,
        counters: Arc<Counters>,
        clock: Clock,
        progress_file: Option<Arc<Destination>>,
    ) -> io::Result<Reporter> {
        let verbosity = settings.verbosity;
        let notes: Arc<Notes> = Arc::default();
        let log_files = settings
            .log_dir
            .clone()
            .map(|folder| LogFiles::start(folder, settings.names.clone(), Arc::clone(&notes)))
            .transpose()?;
        let has_progress_file = progress_file.is_some();
        let reporter = Reporter { notes: Arc::clone(&notes), verbosity, has_progress_file, log_files };
        let settings = settings.clone();
        let body = move || {
            let shown = Shown::new(&settings, Instant::now());
            let colours = if terminal::has_colours() { Colours::Shown } else { Colours::Removed };
            let names = settings.names;
            Voice { notes, counters, clock, shown, colours, progress_file, verbosity, names }.run();
        };
        std::thread::Builder::new().name("reporter".to_owned()).spawn(body)?;
        Ok(reporter)
    }

    /// What a worker wrote to its stderr, in any pieces. Dropped and counted when stderr is slow.
    pub fn log(&self, slot: u32, bytes: Bytes) {
        if let Some(files) = &self.log_files {
            files.add(slot, bytes.clone());
        }
        if self.verbosity > Verbosity::Quiet {
            self.notes.log(slot, bytes);
        }
    }

    /// A worker's stderr has ended.
    pub fn log_end(&self, slot: u32) {
        if let Some(files) = &self.log_files {
            files.end(slot);
        }
        self.notes.log_end(slot);
    }

    /// Says an error that stands nowhere else, also in a quiet run. Waits for stderr rather than drop it.
    pub fn error(&self, words: &str) {
        self.notes.put_or_wait(Note::Error(line(words)));
    }

    /// What the user should know, unless the run is to be quiet. Dropped and counted when stderr is slow.
    pub fn notice(&self, words: String) {
        if self.verbosity > Verbosity::Quiet {
            self.notes.put_or_drop(Note::Notice(line(&words)));
        }
    }

    /// What somebody has asked for, so a quiet run says it too.
    pub fn answer(&self, words: String) {
        self.notes.put_or_drop(Note::Notice(line(&words)));
    }

    /// What might help the user, though nothing may be wrong.
    pub fn hint(&self, words: String) {
        self.notice(words);
    }

    /// What only a verbose run says.
    pub fn verbose(&self, words: String) {
        if self.verbosity >= Verbosity::Verbose {
            self.notice(words);
        }
    }

    /// The worker's own progress with a job; JSON text.
    pub fn progress(&self, job: u64, data: &Bytes) {
        self.notes.progress(job, data.clone());
        if self.has_progress_file {
            self.notes.put_or_drop(Note::Progress { job, data: data.clone() });
        }
    }

    /// Says what is left to say, then `errors` and the lines of the summary. Waits for stderr as long as an error is to
    /// be said; everything else is given up when nobody has read anything for a second.
    pub fn end(self, errors: Vec<String>, summary: Vec<String>) {
        if let Some(files) = &self.log_files {
            files.finish();
        }
        let summary = summary.iter().map(|words| Note::Notice(line(words)));
        let last = errors.into_iter().map(Note::Error).chain(summary);
        self.notes.end(last.collect(), PATIENCE);
    }
}

/// For tests, which say nothing aloud.
#[cfg(test)]
impl Reporter {
    /// A verbose reporter without a thread: what it is told waits for `said`.
    pub fn silent() -> Reporter {
        Reporter::without_thread(Verbosity::Verbose, true)
    }

    fn without_thread(verbosity: Verbosity, has_progress_file: bool) -> Reporter {
        Reporter { notes: Arc::default(), verbosity, has_progress_file, log_files: None }
    }

    /// What it has been told since it was last asked: lines, workers' logs (`w0: …`) and progress (`7: …`).
    pub fn said(&self) -> Vec<String> {
        let text = |note| match note {
            Note::Log { slot, lines } => format!("w{slot}: {}", String::from_utf8_lossy(&lines)),
            Note::Progress { job, data } => format!("{job}: {}", String::from_utf8_lossy(&data)),
            Note::Notice(words) | Note::Error(words) => words,
        };
        self.notes.take(Some(Instant::now())).notes.into_iter().map(text).collect()
    }
}

/// Writes to stderr where there is no reporter: before one has been started, or after it has ended.
pub fn say(text: &str) {
    Stderr::default().write(text.as_bytes(), || {});
}

/// A line of ours with these words, some of which may come from a worker and hold control characters.
fn line(words: &str) -> String {
    format!("forkpool: {}", escape(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reporter has to say of an error, a notice, a hint and a verbose remark.
    fn said(verbosity: Verbosity) -> usize {
        let reporter = Reporter::without_thread(verbosity, false);
        reporter.error("job 1 error: Error: sad");
        reporter.notice("SIGINT: reading no more".to_owned());
        reporter.hint("a worker has answered nothing for 5 s".to_owned());
        reporter.verbose("worker w0 started".to_owned());
        reporter.log(0, Bytes::from_static(b"hello\n"));
        reporter.notes.take(None).notes.len()
    }

    #[test]
    fn a_quiet_run_says_errors_only() {
        assert_eq!([Verbosity::Quiet, Verbosity::Normal, Verbosity::Verbose].map(said), [1, 4, 5]);
    }
}
