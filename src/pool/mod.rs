//! The pool: a fixed set of slots, each with a thread that keeps one worker.
//!
//! This file starts and ends them. The rest, in reading order: `queue` is where jobs wait, `slot` is the poll
//! loop around one process, `session` decides everything that is to be decided about it.

mod memory_events;
pub mod permits;
pub mod policies;
pub mod process;
pub mod queue;
pub mod session;
pub mod settings;
mod slot;

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::pool::settings::PoolSettings;
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::words::cancel::Cancel;
use crate::words::error::{Error, HIGHER_LIMIT, Result, reason};
use crate::words::job::Job;
use crate::words::message::Message;
use permits::Permits;
use queue::Queue;
use slot::Slot;

pub use session::explain_exit;

pub struct Pool {
    pub queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// What the slots share with the rest of the run.
pub struct Shared {
    pub cancel: Arc<Cancel>,
    pub outcomes: Sender<Message>,
    pub reporter: Reporter,
    pub counters: Arc<Counters>,
}

impl Pool {
    /// Starts all workers, at once.
    pub fn start(settings: Arc<PoolSettings>, jobs: Receiver<Vec<Job>>, shared: &Shared) -> Result<Pool> {
        let starved = |error: std::io::Error| {
            Error::pool(format!("cannot set up {} workers: {}", settings.workers, reason(&error))).hint(HIGHER_LIMIT)
        };
        let ahead = settings.ahead();
        let workers = settings.workers;
        let permits = Permits::new(settings.window, settings.memory, workers * ahead, workers).map_err(starved)?;
        let mut bells = Vec::with_capacity(settings.workers);
        for _ in 0..settings.workers {
            bells.push(shared.cancel.bell()?);
        }
        let queue = Arc::new(Queue::new(jobs, permits, bells.clone(), settings.memory / BACKLOG_SHARE));
        let mut threads = Vec::with_capacity(settings.workers);
        for (number, bell) in (0_u32..).zip(bells) {
            let slot = Slot {
                number,
                settings: Arc::clone(&settings),
                queue: Arc::clone(&queue),
                cancel: Arc::clone(&shared.cancel),
                bell,
                outcomes: shared.outcomes.clone(),
                reporter: shared.reporter.clone(),
                counters: Arc::clone(&shared.counters),
            };
            let thread = guarded(format!("w{number}"), shared.outcomes.clone(), move || slot.run());
            threads.push(thread.map_err(starved)?);
        }
        Ok(Pool { queue, threads })
    }

    /// Waits until every worker is gone. `queue.finish()` must have been called.
    pub fn join(self) {
        for thread in self.threads {
            // A panic has been reported by its guard.
            let _ = thread.join();
        }
    }
}

/// Starts a thread whose death by a bug is told to the collector, so that the run ends instead of hanging.
pub fn guarded(
    name: String,
    messages: Sender<Message>,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    struct Guard(String, Sender<Message>);
    impl Drop for Guard {
        fn drop(&mut self) {
            if std::thread::panicking() {
                // The collector may be gone already; the panic itself has been printed.
                let _ = self.1.send(Message::Panicked(self.0.clone()));
            }
        }
    }
    let guard = Guard(name.clone(), messages);
    std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
        let _guard = guard;
        body();
    })
}

/// Of `--memory`, for results that the collector has not come to: the most is for those that wait in order.
const BACKLOG_SHARE: usize = 4;

/// The threads' own frames are small, and there may be thousands of them.
const STACK: usize = 512 * 1024;

/// The error that a supplied worker sends when it cannot load its handler.
pub fn fatal_error(json: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Fatal {
        #[serde(default)]
        name: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        stack: String,
    }
    let Ok(fatal) = serde_json::from_slice::<Fatal>(json) else {
        return Error::pool(format!("the handler cannot be loaded: {}", String::from_utf8_lossy(json)));
    };
    let mut message = format!("the handler cannot be loaded: {}: {}", fatal.name, fatal.message);
    // Where it happened; most stacks also hold the message, at their beginning or end.
    let last = fatal.message.lines().last().unwrap_or_default();
    let is_message = |line: &&str| !last.is_empty() && line.starts_with(&fatal.name) && line.ends_with(last);
    for line in fatal.stack.lines().filter(|line| !is_message(line)) {
        message.push('\n');
        message.push_str(line);
    }
    Error::pool(message)
}
