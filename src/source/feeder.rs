//! The source's thread: takes frames from the readers, numbers them as their permits allow, and feeds the pool.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;

use super::{Frame, More, Reader, unread};
use crate::cancel::{Bell, Cancel};
use crate::cli::duration;
use crate::config::InputFile;
use crate::error::Error;
use crate::job::{self, Extra, Job, JobError, Outcome, Status};
use crate::pool::queue::Queue;
use crate::pool::{InputEnd, Message};
use crate::report::counters::Counters;

/// Where jobs go, and what holds them back.
pub struct Feed {
    pub jobs: Sender<Vec<Job>>,
    pub messages: Sender<Message>,
    pub queue: Arc<Queue>,
    pub cancel: Arc<Cancel>,
    /// The one that the inputs wait for, too.
    pub bell: Bell,
    pub counters: Arc<Counters>,
    /// The job's field that holds its own time limit.
    pub timeout_field: Option<String>,
}

/// Jobs travel in pieces of at most this many: enough to make a hand-over cheap, few enough that the first of
/// them do not wait for the last.
const PIECE: usize = 128;

impl Feed {
    /// Reads all inputs to their end, or to where the run is stopped.
    pub fn run(self, mut readers: Vec<Reader>) {
        let mut feeder = Feeder { number: 0, line: 0, feed: self };
        let (left, error) = match feeder.feed_all(&mut readers) {
            Ok(left) => (left, None),
            Err(error) => (Left::Unknown, Some(error)),
        };
        let Feeder { number: jobs, line, feed } = feeder;
        feed.queue.source_ended();
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
    /// Of the last job read.
    number: u64,
    /// Lines of its file up to it.
    line: u64,
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
        let bell = self.feed.bell.clone();
        let several = readers.len() > 1;
        let mut frames = Vec::new();
        for (index, reader) in readers.iter_mut().enumerate() {
            let place = if several { format!("{}: ", reader.file.name()) } else { String::new() };
            self.line = 0;
            loop {
                let more = reader.frames.read(&mut frames);
                // What came before an error is read all the same.
                if !self.number_and_offer(&mut frames, &place, &bell) {
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

    /// Reads the frames as their permits come. Returns false if the run is being stopped.
    fn number_and_offer(&mut self, frames: &mut Vec<Frame>, place: &str, bell: &Bell) -> bool {
        let mut waiting = frames.drain(..).peekable();
        let mut left = waiting.len();
        let mut sizes = Vec::new();
        let mut piece: Vec<Frame> = Vec::with_capacity(PIECE.min(left));
        while left > 0 {
            while piece.len() < PIECE
                && let Some(frame) = waiting.next()
            {
                piece.push(frame);
            }
            while !piece.is_empty() {
                sizes.clear();
                sizes.extend(piece.iter().map(|frame| frame.data.as_ref().map_or(0, Bytes::len)));
                let granted = self.feed.queue.permits.take(&mut sizes.iter().copied(), &self.feed.cancel, bell);
                if granted == 0 {
                    self.line = piece[0].line - 1;
                    return false;
                }
                left -= granted;
                self.line = piece[granted - 1].line;
                let granted = piece.drain(..granted);
                offer(&self.feed, &mut self.number, granted, place);
            }
        }
        true
    }
}

fn offer(feed: &Feed, number: &mut u64, frames: impl ExactSizeIterator<Item = Frame>, place: &str) {
    let count = frames.len();
    let mut jobs = Vec::with_capacity(count);
    let mut bad = Vec::new();
    let mut bytes = 0;
    for frame in frames {
        *number += 1;
        let extra = frame.raw.map(|raw| Box::new(Extra { raw: Some(raw), ..Extra::default() }));
        let (number, line) = (*number, frame.line);
        let refuse = |data: Bytes, extra, reason: &str| {
            let error = JobError::bad_input(format!("{place}line {line}: {reason}")).with("line", line);
            Outcome::unrun(Job { number, line, data, extra }, Status::BadInput, &error)
        };
        match frame.data {
            Err(reason) => bad.push(refuse(Bytes::new(), extra, &reason)),
            Ok(data) => match own_timeout(&data, feed.timeout_field.as_deref()) {
                Err(reason) => {
                    bytes += data.len();
                    bad.push(refuse(data, extra, &reason));
                }
                Ok(None) => jobs.push(Job { number, line, data, extra }),
                Ok(timeout) => {
                    let mut extra = extra.unwrap_or_default();
                    extra.timeout = timeout;
                    jobs.push(Job { number, line, data, extra: Some(extra) });
                }
            },
        }
    }
    feed.counters.read.fetch_add(count as u64, Ordering::Relaxed);
    if bytes > 0 {
        feed.queue.permits.return_bytes(bytes);
    }
    if !bad.is_empty() {
        feed.queue.sending(bad.iter().map(Outcome::size).sum());
        // The collector is gone only when the run has ended.
        let _ = feed.messages.send(Message::Outcomes(bad));
    }
    let offered = jobs.len();
    // The slots live as long as there may be jobs.
    if offered > 0 && feed.jobs.send(jobs).is_ok() {
        feed.queue.offered(offered);
    }
}

/// The time limit that a job brings along: a number of seconds, or a text such as `500ms`.
fn own_timeout(data: &[u8], field: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(field) = field else { return Ok(None) };
    let Some(raw) = job::field(data, field) else { return Ok(None) };
    let text: String = serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
    match duration(&text) {
        // An empty cell of a table, and null, are no limit.
        _ if text.is_empty() || text == "null" => Ok(None),
        Ok(limit) if !limit.is_zero() => Ok(Some(limit)),
        _ => Err(format!("its {field} is no time limit: {}", raw.get())),
    }
}
