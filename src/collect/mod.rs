//! Where outcomes go: into order, into records, into files.

mod collector;
mod csv;
mod encode;
mod lines;
mod ndjson;
mod output;
mod record;
mod rejects;
mod reorder;
mod rows;
pub mod settings;
mod sink;
mod spill;
pub mod stop_policy;
pub mod temporary;

use std::sync::{Arc, OnceLock};

use crate::words::format::Format;
use crate::words::header::Header;
use settings::OutputSettings;
use sink::Sink;

pub use collector::{Collected, Collector, Outputs};
pub use csv::ROWS_IN_MEMORY;
pub use output::Output;
pub use rejects::Rejects;
pub use reorder::Reorder;

/// The sink for the output's format. `header` is filled in by the source with the header of the input's table.
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
