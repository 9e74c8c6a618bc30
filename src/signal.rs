//! Signals: what Ctrl-C, SIGTERM, SIGHUP and Ctrl-Z do to a run, and that a worker was stopped by its terminal.
//!
//! After the first SIGINT, SIGTERM or SIGHUP the run reads no more and finishes what is in flight. After the second it
//! kills at once and ends, even if a write is stuck. Ctrl-Z stops the workers too (they are in groups of their own,
//! which the terminal does not reach), and the time until `fg` is no job's time. At SIGUSR2 all workers are replaced, one
//! at a time, and at SIGUSR1, or Ctrl-T on systems that have it, the state of the run is said; before there are workers,
//! both are ignored. A signal that was ignored at the start (`nohup`, `&`) stays ignored; one that was blocked is let
//! through.
//!
//! This file knows how a run is stopped (`Cancel`), but not the pool, which hears of Ctrl-Z and of stopped children
//! through `Hooks`, as of SIGUSR2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};

use crate::pool::Reins;
use crate::report::Reporter;
use crate::sys;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, HIGHER_LIMIT, Result};
use crate::words::exit::Exit;

/// The signals at which the state of the run is said. SIGINFO is what Ctrl-T sends where the system has it.
const STATE: &[i32] = &[
    SIGUSR1,
    #[cfg(any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "dragonfly",
        target_os = "netbsd",
        target_os = "openbsd"
    ))]
    libc::SIGINFO,
];

/// After a second signal the run gets this long to bury its workers and say how far it came. Killed processes are gone
/// in milliseconds, so only what is stuck takes longer.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// Time for the slots to stop their workers before this process stops itself: long for a thread to wake, short for
/// whoever pressed Ctrl-Z.
const PAUSE: Duration = Duration::from_millis(50);

