//! What the threads of a run have to say, on its way to the one thread that writes to stderr.
//!
//! Nobody waits for stderr, so what comes faster than stderr takes it is dropped, and counted by its kind. One kind is
//! never dropped: an error that stands nowhere else waits for room, and the collector with it, as it waits for a stdout
//! that nobody reads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::log::Log;

/// One thing to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// Whole lines of a worker's stderr.
    Log { slot: u32, lines: Bytes },
    /// A worker's progress with a job, as JSON text, for the progress file.
    Progress { job: u64, data: Bytes },
    /// A line for the user. What matters of it is also in a record, in the summary or in the exit status.
    Notice(String),
    /// A line, or a few, about an error that stands nowhere else.
    Error(String),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Log,
    Progress,
    Notice,
    Error,
}

impl Note {
    fn kind(&self) -> Kind {
        match self {
            Note::Log { .. } => Kind::Log,
            Note::Progress { .. } => Kind::Progress,
            Note::Notice(_) => Kind::Notice,
            Note::Error(_) => Kind::Error,
        }
    }

    /// About how many bytes of memory the note takes.
    fn size(&self) -> usize {
        let text = match self {
            Note::Log { lines, .. } => lines.len(),
            Note::Progress { data, .. } => data.len(),
            Note::Notice(words) | Note::Error(words) => words.len(),
        };
        size_of::<Note>() + text
    }
}

impl Kind {
    /// How many bytes of notes of this kind may wait. Each kind has its own room, so that a worker that floods its log
    /// drives out nothing but logs.
    fn room(self) -> usize {
        const MIB: usize = 1 << 20;
        match self {
            // Room for a burst of some hundred thousand lines.
            Kind::Log => 16 * MIB,
            // Room for some ten thousand messages, which a file takes as fast as they come.
            Kind::Progress => 4 * MIB,
            // Room for some thousand lines, far more than anybody reads.
            Kind::Notice | Kind::Error => MIB,
        }
    }
}

/// How much was dropped since `take` was called last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    pub log_lines: u64,
    pub progress: u64,
    pub notices: u64,
}

/// Everything that there is to say at one moment, as `take` hands it out.
#[derive(Debug, Default)]
pub struct Taken {
    pub notes: VecDeque<Note>,
    pub dropped: Dropped,
    /// The last progress message of any worker, if one has come.
    pub progress: Option<(u64, Bytes)>,
    /// What is to be said last of all: nothing will follow.
    pub last: Option<Vec<Note>>,
}

/// The notes that wait: a pure part, without its lock.
#[derive(Debug, Default)]
struct Queue {
    log: Log,
    taken: Taken,
    /// Bytes of the notes that wait, by kind.
    held: [usize; 4],
    /// Errors that have not been written yet: those that wait, and those being written.
    open_errors: usize,
    /// The writing thread has ended.
    is_gone: bool,
    /// The writing thread sleeps until something comes.
    is_asleep: bool,
    /// Grows with each piece that stderr has taken.
    writes: u64,
}

impl Queue {
    /// Whether the note has room. It always has once the writing thread has ended: what comes then is forgotten.
    fn has_room(&self, note: &Note) -> bool {
        let held = self.held[note.kind() as usize];
        // One note is always let through, however large it is.
        self.is_gone || held == 0 || held + note.size() <= note.kind().room()
    }

    fn put(&mut self, note: Note) {
        if self.is_gone {
            return;
        }
        self.held[note.kind() as usize] += note.size();
        self.open_errors += usize::from(matches!(note, Note::Error(_)));
        self.taken.notes.push_back(note);
    }

    fn put_or_drop(&mut self, note: Note) {
        if self.has_room(&note) {
            self.put(note);
            return;
        }
        let dropped = &mut self.taken.dropped;
        match note {
            Note::Log { lines, .. } => dropped.log_lines += memchr::memchr_iter(b'\n', &lines).count() as u64,
            Note::Progress { .. } => dropped.progress += 1,
            Note::Notice(_) | Note::Error(_) => dropped.notices += 1,
        }
    }

