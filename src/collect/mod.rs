//! Where outcomes go: into order, into records, into files.

mod all_columns;
mod chosen_columns;
mod collector;
mod compress;
mod csv;
mod encode;
mod lines;
mod ndjson;
pub mod origin;
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

use std::sync::Arc;

use crate::words::format::Format;
use crate::words::layout::Layout;
use all_columns::AllColumns;
use chosen_columns::ChosenColumns;
use settings::OutputSettings;

pub use all_columns::{ROWS_IN_MEMORY, head};
pub use chosen_columns::check_paths;
pub use collector::{Collected, Collector, Outputs};
pub use csv::Table;
pub use output::Output;
pub use rejects::Rejects;
pub use reorder::Reorder;
pub use sink::{Sink, SinkError};

/// The sink for the output's format. `layout` is filled in by the source.
pub fn sink(settings: &OutputSettings, output: Output, layout: Arc<Layout>) -> Box<dyn Sink> {
    match settings.format {
        // JSON is a format of inputs.
        Format::Ndjson | Format::Json => Box::new(ndjson::NdjsonSink::new(output, settings.style.clone())),
        Format::Lines => Box::new(lines::LinesSink::new(output)),
        Format::Csv | Format::Tsv => match &settings.columns {
            Some(columns) => Box::new(ChosenColumns::new(output, settings, columns)),
            None => Box::new(AllColumns::new(output, settings, layout)),
        },
    }
}
