//! The files that tell of a run: the summary and its kin. Those that are written while the run goes are opened like
//! outputs; those that are written whole are looked at.

use std::path::PathBuf;

use super::made::Made;
use super::target::Target;
use super::uses::{Role, Use};
use crate::report::settings::ReportSettings;
use crate::report::{ReportFiles, WholeFile};
use crate::words::error::{Error, Result, reason};

/// The files, looked at and still as they were.
pub struct Reports {
    streams: Vec<(Role, PathBuf, Target)>,
    whole: Vec<(Role, PathBuf, WholeFile)>,
}

impl Reports {
    pub fn open(settings: &ReportSettings, made: &mut Made) -> Result<Reports> {
        let mut streams = Vec::new();
        for (role, path) in [(Role::JobLog, &settings.joblog), (Role::Trace, &settings.trace)] {
            if let Some(path) = path {
                streams.push((role, path.clone(), Target::open(path, made)?));
            }
        }
        let mut whole = Vec::new();
        for (role, path) in [
            (Role::Summary, &settings.summary_file),
            (Role::JUnit, &settings.junit),
            (Role::Metrics, &settings.metrics),
            (Role::Page, &settings.page),
        ] {
            if let Some(path) = path {
                let refused = |error| Error::refused(format!("cannot write {}: {}", path.display(), reason(&error)));
                whole.push((role, path.clone(), WholeFile::look(path).map_err(refused)?));
            }
        }
        Ok(Reports { streams, whole })
    }

    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.streams.iter().map(|(_, _, target)| target)
    }

    pub fn uses(&self) -> impl Iterator<Item = Use> {
        let streams = self.streams.iter().map(|(role, path, target)| Use::written(*role, path, target.stat()));
        streams.chain(self.whole.iter().map(|(role, path, file)| Use::written(*role, path, file.stat())))
    }

    /// The files, ready to be written. Waits for the readers of named pipes that are written while the run goes.
    pub fn into_files(self) -> Result<ReportFiles> {
        let mut files = ReportFiles::default();
        for (role, _, target) in self.streams {
            let destination = Some(target.into_destination()?);
            match role {
                Role::JobLog => files.joblog = destination,
                Role::Trace => files.trace = destination,
                _ => unreachable!("no other file is written while the run goes"),
            }
        }
        for (role, _, file) in self.whole {
            match role {
                Role::Summary => files.summary = Some(file),
                Role::JUnit => files.junit = Some(file),
                Role::Metrics => files.metrics = Some(file),
                Role::Page => files.page = Some(file),
                _ => unreachable!("no other file is written whole"),
            }
        }
        Ok(files)
    }
}
