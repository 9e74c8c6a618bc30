//! Records as NDJSON: one JSON object a line.

use std::io;

use super::output::Output;
use super::sink::{Sink, SinkError};
use crate::collect::record::write_record;
use crate::collect::settings::RecordStyle;
use crate::words::outcome::Outcome;

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
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        write_record(outcome, &self.style, self.output.bytes());
        Ok(self.output.wrote()?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(self.output.finish()?)
    }
}
