//! Stopping: an ordered level that only rises, the reasons for it, and the bells that wake whoever sleeps.
//!
//! Nothing is stopped here: each part looks at the level when it wakes and does its own share.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::error::{Error, Result, reason};
use super::exit::Exit;
use crate::sys::bell::Bell;

/// How urgently the run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Run = 0,
    /// Read no more, finish what is in flight.
    Drain = 1,
    /// Kill what is in flight.
    Abort = 2,
}

/// Why the run was stopped, for the records (`not_run`, `died`) and the exit status.
#[derive(Debug, Clone)]
pub enum Reason {
    Signal(i32),
    MaxFailures(String),
    ReaderGone,
    /// The pool, the input or the output failed.
    Failed(Error),
}

impl Reason {
    pub fn exit(&self) -> Exit {
        match self {
            Reason::Signal(signal) => Exit::Signal(*signal),
            Reason::MaxFailures(_) => Exit::Stopped,
            Reason::ReaderGone => Exit::ReaderGone,
            Reason::Failed(error) => error.exit,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Signal(libc::SIGINT) => f.write_str("interrupted (SIGINT)"),
            Reason::Signal(libc::SIGTERM) => f.write_str("stopped by SIGTERM"),
            Reason::Signal(libc::SIGHUP) => f.write_str("stopped by SIGHUP"),
            Reason::Signal(signal) => write!(f, "stopped by signal {signal}"),
            Reason::MaxFailures(words) => f.write_str(words),
            Reason::ReaderGone => f.write_str("the reader of the output went away"),
            Reason::Failed(error) => f.write_str(&error.message),
        }
    }
}

/// Shared by all threads of a run.
pub struct Cancel {
    level: AtomicU8,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reasons: Vec<Reason>,
    bells: Vec<Bell>,
    listeners: Vec<Listener>,
}

/// What is called at a change of the level, with the reason in words.
type Listener = Arc<dyn Fn(Level, &str) + Send + Sync>;

impl Cancel {
    pub fn new() -> Arc<Cancel> {
        Arc::new(Cancel { level: AtomicU8::new(0), state: Mutex::default() })
    }

    /// How urgently the run is to end, as of now.
    pub fn level(&self) -> Level {
        match self.level.load(Ordering::Acquire) {
            0 => Level::Run,
            1 => Level::Drain,
            _ => Level::Abort,
        }
    }

    /// Raises the level, which never falls, and wakes everybody if it has changed. The reason is kept either way: the
    /// strongest one decides the exit status.
    pub fn raise(&self, level: Level, reason: Reason) {
        let mut state = self.lock();
        state.reasons.push(reason);
        if self.level.fetch_max(level as u8, Ordering::AcqRel) >= level as u8 {
            return;
        }
        state.bells.iter().for_each(Bell::ring);
        let listeners = state.listeners.clone();
        // The lock is given back before the listeners are called: a listener may ask for the reason, which takes it
        // again.
        drop(state);
        listeners.iter().for_each(|listener| self.call(listener));
    }

    /// `listener` is called at every change of the level from now on, and at once if the run is being stopped already.
    /// It is called outside of the lock, so it may hear of a change twice, and of a lower level after a higher one.
    pub fn tell(&self, listener: impl Fn(Level, &str) + Send + Sync + 'static) {
        let listener: Listener = Arc::new(listener);
        self.lock().listeners.push(Arc::clone(&listener));
        if self.level() > Level::Run {
            self.call(&listener);
        }
    }

    fn call(&self, listener: &Listener) {
        let why = self.reason().map_or_else(String::new, |reason| reason.to_string());
        listener(self.level(), &why);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this lock")
    }

    /// The strongest reason so far, by exit status.
    pub fn reason(&self) -> Option<Reason> {
        let state = self.lock();
        let mut strongest: Option<&Reason> = None;
        for reason in &state.reasons {
            if strongest.is_none_or(|other| other.exit() < reason.exit()) {
                strongest = Some(reason);
            }
        }
        strongest.cloned()
    }

    /// Every failure that is worth a message, in the order they came.
    pub fn failures(&self) -> Vec<Error> {
        let state = self.lock();
        let failed = |reason: &Reason| match reason {
            Reason::Failed(error) => Some(error.clone()),
            _ => None,
        };
        state.reasons.iter().filter_map(failed).collect()
    }

    /// A new bell, rung at every change of the level.
    pub fn bell(&self) -> Result<Bell> {
        let bell = Bell::new().map_err(|error| {
            Error::refused(format!("cannot set up the run: {}", reason(&error)))
                .hint("fewer workers (-j), or a higher limit (ulimit -n)")
        })?;
        self.lock().bells.push(bell.clone());
        Ok(bell)
    }
}
