//! Records as NDJSON: one JSON object a line.

use std::io;

use super::output::Output;
use super::sink::{Sink, SinkError};
use crate::collect::record::write_record;
use crate::collect::settings::RecordStyle;
use crate::text::json::field;
use crate::words::outcome::Outcome;

pub struct NdjsonSink {
    output: Output,
    style: RecordStyle,
    /// Jobs that were looked at for the field of `--id`, until one had it.
    without_id: u64,
    has_id: bool,
}

impl NdjsonSink {
    pub fn new(output: Output, style: RecordStyle) -> NdjsonSink {
        let has_id = style.id.is_none();
        NdjsonSink { output, style, without_id: 0, has_id }
    }
}

impl Sink for NdjsonSink {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        if let Some(name) = self.style.id.as_ref().filter(|_| !self.has_id) {
            self.has_id = field(&outcome.job.data, name).is_some();
            self.without_id += u64::from(!self.has_id);
        }
        write_record(outcome, &self.style, self.output.bytes());
        Ok(self.output.wrote()?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(self.output.finish()?)
    }

    fn notices(&self) -> Vec<String> {
        let missing = self.style.id.as_ref().filter(|_| !self.has_id && self.without_id > 0);
        missing.map(|name| format!("--id: no job has a field {name:?}")).into_iter().collect()
    }
}
