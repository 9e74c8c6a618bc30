//! One run from beginning to end: everything that can be refused is refused, then the workers start, then the
//! input is read, and the main thread collects.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::Stat;

use crate::cli::Settings;
use crate::collect::{self, Collected, Collector, Output, Outputs, Rejects, Reorder};
use crate::journal::{self, Journal, Recall};
use crate::pool::dispatch::Dispatch;
use crate::pool::process;
use crate::pool::{self, Pool, Shared};
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::report::settings::Verbosity;
use crate::report::summary::Summary;
use crate::signal;
use crate::source::{self, Context, Feed, Source};
use crate::sys;
use crate::sys::clock::Clock;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, Result, reason};
use crate::words::exit::Exit;
use crate::words::format::Format;

/// Runs all jobs. The error is one that came before any job; later ones are told here.
pub fn run(settings: Settings) -> Result<Exit> {
    let start = Instant::now();
    // Before there is a second thread.
    let watcher = sys::watcher::start();
    let cancel = Cancel::new();
    let counters = Arc::new(Counters::default());
    process::find_program(&settings.pool.command.program, std::env::var_os("PATH"))?;
    let files = source::open_files(&settings.input)?;
    // Before an output is emptied: a journal that is refused leaves everything as it is.
    let other_use = |file: &Stat| other_use(file, &settings, &files);
    let journal = settings.journal.as_ref().map(|journal| journal::open(journal, &other_use)).transpose()?;
    let (output, rejects) = open_outputs(&settings, &files)?;
    let context =
        Context { cancel: Arc::clone(&cancel), bell: cancel.bell()?, counter: Arc::clone(&counters.bytes_read) };
    let source = Source::new(&settings.input, files, &context)?;
    counters.bytes_total.store(source.size.unwrap_or(0), Ordering::Relaxed);
    let progress_file = settings.report.progress_file.as_ref().map(|path| {
        let refused = |error| Error::refused(format!("cannot write {}: {}", path.display(), reason(&error)));
        File::create(path).map_err(refused)
    });
    let reporter = Reporter::start(&settings.report, Arc::clone(&counters), progress_file.transpose()?)
        .map_err(|error| Error::pool(format!("cannot start a thread: {}", reason(&error))))?;
    if let Err(error) = &watcher {
        reporter.verbose(format!("no process ends the workers if this one is killed: {}", reason(error)));
    }

    let (recall, mut writer) = match journal {
        Some(Journal { recall, writer, notice }) => {
            notice.into_iter().for_each(|notice| reporter.notice(notice));
            (Some(recall), Some(writer))
        }
        None => (None, None),
    };
    if let (Some(writer), Some(journal)) = (&mut writer, &settings.journal) {
        writer.start_syncing(journal.sync, &cancel)?;
    }

    let (messages, received) = crossbeam_channel::unbounded();
    // Each piece is announced to the dispatcher, which takes it at once.
    let (jobs, fresh) = crossbeam_channel::bounded(1);
    let clock = Clock::start().map_err(|error| Error::pool(format!("cannot start a thread: {}", reason(&error))))?;
    let shared = Shared {
        cancel: Arc::clone(&cancel),
        clock: clock.clone(),
        outcomes: messages.clone(),
        reporter: reporter.clone(),
        counters: Arc::clone(&counters),
    };
    let has_worked = recall.as_ref().is_some_and(Recall::has_answers);
    let pool = Pool::new(Arc::new(settings.pool.clone()), fresh, has_worked)?;
    let dispatch = Arc::clone(&pool.dispatch);
    signal::install(Arc::clone(&cancel), hooks(&dispatch, &clock), reporter.clone(), settings.pool.grace)?;
    pool.obey(&shared);
    let workers = pool.start(&shared)?;
    watch_stdout(&settings, &cancel);
    if settings.input.files.iter().any(|file| file.path.is_none()) && std::io::stdin().is_terminal() {
        reporter.notice("reading jobs from the terminal; Ctrl-D ends them".to_owned());
    }

    let outputs = Outputs {
        sink: collect::sink(&settings.output, output, Arc::clone(&source.header)),
        sink_name: settings.output.name(),
        rejects: rejects.map(|output| {
            let name = settings.output.rejects_name();
            (name, Rejects::new(output, &settings.output, Arc::clone(&source.header)))
        }),
        reorder: Reorder::new(settings.output.memory),
        order: settings.output.order,
        tell_failures: settings.output.format == Format::Lines,
    };
    let feed = Feed {
        jobs,
        messages: messages.clone(),
        dispatch: Arc::clone(&dispatch),
        room: pool.source_bell.clone(),
        clock: clock.clone(),
        cancel: Arc::clone(&cancel),
        bell: context.bell.clone(),
        counters: Arc::clone(&counters),
        timeout_field: settings.input.timeout_field.clone(),
        recall,
        keep_jobs: settings.pool.keep_jobs,
    };
    // Never joined: it may sit in a read.
    pool::guarded("source".to_owned(), messages, move || source.run(feed))
        .map_err(|error| Error::pool(format!("cannot start a thread: {}", reason(&error))))?;
    drop(shared);

    let collector = Collector {
        outputs,
        journal: writer,
        messages: received,
        dispatch: Arc::clone(&dispatch),
        clock,
        cancel: Arc::clone(&cancel),
        counters: Arc::clone(&counters),
        reporter: reporter.clone(),
        stop: settings.stop,
    };
    let collected = collector.run();
    let exit = exit_of(&cancel, &collected);
    dispatch.finish();
    workers.join();
    conclude(&settings, &cancel, &counters, &collected, reporter, start, exit)
}

