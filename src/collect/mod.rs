//! Where outcomes go: into order, into records, into files.

mod collector;
mod csv;
mod encode;
mod lines;
mod ndjson;
mod output;
pub mod redact;
mod rejects;
mod reorder;
mod spill;

use std::io;

use crate::job::Outcome;

pub use collector::{Collected, Collector, Outputs};
pub use output::Output;
pub use rejects::Rejects;
pub use reorder::Reorder;

/// What makes records of outcomes, in the order they are given.
pub trait Sink {
    fn write(&mut self, outcome: &Outcome) -> io::Result<()>;
    /// Hands everything written so far to the system.
    fn flush(&mut self) -> io::Result<()>;
    /// Nothing more will come.
    fn finish(&mut self) -> io::Result<()>;
}

pub use sinks::sink;

mod sinks {
    //! Which sink belongs to which format.

    use std::sync::{Arc, OnceLock};

    use super::{Output, Sink, csv, lines, ndjson};
    use crate::config::{Format, OutputSettings};
    use crate::source::Header;

    /// The sink for the output's format. `header` is the input table's, once it is known.
    pub fn sink(settings: &OutputSettings, output: Output, header: Arc<OnceLock<Header>>) -> Box<dyn Sink> {
        match settings.format {
            Format::Ndjson => Box::new(ndjson::NdjsonSink::new(output, settings.style)),
            Format::Lines => Box::new(lines::LinesSink::new(output)),
            Format::Csv | Format::Tsv => match &settings.columns {
                Some(columns) => Box::new(csv::ChosenColumns::new(output, settings, columns)),
                None => Box::new(csv::AllColumns::new(output, settings, header)),
            },
        }
    }
}
