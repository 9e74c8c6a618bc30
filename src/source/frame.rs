//! Pieces of input, and what every format of input can do: split itself into them.

use bytes::Bytes;

use crate::words::error::Result;
use crate::words::job::{Extent, Extra};

/// Said of text in another encoding, in every format.
pub const NOT_UTF8: &str = "not UTF-8";

/// What to do about it.
pub const CONVERT: &str = "iconv -f latin1 -t utf-8 FILE; or -f windows-1252, or whatever it was written in";

/// One piece of input: a job, or what stands in a job's place and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The line of its file where the frame begins, from 1.
    pub line: u64,
    /// The job as one JSON text, or why there is none (`expected 3 fields, found 2`).
    pub data: std::result::Result<Bytes, String>,
    /// The input's own bytes without the line end, where they differ from `data` and are wanted
    /// (`keep_raw`), and always for a frame that is no job: cut to a few KiB unless they are wanted. Boxed, as they
    /// travel with the job: most frames have none.
    pub extra: Option<Box<Extra>>,
}

impl Frame {
    /// A job of which nothing but its data is kept.
    pub fn job(line: u64, data: Bytes) -> Frame {
        Frame { line, data: Ok(data), extra: None }
    }

    /// The same with these bytes of the input, or as much of them as there is.
    pub fn with_raw(self, raw: Bytes, extent: Extent) -> Frame {
        let extra = Extra { raw: Some(raw), extent, ..Extra::default() };
        Frame { extra: Some(Box::new(extra)), ..self }
    }
}

/// What a call of [`Frames::read`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// At least one frame was appended.
    Frames,
    /// The input has ended; nothing was appended.
    End,
    /// The run is being stopped; the rest of the input is not read.
    Stopped,
}

/// Splits one input file into frames.
pub trait Frames: Send {
    /// Appends the frames that can be had without waiting for more input; waits only while there is none.
    fn read(&mut self, frames: &mut Vec<Frame>) -> Result<More>;

    /// Reads as far as an input shows that it cannot be used at all: its encoding, its compression, its header.
    fn look(&mut self) -> Result<()>;

    /// How many bytes of the file the frames appended so far took up, with all between them; about, where the file is
    /// compressed.
    fn consumed(&self) -> u64;

    /// What the user should know of the input: that it looks like another format than the one it is read as. Each
    /// notice is given once.
    fn notice(&mut self) -> Option<String> {
        None
    }
}
