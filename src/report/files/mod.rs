//! The files that tell of a run, besides its records. `JobFiles` are written while the run goes, by the collector, as
//! outcomes come; the others whole, at the end.

mod joblog;
mod stream;

use std::path::PathBuf;
use std::time::Instant;

use super::settings::ReportSettings;
use super::whole_file::WholeFile;
use crate::text::destination::Destination;
use crate::words::error::Error;
use crate::words::outcome::Outcome;
use joblog::JobLog;
use stream::Stream;

/// The files of a run, opened or looked at, and still as they were.
#[derive(Debug, Default)]
pub struct ReportFiles {
    pub summary: Option<WholeFile>,
    pub joblog: Option<Destination>,
}

/// The files that are written as outcomes come.
#[derive(Debug, Default)]
pub struct JobFiles {
    joblog: Option<JobLog>,
}

impl ReportFiles {
    /// Begins the files that are written while the run goes.
    pub fn job_files(&mut self, settings: &ReportSettings) -> JobFiles {
        let name = |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let joblog = self.joblog.take().map(|destination| {
            JobLog::new(Stream::new(name(&settings.joblog), destination), &settings.worker_words, settings.id.clone())
        });
        JobFiles { joblog }
    }
}

impl JobFiles {
    /// Jobs have ended in this run; `now` is the time on its clock.
    pub fn ended(&mut self, outcomes: &[Outcome], now: Instant) {
        if let Some(joblog) = &mut self.joblog {
            joblog.ended(outcomes, now);
        }
    }

    /// Nothing more is there to be told now, so whoever reads the files is shown all of it.
    pub fn flush(&mut self) {
        if let Some(joblog) = &mut self.joblog {
            joblog.flush();
        }
    }

    /// Ends the files, and says what went wrong with them.
    pub fn finish(&mut self) -> Vec<Error> {
        self.joblog.as_mut().and_then(JobLog::finish).into_iter().collect()
    }
}