    /// Puts what a worker's log has come to, which may be nothing.
    fn put_lines(&mut self, slot: u32, lines: Bytes) {
        if !lines.is_empty() {
            self.put_or_drop(Note::Log { slot, lines });
        }
    }

    fn take(&mut self) -> Taken {
        self.held = [0; 4];
        std::mem::take(&mut self.taken)
    }

    fn is_idle(&self) -> bool {
        self.taken.notes.is_empty() && self.taken.last.is_none()
    }

    /// Whether nothing may be given up yet, because an error is still to be written.
    fn must_be_heard(&self) -> bool {
        self.open_errors > 0 && !self.is_gone
    }
}

/// The notes that wait, shared by all threads.
#[derive(Debug, Default)]
pub struct Notes {
    queue: Mutex<Queue>,
    /// Wakes the writing thread.
    arrived: Condvar,
    /// Wakes whoever waits for room or for the end.
    moved: Condvar,
}

impl Notes {
    /// Drops the note if there is no room for it.
    pub fn put_or_drop(&self, note: Note) {
        self.change(|queue| queue.put_or_drop(note));
    }

    /// Puts a note as soon as there is room for it, and so waits for stderr. Only for what stands nowhere else.
    pub fn put_or_wait(&self, note: Note) {
        let mut queue = self.lock();
        while !queue.has_room(&note) {
            queue = self.moved.wait(queue).expect(UNPOISONED);
        }
        queue.put(note);
        self.wake(queue);
    }

    /// What a worker wrote to its stderr, in any pieces.
    pub fn log(&self, slot: u32, bytes: Bytes) {
        self.change(|queue| {
            let lines = queue.log.push(slot, bytes);
            queue.put_lines(slot, lines);
        });
    }

    /// A worker's stderr has ended: what it left unfinished is its last line.
    pub fn log_end(&self, slot: u32) {
        self.change(|queue| {
            let lines = queue.log.end(slot);
            queue.put_lines(slot, lines);
        });
    }

    /// Keeps the message for the bar, and forgets the one before it. Nobody is woken for it.
    pub fn progress(&self, job: u64, data: Bytes) {
        self.lock().taken.progress = Some((job, data));
    }

