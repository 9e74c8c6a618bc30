//! The command line: what was typed, and what it means for each part. Nothing else knows clap.

mod again;
mod args;
mod columns;
mod settings;

pub use again::CommandLine;
pub use args::{Args, completions};
pub use settings::Settings;
