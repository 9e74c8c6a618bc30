//! One run from beginning to end: everything that can be refused is refused, then the workers start, then the
//! input is read, and the main thread collects.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use crate::cancel::{Cancel, Level, Reason};
use crate::collect::{self, Collected, Collector, Output, Outputs, Rejects, Reorder};
use crate::config::{Channel, Depth, Format, HandlerChoice, JournalMode, Settings, Verbosity, format_name};
use crate::error::{Error, Result, reason};
use crate::exit::Exit;
use crate::journal::{self, Journal};
use crate::pool::{self, Pool, Shared, spawn};
use crate::protocol::Protocol;
use crate::report::counters::Counters;
use crate::report::summary::Summary;
use crate::report::{Reporter, count, counted};
use crate::source::{self, Context, Count, Feed, Source};
use crate::{signal, sys};

/// Runs all jobs. The error is one that came before any job; later ones are told here.
pub fn run(settings: Settings) -> Result<Exit> {
    let start = Instant::now();
    let cancel = Cancel::new();
    let counters = Arc::new(Counters::default());
    spawn::find_program(&settings.pool.command.program, std::env::var_os("PATH"))?;
    let files = source::open_files(&settings.input)?;
    // Before an output is emptied: a journal that is refused leaves everything as it is.
    let journal = settings.journal.as_ref().map(|journal| journal::open(journal, &settings, &files)).transpose()?;
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
    // Permits bound what is in it; a few pieces more than the slots can take at once are enough.
    let (jobs, fresh) = crossbeam_channel::bounded(settings.pool.window.min(4096));
    let shared = Shared {
        cancel: Arc::clone(&cancel),
        outcomes: messages.clone(),
        reporter: reporter.clone(),
        counters: Arc::clone(&counters),
    };
    let pool_settings = Arc::new(settings.pool.clone());
    let pool = Pool::start(Arc::clone(&pool_settings), fresh, &shared)?;
    let queue = Arc::clone(&pool.queue);
    signal::install(Arc::clone(&cancel), Arc::clone(&queue), reporter.clone(), settings.pool.grace)?;
    watch_stdout(&settings, &cancel);
    if settings.input.files.iter().any(|file| file.path.is_none()) && std::io::stdin().is_terminal() {
        reporter.notice("reading jobs from the terminal; Ctrl-D ends them".to_owned());
    }

    let outputs = Outputs {
        sink: collect::sink(&settings.output, output, Arc::clone(&source.header)),
        sink_name: name_of(settings.output.path.as_deref()),
        rejects: rejects.map(|output| {
            let name = name_of(settings.output.rejects.as_deref());
            (name, Rejects::new(output, &settings.output, Arc::clone(&source.header)))
        }),
        reorder: Reorder::new(settings.output.memory),
        order: settings.output.order,
        tell_failures: settings.output.format == Format::Lines,
    };
    let feed = Feed {
        jobs,
        messages: messages.clone(),
        queue: Arc::clone(&queue),
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
        queue: Arc::clone(&queue),
        cancel: Arc::clone(&cancel),
        counters: Arc::clone(&counters),
        reporter: reporter.clone(),
        stop: settings.stop,
    };
    let collected = collector.run();
    let exit = exit_of(&cancel, &collected);
    queue.finish();
    pool.join();
    conclude(&settings, &cancel, &counters, &collected, reporter, start, exit)
}

fn name_of(path: Option<&std::path::Path>) -> String {
    path.map_or_else(|| "stdout".to_owned(), |path| path.display().to_string())
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

/// `--dry-run`: says what would be run, and runs nothing.
pub fn dry_run(settings: &Settings) -> Result<Exit> {
    let program = spawn::find_program(&settings.pool.command.program, std::env::var_os("PATH"))?;
    let files = source::open_files(&settings.input)?;
    let source = Source::new(&settings.input, files, &Context::alone()?)?;
    let from_terminal = settings.input.files.iter().any(|file| file.path.is_none()) && std::io::stdin().is_terminal();
    let journal = settings.journal.as_ref().filter(|journal| journal.mode != JournalMode::New);
    let recall = journal.map(|journal| journal::peek(journal, settings)).transpose()?.flatten();
    let jobs = if from_terminal { None } else { Some(source.count(recall)?) };

    let mut text = String::new();
    let mut say = |label: &str, value: String| text.push_str(&format!("{label:<9} {value}\n"));
    let pool = &settings.pool;
    let program = program.display().to_string();
    let words = match &settings.handler {
        // The supplied worker's own code says nothing to a user.
        Some(HandlerChoice { file, function: None, .. }) => format!("{program}, around {}", file.display()),
        Some(HandlerChoice { file, function: Some(function), .. }) => {
            format!("{program}, around {function} of {}", file.display())
        }
        None => {
            let quoted = pool.command.args.iter().map(|word| format!(" {:?}", word.to_string_lossy()));
            std::iter::once(program).chain(quoted).collect()
        }
    };
    let depth = match pool.depth {
        Depth::Auto => "auto".to_owned(),
        Depth::Fixed(depth) => depth.to_string(),
    };
    let protocol = match (pool.protocol, pool.command.channel) {
        (Protocol::Json, Channel::Private) => "json on descriptors 3 and 4",
        (Protocol::Json, _) => "json",
        (Protocol::Lines, _) => "lines",
        (Protocol::NodeIpc, _) => "node-ipc",
    };
    say("workers", format!("{} × {words}", pool.workers));
    say("protocol", format!("{protocol}, depth {depth}, concurrency {}", pool.concurrency));
    for file in &settings.input.files {
        say("input", format!("{} ({})", file.name(), format_name(file.format)));
    }
    match &jobs {
        None => say("jobs", "not counted: the input is a terminal".to_owned()),
        Some(Count { jobs, bad: 0, .. }) => say("jobs", count(*jobs)),
        Some(Count { jobs, bad, .. }) => {
            say("jobs", format!("{} and {} that cannot be read as a job", count(*jobs), counted(*bad, "line")))
        }
    }
    say("output", format!("{} ({})", name_of(settings.output.path.as_deref()), format_name(settings.output.format)));
    if let Some(path) = &settings.output.rejects {
        say("rejects", format!("{} ({})", path.display(), format_name(settings.output.input_format)));
    }
    if let Some(journal) = &settings.journal {
        let done = jobs.map_or(String::new(), |jobs| format!(" ({} done already)", counted(jobs.done, "job")));
        say("journal", format!("{}{done}", journal.path.display()));
    }
    print(text.as_bytes())
}

/// Writes to stdout what the user asked for instead of a run.
pub fn print(bytes: &[u8]) -> Result<Exit> {
    if sys::was_closed(1) {
        return Err(Error::io("stdout is closed"));
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::ReaderGone),
        Err(error) => Err(Error::io(format!("cannot write to stdout: {}", reason(&error)))),
    }
}
