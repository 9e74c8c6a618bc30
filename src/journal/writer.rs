//! The collector's side of the journal: appends outcomes, one write for all that have arrived together, and
//! sees that they reach the disk in time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::format::{self, Seal};
use super::identity::JournalHeader;
use crate::journal::settings::SyncPolicy;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, Result, reason};
use crate::words::outcome::{Outcome, Status};

pub struct Writer {
    path: PathBuf,
    file: File,
    /// Where the file is written on: behind its last line.
    end: u64,
    /// The header, if it is still to be written: it goes with the first outcome, so that a run that ends no job leaves
    /// the file empty.
    header: Option<JournalHeader>,
    seal: Seal,
    buffer: Vec<u8>,
    syncing: Syncing,
}

enum Syncing {
    /// The file is forced to the disk after each write.
    Always,
    Never,
    /// A thread forces it to the disk, so that a slow disk holds nobody up.
    Thread(Syncer),
}

/// Forces the file to the disk at most one interval after it was written to.
struct Syncer {
    /// Holds one word: something has been written.
    written: Sender<()>,
    /// Dropped to end the thread.
    alive: Sender<()>,
    thread: JoinHandle<()>,
}

/// The memory that the buffer keeps between two writes: one huge line must not keep its own for the rest of the run.
const BUFFER: usize = 1 << 20;

impl Writer {
    /// `end` is where the file is written on, and `header` what must be written there first.
    pub fn new(path: PathBuf, file: File, end: u64, header: Option<JournalHeader>, seal: Seal) -> Writer {
        Writer { path, file, end, header, seal, buffer: Vec::new(), syncing: Syncing::Never }
    }

    /// From now on the file is forced to the disk as `sync` says. A disk that fails stops the run through `cancel`.
    pub fn start_syncing(&mut self, sync: SyncPolicy, cancel: &Arc<Cancel>) -> Result<()> {
        self.syncing = match sync {
            SyncPolicy::Never => Syncing::Never,
            SyncPolicy::Always => Syncing::Always,
            SyncPolicy::Every(interval) => {
                let file = self.file.try_clone().map_err(|error| self.failed(&error))?;
                let (path, cancel) = (self.path.clone(), Arc::clone(cancel));
                let sync = move || file.sync_data();
                let fail = move |error: &io::Error| cancel.raise(Level::Abort, Reason::Failed(failed(&path, error)));
                Syncing::Thread(Syncer::start(interval, sync, fail).map_err(|error| self.failed(&error))?)
            }
        };
        if sync != SyncPolicy::Never {
            // The file's name must be there after a power cut, too, so its folder is forced to the disk. Not every file
            // system can do that: there it sees to names by itself.
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let _ = File::open(folder.unwrap_or(".".as_ref())).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    /// Appends the outcomes of jobs that were begun. Left out are a job that was not run and a line that is no job,
    /// which has no key: the next run meets them as they are. After an error nothing may be appended.
    pub fn append<'a>(&mut self, outcomes: impl Iterator<Item = &'a Outcome>) -> Result<()> {
        for outcome in outcomes.filter(|outcome| outcome.status != Status::NotRun) {
            let Some(key) = outcome.job.key() else { continue };
            if let Some(header) = self.header.take() {
                format::write_header(&header, &mut self.buffer);
            }
            format::write_outcome(outcome, key, self.seal, &mut self.buffer);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.write_buffer().map_err(|error| self.failed(&error))?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        match &self.syncing {
            Syncing::Never => Ok(()),
            Syncing::Always => self.file.sync_data().map_err(|error| self.failed(&error)),
            Syncing::Thread(syncer) => {
                // The channel is full when the thread has not taken the last word yet: it will sync after this write
                // anyway.
                let _ = syncer.written.try_send(());
                Ok(())
            }
        }
    }

    /// Writes the buffer to the file: in one piece, unless the system takes only a part.
    fn write_buffer(&self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.buffer.len() {
            match self.file.write_at(&self.buffer[sent..], self.end + sent as u64) {
                Ok(bytes) if bytes > 0 => sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                failure => {
                    // A full disk has taken a part of the bytes: the whole lines of that part are kept, and the rest is
                    // cut off. If it cannot be cut off here, the next run sets it aside.
                    let whole = memchr::memrchr(b'\n', &self.buffer[..sent]).map_or(0, |end| end + 1);
                    let _ = self.file.set_len(self.end + whole as u64);
                    return Err(failure.err().unwrap_or(io::ErrorKind::WriteZero.into()));
                }
            }
        }
        Ok(())
    }

    /// All that was appended is on the disk when this returns, unless the user wants no syncing at all.
    pub fn finish(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.syncing, Syncing::Never) {
            Syncing::Never => return Ok(()),
            Syncing::Always => {}
            Syncing::Thread(syncer) => syncer.end(),
        }
        self.file.sync_data().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Error {
        failed(&self.path, error)
    }
}

fn failed(path: &std::path::Path, error: &io::Error) -> Error {
    Error::io(format!("cannot write to the journal {}: {}", path.display(), reason(error)))
        .hint("once that is mended, --resume goes on from here")
}

impl Syncer {
    /// Starts a thread that calls `sync`, at most `interval` after something was written. An error of `sync` is told to
    /// `fail`, and ends the thread.
    fn start(
        interval: Duration,
        mut sync: impl FnMut() -> io::Result<()> + Send + 'static,
        fail: impl FnOnce(&io::Error) + Send + 'static,
    ) -> io::Result<Syncer> {
        let (written, waiting) = bounded(1);
        let (alive, ended) = bounded(0);
        let body = move || {
            if let Err(error) = sync_now_and_then(interval, &mut sync, &waiting, &ended) {
                fail(&error);
            }
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(body)?;
        Ok(Syncer { written, alive, thread })
    }

    fn end(self) {
        drop(self.alive);
        drop(self.written);
        // If the thread has panicked, that bug has been printed already, and the caller syncs once more anyway.
        let _ = self.thread.join();
    }
}

/// The body of the thread: it ends when the writer has dropped its ends of the channels.
fn sync_now_and_then(
    interval: Duration,
    sync: &mut impl FnMut() -> io::Result<()>,
    written: &Receiver<()>,
    ended: &Receiver<()>,
) -> io::Result<()> {
    while written.recv().is_ok() {
        if ended.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        sync()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_synced_and_nothing_else_is() {
        let (synced, seen) = bounded(9);
        let sync = move || synced.send(()).map_err(io::Error::other);
        let syncer = Syncer::start(Duration::from_millis(1), sync, |error| panic!("{error}")).unwrap();
        for _ in 0..3 {
            assert!(seen.try_recv().is_err(), "once for each time");
            syncer.written.send(()).unwrap();
            seen.recv().unwrap();
        }
        syncer.end();
        assert!(seen.try_recv().is_err());
    }

    #[test]
    fn the_end_does_not_wait_for_the_interval() {
        let hour = Duration::from_secs(3600);
        let syncer = Syncer::start(hour, || Ok(()), |error| panic!("{error}")).unwrap();
        syncer.written.send(()).unwrap();
        // If this waited for the interval, the test would hang for an hour.
        syncer.end();
    }

    #[test]
    fn a_disk_that_fails_is_told() {
        let (failed, told) = bounded(1);
        let sync = || Err(io::Error::other("broken"));
        let fail = move |error: &io::Error| failed.send(error.to_string()).unwrap();
        let syncer = Syncer::start(Duration::from_millis(1), sync, fail).unwrap();
        syncer.written.send(()).unwrap();
        assert_eq!(told.recv().unwrap(), "broken");
        syncer.end();
    }
}