    /// Waits until `until` for something to say, and takes all there is.
    pub fn take(&self, until: Option<Instant>) -> Taken {
        let mut queue = self.lock();
        while queue.is_idle() {
            queue.is_asleep = true;
            let Some(until) = until else {
                queue = self.arrived.wait(queue).expect(UNPOISONED);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.arrived.wait_timeout(queue, left).expect(UNPOISONED).0;
        }
        queue.is_asleep = false;
        let taken = queue.take();
        drop(queue);
        self.moved.notify_all();
        taken
    }

    /// Notes that stderr has taken a piece, so that whoever waits for the end goes on waiting.
    pub fn moved(&self) {
        self.lock().writes += 1;
        self.moved.notify_all();
    }

    /// So many errors have been written.
    pub fn wrote_errors(&self, errors: usize) {
        self.lock().open_errors -= errors;
        self.moved.notify_all();
    }

    /// The writing thread has ended: nobody waits for it any more.
    pub fn gone(&self) {
        // Nobody waits for a lock that is poisoned: whoever did has panicked as well.
        if let Ok(mut queue) = self.queue.lock() {
            queue.is_gone = true;
        }
        self.moved.notify_all();
    }

    /// Adds what is to be said last and waits until it has been said. Errors are waited for as long as it takes;
    /// anything else until stderr has taken nothing for `patience`.
    pub fn end(&self, last: Vec<Note>, patience: Duration) {
        let mut queue = self.lock();
        queue.open_errors += last.iter().filter(|note| matches!(note, Note::Error(_))).count();
        queue.taken.last = Some(last);
        self.wake(queue);
        let mut queue = self.lock();
        while !queue.is_gone {
            let writes = queue.writes;
            let (after, wait) = self.moved.wait_timeout(queue, patience).expect(UNPOISONED);
            queue = after;
            if wait.timed_out() && queue.writes == writes && !queue.must_be_heard() {
                return;
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        self.wake(queue);
    }

    /// Wakes the writing thread if it sleeps and there is something to say: waking is a system call.
    fn wake(&self, mut queue: MutexGuard<Queue>) {
        if queue.is_asleep && !queue.is_idle() {
            queue.is_asleep = false;
            drop(queue);
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "no thread panics while it holds this lock";

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &'static [u8]) -> Note {
        Note::Log { slot: 0, lines: Bytes::from_static(lines) }
    }

    fn fill(queue: &mut Queue, note: impl Fn() -> Note) {
        while queue.has_room(&note()) {
            queue.put(note());
        }
    }

    #[test]
    fn what_is_dropped_is_counted_as_what_it_is() {
        let mut queue = Queue::default();
        let progress = || Note::Progress { job: 1, data: Bytes::from_static(&[b' '; 4096]) };
        let notice = || Note::Notice("n".repeat(4096));
        fill(&mut queue, || log(&[b'\n'; 65536]));
        fill(&mut queue, progress);
        fill(&mut queue, notice);
        (0..5).for_each(|_| queue.put_or_drop(log(&[b'\n'; 65536])));
        (0..3).for_each(|_| queue.put_or_drop(progress()));
        (0..2).for_each(|_| queue.put_or_drop(notice()));
        let expected = Dropped { log_lines: 5 * 65536, progress: 3, notices: 2 };
        assert_eq!(queue.take().dropped, expected);
        assert_eq!(queue.take().dropped, Dropped::default());
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_their_room() {
        let mut queue = Queue::default();
        fill(&mut queue, || log(&[b'\n'; 65536]));
        assert!(queue.has_room(&Note::Notice(String::new())) && queue.has_room(&Note::Error(String::new())));
        queue.take();
        assert!(queue.has_room(&log(b"\n")));
    }

    /// A thread says a hundred times as many errors as there is room for, and another one takes them now and then.
    #[test]
    fn an_error_waits_for_room_and_none_is_missing() {
        let notes = Notes::default();
        let word = "e".repeat(64 * 1024);
        let most = 100 * Kind::Error.room() / word.len();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..most).for_each(|_| notes.put_or_wait(Note::Error(word.clone())));
                notes.end(Vec::new(), Duration::ZERO);
            });
            let mut taken = 0;
            loop {
                let batch = notes.take(None);
                taken += batch.notes.len();
                notes.wrote_errors(batch.notes.len());
                if batch.last.is_some() {
                    break;
                }
            }
            notes.gone();
            assert_eq!(taken, most);
        });
    }

    #[test]
    fn nobody_waits_for_a_thread_that_has_ended() {
        let notes = Notes::default();
        notes.gone();
        (0..1000).for_each(|_| notes.put_or_wait(Note::Error("e".repeat(64 * 1024))));
        notes.end(vec![Note::Error(String::new())], Duration::ZERO);
    }

    #[test]
    fn the_end_gives_up_a_summary_but_no_error() {
        let notes = Notes::default();
        // No thread takes the notes.
        notes.end(vec![Note::Notice("summary".to_owned())], Duration::ZERO);
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| notes.end(vec![Note::Error("disk full".to_owned())], Duration::ZERO));
            while !notes.lock().must_be_heard() {}
            // The patience of the ending thread, which is none, has been over all the time.
            (0..100).for_each(|_| std::thread::yield_now());
            assert!(!ending.is_finished());
            assert_eq!(notes.take(None).last.map(|last| last.len()), Some(1));
            notes.wrote_errors(1);
        });
    }
}
