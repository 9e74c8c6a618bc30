//! JSON that is not one value a line: a file that is one array, whose elements are the jobs, or any number of values,
//! printed as they like.
//!
//! Values are passed on byte for byte, but for line breaks between their parts, which become blanks: a job travels on
//! one line. A file that begins with `[` is an array, and what follows its end is no job.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::by_line::{bad, too_long};
use super::frame::{Frame, Frames, More, NOT_UTF8};
use super::input::Input;
use super::pieces::{Pieces, read_on};
use super::values::{Fault, Piece, Shape, ValueQueue, is_blank};
use crate::source::settings::InputSettings;
use crate::words::error::Result;
use crate::words::job::Extent;
use crate::words::layout::{BYTE_ORDER_MARK, Layout};

pub struct JsonFrames {
    input: Input,
    values: ValueQueue,
    layout: Arc<Layout>,
    max_bytes: usize,
    keep_raw: bool,
    ended: bool,
}

/// So many jobs at once at most, so that the pool gets them while the rest is still being read.
const VALUES: usize = 1024;

impl JsonFrames {
    pub fn new(input: Input, settings: &InputSettings, layout: Arc<Layout>) -> JsonFrames {
        let (max_bytes, keep_raw) = (settings.max_job_bytes, settings.keep_raw);
        JsonFrames { input, values: ValueQueue::new(), layout, max_bytes, keep_raw, ended: false }
    }

    fn take_values(&mut self, frames: &mut Vec<Frame>) {
        while frames.len() < VALUES
            && let Some(piece) = self.values.next(self.ended)
        {
            frames.push(match piece.bytes.len() > self.max_bytes {
                true => too_long(piece.bytes, piece.line, self.max_bytes),
                false => frame(&piece, self.keep_raw),
            });
        }
        if !frames.is_empty() {
            self.layout
                .head
                .get_or_init(|| Bytes::from_static(if self.input.has_mark() { BYTE_ORDER_MARK } else { b"" }));
            self.layout.is_json_array.get_or_init(|| self.values.shape() != Shape::Values);
        }
    }
}

/// The job that a piece of input is, or why it is none.
fn frame(piece: &Piece, keep_raw: bool) -> Frame {
    let text = trim(piece.bytes);
    let reason = match piece.fault {
        None => match serde_json::from_slice::<&RawValue>(text) {
            Ok(_) => {
                return Frame::job(piece.line, Bytes::from(one_line(text)));
            }
            Err(error) => words(&error, text, piece.line),
        },
        Some(Fault::BehindArray) => {
            "behind the array that the input begins with (--from ndjson takes each line as a job)".to_owned()
        }
        Some(Fault::NoValue) => "invalid JSON: expected value".to_owned(),
        Some(Fault::OpenArray) => "the input ends inside of the array that it begins with".to_owned(),
        Some(Fault::OpenValue) => "the input ends inside of this value".to_owned(),
    };
    let extent = match piece.fault {
        Some(Fault::OpenArray | Fault::OpenValue) => Extent::Open,
        Some(Fault::BehindArray) => Extent::Behind,
        Some(Fault::NoValue) | None => Extent::Whole,
    };
    bad(piece.bytes, piece.line, reason, extent, keep_raw)
}

/// Without blanks at either end, as JSON knows them.
pub fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|&byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Line breaks stand only between the parts of a value, never inside of its strings, so a blank may take their place.
pub fn one_line(text: &[u8]) -> Vec<u8> {
    let mut line = text.to_vec();
    if memchr::memchr2(b'\r', b'\n', text).is_some() {
        for byte in line.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')) {
            *byte = b' ';
        }
    }
    line
}

/// What is wrong with `text`, which begins on this line of its file.
pub fn words(error: &serde_json::Error, text: &[u8], line: u64) -> String {
    if let Err(error) = std::str::from_utf8(text) {
        return format!("{NOT_UTF8} at byte {}", error.valid_up_to() + 1);
    }
    let place = format!(" at line {} column", error.line());
    let absolute = match error.line() {
        0 | 1 => " at column".to_owned(),
        lines => format!(" at line {} column", line + lines as u64 - 1),
    };
    format!("invalid JSON: {}", error.to_string().replace(&place, &absolute))
}

impl Frames for JsonFrames {
    fn read(&mut self, frames: &mut Vec<Frame>) -> Result<More> {
        loop {
            self.take_values(frames);
            if !frames.is_empty() {
                return Ok(More::Frames);
            }
            if let Some(more) = read_on(&mut self.input, &mut self.values, self.max_bytes, &mut self.ended, frames)? {
                return Ok(more);
            }
        }
    }

    fn look(&mut self) -> Result<()> {
        self.input.read(self.values.buffer()).map(drop)
    }

    fn consumed(&self) -> u64 {
        self.input.consumed(self.values.buffered())
    }
}
