//! Inputs in which a line is a job: NDJSON and plain lines. They differ in how a line becomes a frame.

use std::sync::Arc;

use bytes::Bytes;

use super::frame::{Frame, Frames, More};
use super::input::{Got, Input};
use crate::source::settings::InputSettings;
use crate::text::framing::LineQueue;
use crate::words::error::Result;
use crate::words::job::Extent;
use crate::words::layout::{BYTE_ORDER_MARK, Layout, LineEnd};

/// How lines become frames.
#[derive(Clone, Copy)]
pub struct Form {
    /// Turns a line without its line end into a frame, or into nothing.
    pub frame: fn(line: Bytes, number: u64, keep_raw: bool) -> Option<Frame>,
    /// What to say of an input whose first job this line is, and perhaps its only one.
    pub hint: fn(line: &[u8], is_only: bool) -> Option<&'static str>,
}

pub struct ByLine {
    input: Input,
    form: Form,
    queue: LineQueue,
    layout: Arc<Layout>,
    /// The first line that is more than a line end, until it is known whether there is a second one.
    first: Option<Bytes>,
    /// Lines begun so far.
    lines: u64,
    max_bytes: usize,
    keep_raw: bool,
    /// In the middle of a line that is too long.
    skipping: bool,
    ended: bool,
    notice: Option<String>,
}

/// How much of a line that is no job is kept for `--echo` and messages.
const KEPT: usize = 4096;

impl ByLine {
    pub fn new(input: Input, settings: &InputSettings, form: Form, layout: Arc<Layout>) -> ByLine {
        ByLine {
            input,
            form,
            queue: LineQueue::default(),
            layout,
            first: None,
            lines: 0,
            max_bytes: settings.max_job_bytes,
            keep_raw: settings.keep_raw,
            skipping: false,
            ended: false,
            notice: None,
        }
    }

    fn split(&mut self, frames: &mut Vec<Frame>) {
        let lines = self.queue.take_lines();
        if self.lines == 0 && !lines.is_empty() {
            self.look_at_first_line(&lines);
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &lines) {
            let line = lines.slice(start..end);
            start = end + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            self.lines += 1;
            if line.len() > self.max_bytes {
                frames.push(too_long(&line, self.lines, self.max_bytes));
            } else {
                frames.extend((self.form.frame)(line, self.lines, self.keep_raw));
            }
        }
        if self.queue.partial() > self.max_bytes {
            if !std::mem::replace(&mut self.skipping, true) {
                self.lines += 1;
                frames.push(too_long(self.queue.partial_bytes(), self.lines, self.max_bytes));
            }
            self.queue.discard();
        }
    }

    /// Learns how the input is written. `lines` are its first ones, whole.
    fn look_at_first_line(&mut self, lines: &Bytes) {
        let end = memchr::memchr(b'\n', lines).unwrap_or(lines.len());
        let has_cr = lines[..end].ends_with(b"\r");
        self.layout.line_end.get_or_init(|| if has_cr { LineEnd::CrLf } else { LineEnd::Lf });
        let mark = if self.input.has_mark() { BYTE_ORDER_MARK } else { b"" };
        self.layout.head.get_or_init(|| Bytes::from_static(mark));
        let mut rest = lines.split(|&byte| byte == b'\n').skip_while(|line| line.trim_ascii().is_empty());
        let Some(first) = rest.next().filter(|line| line.len() <= self.max_bytes) else { return };
        match (self.form.hint)(first, false) {
            Some(hint) => self.notice = Some(self.named(hint)),
            // A long line is kept once more, but no longer than until the next read.
            None if rest.all(<[u8]>::is_empty) => self.first = Some(lines.slice_ref(first)),
            None => {}
        }
    }

    fn named(&self, hint: &str) -> String {
        format!("{}: {hint}", self.input.name())
    }
}

/// A frame that is too long to be a job, of which `beginning` has arrived. It may be of any size, and most of it may
/// not even be here, so nothing but its first few KiB is kept.
pub fn too_long(beginning: &[u8], line: u64, max_bytes: usize) -> Frame {
    let reason = format!("longer than --max-job-bytes ({max_bytes} bytes)");
    bad(beginning, line, reason, Extent::Cut, false)
}

/// A frame that is no job. All of its bytes are kept if they are wanted for `--rejects`.
pub fn bad(line: &[u8], number: u64, reason: String, extent: Extent, keep_raw: bool) -> Frame {
    let kept = if keep_raw { line.len() } else { line.len().min(KEPT) };
    let raw = Bytes::copy_from_slice(&line[..kept]);
    Frame { line: number, data: Err(reason), extra: None }.with_raw(raw, extent)
}

impl Frames for ByLine {
    fn read(&mut self, frames: &mut Vec<Frame>) -> Result<More> {
        while frames.is_empty() {
            if self.ended {
                return Ok(More::End);
            }
            match self.input.read(self.queue.buffer())? {
                Got::Bytes => self.first = self.first.take().filter(|_| self.queue.partial() == 0 && self.lines <= 1),
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
            if self.ended
                && let Some(hint) = self.first.take().and_then(|first| (self.form.hint)(&first, true))
            {
                self.notice = Some(self.named(hint));
            }
        }
        Ok(More::Frames)
    }

    fn look(&mut self) -> Result<()> {
        self.input.read(self.queue.buffer()).map(drop)
    }

    fn consumed(&self) -> u64 {
        self.input.consumed(self.queue.partial())
    }

    fn notice(&mut self) -> Option<String> {
        self.notice.take()
    }
}
