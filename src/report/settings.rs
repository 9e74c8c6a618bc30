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
    /// A line for each job, as GNU parallel writes it.
    pub joblog: Option<PathBuf>,
    /// A page that says how the run went.
    pub page: Option<PathBuf>,
    /// Each attempt of each job, for a viewer of traces.
    pub trace: Option<PathBuf>,
    /// The figures, for Prometheus.
    pub metrics: Option<PathBuf>,
    /// The jobs as test cases.
    pub junit: Option<PathBuf>,
    /// What the workers are, in a word or a command: how files that tell of jobs name what ran them.
    pub worker_words: String,
    /// The field of a job that is its own name (`--id`).
    pub id: Option<String>,
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
