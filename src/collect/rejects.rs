//! `--rejects`: the jobs that did not end ok, in the input's own format, ready to be fed in again.

use std::io;
use std::sync::{Arc, OnceLock};

use super::output::Output;
use crate::collect::settings::OutputSettings;
use crate::words::format::Format;
use crate::words::header::Header;
use crate::words::outcome::Outcome;

pub struct Rejects {
    output: Output,
    /// The table's header, which goes before the first row.
    header: Option<Arc<OnceLock<Header>>>,
}

impl Rejects {
    pub fn new(output: Output, settings: &OutputSettings, header: Arc<OnceLock<Header>>) -> Rejects {
        let table = matches!(settings.input_format, Format::Csv | Format::Tsv) && settings.input_has_header;
        Rejects { output, header: table.then_some(header) }
    }

    pub fn write(&mut self, outcome: &Outcome) -> io::Result<()> {
        let out = self.output.buffer();
        if let Some(header) = self.header.take().as_ref().and_then(|header| header.get()) {
            out.extend_from_slice(&header.raw);
            out.push(b'\n');
        }
        out.extend_from_slice(outcome.job.raw());
        out.push(b'\n');
        self.output.wrote()
    }

    pub fn finish(&mut self) -> io::Result<()> {
        self.output.finish()
    }
}
