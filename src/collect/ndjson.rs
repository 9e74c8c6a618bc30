//! Records as NDJSON: one JSON object a line.

use std::io;

use super::{Output, Sink};
use crate::job::{Outcome, RecordStyle, write_record};

pub struct NdjsonSink {
    output: Output,
    style: RecordStyle,
}

impl NdjsonSink {
    pub fn new(output: Output, style: RecordStyle) -> NdjsonSink {
        NdjsonSink { output, style }
    }
}

impl Sink for NdjsonSink {
    fn write(&mut self, outcome: &Outcome) -> io::Result<()> {
        write_record(outcome, self.style, self.output.bytes());
        self.output.wrote()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