/// What others do at a signal. Each is called on the signals' thread, which hears no other signal meanwhile.
pub struct Hooks {
    /// Ctrl-Z: the workers are to be stopped, because this process is about to be.
    pub pause: Hook,
    /// This process goes on, and so are the workers to do.
    pub resume: Hook,
    /// A child has been stopped, perhaps: each worker is to be asked (`Process::stopped_by`). It may be called
    /// although nothing has changed.
    pub on_child: Hook,
    /// All workers are to be replaced. Returns how many; none in a run that ends.
    pub renew: Box<dyn Fn() -> usize + Send + Sync>,
    /// The state of the run, in lines.
    pub state: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

pub type Hook = Box<dyn Fn() + Send + Sync>;

impl Hooks {
    /// What signals mean to a pool. `state` says the state of the run, in lines.
    pub fn of_pool(reins: Reins, state: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Hooks {
        let reins = Arc::new(reins);
        let [pausing, resuming, rousing, renewing] = [(); 4].map(|()| Arc::clone(&reins));
        Hooks {
            pause: Box::new(move || pausing.pause()),
            resume: Box::new(move || resuming.resume()),
            on_child: Box::new(move || rousing.rouse()),
            renew: Box::new(move || renewing.renew()),
            state: Box::new(state),
        }
    }
}

/// What the handlers work with.
struct Handlers {
    cancel: Arc<Cancel>,
    hooks: Hooks,
    reporter: Reporter,
    /// How many signals have come that stop a run.
    seen: AtomicU32,
    grace: Duration,
    /// The thread that ends the process after `LAST_MOMENT` has been started.
    leaving: AtomicBool,
}

/// Lets the signals of this file through, and the terminal's SIGQUIT, which ends us by default, although whoever
/// started this process may have blocked them. To be called while there is only one thread: each inherits what is
/// blocked from the one that starts it.
pub fn let_through() {
    // Whoever tells a run to replace its workers, or asks how far it is, does not mean to end one that has none yet. One
    // that has come while it was blocked is dropped here, and would end this process if it were let through first.
    sys::signals::ignore(SIGUSR2);
    sys::signals::ignore(SIGUSR1);
    sys::signals::unblock(&[SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCHLD, SIGUSR1, SIGUSR2, libc::SIGQUIT]);
    if sys::signals::was_ignored(SIGCHLD) {
        // While SIGCHLD is ignored, the system throws away how a child has ended, so that no worker's end could be
        // explained.
        sys::signals::restore(SIGCHLD);
    }
}

/// Installs all handlers. They run on threads of their own, not in signal context.
pub fn install(cancel: Arc<Cancel>, hooks: Hooks, reporter: Reporter, grace: Duration) -> Result<()> {
    // A handler needs a thread and a pipe, so it fails only where there are no more of them: a higher limit helps.
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("cannot install signal handlers: {error}");
        Error::pool(message).hint(HIGHER_LIMIT)
    };
    sys::signals::ignore(libc::SIGXFSZ);
    let handlers =
        Arc::new(Handlers { cancel, hooks, reporter, seen: AtomicU32::new(0), grace, leaving: AtomicBool::new(false) });
    if !sys::signals::was_ignored(SIGINT) {
        let handlers = Arc::clone(&handlers);
        ctrlc::set_handler(move || handlers.stop(SIGINT)).map_err(|error| failed(&error))?;
    }
    let is_wanted = |signal: &i32| *signal == SIGCHLD || !sys::signals::was_ignored(*signal);
    let wanted: Vec<i32> =
        [SIGTERM, SIGHUP, SIGTSTP, SIGCHLD, SIGUSR2].iter().chain(STATE).copied().filter(is_wanted).collect();
    let mut signals = signal_hook::iterator::Signals::new(wanted).map_err(|error| failed(&error))?;
    let body = move || {
        // A child that this process was given by `exec`, or the watcher, may have ended before there was a handler:
        // nobody tells of it again.
        handlers.look_at_children();
        for signal in signals.forever() {
            match signal {
                SIGTSTP => handlers.pause(),
                SIGCHLD => handlers.look_at_children(),
                SIGUSR2 => handlers.renew(),
                signal if STATE.contains(&signal) => handlers.say_state(),
                signal => handlers.stop(signal),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(body).map_err(|error| failed(&error))?;
    Ok(())
}

impl Handlers {
    fn say_state(&self) {
        (self.hooks.state)().into_iter().for_each(|line| self.reporter.answer(line));
    }

    fn stop(self: &Arc<Self>, signal: i32) {
        if self.seen.fetch_add(1, Ordering::AcqRel) == 0 {
            let grace = humantime::format_duration(self.grace);
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("signal");
            self.cancel.raise(Level::Drain, Reason::Signal(signal));
            self.reporter.notice(format!("{name}: reading no more; jobs in flight get {grace} (again to kill them)"));
            return;
        }
        self.cancel.raise(Level::Abort, Reason::Signal(signal));
        if self.leaving.swap(true, Ordering::AcqRel) {
            return;
        }
        let handlers = Arc::clone(self);
        let leave = move || {
            std::thread::sleep(LAST_MOMENT);
            // The process is still here, so a write is stuck. The slots have killed their workers when the level rose.
            let exit = handlers.cancel.reason().map_or(Exit::Signal(signal), |reason| reason.exit());
            exit.leave();
        };
        // Without a thread that could wait there is no last moment.
        if std::thread::Builder::new().spawn(leave).is_err() {
            Exit::Signal(signal).leave();
        }
    }

    fn pause(&self) {
        (self.hooks.pause)();
        std::thread::sleep(PAUSE);
        // All threads of this process are stopped here, until SIGCONT. In an orphaned group, where no shell could
        // continue us, the system lets us go on at once, as it does with any program at Ctrl-Z.
        sys::signals::act_by_default(SIGTSTP);
        (self.hooks.resume)();
    }

    fn renew(&self) {
        match (self.hooks.renew)() {
            0 => {}
            1 => self.reporter.notice("SIGUSR2: replacing 1 worker".to_owned()),
            workers => self.reporter.notice(format!("SIGUSR2: replacing {workers} workers, one at a time")),
        }
    }

    /// A child has been stopped, or has ended. A worker's end is seen by its slot without our help; other children are
    /// reaped here, and the pool is told of a stop.
    fn look_at_children(&self) {
        sys::children::reap_strangers();
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        // An error means that there is no child.
        if let Ok(Some(_)) = rustix::process::waitid(WaitId::All, options) {
            (self.hooks.on_child)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Handlers whose second signal does not end this process.
    fn handlers() -> Arc<Handlers> {
        let unwanted = || -> Hook { Box::new(|| panic!("a signal to stop is nothing else")) };
        Arc::new(Handlers {
            cancel: Cancel::new(),
            hooks: Hooks {
                pause: unwanted(),
                resume: unwanted(),
                on_child: unwanted(),
                renew: Box::new(|| 0),
                state: Box::new(Vec::new),
            },
            reporter: Reporter::silent(),
            seen: AtomicU32::new(0),
            grace: Duration::from_secs(5),
            leaving: AtomicBool::new(true),
        })
    }

    #[test]
    fn the_first_signal_drains_and_says_so_and_the_second_kills() {
        let handlers = handlers();
        handlers.stop(SIGTERM);
        assert_eq!(handlers.cancel.level(), Level::Drain);
        let notice = "forkpool: SIGTERM: reading no more; jobs in flight get 5s (again to kill them)";
        assert_eq!(handlers.reporter.said(), [notice]);
        handlers.stop(SIGINT);
        assert_eq!(handlers.cancel.level(), Level::Abort);
        assert!(handlers.reporter.said().is_empty());
    }

    #[test]
    fn two_signals_end_the_run_as_the_stronger() {
        for (first, second) in [(SIGINT, SIGTERM), (SIGTERM, SIGINT), (SIGHUP, SIGTERM)] {
            let handlers = handlers();
            handlers.stop(first);
            handlers.stop(second);
            let strongest = Exit::Signal(first.max(second));
            assert_eq!(handlers.cancel.reason().map(|reason| reason.exit()), Some(strongest));
        }
    }

    #[test]
    fn a_signal_after_the_run_was_stopped_for_another_reason_is_the_first_one() {
        let handlers = handlers();
        handlers.cancel.raise(Level::Drain, Reason::MaxFailures("enough".to_owned()));
        handlers.stop(SIGTERM);
        assert_eq!(handlers.cancel.level(), Level::Drain, "jobs in flight still get their grace");
        assert_eq!(handlers.cancel.reason().map(|reason| reason.exit()), Some(Exit::Signal(SIGTERM)));
    }
}
