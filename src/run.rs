//! One run from beginning to end: everything that can be refused is looked at, everything that the run needs for
//! itself is opened, then the workers start and the input is read, and the main thread collects.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rustix::event::{PollFd, PollFlags};

use crate::afterwards;
use crate::cli::Settings;
use crate::collect::{self, Collected, Collector, Output, Outputs, Rejects, Reorder};
use crate::journal::{self, Journal, Recall};
use crate::last_files::LastFiles;
use crate::pool::{self, Pool, Shared, Workers};
use crate::preflight::{self, Ready};
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::report::files::JobFiles;
use crate::report::settings::Verbosity;
use crate::report::state::{self, Glances};
use crate::report::summary::Summary;
use crate::signal;
use crate::source::{Context, Feed, Source};
use crate::sys;
use crate::sys::clock::Clock;
use crate::text::destination::Destination;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, Result, reason};
use crate::words::exit::Exit;
use crate::words::format::Format;
use crate::words::job::Job;
use crate::words::message::Message;

/// What every stage of a run knows.
struct Base {
    settings: Settings,
    start: Instant,
    cancel: Arc<Cancel>,
    counters: Arc<Counters>,
}

/// What the run needs for itself, all of it opened before the first worker is started. Where descriptors, threads or
/// processes are short, workers get what is left, and the run does not fail in the middle for want of its own.
struct Opened {
    reporter: Reporter,
    recall: Option<Recall>,
    journal: Option<journal::Writer>,
    pool: Pool,
    clock: Clock,
    glances: Arc<Glances>,
    jobs: Sender<Vec<Job>>,
    messages: Sender<Message>,
    received: Receiver<Message>,
}

/// The slots get this long to say what their workers do, which takes a thread that wakes far less.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs all jobs. It returns an error only before any job has been read; whatever fails later is said on stderr, and is
/// in the exit status.
pub fn run(settings: Settings) -> Result<Exit> {
    let watcher = sys::watcher::start();
    let cancel = Cancel::new();
    let base = Base { settings, start: Instant::now(), cancel, counters: Arc::default() };
    let context = Context { cancel: Arc::clone(&base.cancel), bell: base.cancel.bell()? };
    let ready = preflight::look(&base.settings, &context)?;
    let Ready { source, output, is_stdout, rejects, progress_file, mut files, journal, mut made, notices } = ready;

    base.counters.input_has(source.size);
    base.counters.rate_is(base.settings.pool.rate);
    if let Some(hosts) = &base.settings.pool.hosts {
        base.counters.hosts_are(hosts.list.len());
    }
    let outputs = base.outputs(output, rejects, &source);
    let opened = base.open(journal, progress_file.clone())?;
    if is_stdout {
        watch_stdout(&base.cancel);
    }
    notices.into_iter().for_each(|notice| opened.reporter.notice(notice));
    if let Err(error) = &watcher {
        let why = reason(error);
        opened.reporter.verbose(format!("no process ends the workers if this one is killed: {why}"));
    }
    let job_files = files.job_files(&base.settings.report, opened.clock.now());
    let last_files = LastFiles::begin(files, &base.settings, &base.counters, opened.clock.clone(), base.start);
    let mut workers = base.start_workers(&opened)?;
    let collector = base.start_source(opened, source, context, outputs, job_files)?;
    if let Err(error) = workers.start_others() {
        base.cancel.raise(Level::Abort, Reason::Failed(error));
    }
    let (dispatch, reporter) = (Arc::clone(&collector.dispatch), collector.reporter.clone());

    let mut collected = collector.run();
    let mut exit = base.exit_of(&collected);
    dispatch.finish();
    workers.join();
    if !collected.came_to_nothing {
        made.keep();
        exit = exit.max(base.finish_progress_file(progress_file.as_deref()));
        exit = exit.max(base.finish_job_files(&mut collected.files, &reporter));
    }
    Ok(base.conclude(&collected, last_files, reporter, exit))
}

impl Base {
    fn outputs(&self, output: Output, rejects: Option<Output>, source: &Source) -> Outputs {
        let settings = &self.settings.output;
        Outputs {
            sink: collect::sink(settings, output, Arc::clone(&source.layout)),
            sink_name: settings.name(),
            rejects: rejects.map(|output| {
                let rejects = Rejects::new(output, settings.input_format, Arc::clone(&source.layout));
                (settings.rejects_name(), rejects)
            }),
            reorder: Reorder::new(settings.memory, self.settings.input.shard),
            order: settings.order,
            tell_failures: settings.format == Format::Lines,
        }
    }

