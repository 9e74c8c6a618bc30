//! `--log-dir`: what each worker writes to stderr, in a file of its slot, each line with its time. The bytes are those of
//! the worker: colours and carriage returns stay.
//!
//! A thread writes the files. A disk that is slow or full holds no worker up: what does not fit into the queue is
//! dropped, and the file says how much; a file that cannot be written is said once on stderr.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::notes::{Note, Notes};
use super::whole_file;
use crate::words::error::reason;
use crate::words::slots::SlotNames;
use crate::words::worker::TEMPLATE;

/// The files' queue; all clones are one.
#[derive(Clone)]
pub struct LogFiles {
    queue: Sender<Message>,
    /// Bytes that were dropped since a piece was queued last.
    dropped: Arc<AtomicU64>,
}

enum Message {
    Piece(Piece),
    /// Nothing follows. What is sent here is dropped once all before it has been written.
    Finish(Sender<()>),
}

/// What happened to a slot's stderr.
struct Piece {
    slot: u32,
    at: SystemTime,
    what: What,
}

enum What {
    Bytes(Bytes),
    /// The worker has ended.
    End,
    /// So many bytes, of any slots, are missing before this.
    Dropped(u64),
}

/// Pieces that may wait. Each is at most 64 KiB, what one read takes, so that they take no more than 16 MiB.
const WAITING: usize = 256;

/// A disk that has taken nothing for this long at the end of a run is left alone with what is still to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The name of the file of a slot, or of the template.
pub fn file_of(folder: &Path, names: &SlotNames, slot: u32) -> PathBuf {
    // A host's name may be a path to whoever reaches it, and is none here.
    folder.join(names.name(slot).replace('/', "_") + ".log")
}

/// Finds out whether there can be files in this folder, or whether it can be made. Nothing is made and nothing changed.
pub fn look(folder: &Path) -> io::Result<()> {
    let place = if folder.exists() { folder } else { whole_file::folder(folder) };
    // A file without a name is made, to see whether others can be.
    tempfile::tempfile_in(place).map(drop)
}

impl LogFiles {
    /// Starts the thread. The folder is made when there is something to write.
    pub fn start(folder: PathBuf, names: SlotNames, notes: Arc<Notes>) -> io::Result<LogFiles> {
        let (queue, waiting) = crossbeam_channel::bounded(WAITING);
        let writer = Writer { folder, names, files: HashMap::new(), notes, failed: false };
        std::thread::Builder::new().name("log files".to_owned()).spawn(move || writer.run(&waiting))?;
        Ok(LogFiles { queue, dropped: Arc::default() })
    }

    pub fn add(&self, slot: u32, bytes: Bytes) {
        let size = bytes.len() as u64;
        self.send(slot, What::Bytes(bytes), size);
    }

    pub fn end(&self, slot: u32) {
        self.send(slot, What::End, 0);
    }

    /// Waits until everything is written, but for no disk that is stuck.
    pub fn finish(&self) {
        let (written, is_written) = crossbeam_channel::bounded(0);
        if self.queue.send_timeout(Message::Finish(written), PATIENCE).is_ok() {
            // Nothing is ever received: the wait ends when the thread is done with the message, or when it is too long.
            let _ = is_written.recv_timeout(PATIENCE);
        }
    }

    fn send(&self, slot: u32, what: What, size: u64) {
        let at = SystemTime::now();
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let queue = |what| self.queue.try_send(Message::Piece(Piece { slot, at, what }));
        if dropped > 0 && queue(What::Dropped(dropped)).is_err() {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if let Err(TrySendError::Full(_)) = queue(what) {
            self.dropped.fetch_add(size, Ordering::Relaxed);
        }
    }
}

/// The state of the thread.
struct Writer {
    folder: PathBuf,
    names: SlotNames,
    files: HashMap<u32, SlotFile>,
    notes: Arc<Notes>,
    /// Nothing is written any more.
    failed: bool,
}

struct SlotFile {
    file: File,
    /// The last byte that was written ended no line.
    in_line: bool,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Message>) {
        for message in waiting {
            let piece = match message {
                Message::Piece(piece) => piece,
                Message::Finish(written) => return drop(written),
            };
            // What comes after a failure is taken and forgotten, so that nothing waits for it.
            if self.failed {
                continue;
            }
            if let Err(error) = self.write(&piece) {
                self.failed = true;
                let name = file_of(&self.folder, &self.names, piece.slot);
                let words =
                    format!("forkpool: cannot write {}, so no more logs are: {}", name.display(), reason(&error));
                self.notes.put_or_drop(Note::Notice(words));
            }
        }
    }

