//! The command line: what was typed, and what it means for each part. Nothing else knows clap.

mod args;
mod neighbours;
mod columns;
mod again;
mod hosts;
mod misplaced;
mod merge;
mod shards;
mod settings;

pub use again::CommandLine;
pub use args::{Args, completions};
pub use merge::merge_settings;
pub use misplaced::misplaced;
pub use neighbours::explain;
pub use settings::Settings;
