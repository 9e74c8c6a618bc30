//! The life of one slot's workers as a pure state machine.
//!
//! Bytes, exits and the time go in; bytes to write, process actions, outcomes and returned jobs come out. It
//! never looks at a clock, a process or a thread: the slot's poll loop (`pool::slot`) does that, and the
//! simulation in `simulation` does it with a virtual clock and random events.
//!
//! ```text
//!           spawned            ready, or a final reply
//!  Absent ──────────► Starting ───────────────────────► Proven
//!    ▲                    │                                │
//!    │                    └────────────┬───────────────────┘
//!    │   exit and end of output known  │   (an ending may be under way: see `ladder`)
//!    └─────────────────────────────────┴──► Over, when no work is left
//! ```
//!
//! Rules that everything here serves: a job given to the session leaves it exactly once, as an outcome or
//! returned; only the head of a serial worker is ever blamed for its death; what has arrived counts before any
//! deadline is judged, so `received` must be called before `tick`.

mod blame;
mod explain;
mod ladder;
mod live;
mod pace;
mod pipes;
#[cfg(test)]
mod simulation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::pool::settings::PoolSettings;
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::job::Job;
use crate::words::outcome::{JobError, Outcome, Status};
use blame::RETURNS;
use live::Live;

pub use explain::{Exited, How, explain_exit};

/// A job on its way to a worker.
#[derive(Debug)]
pub struct Delivery {
    pub job: Job,
    /// Attempts charged so far; the one to come is one more.
    pub charged: u32,
    /// It was in the hands of a worker that ended, so until it has its outcome no other job shares its worker.
    pub alone: bool,
    /// A worker that was ended may have begun it, although it was not charged.
    pub doubtful: bool,
    /// Not to be given before this time (a delayed retry).
    pub not_before: Option<Instant>,
    /// How often it came back without being charged.
    pub returns: u32,
    /// Its record if it is not run again after all.
    pub last_failure: Option<Box<Outcome>>,
}

impl Delivery {
    pub fn new(job: Job) -> Delivery {
        Delivery { job, charged: 0, alone: false, doubtful: false, not_before: None, returns: 0, last_failure: None }
    }

    /// The outcome of a delivery that will not be made, because the run is being stopped.
    pub fn not_run(self, why: &str) -> Outcome {
        match self.last_failure {
            Some(failure) => *failure,
            None if self.doubtful => {
                let message = format!("it may have been begun by a worker that was ended: {why}");
                Outcome::unrun(self.job, Status::Died, &JobError::new("WorkerDied", message))
            }
            None => Outcome::unrun(self.job, Status::NotRun, &JobError::not_run(format!("never begun: {why}"))),
        }
    }
}

/// What the poll loop is to do with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Close the worker's stdin, once all that is queued has been written.
    CloseInput,
    /// Send this signal to the worker's process group.
    Signal(i32),
    /// Kill the process group's remains, reap the worker and close its pipes.
    Bury,
}

/// What the pool, the bar or the log should know.
#[derive(Debug)]
pub enum Report {
    /// A worker ended, or was ended, before it showed that it works.
    FailedStart(String),
    /// A worker has said `ready` or answered.
    Proven,
    /// A worker answered out of order without being asked to run jobs at once.
    NotSerial,
    /// No worker will ever work: the handler's own error, as JSON.
    Fatal(Bytes),
    /// A worker is gone, unplanned; it is replaced if there is work.
    Lost(String),
    /// A worker is gone as planned.
    Recycled,
    /// A worker has answered nothing although its first job was given a while ago.
    Silent,
    Progress {
        job: u64,
        data: Bytes,
    },
    /// A job succeeded after a failed attempt.
    PassedOnRetry,
}

/// What a session has to say since it was last asked.
#[derive(Debug, Default)]
pub struct Outbox {
    pub outcomes: Vec<Outcome>,
    pub returned: Vec<Delivery>,
    pub reports: Vec<Report>,
    pub actions: Vec<Action>,
}

pub struct Session {
    slot: u32,
    settings: Arc<PoolSettings>,
    state: State,
    level: Level,
    /// Why the run is being stopped, once it is.
    stop_reason: String,
    /// No work is left anywhere.
    finishing: bool,
    /// Deaths of proven workers since the last answer: they pause the slot, never stop the run.
    deaths: u32,
    /// Another worker of the pool has shown that it is not serial.
    one_at_a_time: bool,
    dice: Dice,
    pub out: Outbox,
}

