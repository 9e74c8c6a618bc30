//! The source's thread: takes frames from the readers, numbers them as their permits allow, and feeds the pool.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags};

use super::frame::{CONVERT, Frame, More, NOT_UTF8};
use super::reader::Reader;
use super::unread;
use crate::journal::{Recall, Recalled};
use crate::pool::account;
use crate::pool::dispatch::Dispatch;
use crate::report::counters::Counters;
use crate::source::settings::InputFile;
use crate::sys::bell::Bell;
use crate::sys::clock::Clock;
use crate::text::json;
use crate::text::people::duration;
use crate::words::cancel::{Cancel, Level};
use crate::words::error::Error;
use crate::words::job::Job;
use crate::words::message::{InputEnd, Message};
use crate::words::outcome::{JobError, Outcome, Status};
use crate::words::shard::Shard;

/// Where jobs go, and what holds them back.
pub struct Feed {
    pub jobs: Sender<Vec<Job>>,
    pub messages: Sender<Message>,
    pub dispatch: Arc<Dispatch>,
    /// Rung when there is room for more jobs.
    pub room: Bell,
    pub clock: Clock,
    pub cancel: Arc<Cancel>,
    /// The one that the inputs wait for, too.
    pub bell: Bell,
    pub counters: Arc<Counters>,
    /// The jobs that are this run's; the others are numbered and left out.
    pub shard: Shard,
    /// The job's field that holds its own time limit.
    pub timeout_field: Option<String>,
    /// What earlier runs have done already.
    pub recall: Option<Recall>,
    /// Outcomes carry their job's data.
    pub keep_jobs: bool,
    /// Tells the user something about the input.
    pub tell: Box<dyn Fn(String) + Send>,
}

/// Jobs travel in pieces of at most this many: enough to make a hand-over cheap, few enough that the first of
/// them do not wait for the last.
const PIECE: usize = 128;

impl Feed {
    /// What the journal knows of the next job.
    fn recall(&mut self, job: Job) -> Recalled {
        let Some(recall) = &mut self.recall else { return Recalled::ToRun(job) };
        recall.recall(job)
    }

    /// Enters the first of these jobs, given by their sizes in bytes, into the accounts, and says how many: at least
    /// one, or none when the run is being stopped. Waits while there is no room.
    fn admit(&self, sizes: &[usize]) -> usize {
        loop {
            // First, or a run that is being stopped would read on into the room of what it gives up.
            if self.cancel.level() >= Level::Drain {
                return 0;
            }
            let admitted = self.dispatch.admit(&mut sizes.iter().copied());
            if admitted > 0 {
                return admitted;
            }
            let mut fds = [&self.room, &self.bell].map(|bell| PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN));
            // An interrupted or failed poll only means another look.
            let _ = rustix::event::poll(&mut fds, None);
            self.room.hush();
        }
    }

    /// Sends outcomes of jobs that go to no worker to the collector.
    fn send(&self, mut outcomes: Vec<Outcome>, message: fn(Vec<Outcome>) -> Message) {
        if !outcomes.is_empty() {
            account(&self.dispatch, &mut outcomes, self.keep_jobs);
            // The collector is gone only when the run has ended.
            let _ = self.messages.send(message(outcomes));
        }
    }

    fn offer(&self, jobs: Vec<Job>) {
        // The receiver is gone only when the run has ended.
        if jobs.is_empty() || self.jobs.send(jobs).is_err() {
            return;
        }
        let refused = self.dispatch.offered(self.clock.now());
        if !refused.is_empty() {
            let why = self.dispatch.orders().why;
            let unrun = refused.into_iter().map(|delivery| delivery.not_run(&why)).collect();
            self.send(unrun, Message::Outcomes);
        }
    }

    /// Reads all inputs to their end, or to where the run is stopped.
    pub fn run(self, mut readers: Vec<Reader>) {
        if let Some(recall) = &self.recall {
            self.counters.journal_has(recall.done());
        }
        let mut feeder = Feeder { number: 0, jobs: 0, line: 0, consumed: 0, feed: self };
        let (left, error) = match feeder.feed_all(&mut readers) {
            Ok(left) => (left, None),
            Err(error) => (Left::Unknown, Some(error)),
        };
        let Feeder { jobs, line, feed, .. } = feeder;
        feed.dispatch.source_ended();
        let unread = match left {
            Left::Nothing => Some(0),
            Left::From(index) => {
                let files: Vec<InputFile> = readers.drain(index..).map(|reader| reader.file).collect();
                unread::lines(&files, line, &feed.cancel)
            }
            Left::Unknown => None,
        };
        let complete = left == Left::Nothing;
        // The collector is gone only when the run has ended.
        let _ = feed.messages.send(Message::InputEnded(InputEnd { jobs, complete, unread, error }));
    }
}

struct Feeder {
    /// Of the last job that was framed, whether it is this run's or not.
    number: u64,
    /// How many jobs were read.
    jobs: u64,
    /// Lines of its file up to it.
    line: u64,
    /// Bytes of all files that the jobs read so far took up.
    consumed: u64,
    feed: Feed,
}

/// What was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// The run is being stopped: what is left of this input, by its index, and those after it.
    From(usize),
    Unknown,
}

