//! A worker that runs: what it holds, what it has said, and when somebody must look at it again.

use std::time::{Duration, Instant};

use super::calls::Calls;
use super::ending::Ending;
use super::hands::{Hands, Manner};
use super::pace::Pace;
use super::wear::Wear;
use crate::pool::delivery::Delivery;
use crate::pool::exited::Exited;
use crate::pool::pipes::{InputQueue, Tail};
use crate::pool::settings::PoolSettings;
use crate::text::framing::LineQueue;
use crate::text::gather::Put;

pub struct Live {
    pub stage: Stage,
    pub hands: Hands,
    pub input: InputQueue,
    pub output: LineQueue,
    pub tail: Tail,
    pub pace: Pace,
    /// How its jobs are put together to batches; `None` if they are not.
    pub calls: Option<Calls>,
    pub wear: Wear,
    pub intake: Intake,
    /// How the worker is being ended; `None` as long as nobody ends it.
    pub ending: Option<Ending>,
    /// What the worker has said that it is doing at its start: `loading a model`.
    pub step: Option<String>,
    /// Why the worker says that it could not be started; with its stack.
    pub start_error: Option<String>,
    pub process: ProcessState,
}

/// How much the worker has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The worker has shown nothing yet, and may be loading since `since`. The hint about buffered output is due
    /// `hint_after` its first job was given. `retries` says that this first job has had an attempt before.
    Loading { since: Instant, hint_after: Duration, retries: bool },
    /// The worker has said `ready`, or answered.
    Proven,
}

/// Whether the worker is given jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    Open,
    /// The worker is given no more jobs, and is replaced once it has none.
    Retiring,
}

/// What is known of the end of the process and of its output. When both are known, the worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    Running,
    /// The output has ended. `judge_at` is when the worker is told to end for that; `None` if it has been.
    OutputEnded {
        judge_at: Option<Instant>,
    },
    /// The process has ended. Something may hold its output open, for which nobody waits beyond `judge_at`.
    Exited {
        exited: Exited,
        judge_at: Instant,
    },
}

/// How long the end of a worker's output is waited for after its exit, and its exit after the end of its output. Mostly
/// they come together; but a grandchild may hold the output open, and a worker may close it and live on.
pub const SETTLE: Duration = Duration::from_millis(100);
/// A worker that has answered nothing this long after its first job may be holding its output back: a program that has
/// loaded mostly answers sooner.
const SILENCE: Duration = Duration::from_secs(5);

impl Live {
    pub fn new(wear: Wear, settings: &PoolSettings, now: Instant) -> Live {
        Live {
            stage: Stage::Loading { since: now, hint_after: SILENCE, retries: false },
            hands: Hands::new(settings.concurrency),
            input: InputQueue::default(),
            output: LineQueue::default(),
            tail: Tail::default(),
            pace: Pace::new(settings.depth, settings.workers, now),
            calls: settings.batch.map(|most| Calls::new(most, settings.workers)),
            wear,
            intake: Intake::Open,
            ending: None,
            step: None,
            start_error: None,
            process: ProcessState::Running,
        }
    }

    /// A step of a start, in words; `what` is JSON text. `None` if that is no string.
    pub fn step_of(doing: &str, what: &[u8]) -> Option<String> {
        let what: String = serde_json::from_slice(what).ok()?;
        Some(format!("{doing} {what}"))
    }

    pub fn is_proven(&self) -> bool {
        self.stage == Stage::Proven
    }

    /// How many more jobs the worker would take. `one_at_a_time` says that workers of its program do not take their
    /// jobs in order.
    pub fn room(&self, settings: &PoolSettings, one_at_a_time: bool, now: Instant) -> usize {
        let is_open = self.intake == Intake::Open && self.is_unharmed() && !self.input.is_broken();
        if !is_open || self.hands.hold_one_alone() {
            return 0;
        }
        let open = self.hands.len();
        let room = match self.hands.manner {
            // A worker that has shown nothing may still be starting: it gets one job, and none before `ready` where
            // that is certain to come.
            _ if !self.is_proven() => usize::from(!settings.supplied && open == 0),
            Manner::AtOnce(most) => most.saturating_sub(open),
            Manner::OutOfOrder => usize::from(open == 0),
            Manner::InOrder if one_at_a_time => usize::from(open == 0),
            Manner::InOrder => match &self.calls {
                Some(calls) => calls.room(
                    open,
                    self.hands.forming(),
                    self.hands.head().map_or(Duration::ZERO, |head| head.elapsed(now)),
                ),
                None => self.pace.room(open, now),
            },
        };
        room.min(self.wear.jobs_left(open))
    }

    /// Whether nobody has begun to end the worker, and it has not begun to end by itself.
    pub fn is_unharmed(&self) -> bool {
        self.ending.is_none() && self.process == ProcessState::Running
    }

