//! The stream to a host's agent while there is one: what it has said, what it has been given, and how it is being ended.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ahead::Ahead;
use super::flight::Flight;
use crate::pool::exited::Exited;
use crate::pool::luggage::Luggage;
use crate::pool::outbox::Report;
use crate::pool::pipes::{InputQueue, Tail};
use crate::protocol::stream::{self, Order};
use crate::text::framing::LineQueue;
use crate::text::gather::Put;
use crate::words::error::Error;

pub struct Link {
    pub stage: Stage,
    /// What the agent is to be told first.
    pub opening: Vec<Bytes>,
    /// This program, as long as the host has not asked for it.
    pub program: Option<Bytes>,
    pub flight: Flight,
    pub ahead: Option<Ahead>,
    pub input: InputQueue,
    pub output: LineQueue,
    pub tail: Tail,
    /// Nobody has been shown what is in the tail.
    pub is_held_back: bool,
    /// What came before the agent's first line: a login shell that prints.
    pub noise: Vec<u8>,
    /// When something was last heard.
    pub heard: Instant,
    /// Something has been taken of what is to be written, since `heard` was last looked at: a large file is on its way.
    pub was_written: bool,
    /// When the next sign of life is due, and when the last one was sent that has had no answer.
    pub ping_due: Instant,
    pub pinged: Option<Instant>,
    pub ending: Ending,
    /// Why the agent says that it cannot go on; true where it would be the same on every host.
    pub failed: Option<(Error, bool)>,
    /// The agent has said everything.
    pub said_bye: bool,
    /// It has shown that its workers work: a supplied one by being ready, any other by an answer.
    pub is_proven: bool,
    /// It is to be replaced once it has no job.
    pub is_outdated: bool,
    pub output_ended: bool,
    pub exited: Option<Exited>,
    /// When the end is judged, although only the exit or only the end of the output is known.
    pub judge_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is known of the far end.
    Calling { since: Instant },
    /// The agent has said hello, and its workers load.
    Loading { since: Instant },
    /// Jobs may be sent.
    Ready,
}

/// How the stream is being brought to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    No,
    /// The agent has been asked to end, and has until then.
    Asked(Asked, Instant),
    /// The command that carries the stream has been killed; until then its end is waited for.
    Killed(Why, Instant),
}

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Finish,
    Recycle,
    Stop,
}

/// Why the command that carries the stream was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was to end, and did not.
    Lingered(Asked),
    /// The far end broke the protocol, was silent, or took too long to start; in words.
    Fault(String),
}

/// Both ends say something at least this often.
pub const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

impl Link {
    pub fn new(luggage: Luggage, now: Instant) -> Link {
        let mut input = InputQueue::default();
        let program = luggage.program.map(|program| {
            input.bytes().payload(&program.script);
            program.content
        });
        Link {
            stage: Stage::Calling { since: now },
            opening: luggage.opening,
            program,
            flight: Flight::default(),
            ahead: None,
            input,
            output: LineQueue::default(),
            tail: Tail::default(),
            is_held_back: false,
            noise: Vec::new(),
            heard: now,
            was_written: false,
            ping_due: now + SIGN_OF_LIFE,
            pinged: None,
            ending: Ending::No,
            failed: None,
            said_bye: false,
            is_proven: false,
            is_outdated: false,
            output_ended: false,
            exited: None,
            judge_at: None,
        }
    }

    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Whether there is somebody who knows what to do.
    pub fn is_answered(&self) -> bool {
        !matches!(self.stage, Stage::Calling { .. })
    }

    /// Whether jobs may be given, and what is said counts for the future.
    pub fn is_open(&self) -> bool {
        self.ending == Ending::No && !self.input.is_broken() && self.failed.is_none() && !self.said_bye
    }

    /// Whether what the agent says counts.
    pub fn is_heard(&self) -> bool {
        !matches!(self.ending, Ending::Killed(..))
    }

    /// What was written to stderr and nobody has been shown, in whole lines.
    pub fn take_held_back(&mut self) -> Option<Report> {
        let lines = || format!("{}\n", self.tail.text().trim_end_matches('\n'));
        std::mem::take(&mut self.is_held_back).then(|| Report::Said(lines().into()))
    }

    /// Sends an order, once there is somebody who has been told what to do.
    pub fn send(&mut self, order: &Order) {
        if self.is_answered() && !self.input.is_broken() {
            stream::put(order, self.input.bytes());
        }
    }

    /// How many more jobs to send.
    pub fn room(&self) -> usize {
        /// Bytes of jobs at one host: enough for a link of a gigabit and a round trip of a tenth of a second.
        const BYTES: usize = 16 << 20;
        let Some(ahead) = self.ahead.as_ref().filter(|_| self.is_open() && self.is_ready()) else { return 0 };
        if self.is_outdated || (self.flight.bytes() > BYTES && !self.flight.is_empty()) {
            return 0;
        }
        ahead.room(self.flight.len())
    }
}