impl Feeder {
    fn feed_all(&mut self, readers: &mut [Reader]) -> Result<Left, Error> {
        let several = readers.len() > 1;
        let mut frames = Vec::new();
        for (index, reader) in readers.iter_mut().enumerate() {
            let place = if several { format!("{}: ", reader.file.name()) } else { String::new() };
            self.line = 0;
            let before = self.consumed;
            loop {
                let more = reader.frames.read(&mut frames);
                while let Some(notice) = reader.frames.notice() {
                    (self.feed.tell)(notice);
                }
                let consumed = before + reader.frames.consumed();
                // What came before an error is read all the same.
                if !self.number_and_offer(&mut frames, consumed, &place)? {
                    return Ok(Left::From(index));
                }
                match more? {
                    More::Frames => {}
                    More::End => break,
                    More::Stopped => return Ok(Left::From(index)),
                }
            }
        }
        Ok(Left::Nothing)
    }

    /// Reads the frames as there is room for them. `consumed` counts the bytes of all files up to the last of the
    /// frames. Returns false if the run is being stopped.
    fn number_and_offer(&mut self, frames: &mut Vec<Frame>, consumed: u64, place: &str) -> Result<bool, Error> {
        let (shard, before) = (self.feed.shard, self.number);
        self.number += frames.len() as u64;
        let mut left = (shard.up_to(self.number) - shard.up_to(before)) as usize;
        let mut waiting = (before + 1..).zip(frames.drain(..)).filter(|(number, _)| shard.has(*number));
        let mut sizes = Vec::new();
        let mut piece: Vec<(u64, Frame)> = Vec::with_capacity(PIECE.min(left));
        if left == 0 {
            self.consumed = consumed;
            self.feed.counters.read(0, consumed);
        }
        while left > 0 {
            while piece.len() < PIECE
                && let Some(frame) = waiting.next()
            {
                piece.push(frame);
            }
            while !piece.is_empty() {
                sizes.clear();
                sizes.extend(piece.iter().map(|(_, frame)| frame.data.as_ref().map_or(0, Bytes::len)));
                let granted = self.feed.admit(&sizes);
                if granted == 0 {
                    self.line = piece[0].1.line - 1;
                    return Ok(false);
                }
                // The frames of one read are taken to be equally long.
                self.consumed += consumed.saturating_sub(self.consumed) * granted as u64 / left as u64;
                left -= granted;
                self.line = piece[granted - 1].1.line;
                self.jobs += granted as u64;
                self.feed.counters.read(granted as u64, self.consumed);
                let granted = piece.drain(..granted);
                offer(&mut self.feed, granted, place)?;
            }
        }
        Ok(true)
    }
}

/// Sends each frame on as what it is: a job to run, the outcome of one that was run before, or no job at all.
fn offer(feed: &mut Feed, frames: impl ExactSizeIterator<Item = (u64, Frame)>, place: &str) -> Result<(), Error> {
    let mut jobs = Vec::with_capacity(frames.len());
    let mut bad = Vec::new();
    let mut restored = Vec::new();
    let mut failure = None;
    for (number, frame) in frames {
        match job(frame, number, feed.timeout_field.as_deref(), place) {
            Err(outcome) => bad.push(*outcome),
            Ok(job) => match feed.recall(job) {
                Recalled::ToRun(job) => jobs.push(job),
                Recalled::Done(outcome) => restored.push(outcome),
                // It was read, so it must have a record: it is run, and then the run ends.
                Recalled::Failed(job, error) => {
                    jobs.push(job);
                    failure.get_or_insert(error);
                }
            },
        }
    }
    feed.send(bad, Message::Outcomes);
    feed.send(restored, Message::Restored);
    feed.offer(jobs);
    failure.map_or(Ok(()), Err)
}

/// The job that a frame is, or the outcome of one that is none.
fn job(frame: Frame, number: u64, timeout_field: Option<&str>, place: &str) -> Result<Job, Box<Outcome>> {
    let line = frame.line;
    let mut extra = frame.extra;
    let (data, reason) = match frame.data {
        Err(reason) => (Bytes::new(), reason),
        Ok(data) => match own_timeout(&data, timeout_field) {
            Err(reason) => (data, reason),
            Ok(timeout) => {
                if timeout.is_some() {
                    extra.get_or_insert_default().timeout = timeout;
                }
                return Ok(Job { number, line, data, extra });
            }
        },
    };
    let mut error = JobError::bad_input(format!("{place}line {line}: {reason}")).with("line", line);
    if reason.contains(NOT_UTF8) {
        error = error.with("hint", CONVERT);
    }
    Err(Box::new(Outcome::unrun(Job { number, line, data, extra }, Status::BadInput, &error)))
}

/// The time limit that a job brings along: a number of seconds, or a text such as `500ms`.
fn own_timeout(data: &[u8], field: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(field) = field else { return Ok(None) };
    let Some(raw) = json::field(data, field) else { return Ok(None) };
    let text: String = serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
    match duration(&text) {
        // An empty cell of a table, and null, are no limit.
        _ if text.is_empty() || text == "null" => Ok(None),
        Ok(limit) if !limit.is_zero() => Ok(Some(limit)),
        _ => Err(format!("its {field} is no time limit: {}", raw.get())),
    }
}

#[cfg(test)]
mod tests;
