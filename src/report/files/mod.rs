//! The files that tell of a run, besides its records. `JobFiles` are written while the run goes, by the collector, as
//! outcomes come; the others whole, at the end.

mod joblog;
mod junit;
pub mod metrics;
mod stream;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::counters::Figures;
use super::settings::ReportSettings;
use super::whole_file::WholeFile;
use crate::text::destination::Destination;
use crate::words::error::{Error, reason};
use crate::words::outcome::Outcome;
use joblog::JobLog;
use junit::JUnit;
use stream::Stream;

/// The files of a run, opened or looked at, and still as they were.
#[derive(Debug, Default)]
pub struct ReportFiles {
    pub summary: Option<WholeFile>,
    pub joblog: Option<Destination>,
    pub junit: Option<WholeFile>,
    pub metrics: Option<WholeFile>,
}

/// The files that are written as outcomes come.
#[derive(Debug, Default)]
pub struct JobFiles {
    joblog: Option<JobLog>,
    junit: Option<(PathBuf, WholeFile, JUnit)>,
}

impl ReportFiles {
    /// Begins the files that are written while the run goes.
    pub fn job_files(&mut self, settings: &ReportSettings) -> JobFiles {
        let name = |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let joblog = self.joblog.take().map(|destination| {
            JobLog::new(Stream::new(name(&settings.joblog), destination), &settings.worker_words, settings.id.clone())
        });
        let junit = self.junit.take().zip(settings.junit.clone());
        let junit = junit.map(|(file, path)| (path, file, JUnit::new(&settings.worker_words, settings.id.clone())));
        JobFiles { joblog, junit }
    }
}

impl JobFiles {
    /// Jobs have ended in this run; `now` is the time on its clock.
    pub fn ended(&mut self, outcomes: &[Outcome], now: Instant) {
        if let Some(joblog) = &mut self.joblog {
            joblog.ended(outcomes, now);
        }
        if let Some((_, _, junit)) = &mut self.junit {
            junit.ended(outcomes);
        }
    }

    /// The outcomes of jobs come from the journal.
    pub fn restored(&mut self, outcomes: &[Outcome]) {
        if let Some((_, _, junit)) = &mut self.junit {
            junit.ended(outcomes);
        }
    }

    /// Nothing more is there to be told now, so whoever reads the files is shown all of it.
    pub fn flush(&mut self) {
        if let Some(joblog) = &mut self.joblog {
            joblog.flush();
        }
    }

    /// Ends the files, and says what went wrong with them. The run has taken `elapsed`.
    pub fn finish(&mut self, figures: &Figures, elapsed: Duration) -> Vec<Error> {
        let joblog = self.joblog.as_mut().and_then(JobLog::finish);
        let junit = self.junit.take().and_then(|(path, file, mut junit)| {
            let error = file.write(&junit.xml(figures, elapsed)).err()?;
            Some(Error::io(format!("cannot write {}: {}", path.display(), reason(&error))))
        });
        joblog.into_iter().chain(junit).collect()
    }
}
