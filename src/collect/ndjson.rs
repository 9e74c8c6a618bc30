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
    /// Whether any job has had the field of `--id`; `None` before the first job.
    found_id: Option<bool>,
}

impl NdjsonSink {
    pub fn new(output: Output, style: RecordStyle) -> NdjsonSink {
        NdjsonSink { output, style, found_id: None }
    }
}

impl Sink for NdjsonSink {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        if self.found_id != Some(true)
            && let Some(name) = &self.style.id
        {
            self.found_id = Some(field(&outcome.job.data, name).is_some());
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
        let missing = self.style.id.as_ref().filter(|_| self.found_id == Some(false));
        missing.map(|name| format!("--id: no job has a field {name:?}")).into_iter().collect()
    }
}
