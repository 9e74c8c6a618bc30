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

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec};

    use super::*;

    /// Whether the bell has been rung; it is silent after that.
    fn was_rung(bell: &Bell) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN)];
        let was_rung = rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1;
        bell.hush();
        was_rung
    }

    fn failures(words: &str) -> Reason {
        Reason::MaxFailures(words.to_owned())
    }

    #[test]
    fn the_level_only_rises_and_bells_ring_when_it_does() {
        let cancel = Cancel::new();
        let bell = cancel.bell().unwrap();
        assert_eq!((cancel.level(), was_rung(&bell)), (Level::Run, false));
        for (level, expected, rings) in [
            (Level::Drain, Level::Drain, true),
            (Level::Drain, Level::Drain, false),
            (Level::Abort, Level::Abort, true),
            (Level::Drain, Level::Abort, false),
            (Level::Run, Level::Abort, false),
        ] {
            cancel.raise(level, failures("enough"));
            assert_eq!((cancel.level(), was_rung(&bell)), (expected, rings), "{level:?}");
        }
    }

    #[test]
    fn listeners_are_told_of_each_change_and_late_ones_of_the_last() {
        let cancel = Cancel::new();
        let told: Arc<Mutex<Vec<(u32, Level, String)>>> = Arc::default();
        let listen = |name: u32| {
            let told = Arc::clone(&told);
            cancel.tell(move |level, why| told.lock().unwrap().push((name, level, why.to_owned())));
        };
        listen(1);
        assert!(told.lock().unwrap().is_empty(), "there is nothing to tell of a run that goes on");
        cancel.raise(Level::Drain, failures("enough"));
        listen(2);
        cancel.raise(Level::Drain, failures("again"));
        let enough = |name| (name, Level::Drain, "enough".to_owned());
        assert_eq!(*told.lock().unwrap(), [enough(1), enough(2)]);
        cancel.raise(Level::Abort, Reason::Signal(libc::SIGINT));
        let interrupted = |name| (name, Level::Abort, "interrupted (SIGINT)".to_owned());
        assert_eq!(told.lock().unwrap()[2..], [interrupted(1), interrupted(2)]);
    }

    #[test]
    fn a_listener_may_ask_and_raise_itself() {
        let cancel = Cancel::new();
        let own = Arc::downgrade(&cancel);
        cancel.tell(move |level, _| {
            let cancel = own.upgrade().expect("the test holds it");
            assert!(cancel.reason().is_some());
            if level == Level::Drain {
                cancel.raise(Level::Abort, Reason::ReaderGone);
            }
        });
        cancel.raise(Level::Drain, failures("enough"));
        assert_eq!(cancel.level(), Level::Abort);
    }

    #[test]
    fn the_strongest_reason_is_the_one_and_of_equal_ones_the_first() {
        let check = |reasons: &[Reason], expected: &str| {
            for level in [Level::Drain, Level::Abort] {
                let cancel = Cancel::new();
                reasons.iter().for_each(|reason| cancel.raise(level, reason.clone()));
                assert_eq!(cancel.reason().map(|reason| reason.to_string()).as_deref(), Some(expected));
            }
        };
        assert!(Cancel::new().reason().is_none());
        let (pool, io) = (Reason::Failed(Error::pool("no worker")), Reason::Failed(Error::io("disk full")));
        check(&[failures("enough"), pool.clone()], "no worker");
        check(&[io.clone(), pool.clone()], "disk full");
        check(&[io.clone(), Reason::ReaderGone], "the reader of the output went away");
        check(&[Reason::Signal(libc::SIGTERM), Reason::ReaderGone, io], "stopped by SIGTERM");
        check(&[pool, Reason::Failed(Error::pool("another"))], "no worker");
    }

    #[test]
    fn every_failure_is_kept_also_where_something_else_is_stronger() {
        let cancel = Cancel::new();
        for reason in [
            Reason::Failed(Error::io("disk full")),
            Reason::Signal(libc::SIGINT),
            Reason::Failed(Error::pool("no worker")),
        ] {
            cancel.raise(Level::Abort, reason);
        }
        let messages: Vec<String> = cancel.failures().into_iter().map(|error| error.message).collect();
        assert_eq!(messages, ["disk full", "no worker"]);
    }
}
