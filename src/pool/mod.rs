//! The pool: a fixed set of slots, each with a thread that keeps one worker.
//!
//! This file starts and ends the slots. The rest, in reading order: `dispatch` is what the slots share, `slot` is the
//! poll loop of one of them, `seat` what it does in one round, `session` decides everything that is to be decided about
//! its worker, and `process` is what that worker is to the system. `simulation` runs all of this but the processes.

// What goes in: the settings, the arithmetic of the policies, and a job on its way.
pub mod settings;
pub mod policies;
pub mod delivery;

// What the slots share.
pub mod dispatch;
mod reins;

// A slot: its poll loop, one round of it, and who hears of it.
mod slot;
pub mod seat;
mod lane;
mod listener;
mod fatal;

// What is decided about what a slot keeps: a worker, or a host with all its workers.
pub mod life;
mod stopping;
mod outbox;
mod pipes;
mod session;
pub mod host;

// A slot's worker as a process of the system.
mod machine;
pub mod template;
pub mod process;
mod program;
mod launch;
pub mod own_program;
pub mod luggage;
pub mod exited;
mod group;
mod group_memory;
mod memory_events;

#[cfg(test)]
mod simulation;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::report::state::Glances;
use crate::sys::bell::Bell;
use crate::sys::children;
use crate::sys::clock::Clock;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, HIGHER_LIMIT, Result, reason};
use crate::words::job::Job;
use crate::words::message::Message;
use dispatch::{Dispatch, Limits, Wakes};
use host::HostSession;
use life::Life;
use listener::Listener;
use machine::Machine;
use seat::Seat;
use session::Session;
use settings::PoolSettings;
use slot::Slot;
use template::{Keeper, Template};

pub use fatal::{error_text, fatal_error};
pub use reins::Reins;
pub use seat::account;

/// A pool that is set up; `start` starts its workers.
pub struct Pool {
    pub dispatch: Arc<Dispatch>,
    /// The bell of the source, rung when it may read on.
    pub source_bell: Bell,
    settings: Arc<PoolSettings>,
    /// The bell of each slot.
    bells: Arc<Vec<Bell>>,
    /// What the workers are forked from (`--preload`).
    template: Option<Arc<Template>>,
}

/// What the slots share with the rest of the run.
#[derive(Clone)]
pub struct Shared {
    pub cancel: Arc<Cancel>,
    pub clock: Clock,
    pub outcomes: Sender<Message>,
    pub reporter: Reporter,
    pub counters: Arc<Counters>,
    pub glances: Arc<Glances>,
    /// This is the agent of a host: progress goes to whoever gave the jobs.
    pub is_agent: bool,
}

impl Pool {
    /// Opens all that the slots need for themselves; no worker is started. Fresh jobs will come through `fresh`.
    /// `has_worked` says that the workers' program is known to answer jobs.
    /// The bell of the template is rung at every change of `cancel`.
    pub fn new(
        settings: Arc<PoolSettings>,
        fresh: Receiver<Vec<Job>>,
        has_worked: bool,
        cancel: &Cancel,
    ) -> Result<Pool> {
        let workers = settings.workers;
        let starved = |error: std::io::Error| {
            Error::refused(format!("cannot set up {workers} workers: {}", reason(&error))).hint(HIGHER_LIMIT)
        };
        let bells: Vec<Bell> = (0..workers).map(|_| Bell::new()).collect::<std::io::Result<_>>().map_err(starved)?;
        let (bells, source_bell) = (Arc::new(bells), Bell::new().map_err(starved)?);
        let ring = {
            let (bells, source_bell) = (Arc::clone(&bells), source_bell.clone());
            move |wakes: &Wakes| {
                wakes.slots.iter().for_each(|&slot| bells[slot as usize].ring());
                if wakes.source {
                    source_bell.ring();
                }
            }
        };
        let dispatch = Arc::new(Dispatch::new(limits(&settings), settings.rate, has_worked, fresh, ring));
        let template = if settings.preload {
            children::adopt_orphans().map_err(starved)?;
            // No worker is started before there is something to fork it from.
            dispatch.hold_starts(true);
            Some(Arc::new(Template::new(cancel.bell()?, settings.start_timeout)))
        } else {
            None
        };
        Ok(Pool { dispatch, source_bell, settings, bells, template })
    }

    /// What signals steer the pool by, and with it the run's clock.
    pub fn reins(&self, clock: &Clock) -> Reins {
        Reins::new(Arc::clone(&self.dispatch), self.template.clone(), clock.clone())
    }

    /// From now on a stop of the run ends the jobs that wait, and is obeyed by the slots.
    pub fn obey(&self, shared: &Shared) {
        let (dispatch, outcomes, keep_jobs) =
            (Arc::clone(&self.dispatch), shared.outcomes.clone(), self.settings.keep_jobs);
        shared.cancel.tell(move |level, why| {
            if level >= Level::Drain {
                // Only the first line of the reason goes into each record: a whole stack trace is said once, on stderr.
                let why = why.lines().next().unwrap_or_default();
                let waiting = dispatch.stop(level, why);
                let mut unrun: Vec<_> = waiting.into_iter().map(|delivery| delivery.not_run(why)).collect();
                if unrun.is_empty() {
                    return;
                }
                account(&dispatch, &mut unrun, keep_jobs);
                // Sending fails only where the collector is gone, and it goes only when every job has its record, or
                // after a panic.
                let _ = outcomes.send(Message::Outcomes(unrun));
            }
        });
    }

