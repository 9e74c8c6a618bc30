//! The end of a worker that is under way: why, and which step has been taken.
//!
//! ```text
//! end of work, recycling:      end of file, --grace, SIGTERM, 1 s, SIGKILL
//! stop of the run:             --grace to answer, then the same from SIGTERM on
//! timeout:                     (--dump, 1 s) SIGTERM, --grace, SIGKILL
//! broken protocol, bad start:  SIGTERM, --grace, SIGKILL
//! stopped by its terminal:     SIGKILL
//! ```

use std::time::{Duration, Instant};

use super::explain;
use crate::words::outcome::JobError;

#[derive(Debug)]
pub struct Ending {
    pub why: Why,
    pub step: Step,
    /// When the next step is due.
    pub next: Instant,
    /// When people are to be told that the worker is still being waited for; `None` if they are not, or have been.
    pub tell: Option<Instant>,
    /// The signals that the worker has been sent.
    sent: Vec<i32>,
    /// The worker wrote a line only after its job's time was up and its input was closed: it holds its output back.
    answered_probe: bool,
    /// What the worker wrote to stderr when it was asked where it is stuck.
    dump: Vec<u8>,
}

/// Why a worker was ended. What follows (its exit, the end of its output) never overwrites this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No work is left.
    Finish,
    Recycle,
    /// The run is being stopped.
    Stopped,
    /// The worker closed its stdin: it takes no more jobs.
    ClosedInput,
    /// The worker closed its stdout and stayed.
    ClosedOutput,
    /// The worker took longer than `--start-timeout` to load.
    StartTimeout,
    /// A job took longer than its time limit; in words.
    Timeout(String),
    /// The worker wrote what is no reply; in words.
    BadReply(String, Option<&'static str>),
    /// The system has stopped the worker for using the terminal; in words.
    Suspended(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The worker may still answer what it has.
    Answering,
    /// The worker's input has been closed.
    Asked,
    /// The worker's input has been closed to see whether that makes it answer.
    Probed,
    /// The worker has been sent the signal of `--dump`.
    Dumping,
    Terminated,
    Killed,
}

/// The time between SIGTERM and SIGKILL, for a worker that has had `--grace` to finish already: only to tidy up.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// The time that a worker gets to write the stack dump that `--dump` asks for: runtimes take milliseconds.
pub const DUMP: Duration = Duration::from_secs(1);
/// The time that a worker gets to write what it held back, once its input is closed: a program that buffers does so at
/// once.
pub const PROBE: Duration = Duration::from_millis(500);
/// After this long a killed process that is still there is given up: it hangs in the kernel, perhaps for ever.
pub const ABANDONED: Duration = Duration::from_secs(10);
/// How long nothing is said about a worker that is waited for: people begin to wonder after about a second.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many bytes of a dump are kept: some dozens of stack traces.
const DUMP_KEPT: usize = 64 * 1024;

impl Ending {
    pub fn new(why: Why, step: Step, next: Instant) -> Ending {
        Ending { why, step, next, tell: None, sent: Vec::new(), answered_probe: false, dump: Vec::new() }
    }

    /// The worker has been asked to end, at `now`, by the end of its input, and has until `until`.
    pub fn asked(why: Why, now: Instant, until: Instant) -> Ending {
        let tell = now + PATIENCE;
        Ending { tell: (tell < until).then_some(tell), ..Ending::new(why, Step::Asked, until) }
    }

    /// The worker is sent `signal`, and the step after this one is due at `next`.
    pub fn signal(&mut self, signal: i32, step: Step, next: Instant) {
        self.sent.push(signal);
        self.step = step;
        self.next = next;
        self.tell = None;
    }

    /// This ending for another reason; what has been sent and dumped is kept.
    pub fn because(self, why: Why) -> Ending {
        Ending { why, tell: None, ..self }
    }

    /// When the next step is due, or people are to be told.
    pub fn deadline(&self) -> Instant {
        self.tell.map_or(self.next, |tell| tell.min(self.next))
    }

    /// Whether replies still count. They do for a worker that was asked to end, and not for one that is ended for what
    /// it did.
    pub fn takes_replies(&self) -> bool {
        matches!(self.why, Why::Finish | Why::Recycle | Why::Stopped | Why::ClosedInput)
    }

    /// Whether the worker is only waited for, and has not been asked to end yet.
    pub fn is_answering(&self) -> bool {
        self.step == Step::Answering
    }

    /// Whether we have sent the worker this signal.
    pub fn has_sent(&self, signal: i32) -> bool {
        self.sent.contains(&signal)
    }

    /// Whether we have sent the worker any signal.
    pub fn was_signalled(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The worker has written a line that counts for no job any more.
    pub fn late_line(&mut self) {
        self.answered_probe |= self.step == Step::Probed;
    }

    /// Adds to a job's error what the worker has shown since its time was up.
    pub fn explain(&self, mut error: JobError) -> JobError {
        if !self.dump.is_empty() {
            error = error.with("dump", String::from_utf8_lossy(&self.dump).into_owned());
        }
        if self.answered_probe {
            error = error.with("hint", explain::BUFFERED);
        }
        error
    }

    /// Keeps what a worker that was sent the signal of `--dump` writes to stderr.
    pub fn stderr(&mut self, bytes: &[u8]) {
        if self.step == Step::Dumping {
            let room = DUMP_KEPT - self.dump.len();
            self.dump.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stuck() -> Ending {
        Ending::new(Why::Timeout("was ended: no answer".to_owned()), Step::Answering, Instant::now())
    }

    #[test]
    fn people_are_told_of_a_wait_only_if_it_is_long() {
        let now = Instant::now();
        let deadline = |grace: Duration| Ending::asked(Why::Finish, now, now + grace).deadline() - now;
        assert_eq!(deadline(PATIENCE / 2), PATIENCE / 2);
        assert_eq!(deadline(PATIENCE), PATIENCE);
        let mut ending = Ending::asked(Why::Finish, now, now + 5 * PATIENCE);
        assert_eq!(ending.deadline() - now, PATIENCE);
        ending.tell = None;
        assert_eq!(ending.deadline() - now, 5 * PATIENCE, "they have been told");
    }

    #[test]
    fn an_answer_counts_unless_the_worker_is_condemned() {
        let takes = |why| Ending::new(why, Step::Terminated, Instant::now()).takes_replies();
        for why in [Why::Finish, Why::Recycle, Why::Stopped, Why::ClosedInput] {
            assert!(takes(why.clone()), "{why:?}");
        }
        let words = String::new;
        for why in [
            Why::ClosedOutput,
            Why::StartTimeout,
            Why::Timeout(words()),
            Why::BadReply(words(), None),
            Why::Suspended(words()),
        ] {
            assert!(!takes(why.clone()), "{why:?}");
        }
    }

    #[test]
    fn signals_that_were_sent_are_remembered_also_when_the_reason_changes() {
        let now = Instant::now();
        let mut ending = Ending::asked(Why::Finish, now, now + 5 * SECOND);
        assert!(!ending.was_signalled());
        ending.signal(libc::SIGTERM, Step::Terminated, now + SECOND);
        assert_eq!((ending.step, ending.deadline()), (Step::Terminated, now + SECOND), "nobody is told any more");
        let ending = ending.because(Why::BadReply("broke the protocol".to_owned(), None));
        assert!(ending.was_signalled() && ending.has_sent(libc::SIGTERM) && !ending.has_sent(libc::SIGKILL));
    }

    #[test]
    fn what_a_worker_dumps_when_it_is_asked_is_in_its_jobs_error_and_what_it_logs_else_is_not() {
        let mut ending = stuck();
        ending.stderr(b"before\n");
        ending.signal(libc::SIGUSR1, Step::Dumping, Instant::now());
        ending.stderr(b"in pet()\n");
        ending.signal(libc::SIGTERM, Step::Terminated, Instant::now());
        ending.stderr(b"after\n");
        let error = ending.explain(JobError::new("TimeoutError", "no answer")).to_json();
        assert_eq!(error, r#"{"name":"TimeoutError","message":"no answer","dump":"in pet()\n"}"#);
    }

    #[test]
    fn of_an_endless_dump_the_beginning_is_kept() {
        let mut ending = stuck();
        ending.signal(libc::SIGUSR1, Step::Dumping, Instant::now());
        (0..10).for_each(|_| ending.stderr(&[b'x'; DUMP_KEPT / 4 + 1]));
        assert_eq!(ending.dump.len(), DUMP_KEPT);
    }

    #[test]
    fn a_line_after_the_end_of_the_input_shows_a_buffer() {
        let hint = |step| {
            let mut ending = Ending { step, ..stuck() };
            ending.late_line();
            let error = ending.explain(JobError::new("TimeoutError", "no answer")).to_json();
            String::from_utf8_lossy(&error).contains("holds its output back in a buffer")
        };
        assert!(hint(Step::Probed));
        assert!(!hint(Step::Dumping) && !hint(Step::Terminated), "it was only too slow");
    }
}