    /// Queues a job. One that cannot be sent comes back with the reason.
    pub fn give(
        &mut self,
        delivery: Delivery,
        settings: &PoolSettings,
        now: Instant,
    ) -> Result<(), (Delivery, String)> {
        let begins = self.input.end();
        let attempt = delivery.charged + 1;
        if let Err(reason) = settings.protocol.encode(&delivery.job, attempt, self.input.bytes()) {
            return Err((delivery, reason));
        }
        if let Stage::Loading { retries, .. } = &mut self.stage {
            *retries = delivery.charged > 0;
        }
        if self.hands.is_empty() {
            self.pace.begin(now);
        }
        let Some(calls) = &self.calls else {
            self.hands.push(delivery, begins, self.input.end(), now);
            return Ok(());
        };
        self.hands.push_forming(delivery);
        if calls.is_full(self.hands.forming()) {
            self.close_batch(now);
        }
        Ok(())
    }

    /// Tells the worker to begin the batch that it has been given, if it has no other. Returns whether it did.
    pub fn begin_batch(&mut self, now: Instant) -> bool {
        let is_due = self.hands.running() == 0 && self.hands.forming() > 0;
        let can_begin = self.has_clocks() && !self.input.is_broken();
        if is_due && can_begin {
            self.close_batch(now);
        }
        is_due && can_begin
    }

    /// An empty line ends a batch, and tells the worker to begin it.
    fn close_batch(&mut self, now: Instant) {
        let begins = self.input.end();
        self.input.bytes().text().push(b'\n');
        self.hands.close_batch(begins, self.input.end(), now);
    }

    /// Whether replies still count: they do until the worker is ended for what it did.
    pub fn takes_replies(&self) -> bool {
        self.ending.as_ref().is_none_or(Ending::takes_replies)
    }

    /// The worker's stdin is closed, with `unread` bytes in it that nobody will read. Returns the jobs that the
    /// worker can never begin; it gets no more.
    pub fn break_input(&mut self, unread: u64) -> Vec<Delivery> {
        let accepted = self.input.accepted();
        self.input.break_off();
        self.intake = Intake::Retiring;
        let mut never_begun = self.hands.take_unsent(accepted);
        never_begun.extend(self.hands.take_unread(accepted.saturating_sub(unread)));
        never_begun
    }

    /// Of the jobs that are running, the one whose time is up first, and when.
    pub fn next_timeout(&self, settings: &PoolSettings) -> Option<(usize, Instant)> {
        // A worker that has shown nothing yet may still be loading, so its job gets that time as well.
        let loading = if self.is_proven() { Duration::ZERO } else { settings.start_timeout };
        self.hands.next_timeout(settings.timeout, loading)
    }

    /// When a supplied worker must have said that it is ready.
    pub fn start_deadline(&self, settings: &PoolSettings) -> Option<Instant> {
        match self.stage {
            Stage::Loading { since, .. } if settings.supplied => since.checked_add(settings.start_timeout),
            _ => None,
        }
    }

    /// When it is to be looked at why the worker is silent: a supplied one is still loading, any other may hold its
    /// output back.
    pub fn silence_deadline(&self, settings: &PoolSettings) -> Option<Instant> {
        match self.stage {
            Stage::Loading { since, hint_after, .. } if settings.supplied => since.checked_add(hint_after),
            Stage::Loading { hint_after, .. } => self.hands.head()?.started?.checked_add(hint_after),
            _ => None,
        }
    }

    /// Notes that the worker has been looked at because it is silent. Returns for how long, and the next look is as
    /// much later.
    pub fn looked_at_silence(&mut self) -> Duration {
        let Stage::Loading { hint_after, .. } = &mut self.stage else { return Duration::ZERO };
        let silent = *hint_after;
        *hint_after += SILENCE;
        silent
    }

    /// When somebody must look at the worker at the latest.
    pub fn deadline(&self, settings: &PoolSettings, now: Instant) -> Option<Instant> {
        let ending = self.ending.as_ref().map(Ending::deadline);
        let clocks = if self.has_clocks() {
            [
                self.next_timeout(settings).map(|(_, at)| at),
                self.start_deadline(settings),
                self.silence_deadline(settings),
            ]
        } else {
            [None; 3]
        };
        // A worker that is being ended is not to be replaced for its age as well.
        let age = self.wear.deadline(now).filter(|_| self.ending.is_none());
        [ending, self.judge_at(), age].into_iter().chain(clocks).flatten().min()
    }

    /// When the worker's end is judged, although only its exit or only the end of its output is known.
    pub fn judge_at(&self) -> Option<Instant> {
        match self.process {
            ProcessState::Running => None,
            ProcessState::OutputEnded { judge_at } => judge_at,
            ProcessState::Exited { judge_at, .. } => Some(judge_at),
        }
    }

    /// Whether the time limits of the worker's jobs hold. They do not once the worker has been asked to end, or its end
    /// is about to be judged; they do while it may still answer what it has, because the run is being stopped.
    pub fn has_clocks(&self) -> bool {
        self.ending.as_ref().is_none_or(Ending::is_answering) && self.process == ProcessState::Running
    }
}