/// What Ctrl-Z and a child's stop mean to the pool.
fn hooks(dispatch: &Arc<Dispatch>, clock: &Clock) -> signal::Hooks {
    let (pausing, resuming, children) = (Arc::clone(dispatch), Arc::clone(dispatch), Arc::clone(dispatch));
    let (stopping, going) = (clock.clone(), clock.clone());
    signal::Hooks {
        pause: Box::new(move || {
            stopping.stop();
            pausing.pause();
        }),
        resume: Box::new(move || {
            going.go();
            resuming.resume();
        }),
        on_child: Box::new(move || children.rouse()),
    }
}

/// What the run uses a file for, beside its journal.
fn other_use(file: &Stat, settings: &Settings, inputs: &[OwnedFd]) -> Option<&'static str> {
    let is_named = |path: &Path| journal::is_same(rustix::fs::stat(path), file);
    let is_output = match settings.output.path.as_deref() {
        Some(path) => is_named(path),
        None => journal::is_same(rustix::fs::fstat(std::io::stdout()), file),
    };
    let named = [
        ("the rejects file", settings.output.rejects.as_deref()),
        ("the progress file", settings.report.progress_file.as_deref()),
        ("the summary", settings.report.summary_file.as_deref()),
    ];
    if inputs.iter().any(|input| journal::is_same(rustix::fs::fstat(input), file)) {
        Some("an input")
    } else if is_output {
        Some("the output")
    } else {
        named.into_iter().find(|(_, path)| path.is_some_and(is_named)).map(|(what, _)| what)
    }
}

fn open_outputs(settings: &Settings, inputs: &[OwnedFd]) -> Result<(Output, Option<Output>)> {
    let output = Output::open(settings.output.path.as_deref(), inputs)?;
    let Some(path) = settings.output.rejects.as_deref() else { return Ok((output, None)) };
    let mut others: Vec<OwnedFd> = Vec::with_capacity(inputs.len() + 1);
    for fd in inputs.iter().chain([output.fd()]) {
        others.push(fd.try_clone().map_err(|error| Error::refused(reason(&error)))?);
    }
    let rejects = Output::open(Some(path), &others)?;
    Ok((output, Some(rejects)))
}

/// Notices at once when the reader of stdout goes away, also while no record is due.
fn watch_stdout(settings: &Settings, cancel: &Arc<Cancel>) {
    if settings.output.path.is_some() {
        return;
    }
    let cancel = Arc::clone(cancel);
    let watch = move || {
        let stdout = std::io::stdout();
        loop {
            // No events are asked for: only an error or a hang-up ends the wait.
            let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) if fds[0].revents().contains(PollFlags::ERR) => break,
                Ok(_) => return,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
        cancel.raise(Level::Abort, Reason::ReaderGone);
    };
    // Without it the next write notices.
    let _ = std::thread::Builder::new().name("stdout".to_owned()).spawn(watch);
}

/// The strongest of all that happened, as of the last record.
fn exit_of(cancel: &Cancel, collected: &Collected) -> Exit {
    let jobs = if collected.failed > 0 { Exit::JobsFailed } else { Exit::Ok };
    let stopped = cancel.reason().map_or(Exit::Ok, |reason| reason.exit());
    let input = collected.input_error.as_ref().map_or(Exit::Ok, |error| error.exit);
    jobs.max(stopped).max(input)
}

/// Says how it went.
fn conclude(
    settings: &Settings,
    cancel: &Cancel,
    counters: &Counters,
    collected: &Collected,
    reporter: Reporter,
    start: Instant,
    mut exit: Exit,
) -> Result<Exit> {
    let stop = cancel.reason().filter(|_| !matches!(exit, Exit::Ok | Exit::ReaderGone));
    let mut last: Vec<String> = cancel.failures().iter().chain(&collected.input_error).map(Error::to_string).collect();
    last.dedup();
    let mut summary = Summary {
        counters,
        elapsed: start.elapsed(),
        stopped: stop.as_ref().filter(|reason| !matches!(reason, Reason::Failed(_))).map(Reason::to_string),
        complete: collected.complete,
        unread: collected.unread,
        exit_status: exit.status(),
    };
    if let Some(path) = &settings.report.summary_file
        && let Err(error) = summary.write_file(path)
    {
        exit = exit.max(Exit::IoFailed);
        summary.exit_status = exit.status();
        last.push(Error::io(format!("cannot write {}: {}", path.display(), reason(&error))).to_string());
    }
    if settings.report.verbosity > Verbosity::Quiet && !matches!(exit, Exit::ReaderGone | Exit::Refused) {
        last.push(format!("forkpool: {}", summary.line()));
    }
    reporter.end((!last.is_empty()).then(|| last.join("\n")));
    Ok(exit)
}
