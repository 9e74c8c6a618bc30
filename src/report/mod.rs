//! Everything that is said to people, on stderr, by one thread.
//!
//! It hears through a bounded queue that drops and counts when it is full, so a stuck stderr holds nobody up.
//! Records are not its business: nothing here touches stdout.

pub mod counters;
mod estimate;
mod log;
mod progress;
pub mod settings;
pub mod summary;
mod whole_file;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::report::settings::{ReportSettings, Verbosity};
use crate::text::destination::Destination;
use crate::text::people::{counted, escape};
use counters::Counters;
use log::Log;
use progress::Shown;

pub use whole_file::WholeFile;

/// A handle for all threads.
#[derive(Clone)]
pub struct Reporter {
    notes: Sender<Note>,
    dropped: Arc<AtomicU64>,
    verbosity: Verbosity,
}

enum Note {
    Log(u32, Bytes),
    LogEnd(u32),
    Say(String),
    Progress(u64, Bytes),
    /// Say this last, then tell the sender.
    End(Option<String>, Sender<()>),
}

/// Some dozens of MiB of log at the worst, since one note holds up to 64 KiB.
const NOTES: usize = 1024;
/// A terminal that is held (Ctrl-S), or a pipe that nobody reads, is given up after this.
const PATIENCE: Duration = Duration::from_secs(1);

impl Reporter {
    /// `progress_file` gets the workers' own progress messages.
    pub fn start(
        settings: &ReportSettings,
        counters: Arc<Counters>,
        progress_file: Option<Arc<Destination>>,
    ) -> io::Result<Reporter> {
        let (notes, receiver) = bounded(NOTES);
        let reporter = Reporter { notes, dropped: Arc::default(), verbosity: settings.verbosity };
        let settings = settings.clone();
        let dropped = Arc::clone(&reporter.dropped);
        let body = move || {
            let shown = Shown::new(&settings);
            let message = String::new();
            Voice { notes: receiver, dropped, counters, shown, log: Log::default(), progress_file, message }.run();
        };
        std::thread::Builder::new().name("reporter".to_owned()).spawn(body)?;
        Ok(reporter)
    }

    /// What a worker wrote to its stderr, in any pieces.
    pub fn log(&self, slot: u32, bytes: Bytes) {
        if self.verbosity > Verbosity::Quiet {
            let lines = memchr::memchr_iter(b'\n', &bytes).count().max(1) as u64;
            if self.notes.try_send(Note::Log(slot, bytes)).is_err() {
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            }
        }
    }

    /// A worker's stderr has ended.
    pub fn log_end(&self, slot: u32) {
        self.send(Note::LogEnd(slot));
    }

    /// What even a quiet run says: a job's error that has no other place, a run that seems to hang.
    pub fn alert(&self, words: &str) {
        self.send(Note::Say(format!("forkpool: {}", escape(words))));
    }

    /// A warning or a hint.
    pub fn notice(&self, words: String) {
        if self.verbosity > Verbosity::Quiet {
            self.alert(&words);
        }
    }

    pub fn verbose(&self, words: String) {
        if self.verbosity >= Verbosity::Verbose {
            self.notice(words);
        }
    }

    /// The worker's own progress with a job; JSON text.
    pub fn progress(&self, job: u64, data: &Bytes) {
        self.send(Note::Progress(job, data.clone()));
    }

    /// Says what is left to say, and `last`, unless stderr is stuck.
    pub fn end(self, last: Option<String>) {
        let (done, ended) = bounded(1);
        if self.notes.send_timeout(Note::End(last, done), PATIENCE).is_ok() {
            // Nobody to tell if this fails.
            let _ = ended.recv_timeout(PATIENCE);
        }
    }

    fn send(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread that owns stderr.
struct Voice {
    notes: Receiver<Note>,
    dropped: Arc<AtomicU64>,
    counters: Arc<Counters>,
    shown: Shown,
    log: Log,
    progress_file: Option<Arc<Destination>>,
    /// The last progress message of a worker, for the bar.
    message: String,
}

impl Voice {
    fn run(mut self) {
        loop {
            let now = Instant::now();
            match self.notes.recv_deadline(self.shown.next(now)) {
                Ok(Note::End(last, done)) => {
                    self.shown.end();
                    self.tell_dropped();
                    if let Some(last) = last {
                        self.say(&format!("{last}\n"));
                    }
                    // The other side may have lost patience.
                    let _ = done.send(());
                    return;
                }
                Ok(note) => self.take(note),
                Err(RecvTimeoutError::Timeout) => {
                    let line = self.shown.tick(&self.counters.snapshot(), &self.message, Instant::now());
                    if let Some(line) = line {
                        self.say(&format!("forkpool: {line}\n"));
                    }
                    self.tell_dropped();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, note: Note) {
        let mut out = String::new();
        match note {
            Note::Log(slot, bytes) => self.log.push(slot, &bytes, &mut out),
            Note::LogEnd(slot) => self.log.end(slot, &mut out),
            Note::Say(words) => {
                out = words;
                out.push('\n');
            }
            Note::Progress(job, data) => self.take_progress(job, &data),
            Note::End(..) => {}
        }
        self.say(&out);
    }

    fn take_progress(&mut self, job: u64, data: &[u8]) {
        /// What fits beside the bar.
        const SHOWN: usize = 40;
        let text = String::from_utf8_lossy(data);
        self.message = format!("job {job}: {}", escape(&text).chars().take(SHOWN).collect::<String>());
        if let Some(file) = &self.progress_file
            && let Err(error) = writeln!(&mut &**file, "{{\"job\":{job},\"progress\":{text}}}")
        {
            let reason = crate::words::error::reason(&error);
            self.progress_file = None;
            self.say(&format!("forkpool: cannot write to the progress file: {reason}\n"));
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.say(&format!("forkpool: {} of worker output dropped: stderr is slow\n", counted(dropped, "line")));
        }
    }

    fn say(&self, text: &str) {
        if !text.is_empty() {
            // When stderr is closed there is nobody left to tell.
            self.shown.aside(|| drop(io::stderr().write_all(text.as_bytes())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_stderr_holds_nobody_up() {
        // A reporter whose thread never listens.
        let (notes, _receiver) = bounded(2);
        let reporter = Reporter { notes, dropped: Arc::default(), verbosity: Verbosity::Normal };
        for _ in 0..10 {
            reporter.log(0, Bytes::from_static(b"a\nb\n"));
        }
        assert_eq!(reporter.dropped.load(Ordering::Relaxed), 16);
    }
}
