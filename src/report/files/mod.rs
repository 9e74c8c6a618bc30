//! The files that tell of a run, besides its records. `JobFiles` are written while the run goes, by the collector, as
//! outcomes come; the others whole, at the end.

mod digits;
mod joblog;
mod junit;
pub mod metrics;
mod stream;
mod trace;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::counters::Figures;
use super::settings::ReportSettings;
use super::times::{Share, shares};
use super::whole_file::WholeFile;
use crate::text::destination::Destination;
use crate::words::doing::Spell;
use crate::words::error::{Error, reason};
use crate::words::outcome::Outcome;
use joblog::JobLog;
use junit::JUnit;
use stream::Stream;
use trace::Trace;

/// The files of a run, opened or looked at, and still as they were.
#[derive(Debug, Default)]
pub struct ReportFiles {
    pub summary: Option<WholeFile>,
    pub joblog: Option<Destination>,
    pub trace: Option<Destination>,
    pub junit: Option<WholeFile>,
    pub metrics: Option<WholeFile>,
    pub page: Option<WholeFile>,
}

/// The files that are written as outcomes come.
#[derive(Debug, Default)]
pub struct JobFiles {
    joblog: Option<JobLog>,
    trace: Option<Trace>,
    junit: Option<(PathBuf, WholeFile, JUnit)>,
}

impl ReportFiles {
    /// Begins the files that are written while the run goes; `now` is the time on its clock.
    pub fn job_files(&mut self, settings: &ReportSettings, now: Instant) -> JobFiles {
        let name = |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let joblog = self.joblog.take().map(|destination| {
            JobLog::new(Stream::new(name(&settings.joblog), destination), &settings.worker_words, settings.id.clone())
        });
        let junit = self.junit.take().zip(settings.junit.clone());
        let junit = junit.map(|(file, path)| (path, file, JUnit::new(&settings.worker_words, settings.id.clone())));
        let trace = self.trace.take().map(|destination| {
            let is_gzip =
                settings.trace.as_ref().is_some_and(|path| path.extension().is_some_and(|ending| ending == "gz"));
            let stream = if is_gzip { Stream::gzip } else { Stream::new };
            Trace::new(stream(name(&settings.trace), destination), now, settings.names.clone())
        });
        JobFiles { joblog, trace, junit }
    }
}

impl JobFiles {
    /// Jobs have ended in this run, and have taken these shares of their workers' time; `now` is the time on its clock.
    pub fn ended(&mut self, outcomes: &[Outcome], shares: &[Share], now: Instant) {
        if let Some(joblog) = &mut self.joblog {
            joblog.ended(outcomes, now);
        }
        if let Some(trace) = &mut self.trace {
            trace.ended(shares);
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

    /// An attempt has failed, and its job is to be run again.
    pub fn retried(&mut self, failure: &Outcome) {
        if let Some(trace) = &mut self.trace {
            trace.ended(&shares(std::slice::from_ref(failure)));
        }
    }

    /// A slot has spent a time with something else than jobs.
    pub fn spent(&mut self, spell: &Spell) {
        if let Some(trace) = &mut self.trace {
            trace.spent(spell);
        }
    }

    /// What people should know of the files.
    pub fn notice(&self) -> Option<String> {
        self.trace.as_ref().and_then(Trace::notice)
    }

    /// Nothing more is there to be told now, so whoever reads the files is shown all of it, but not too often: it may be
    /// said when that is due instead. `now` is the real time.
    pub fn show(&mut self, now: Instant) -> Option<Instant> {
        self.joblog.as_mut().and_then(|joblog| joblog.show(now))
    }

    /// Ends the files, and says what went wrong with them. The run has taken `elapsed`.
    pub fn finish(&mut self, figures: &Figures, elapsed: Duration) -> Vec<Error> {
        let joblog = self.joblog.as_mut().and_then(JobLog::finish);
        let trace = self.trace.as_mut().and_then(Trace::finish);
        let junit = self.junit.take().and_then(|(path, file, mut junit)| {
            let error = file.write(&junit.xml(figures, elapsed)).err()?;
            Some(Error::io(format!("cannot write {}: {}", path.display(), reason(&error))))
        });
        joblog.into_iter().chain(trace).chain(junit).collect()
    }
}
