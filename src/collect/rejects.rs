//! `--rejects`: the jobs that did not end ok, in the input's own format, ready to be fed in again with the same flags.
//!
//! What the input has besides its jobs comes along, since it says how the jobs are read: the byte-order mark, the line
//! `sep=;`, the header, the line ends. What was too long to be kept is left out, and counted.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::output::Output;
use crate::text::magic::Magic;
use crate::words::format::Format;
use crate::words::job::Extent;
use crate::words::layout::{BYTE_ORDER_MARK, Layout, LineEnd, RECORD_SEPARATOR};
use crate::words::outcome::Outcome;

pub struct Rejects {
    output: Output,
    layout: Arc<Layout>,
    format: Format,
    /// Something has been written.
    is_begun: bool,
    /// Jobs that the input ended inside of: they come last, since what follows them would become a part of them.
    open: Vec<Bytes>,
    /// What stood behind the array of jobs, and is to stand behind this one.
    behind: Vec<Bytes>,
    left_out: u64,
}

impl Rejects {
    /// `format` is that of the input.
    pub fn new(output: Output, format: Format, layout: Arc<Layout>) -> Rejects {
        Rejects { output, layout, format, is_begun: false, open: Vec::new(), behind: Vec::new(), left_out: 0 }
    }

    pub fn write(&mut self, outcome: &Outcome) -> io::Result<()> {
        let raw = outcome.job.raw();
        match outcome.job.extent() {
            Extent::Whole => {
                self.begin_job(raw);
                self.end_job(raw);
            }
            Extent::Open => self.open.push(raw.clone()),
            Extent::Behind => self.behind.push(raw.clone()),
            Extent::Cut => self.left_out += 1,
        }
        self.output.wrote()
    }

    /// Writes a job, behind what stands between it and the one before it.
    fn begin_job(&mut self, raw: &[u8]) {
        if !std::mem::replace(&mut self.is_begun, true) {
            self.write_head(raw);
        } else if self.is_array() {
            self.output.buffer().extend_from_slice(b",\n");
        }
        self.output.buffer().extend_from_slice(raw);
    }

    /// Writes the line end of a job.
    fn end_job(&mut self, raw: &[u8]) {
        if !self.is_array() {
            // A plain line may end with a CR of its own; the next reader takes one away.
            let needs_cr = self.format == Format::Lines && raw.ends_with(b"\r");
            let line_end = if needs_cr { LineEnd::CrLf } else { self.line_end() };
            self.output.buffer().extend_from_slice(line_end.bytes());
        }
    }

    fn line_end(&self) -> LineEnd {
        self.layout.line_end.get().copied().unwrap_or(LineEnd::Lf)
    }

    fn is_array(&self) -> bool {
        self.layout.is_json_array.get() == Some(&true)
    }

    /// Writes what stands before the first job. Where the input had nothing there, something says that the first
    /// reject is no byte-order mark, no magic number, no line `sep=;` and no array of jobs, if it looks like one.
    fn write_head(&mut self, first: &[u8]) {
        let line_end = self.line_end();
        let (layout, out) = (&self.layout, self.output.buffer());
        let head = layout.head.get().map_or(&b""[..], |head| head);
        if head.is_empty() && Magic::of(first).is_some() {
            out.extend_from_slice(BYTE_ORDER_MARK);
        }
        out.extend_from_slice(head);
        let is_bare = head.is_empty() || head == BYTE_ORDER_MARK;
        if self.format == Format::Csv && is_bare && first.len() == 5 && first[..4].eq_ignore_ascii_case(b"sep=") {
            let delimiter = layout.delimiter.get().copied().unwrap_or(b',');
            out.extend_from_slice(&[b's', b'e', b'p', b'=', delimiter]);
            out.extend_from_slice(line_end.bytes());
        }
        match layout.is_json_array.get() {
            Some(true) => out.extend_from_slice(b"[\n"),
            Some(false) if first.starts_with(b"[") => out.push(RECORD_SEPARATOR),
            _ => {}
        }
    }

    /// What the user should know of the file.
    pub fn notice(&self) -> Option<String> {
        let jobs = match self.left_out {
            0 => return None,
            1 => "1 job is".to_owned(),
            jobs => format!("{jobs} jobs are"),
        };
        Some(format!("{jobs} not in the rejects file: longer than --max-job-bytes"))
    }

    pub fn finish(&mut self) -> io::Result<()> {
        let (open, behind) = (std::mem::take(&mut self.open), std::mem::take(&mut self.behind));
        for (index, raw) in open.iter().enumerate() {
            if index > 0 {
                self.end_job(raw);
            }
            self.begin_job(raw);
        }
        if self.is_array() && open.is_empty() && (self.is_begun || !behind.is_empty()) {
            if !self.is_begun {
                self.write_head(b"");
            }
            self.output.buffer().extend_from_slice(b"\n]\n");
        }
        for raw in behind {
            self.output.buffer().extend_from_slice(&raw);
            self.output.buffer().push(b'\n');
        }
        self.output.finish()
    }
}
