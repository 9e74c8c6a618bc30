//! Inputs in which a line is a job: NDJSON and plain lines. They differ in how a line becomes a frame.

use bytes::Bytes;

use super::frame::{Frame, Frames, More};
use super::input::{Got, Input};
use crate::source::settings::InputSettings;
use crate::text::framing::LineQueue;
use crate::words::error::Result;

/// Turns a line without its line end into a frame, or into nothing.
pub type Convert = fn(line: Bytes, number: u64, keep_raw: bool) -> Option<Frame>;

pub struct ByLine {
    input: Input,
    convert: Convert,
    queue: LineQueue,
    /// Lines begun so far.
    lines: u64,
    max_bytes: usize,
    keep_raw: bool,
    /// In the middle of a line that is too long.
    skipping: bool,
    ended: bool,
}

/// How much of a line that is no job is kept for `--echo` and messages.
const KEPT: usize = 4096;

impl ByLine {
    pub fn new(input: Input, settings: &InputSettings, convert: Convert) -> ByLine {
        ByLine {
            input,
            convert,
            queue: LineQueue::default(),
            lines: 0,
            max_bytes: settings.max_job_bytes,
            keep_raw: settings.keep_raw,
            skipping: false,
            ended: false,
        }
    }

    fn split(&mut self, frames: &mut Vec<Frame>) {
        let lines = self.queue.take_lines();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &lines) {
            let line = lines.slice(start..end);
            start = end + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            self.lines += 1;
            if line.len() > self.max_bytes {
                frames.push(self.too_long(&line));
            } else {
                frames.extend((self.convert)(line, self.lines, self.keep_raw));
            }
        }
        if self.queue.partial() > self.max_bytes {
            if !std::mem::replace(&mut self.skipping, true) {
                self.lines += 1;
                frames.push(self.too_long(self.queue.partial_bytes()));
            }
            self.queue.discard();
        }
    }

    fn too_long(&self, line: &[u8]) -> Frame {
        let reason = format!("longer than --max-job-bytes ({} bytes)", self.max_bytes);
        // It may be of any size, and most of it may not even be here.
        bad(line, self.lines, reason, false)
    }
}

/// A frame that is no job. All of its bytes are kept if they are wanted for `--rejects`.
pub fn bad(line: &[u8], number: u64, reason: String, keep_raw: bool) -> Frame {
    let kept = if keep_raw { line.len() } else { line.len().min(KEPT) };
    let raw = Bytes::copy_from_slice(&line[..kept]);
    Frame { line: number, data: Err(reason), raw: Some(raw) }
}

impl Frames for ByLine {
    fn read(&mut self, frames: &mut Vec<Frame>) -> Result<More> {
        while frames.is_empty() {
            if self.ended {
                return Ok(More::End);
            }
            match self.input.read(self.queue.buffer())? {
                Got::Bytes => {}
                Got::Stopped => return Ok(More::Stopped),
                Got::End => {
                    self.ended = true;
                    // A last line without a line end is a line.
                    if self.queue.partial() > 0 || self.skipping {
                        self.queue.buffer().push(b'\n');
                    }
                }
            }
            self.split(frames);
        }
        Ok(More::Frames)
    }

    fn look(&mut self) -> Result<()> {
        self.input.read(self.queue.buffer()).map(drop)
    }

    fn consumed(&self) -> u64 {
        self.input.consumed(self.queue.partial())
    }
}
