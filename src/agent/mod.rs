//! The agent: forkpool at the far end of a stream, where it keeps the workers of a host (`--agent`).
//!
//! It runs the pool as at home. What is different is where jobs come from and where outcomes go: the stream. In reading
//! order: `luggage` is what it is told first, `stream` reads what comes after that, `gate` is where jobs wait until they
//! may begin, and `desk` does one thing after the other.
//!
//! stdout is the stream, so nothing else may be written there; workers' stderr and words for people go to stderr, which
//! ssh, srun and kubectl bring back.

mod luggage;
mod stream;
mod gate;
mod desk;
#[cfg(test)]
mod simulation;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::pool::host::ahead::{Ahead, TO_BEGIN};
use crate::pool::{Pool, Shared, process};
use crate::protocol::stream::{Hello, Note, put};
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::signal;
use crate::sys;
use crate::sys::clock::Clock;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, Result, reason};
use crate::words::exit::Exit;
use desk::Desk;
use gate::Gate;
use luggage::Unpacked;
use stream::{Event, Incoming};

/// Serves the stream on stdin and stdout to its end.
pub fn serve() -> Result<Exit> {
    let watcher = sys::watcher::start();
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let broken = |error: std::io::Error| Error::io(format!("cannot use the stream: {}", reason(&error)));
    let input = own(std::io::stdin().as_fd()).map_err(broken)?;
    let mut output = own(std::io::stdout().as_fd()).map_err(broken)?;
    let mut hello = Vec::new();
    put(&Hello::own(), &mut hello);
    output.write_all(&hello).map_err(broken)?;
    let mut incoming = Incoming::new(input);
    let exit = luggage::unpack(&mut incoming)
        .and_then(|unpacked| output.try_clone().map_err(broken).and_then(|output| run(unpacked, incoming, output)));
    if let Err(error) = &exit {
        // The far end says it; if it is gone, there is nobody to be told.
        let mut line = Vec::new();
        let is_everywhere = error.exit == Exit::Refused;
        put(&Note::Failed(error.message.clone(), error.hint.clone(), is_everywhere), &mut line);
        put(&Note::Bye, &mut line);
        let _ = output.write_all(&line);
    }
    drop(watcher);
    Ok(exit.unwrap_or_else(|error| error.exit))
}

fn run(unpacked: Unpacked, incoming: Incoming, output: File) -> Result<Exit> {
    let settings = &unpacked.settings;
    let cancel = Cancel::new();
    let counters: Arc<Counters> = Arc::default();
    let no_thread = |error: std::io::Error| Error::no_thread(&error);
    let clock = Clock::start().map_err(no_thread)?;
    process::find(&settings.pool.command)?;
    let reporter = Reporter::start(&settings.report, Arc::clone(&counters), clock.clone(), None).map_err(no_thread)?;
    unpacked.notices.iter().for_each(|notice| reporter.notice(notice.clone()));
    let (messages, received) = crossbeam_channel::unbounded();
    let (jobs, fresh) = crossbeam_channel::bounded(1);
    let pool = Pool::new(Arc::new(settings.pool.clone()), fresh, false, &cancel)?;
    let (events, heard) = crossbeam_channel::unbounded();
    // Whoever stops the agent by a signal ends the jobs here in peace.
    let hooks = signal::Hooks::of_pool(pool.reins(&clock), Vec::new);
    signal::install(Arc::clone(&cancel), hooks, reporter.clone(), settings.pool.grace)?;
    let shared = Shared {
        cancel: Arc::clone(&cancel),
        clock: clock.clone(),
        outcomes: messages,
        reporter: reporter.clone(),
        counters: Arc::clone(&counters),
        glances: Arc::default(),
        is_agent: true,
    };
    pool.obey(&shared);
    let stopped = events.clone();
    // The desk is gone only when the run has ended.
    cancel.tell(move |_, _| drop(stopped.send(Event::Stopped)));
    let mut workers = pool.start(&shared)?;
    workers.start_others()?;
    drop(shared);
    start_reading(incoming, events, &cancel).map_err(no_thread)?;
    let mut desk = Desk {
        gate: Gate::new(Ahead::new(settings.pool.workers, settings.pool.in_hands(), TO_BEGIN)),
        dispatch: Arc::clone(&pool.dispatch),
        reins: pool.reins(&clock),
        cancel: Arc::clone(&cancel),
        clock,
        jobs,
        messages: received,
        events: heard,
        output,
        workers: settings.pool.workers,
        lines: Vec::new(),
        state: desk::State::default(),
    };
    if !settings.pool.supplied {
        desk.ready();
    }
    desk.run();
    pool.dispatch.source_ended();
    pool.dispatch.finish();
    workers.join();
    desk.say_bye();
    reporter.end(Vec::new(), Vec::new());
    Ok(cancel.reason().map_or(Exit::Ok, |reason| reason.exit()))
}

/// Starts the thread that reads the stream. If the desk cannot write any more when the stream is gone, since the far
/// end takes nothing, it is not waited for: the workers are killed, and the process ends.
fn start_reading(incoming: Incoming, events: Sender<Event>, cancel: &Arc<Cancel>) -> std::io::Result<()> {
    let cancel = Arc::clone(cancel);
    let body = move || {
        incoming.run(&events);
        std::thread::sleep(STUCK);
        cancel.raise(Level::Abort, Reason::MaxFailures("the stream is gone".to_owned()));
        std::thread::sleep(STUCK);
        std::process::exit(Exit::IoFailed.status());
    };
    std::thread::Builder::new().name("stream".to_owned()).spawn(body).map(drop)
}

/// How long the desk may take to notice that the stream is gone, and to end after that: its workers die at once.
const STUCK: Duration = Duration::from_secs(5);
