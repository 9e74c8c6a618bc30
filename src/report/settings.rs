//! What the reporter is told: how much to say, and how progress is shown.

use std::path::PathBuf;

use crate::words::slots::SlotNames;

#[derive(Debug, Clone)]
pub struct ReportSettings {
    pub progress: Progress,
    pub progress_file: Option<PathBuf>,
    /// Where each slot's stderr goes, besides ours.
    pub log_dir: Option<PathBuf>,
    pub summary_file: Option<PathBuf>,
    pub verbosity: Verbosity,
    pub names: SlotNames,
    /// Records go to stdout.
    pub records_on_stdout: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Auto,
    Bar,
    Plain,
    Off,
}