    fn open(&self, journal: Option<Journal>, progress_file: Option<Arc<Destination>>) -> Result<Opened> {
        let settings = &self.settings;
        let clock = Clock::start().map_err(|error| Error::no_thread(&error))?;
        let reporter = Reporter::start(&settings.report, Arc::clone(&self.counters), clock.clone(), progress_file);
        let reporter = reporter.map_err(|error| Error::no_thread(&error))?;
        let (recall, mut writer) = match journal {
            Some(Journal { recall, writer, .. }) => (Some(recall), Some(writer)),
            None => (None, None),
        };
        if let (Some(writer), Some(journal)) = (&mut writer, &settings.journal) {
            writer.start_syncing(journal.sync, &self.cancel)?;
        }
        let (messages, received) = crossbeam_channel::unbounded();
        // There is never more than one piece in this channel: the source announces each to the dispatcher, which takes
        // it out.
        let (jobs, fresh) = crossbeam_channel::bounded(1);
        let has_worked = recall.as_ref().is_some_and(Recall::has_answers);
        let pool = Pool::new(Arc::new(settings.pool.clone()), fresh, has_worked, &self.cancel)?;
        let glances = Arc::default();
        let hooks = self.hooks(&pool, &clock, &glances);
        signal::install(Arc::clone(&self.cancel), hooks, reporter.clone(), settings.pool.grace)?;
        Ok(Opened { reporter, recall, journal: writer, pool, clock, glances, jobs, messages, received })
    }

    /// What signals mean to the pool.
    fn hooks(&self, pool: &Pool, clock: &Clock, glances: &Arc<Glances>) -> signal::Hooks {
        let (asking, time) = (Arc::clone(&pool.dispatch), clock.clone());
        let (counters, glances, start) = (Arc::clone(&self.counters), Arc::clone(glances), self.start);
        let names = self.settings.report.names.clone();
        signal::Hooks::of_pool(pool.reins(clock), move || {
            glances.take();
            let queue = asking.look_at_all(time.now());
            std::thread::sleep(GLANCE);
            let (figures, details) = (counters.snapshot(), counters.copy_of_details());
            state::lines(&figures, &details, queue, glances.take(), &names, start.elapsed(), time.now())
        })
    }

    fn start_workers(&self, opened: &Opened) -> Result<Workers> {
        let shared = Shared {
            cancel: Arc::clone(&self.cancel),
            clock: opened.clock.clone(),
            outcomes: opened.messages.clone(),
            reporter: opened.reporter.clone(),
            counters: Arc::clone(&self.counters),
            glances: Arc::clone(&opened.glances),
            is_agent: false,
        };
        opened.pool.obey(&shared);
        opened.pool.start(&shared)
    }

    fn start_source(
        &self,
        opened: Opened,
        source: Source,
        context: Context,
        outputs: Outputs,
        files: JobFiles,
    ) -> Result<Collector> {
        let Opened { reporter, recall, journal, pool, clock, jobs, messages, received, glances: _ } = opened;
        let settings = &self.settings;
        if settings.input.reads_stdin() && std::io::stdin().is_terminal() {
            reporter.notice("reading jobs from the terminal; Ctrl-D ends them".to_owned());
        }
        let feed = Feed {
            jobs,
            messages: messages.clone(),
            dispatch: Arc::clone(&pool.dispatch),
            room: pool.source_bell.clone(),
            clock: clock.clone(),
            cancel: Arc::clone(&self.cancel),
            bell: context.bell,
            counters: Arc::clone(&self.counters),
            shard: settings.input.shard,
            timeout_field: settings.input.timeout_field.clone(),
            recall,
            keep_jobs: settings.pool.keep_jobs,
            tell: {
                let reporter = reporter.clone();
                Box::new(move |words| reporter.notice(words))
            },
        };
        // The thread of the source is never joined: it may sit in a read of an input that does not end.
        pool::guarded("source".to_owned(), messages, move || source.run(feed))
            .map_err(|error| Error::no_thread(&error))?;
        Ok(Collector {
            outputs,
            journal,
            messages: received,
            dispatch: pool.dispatch,
            clock,
            cancel: Arc::clone(&self.cancel),
            counters: Arc::clone(&self.counters),
            reporter,
            stop: settings.stop,
            files,
        })
    }

