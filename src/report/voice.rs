//! The thread that owns stderr: writes what the others have to say, and shows how far the run is.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::counters::Counters;
use super::log::{self, Colours};
use super::notes::{Dropped, Note, Notes};
use super::progress::{Shown, Text};
use super::screen::Screen;
use super::settings::Verbosity;
use crate::sys::clock::Clock;
use crate::text::destination::Destination;
use crate::text::people::{counted, escape};
use crate::words::error::reason;
use crate::words::slots::SlotNames;

/// What the thread needs.
pub struct Voice {
    pub notes: Arc<Notes>,
    pub counters: Arc<Counters>,
    /// The clock that the counters go by.
    pub clock: Clock,
    pub shown: Shown,
    pub colours: Colours,
    pub progress_file: Option<Arc<Destination>>,
    pub verbosity: Verbosity,
    pub names: SlotNames,
}

/// The state of the thread.
struct Speaking {
    voice: Voice,
    screen: Screen,
    /// The lines that are written next.
    text: String,
    /// How many errors are in `text`.
    errors: usize,
    /// The last progress message of a worker, for the bar.
    message: String,
}

/// How much text is gathered before it is written: enough to make the call's own cost vanish.
const GATHERED: usize = 16 * 1024;

impl Voice {
    /// Speaks until the last word: the body of the reporter's thread.
    pub fn run(self) {
        let (screen, text, message) = (Screen::default(), String::new(), String::new());
        Speaking { voice: self, screen, text, errors: 0, message }.run();
    }
}

impl Drop for Speaking {
    /// Whoever waits for room or for the end is let go, also after a panic of this thread: it would wait for ever.
    fn drop(&mut self) {
        self.voice.notes.gone();
    }
}

impl Speaking {
    fn run(&mut self) {
        loop {
            let taken = self.voice.notes.take(self.voice.shown.next());
            if taken.last.is_some() {
                self.voice.shown = Shown::Nothing;
                self.screen.clear();
            }
            if let Some((job, data)) = taken.progress {
                self.show_progress(job, &data);
            }
            for note in taken.notes {
                self.add(note);
                if self.text.len() >= GATHERED {
                    self.write();
                    self.tick();
                }
            }
            self.add_dropped(taken.dropped);
            let is_over = taken.last.is_some();
            taken.last.into_iter().flatten().for_each(|note| self.add(note));
            self.write();
            if is_over {
                return;
            }
            self.tick();
        }
    }

    /// Shows how far the run is, if that is due.
    fn tick(&mut self) {
        let Voice { shown, counters, clock, .. } = &mut self.voice;
        if !shown.is_due(Instant::now()) {
            return;
        }
        match shown.text(&counters.snapshot(), &self.message, clock.now()) {
            Text::Nothing => {}
            Text::Bar(bar) => self.screen.draw(bar, || self.voice.notes.moved()),
            Text::Line(line) => {
                self.add_line(&format!("forkpool: {line}"));
                self.write();
            }
        }
    }

    fn add(&mut self, note: Note) {
        match note {
            Note::Log { slot, lines } => log::show(slot, &self.voice.names, &lines, self.voice.colours, &mut self.text),
            Note::Progress { job, data } => self.add_to_file(job, &data),
            Note::Notice(words) => self.add_line(&words),
            Note::Error(words) => {
                self.add_line(&words);
                self.errors += 1;
            }
        }
    }

    fn add_line(&mut self, words: &str) {
        self.text.push_str(words);
        self.text.push('\n');
    }

    fn show_progress(&mut self, job: u64, data: &Bytes) {
        /// Letters of a message that are kept: more than fit beside the bar.
        const SHOWN: usize = 200;
        let text = String::from_utf8_lossy(data);
        self.message = format!("job {job}: {}", escape(&text).chars().take(SHOWN).collect::<String>());
    }

    fn add_to_file(&mut self, job: u64, data: &Bytes) {
        let Some(file) = &self.voice.progress_file else { return };
        let text = String::from_utf8_lossy(data);
        if let Err(error) = writeln!(&mut &**file, "{{\"job\":{job},\"progress\":{text}}}") {
            self.voice.progress_file = None;
            self.add_line(&format!("forkpool: cannot write to the progress file: {}", reason(&error)));
        }
    }

    fn add_dropped(&mut self, dropped: Dropped) {
        if self.voice.verbosity == Verbosity::Quiet {
            return;
        }
        let Dropped { log_lines, progress, notices } = dropped;
        for (number, words) in [
            (log_lines, counted(log_lines, "line") + " of worker output dropped: stderr is slow"),
            (notices, counted(notices, "notice") + " dropped: stderr is slow"),
            (progress, counted(progress, "progress message") + " dropped: they come faster than they are written"),
        ] {
            if number > 0 {
                self.add_line(&format!("forkpool: {words}"));
            }
        }
    }

    fn write(&mut self) {
        if self.text.is_empty() {
            return;
        }
        self.screen.write(&self.text, || self.voice.notes.moved());
        self.text.clear();
        self.voice.notes.wrote_errors(std::mem::take(&mut self.errors));
    }
}
