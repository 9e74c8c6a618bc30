//! The journal, and what a resumed run does with it.

use std::path::PathBuf;

use super::values::{RetryOn, sync};
use crate::journal::settings::SyncPolicy;
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Resuming")]
pub struct ResumeArgs {
    /// Append every outcome to FILE as it happens
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,

    /// Run only what the journal does not have; the output is complete all the same
    #[arg(long, requires = "journal")]
    pub resume: bool,

    /// With --resume, run again what is not ok, also with a worker that was changed; or only these statuses
    ///
    /// Results that are kept may be of the worker as it was before. Example: --retry-failed=error,timeout
    #[arg(long, value_name = "STATUSES", requires = "resume", hide_short_help = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "died,timeout,bad_reply,error")]
    #[arg(value_delimiter = ',', value_enum)]
    pub retry_failed: Option<Vec<RetryOn>>,

    /// The same as --resume --retry-failed
    #[arg(long, hide = true, requires = "journal", conflicts_with_all = ["resume", "retry_failed"])]
    pub resume_failed: bool,

    /// With --resume, keep all that is done, although the worker was changed
    #[arg(long, requires = "resume", hide_short_help = true)]
    pub accept_changes: bool,

    /// With --journal, know a job by its field FIELD, not by its whole content
    #[arg(long, value_name = "FIELD", requires = "journal", hide_short_help = true)]
    pub key: Option<String>,

    /// When the journal is forced to the disk: always, never, or every so often [default: 1s]
    #[arg(long, value_name = "WHEN", value_parser = sync, requires = "journal", hide_short_help = true)]
    pub sync: Option<SyncPolicy>,
}
