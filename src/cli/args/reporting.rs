//! What people and other programs are told about the run.

use std::path::PathBuf;

use super::values::{page, progress};
use crate::manual::Page;
use crate::report::settings::Progress;
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reporting")]
pub struct ReportArgs {
    /// How progress is shown on stderr: auto, bar, plain or off [default: auto]
    ///
    /// auto: a bar on a terminal, else a plain line every minute (every 10 s under CI=true).
    #[arg(long, value_name = "HOW", value_parser = progress(), default_value = "auto", hide_default_value = true, hide_short_help = true)]
    pub progress: Progress,

    /// The same as --progress bar
    #[arg(long, alias = "eta", hide = true, conflicts_with = "progress")]
    pub bar: bool,

    /// Write the workers' own progress messages to FILE, as {"job":7,"progress":…}
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub progress_file: Option<PathBuf>,

    /// Write each worker's stderr to DIR as well, a file for each slot, with times
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub log_dir: Option<PathBuf>,

    /// Write the summary to FILE as JSON
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub summary: Option<PathBuf>,

    /// Write a page to FILE that says how the run went: what failed and why, where the time went, what to do
    ///
    /// It is one file, without a network or a script. Example: --report run.html
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub report: Option<PathBuf>,

    /// Write what each worker did and when to FILE, for Perfetto or chrome://tracing; .gz compresses it
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub trace: Option<PathBuf>,

    /// Write the jobs to FILE as JUnit XML, for a CI system; past 10,000 only those that failed
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub junit: Option<PathBuf>,

    /// Write figures to FILE for Prometheus (node_exporter's textfile collector), also while the run goes on
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub metrics: Option<PathBuf>,

    /// Write a line for each job to FILE, with GNU parallel's columns
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub joblog: Option<PathBuf>,

    /// No bar, no summary, no worker log: errors only
    #[arg(short, long)]
    pub quiet: bool,

    /// Say when workers start, end and are replaced
    #[arg(short, long, conflicts_with = "quiet", hide_short_help = true)]
    pub verbose: bool,

    /// Show the manual page forkpool(1); --man=worker shows forkpool-worker(7)
    #[arg(long, value_name = "PAGE", value_parser = page(), num_args = 0..=1, require_equals = true, default_missing_value = "forkpool", hide_possible_values = true, hide_short_help = true, exclusive = true)]
    pub man: Option<Page>,

    /// Print completions for SHELL (bash, elvish, fish, powershell, zsh)
    #[arg(long, value_name = "SHELL", value_enum, hide_short_help = true, exclusive = true)]
    pub completions: Option<clap_complete::Shell>,
}