    /// Starts the first slot. The others follow with [`Workers::start_others`], once the source is at work.
    pub fn start(&self, shared: &Shared) -> Result<Workers> {
        let starter = Starter {
            dispatch: Arc::clone(&self.dispatch),
            settings: Arc::clone(&self.settings),
            bells: Arc::clone(&self.bells),
            template: self.template.clone(),
            shared: shared.clone(),
        };
        let keeper = self.template.as_ref().map(|template| starter.start_keeper(template)).transpose()?;
        let first = starter.start(0)?;
        Ok(Workers { starter, threads: vec![first], others: None, keeper })
    }
}

/// What the settings allow to be between the input and the output.
pub fn limits(settings: &PoolSettings) -> Limits {
    Limits {
        window: settings.window,
        memory: settings.memory,
        queued: settings.queued(),
        slots: settings.workers,
        leaves_out: settings.hosts.is_some(),
    }
}

/// Starts the threads of slots.
#[derive(Clone)]
struct Starter {
    dispatch: Arc<Dispatch>,
    settings: Arc<PoolSettings>,
    bells: Arc<Vec<Bell>>,
    template: Option<Arc<Template>>,
    shared: Shared,
}

/// The slots of a pool at work.
pub struct Workers {
    starter: Starter,
    threads: Vec<JoinHandle<()>>,
    /// Starts all slots but the first, and returns their threads.
    others: Option<JoinHandle<Vec<JoinHandle<()>>>>,
    /// The thread of the template's keeper.
    keeper: Option<JoinHandle<()>>,
}

/// How long slots are held back to see whether there are jobs for all of them. A file of a few jobs is read to its end
/// within a millisecond; whoever types his jobs, or sends them as they come, finds all workers warm soon after.
const MOMENT: Duration = Duration::from_millis(50);

impl Starter {
    /// Starts the thread of a slot, which starts its worker.
    fn start(&self, number: u32) -> Result<JoinHandle<()>> {
        let shared = &self.shared;
        let listener = Listener {
            slot: number,
            forks: self.template.is_some(),
            name: self.settings.name_of(number),
            outcomes: shared.outcomes.clone(),
            cancel: Arc::clone(&shared.cancel),
            reporter: shared.reporter.clone(),
            counters: Arc::clone(&shared.counters),
            glances: Arc::clone(&shared.glances),
            is_agent: shared.is_agent,
            keeps: None,
        };
        let machine = Machine::new(number, Arc::clone(&self.settings), self.template.clone());
        let seed = u64::from(number) ^ (u64::from(std::process::id()) << 32);
        let now = shared.clock.now();
        let (settings, dispatch) = (Arc::clone(&self.settings), Arc::clone(&self.dispatch));
        let session: Box<dyn Life> = match &settings.hosts {
            Some(hosts) => {
                let host = &hosts.list[number as usize];
                Box::new(HostSession::new(host, Arc::clone(&settings), now, seed))
            }
            None => Box::new(Session::new(number, Arc::clone(&settings), now, seed)),
        };
        let seat = Seat::new(number, settings, dispatch, session, machine, listener, now);
        let bell = self.bells[number as usize].clone();
        let slot = Slot::new(seat, bell, shared.clock.clone(), shared.reporter.clone());
        guarded(format!("w{number}"), shared.outcomes.clone(), move || slot.run()).map_err(|error| {
            let words = format!("cannot start {} workers: {}", self.settings.workers, reason(&error));
            Error::pool(words).hint(HIGHER_LIMIT)
        })
    }

    /// Starts the thread that keeps the template.
    fn start_keeper(&self, template: &Arc<Template>) -> Result<JoinHandle<()>> {
        let shared = &self.shared;
        let keeper = Keeper {
            template: Arc::clone(template),
            settings: Arc::clone(&self.settings),
            dispatch: Arc::clone(&self.dispatch),
            cancel: Arc::clone(&shared.cancel),
            reporter: shared.reporter.clone(),
            clock: shared.clock.clone(),
        };
        guarded("template".to_owned(), shared.outcomes.clone(), move || keeper.run())
            .map_err(|error| Error::no_thread(&error))
    }

    /// Starts all slots but the first, as long as there may be jobs for them.
    fn start_others(&self) -> Vec<JoinHandle<()>> {
        let mut threads = Vec::new();
        let until = Instant::now() + MOMENT;
        for number in 1..self.bells.len() as u32 {
            // All hosts are called, however few jobs there are: one may not answer.
            if self.settings.hosts.is_none() && !self.dispatch.has_work_for(u64::from(number) + 1, until) {
                break;
            }
            match self.start(number) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.shared.cancel.raise(Level::Abort, Reason::Failed(error));
                    break;
                }
            }
        }
        threads
    }
}

impl Workers {
    /// Starts the other slots, no more than there are jobs if that is soon known: by a thread, since the source is
    /// waited for.
    pub fn start_others(&mut self) -> Result<()> {
        if self.starter.bells.len() > 1 {
            let starter = self.starter.clone();
            let thread = std::thread::Builder::new().name("starter".to_owned());
            let started = thread.stack_size(STACK).spawn(move || starter.start_others());
            self.others = Some(started.map_err(|error| Error::no_thread(&error))?);
        }
        Ok(())
    }

    /// Waits until every worker is gone. `Dispatch::finish` must have been called.
    pub fn join(self) {
        // A thread that has panicked has been reported by its guard, and leaves nothing to wait for.
        let others = self.others.map_or_else(Vec::new, |thread| thread.join().unwrap_or_default());
        for thread in self.threads.into_iter().chain(others) {
            let _ = thread.join();
        }
        self.starter.template.iter().for_each(|template| template.end());
        if let Some(keeper) = self.keeper {
            let _ = keeper.join();
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
                // If the collector is gone, nobody needs to know: the run is over, and the panic itself has been
                // printed.
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

/// The stack of a thread of the pool or of the source. Their frames are small, and there may be thousands of threads.
const STACK: usize = 512 * 1024;
