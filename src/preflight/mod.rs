//! Everything that can be refused is looked at here, before anything is touched: a run that is refused leaves every
//! file as it was, and makes none.
//!
//! In reading order: `room` reckons whether there are descriptors enough for the workers and whether the temporary
//! directory can be used, `target` opens a file that is to be written, `reports` those that tell of the run, `made` removes what was made for a run that is
//! refused, `uses` compares all files of the run with each other.
//!
//! Nothing is emptied here: an output is emptied by its first record (see `text::destination`). A named pipe that is
//! written to is opened last, since that waits for its reader as it does in a shell.

mod made;
mod merge;
mod reports;
mod room;
mod target;
mod uses;

use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::Stat;

use crate::cli::Settings;
use crate::collect::{self, Output};
use crate::journal::{self, Journal};
use crate::pool::process;
use crate::report::{ReportFiles, log_files};
use crate::source::{self, Context, Source};
use crate::text::destination::Destination;
use crate::words::error::{Error, Result, reason};
use crate::words::worker::TEMPLATE;
use reports::Reports;
use target::Target;
use uses::{Role, Use};

pub use made::Made;
pub use merge::{ReadyToMerge, look_at_merge};

/// What a run reads and writes, looked at and opened.
pub struct Ready {
    pub source: Source,
    pub output: Output,
    /// The output is the stdout that this process was given, by whatever name.
    pub is_stdout: bool,
    pub rejects: Option<Output>,
    pub progress_file: Option<Arc<Destination>>,
    /// The summary and its kin.
    pub files: ReportFiles,
    pub journal: Option<Journal>,
    /// The files that were made: removed with this, unless the run calls `keep` once it is not refused any more.
    pub made: Made,
    /// Words for the user about what was found, though nothing was refused for it.
    pub notices: Vec<String>,
}

/// The files that are to be written, opened and still as they were.
struct Written {
    output: Target,
    rejects: Option<Target>,
    progress_file: Option<Target>,
    reports: Reports,
    journal: Option<journal::Locked>,
}

/// Looks at everything. The error says why the run is refused; all files are as they were then.
pub fn look(settings: &Settings, context: &Context) -> Result<Ready> {
    room::provide_descriptors(settings)?;
    let program = process::find_all(&settings.pool)?;
    let inputs = source::open_files(&settings.input)?;
    let mut made = Made::default();
    let written = Written::open(settings, &mut made)?;
    let mut uses = uses::of_inputs(&settings.input, &inputs);
    uses.push(Use::of_path(Role::Program, &program));
    uses.extend(settings.handler.as_ref().map(|handler| Use::of_path(Role::Handler, &handler.file)));
    uses.extend(written.uses(settings));
    uses.extend(of_logs(settings)?);
    uses::refuse_shared(&uses)?;
    // Whether a given descriptor can be written is looked at only after shared files: "stdin is the output as well"
    // says more than "it was opened to read only".
    written.targets().try_for_each(Target::check_given)?;

    let source = Source::new(&settings.input, inputs, context)?;
    collect::check_paths(&settings.output, source.layout.columns.get().map(Vec::as_slice))?;
    let notice =
        room::try_temporary_directory(&settings.output, source.size.map(|size| size / settings.input.shard.step()))?;
    let Written { output, rejects, progress_file, reports, journal } = written;
    let journal = settings.journal.as_ref().zip(journal).map(|(settings, journal)| journal.read(settings));
    let journal = journal.transpose()?;

    // From here on things are opened to be used, and a journal is begun: an error is still a refusal, but comes only
    // where something has changed since it was looked at.
    let is_stdout = output.is_stdout();
    let output = Output::new(output.into_destination()?, settings.output.compression);
    let rejects = rejects.map(|rejects| {
        let compression = settings.output.rejects_compression;
        rejects.into_destination().map(|destination| Output::new(destination, compression))
    });
    let rejects = rejects.transpose()?;
    let progress_file = progress_file.map(|file| file.into_destination().map(Arc::new)).transpose()?;
    let files = reports.into_files()?;
    let journal = journal.map(journal::Fitting::begin).transpose()?;
    let of_journal = journal.iter().flat_map(|journal| journal.notices.clone());
    let notices = notice.into_iter().chain(of_journal).collect();
    Ok(Ready { source, output, is_stdout, rejects, progress_file, files, journal, made, notices })
}

/// The log files that are there already. The error says why `--log-dir` cannot be used; if the folder is not there, it
/// is made when there is something to write.
fn of_logs(settings: &Settings) -> Result<Vec<Use>> {
    let Some(folder) = &settings.report.log_dir else { return Ok(Vec::new()) };
    let refused = |error| Error::refused(format!("--log-dir {}: {}", folder.display(), reason(&error)));
    log_files::look(folder).map_err(refused)?;
    let slots = 0..u32::try_from(settings.pool.workers).unwrap_or(u32::MAX);
    let slots = slots.chain(settings.pool.preload.then_some(TEMPLATE));
    let files: Vec<_> = slots.map(|slot| log_files::file_of(folder, &settings.report.names, slot)).collect();
    match files.iter().find(|file| file.is_dir()) {
        Some(file) => Err(Error::refused(format!("--log-dir: {} is a folder", file.display()))),
        None => Ok(files.iter().map(|file| Use::of_path(Role::Log, file)).collect()),
    }
}

impl Written {
    fn open(settings: &Settings, made: &mut Made) -> Result<Written> {
        let mut open = |path: &PathBuf| Target::open(path, made);
        let output = match &settings.output.path {
            Some(path) => open(path)?,
            None => Target::stdout()?,
        };
        let rejects = settings.output.rejects.as_ref().map(&mut open).transpose()?;
        let progress_file = settings.report.progress_file.as_ref().map(&mut open).transpose()?;
        let reports = Reports::open(&settings.report, made)?;
        let journal = settings.journal.as_ref().map(journal::lock).transpose()?;
        if let (Some(settings), Some(journal)) = (&settings.journal, &journal)
            && journal.is_new
        {
            made.add(&settings.path, &journal.file);
        }
        Ok(Written { output, rejects, progress_file, reports, journal })
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.output).chain(&self.rejects).chain(&self.progress_file).chain(self.reports.targets())
    }

    fn uses(&self, settings: &Settings) -> Vec<Use> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let rejects = self.rejects.as_ref().map(Target::stat);
        let progress_file = self.progress_file.as_ref().map(Target::stat);
        let journal = self.journal.as_ref().map(|journal| rustix::fs::fstat(&journal.file).ok());
        let journal_path = settings.journal.as_ref().map(|journal| journal.path.clone());
        let outputs = [
            (Role::Output, Some(settings.output.name()), Some(self.output.stat())),
            (Role::Rejects, path(&settings.output.rejects), rejects),
            (Role::ProgressFile, path(&settings.report.progress_file), progress_file),
        ];
        let journal = [(Role::Journal, path(&journal_path), journal)];
        let of = |(role, name, stat): (Role, Option<String>, Option<Option<Stat>>)| Some(Use::new(role, name?, stat?));
        outputs
            .into_iter()
            .filter_map(of)
            .chain(self.reports.uses())
            .chain(journal.into_iter().filter_map(of))
            .collect()
    }
}