enum State {
    /// No process; one may be started from this time on.
    Absent {
        start_at: Instant,
    },
    Live(Box<Live>),
    /// No process, and none will be started.
    Over,
}

/// A worker that has answered nothing this long after its first job probably buffers its output.
const SILENCE: Duration = Duration::from_secs(5);

impl Session {
    pub fn new(slot: u32, settings: Arc<PoolSettings>, now: Instant, seed: u64) -> Session {
        Session {
            slot,
            settings,
            state: State::Absent { start_at: now },
            level: Level::Run,
            stop_reason: String::new(),
            finishing: false,
            deaths: 0,
            one_at_a_time: false,
            dice: Dice::new(seed),
            out: Outbox::default(),
        }
    }

    // ---- What it wants ----

    /// Whether a worker should be started now.
    pub fn wants_spawn(&self, now: Instant) -> bool {
        matches!(self.state, State::Absent { start_at } if start_at <= now)
    }

    /// How many more jobs it would take.
    pub fn wants_jobs(&self, now: Instant) -> usize {
        match &self.state {
            State::Live(live) if self.level == Level::Run && !self.finishing => {
                live.wants_jobs(&self.settings, self.one_at_a_time, now)
            }
            _ => 0,
        }
    }

    /// Whether its worker is due to be replaced although nothing is wrong with it.
    pub fn wants_recycle(&self, now: Instant) -> bool {
        match &self.state {
            State::Live(live) if self.level == Level::Run && !self.finishing => live.wants_recycle(now),
            _ => false,
        }
    }

    /// How many jobs its worker has been given and has not answered.
    pub fn in_flight(&self) -> usize {
        if let State::Live(live) = &self.state { live.open.len() } else { 0 }
    }

