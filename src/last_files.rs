//! The files that are written whole at the end of a run: the summary, the metrics, the page. They are written also of a
//! run that was stopped or has failed. What cannot be written is one more error, and changes the exit status that those
//! after it say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::cli::Settings;
use crate::facts::facts;
use crate::report::ReportFiles;
use crate::report::counters::Counters;
use crate::report::files::metrics::{Metrics, REFRESH};
use crate::report::page::page;
use crate::report::summary::Summary;
use crate::sys::clock::Clock;
use crate::words::error::{Error, reason};
use crate::words::exit::Exit;

pub struct LastFiles {
    files: ReportFiles,
    metrics: Option<Metrics>,
    counters: Arc<Counters>,
    clock: Clock,
    /// When the run began, on its clock.
    began: Instant,
    errors: Vec<String>,
}

impl LastFiles {
    /// The run begins now; `start` is the real time of that. Metrics are refreshed from here on.
    pub fn begin(
        mut files: ReportFiles,
        settings: &Settings,
        counters: &Arc<Counters>,
        clock: Clock,
        start: Instant,
    ) -> LastFiles {
        let (began, mut errors) = (clock.now(), Vec::new());
        if files.page.is_some() {
            counters.draw(began, &settings.pool.redact);
        }
        let metrics = files.metrics.take().zip(settings.report.metrics.as_ref()).and_then(|(file, path)| {
            let metrics = Metrics::start(path, file, Arc::clone(counters), start, REFRESH);
            let told = |error| errors.push(Error::no_thread(&error).to_string());
            metrics.map_err(told).ok()
        });
        LastFiles { files, metrics, counters: Arc::clone(counters), clock, began, errors }
    }

    /// Writes them, and adds what went wrong to `errors`.
    pub fn write(self, settings: &Settings, summary: &mut Summary, errors: &mut Vec<String>) -> Exit {
        let running = self.clock.now().saturating_duration_since(self.began);
        let mut exit = if self.errors.is_empty() { Exit::Ok } else { Exit::IoFailed };
        errors.extend(self.errors);
        let told = errors.clone();
        let mut look = |path: &Option<PathBuf>, result: std::io::Result<()>, summary: &mut Summary| {
            let (Some(path), Err(error)) = (path, result) else { return };
            exit = Exit::IoFailed;
            summary.exit_status = summary.exit_status.max(exit.status());
            errors.push(Error::io(format!("cannot write {}: {}", path.display(), reason(&error))).to_string());
        };
        let written = self.files.summary.map_or(Ok(()), |file| file.write(&summary.json()));
        look(&settings.report.summary_file, written, summary);
        let written = self.metrics.map_or(Ok(()), |metrics| metrics.finish(summary.exit_status));
        look(&settings.report.metrics, written, summary);
        if let (Some(file), Some(picture)) = (self.files.page, self.counters.take_picture()) {
            let facts = facts(settings, summary.elapsed, running, told);
            look(&settings.report.page, file.write(&page(summary, &picture, &facts)), summary);
        }
        exit
    }
}