    /// The exit status as of the last record: the strongest of what has happened to jobs, input and run.
    fn exit_of(&self, collected: &Collected) -> Exit {
        let jobs = if collected.failed > 0 { Exit::JobsFailed } else { Exit::Ok };
        // A run that failed enough only when nothing was left to be stopped is complete: it was not stopped.
        let stopped = self
            .cancel
            .reason()
            .map(|reason| reason.exit())
            .filter(|exit| *exit != Exit::Stopped || collected.is_cut());
        let stopped = stopped.unwrap_or(Exit::Ok);
        let input = collected.input_error.as_ref().map_or(Exit::Ok, |error| error.exit);
        jobs.max(stopped).max(input)
    }

    /// Empties the progress file unless a progress message has done so: what an earlier run left there would be taken
    /// for this one's.
    fn finish_progress_file(&self, file: Option<&Destination>) -> Exit {
        let Some(Err(error)) = file.map(Destination::begin) else { return Exit::Ok };
        let words = format!("cannot write to the progress file: {}", reason(&error));
        self.cancel.raise(Level::Abort, Reason::Failed(Error::io(words)));
        Exit::IoFailed
    }

    /// Ends the files that tell of each job. What could not be written of them is an error of the run, but none before
    /// its end.
    fn finish_job_files(&self, files: &mut JobFiles, reporter: &Reporter) -> Exit {
        if let Some(words) = files.notice() {
            reporter.notice(words);
        }
        let failures = files.finish(&self.counters.snapshot(), self.start.elapsed());
        let exit = if failures.is_empty() { Exit::Ok } else { Exit::IoFailed };
        failures.into_iter().for_each(|error| self.cancel.raise(Level::Abort, Reason::Failed(error)));
        exit
    }

    /// Writes the summary to its file and says how the run went. Returns the exit status, to which a summary that
    /// cannot be written has been added.
    fn conclude(&self, collected: &Collected, files: LastFiles, reporter: Reporter, mut exit: Exit) -> Exit {
        let settings = &self.settings.report;
        let stop = self.cancel.reason().filter(|_| !matches!(exit, Exit::Ok | Exit::ReaderGone));
        let failures = self.cancel.failures();
        let mut errors: Vec<String> = failures.iter().chain(&collected.input_error).map(Error::to_string).collect();
        errors.dedup();
        let figures = self.counters.snapshot();
        let mut summary = Summary {
            figures,
            elapsed: self.start.elapsed(),
            stopped: stop.as_ref().filter(|reason| !matches!(reason, Reason::Failed(_))).map(Reason::to_string),
            complete: collected.complete,
            unread: collected.unread,
            exit_status: exit.status(),
            details: self.counters.copy_of_details(),
            next: afterwards::next(&self.settings, &figures, collected),
        };
        if exit != Exit::Refused {
            exit = files.write(&self.settings, &mut summary, &mut errors).max(exit);
        }
        // Of a run that came to nothing there is nothing to tell but why, which is the last thing on the screen then.
        let is_told = settings.verbosity > Verbosity::Quiet
            && !matches!(exit, Exit::ReaderGone | Exit::Refused)
            && !collected.came_to_nothing;
        let lines = match (exit, figures.read) {
            (Exit::Ok, 0) => afterwards::no_jobs(&self.settings),
            _ if is_told => {
                let waited = afterwards::waited(&self.settings, &summary.details, sys::children::processor_time());
                summary.lines().into_iter().chain(waited).collect()
            }
            _ => Vec::new(),
        };
        reporter.end(errors, lines);
        exit
    }
}

/// Notices at once when the reader of stdout goes away, also while no record is due.
fn watch_stdout(cancel: &Arc<Cancel>) {
    let cancel = Arc::clone(cancel);
    let watch = move || {
        let stdout = std::io::stdout();
        loop {
            // No events are asked for: only an error or a hang-up ends the wait. A pipe that nobody reads is an
            // error, a socket whose far end is closed a hang-up (Node gives its children sockets). A far end that has
            // only said that it will write no more is neither, and may still read.
            let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => break,
                Ok(_) => return,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
        cancel.raise(Level::Abort, Reason::ReaderGone);
    };
    // If this thread cannot be started, the next write to stdout notices that its reader is gone.
    let _ = std::thread::Builder::new().name("stdout".to_owned()).spawn(watch);
}