    /// Whether its worker has shown that it works.
    pub fn is_proven(&self) -> bool {
        matches!(&self.state, State::Live(live) if live.proven)
    }

    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// No worker is left, and none will be started.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// When `tick` must be called at the latest.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.state {
            State::Absent { start_at } => Some(*start_at),
            State::Live(live) => live.deadline(&self.settings, now),
            State::Over => None,
        }
    }

    /// How long the worker's output may be left alone so that answers are read in large pieces; zero unless
    /// many quick jobs are queued.
    pub fn nap(&self) -> Duration {
        match &self.state {
            State::Live(live) if self.level == Level::Run => live.pace.nap(live.open.len()),
            _ => Duration::ZERO,
        }
    }

    /// The bytes to write into the worker's stdin.
    pub fn pending_input(&self) -> &[u8] {
        if let State::Live(live) = &self.state { live.input.pending() } else { &[] }
    }

    /// Where the worker's output is to be read into, at its end.
    pub fn output_buffer(&mut self) -> Option<&mut Vec<u8>> {
        if let State::Live(live) = &mut self.state { Some(live.output.buffer()) } else { None }
    }

    // ---- What happens to it ----

    pub fn spawned(&mut self, now: Instant) {
        let limits = self.settings.recycle.jittered(self.dice.roll());
        self.state = State::Live(Box::new(Live::new(limits, &self.settings, now)));
        if self.level >= Level::Drain || self.finishing {
            self.begin_stop(now);
        }
    }

    /// The next start waits until then.
    pub fn pause(&mut self, until: Instant) {
        if let State::Absent { start_at } = &mut self.state {
            *start_at = (*start_at).max(until);
        }
    }

    /// Gives it a job. Only as many as it wants.
    pub fn give(&mut self, delivery: Delivery, now: Instant) {
        let State::Live(live) = &mut self.state else {
            self.out.returned.push(delivery);
            return;
        };
        if let Err((delivery, reason)) = live.give(delivery, &self.settings, now) {
            let error = JobError::bad_input(reason).with("line", delivery.job.line);
            self.out.outcomes.push(Outcome::unrun(delivery.job, Status::BadInput, &error));
        }
    }

    /// So many bytes of `pending_input` have been accepted by the pipe.
    pub fn written(&mut self, bytes: usize) {
        if let State::Live(live) = &mut self.state {
            live.input.written(bytes);
        }
    }

    /// The worker has closed its stdin with so many bytes unread in it: it will never begin the jobs they are,
    /// nor those that are not in the pipe.
    pub fn input_broken(&mut self, unread: u64, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        let head = live.head_of_proven();
        let mut left = live.break_input();
        left.extend(live.take_unread(unread));
        for mut delivery in left {
            // Its head comes back only so often.
            delivery.returns += u32::from(head == Some(delivery.job.number));
            if delivery.returns > RETURNS {
                let message = format!("worker w{} closed its input and left this job unread", self.slot);
                let message = format!("{message}, as did {} before it", delivery.returns - 1);
                let error = JobError::new("WorkerDied", message).to_json();
                self.fail(delivery, Status::Died, error, RetryAdvice::default(), Duration::ZERO, now);
            } else {
                self.give_back(delivery);
            }
        }
        self.end_if_idle(now);
    }

    /// Bytes have been appended to `output_buffer`.
    pub fn received(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        let lines = live.output.take_lines();
        let mut finals = 0;
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &lines[at..]) {
            let line = lines.slice(at..at + length);
            at += length + 1;
            finals += usize::from(self.line(line, now));
        }
        let State::Live(live) = &mut self.state else { return };
        if finals > 0 {
            live.pace.answered(finals, at, now);
            self.deaths = 0;
        }
        if live.output.partial() > self.settings.max_reply_bytes && live.takes_replies() {
            self.reply_too_long(now);
        }
        self.end_if_idle(now);
    }

    /// The end of the worker's output.
    pub fn output_ended(&mut self, now: Instant) {
        if let State::Live(live) = &mut self.state {
            live.output_ended = true;
            self.judge_soon(now);
        }
    }

    /// The worker wrote this to its stderr.
    pub fn stderr(&mut self, bytes: &[u8]) {
        if let State::Live(live) = &mut self.state {
            live.tail.push(bytes);
            if let Some(ending) = &mut live.ending {
                ending.stderr(bytes);
            }
        }
    }

    /// Resident memory of the worker, in bytes.
    pub fn memory(&mut self, bytes: usize) {
        if let State::Live(live) = &mut self.state {
            live.memory = bytes;
        }
    }

    /// Its worker gets no more jobs and is replaced once it has none.
    pub fn retire(&mut self, now: Instant) {
        if let State::Live(live) = &mut self.state {
            live.retiring = true;
            self.end_if_idle(now);
        }
    }

    pub fn exited(&mut self, exited: Exited, now: Instant) {
        if let State::Live(live) = &mut self.state {
            live.exited = Some(exited);
            self.judge_soon(now);
        }
    }

    /// The run is being stopped.
    pub fn cancel(&mut self, level: Level, reason: &str, now: Instant) {
        if level <= self.level {
            return;
        }
        self.level = level;
        if self.stop_reason.is_empty() {
            reason.clone_into(&mut self.stop_reason);
        }
        self.begin_stop(now);
    }

    /// No job is left anywhere: end the worker in peace.
    pub fn finish(&mut self, now: Instant) {
        if !self.finishing {
            self.finishing = true;
            self.begin_stop(now);
        }
    }

    /// Another worker has shown that it does not take its jobs in order.
    pub fn one_at_a_time(&mut self) {
        self.one_at_a_time = true;
    }

    /// The process was stopped (Ctrl-Z) for this long: that is nobody's time.
    pub fn shift(&mut self, by: Duration) {
        if let State::Live(live) = &mut self.state {
            live.shift(by);
        }
    }

    /// Judges the deadlines that have passed.
    pub fn tick(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        if live.judge_at.is_some_and(|at| at <= now) {
            self.judge(now);
            return;
        }
        if live.ending.as_ref().is_some_and(|ending| ending.next <= now) {
            self.climb(now);
            return;
        }
        if live.has_clocks() {
            self.check_clocks(now);
        }
    }

    /// A job that certainly was not begun goes back to the pool, uncharged, or ends if the run does.
    fn give_back(&mut self, delivery: Delivery) {
        if self.level >= Level::Drain {
            self.out.outcomes.push(delivery.not_run(&self.stop_reason));
        } else {
            self.out.returned.push(delivery);
        }
    }

    fn name(&self) -> String {
        format!("w{}", self.slot)
    }
}

/// Random numbers for jitter; nothing here needs better ones.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        // Splitmix64's increment: neighbouring seeds must not roll alike, and zero would stay zero.
        Dice(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// In 0..1.
    fn roll(&mut self) -> f64 {
        // Xorshift64 (Marsaglia, 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