    fn write(&mut self, piece: &Piece) -> io::Result<()> {
        if !self.files.contains_key(&piece.slot) {
            // A worker that has written nothing has no file.
            if matches!(piece.what, What::End) {
                return Ok(());
            }
            std::fs::create_dir_all(&self.folder)?;
            let file =
                File::options().append(true).create(true).open(file_of(&self.folder, &self.names, piece.slot))?;
            self.files.insert(piece.slot, SlotFile { file, in_line: false });
        }
        let slot = self.files.get_mut(&piece.slot).expect("the file has been opened above");
        match &piece.what {
            What::Bytes(bytes) => slot.write(piece.at, bytes),
            What::End if piece.slot == TEMPLATE => slot.note(piece.at, "(the template has ended)"),
            What::End => slot.note(piece.at, "(the worker has ended)"),
            What::Dropped(bytes) => slot.note(piece.at, &format!("({bytes} bytes are missing: the disk is slow)")),
        }
    }
}

impl SlotFile {
    fn write(&mut self, at: SystemTime, bytes: &[u8]) -> io::Result<()> {
        let mut text = Vec::with_capacity(bytes.len() + 64);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if !self.in_line {
                put_time(at, &mut text);
            }
            text.extend_from_slice(line);
            self.in_line = !line.ends_with(b"\n");
        }
        self.file.write_all(&text)
    }

    /// A line that is not the worker's.
    fn note(&mut self, at: SystemTime, words: &str) -> io::Result<()> {
        let mut text = Vec::new();
        if std::mem::take(&mut self.in_line) {
            text.push(b'\n');
        }
        put_time(at, &mut text);
        text.extend_from_slice(words.as_bytes());
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

/// `2026-11-25T20:00:00.123Z `, as RFC 3339 has it.
fn put_time(at: SystemTime, text: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(text, "{} ", humantime::format_rfc3339_millis(at));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        let files = LogFiles::start(path.clone(), SlotNames::default(), Arc::default()).unwrap();
        for piece in pieces {
            match *piece {
                "END" => files.end(3),
                text => files.add(3, Bytes::copy_from_slice(text.as_bytes())),
            }
        }
        files.finish();
        let text = std::fs::read_to_string(file_of(&path, &SlotNames::default(), 3)).unwrap_or_default();
        // The time takes 24 columns and a blank.
        let lines = text.split_inclusive('\n').map(|line| {
            assert!(line.as_bytes()[..25].ends_with(b"Z "), "{line}");
            &line[25..]
        });
        lines.collect()
    }

    #[test]
    fn each_line_has_its_time_and_each_end_of_a_worker_is_a_line() {
        assert_eq!(
            written(&["one\ntw", "o\n", "thr", "END", "four\n"]),
            "one\ntwo\nthr\n(the worker has ended)\nfour\n"
        );
        assert_eq!(written(&["END"]), "", "a worker that says nothing has no file");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_said_once() {
        let notes: Arc<Notes> = Arc::default();
        let files = LogFiles::start(PathBuf::from("/dev/null/no"), SlotNames::default(), Arc::clone(&notes)).unwrap();
        (0..3).for_each(|slot| files.add(slot, Bytes::from_static(b"x\n")));
        files.finish();
        assert_eq!(notes.take(Some(std::time::Instant::now())).notes.len(), 1);
    }
}
