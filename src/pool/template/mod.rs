//! `--preload`: the workers of a handler are forked from a template, a process that has loaded the handler's file.
//!
//! The template forks twice for each worker and waits for the process between, so that the worker is an orphan and
//! becomes a child of forkpool, which has made itself the parent of orphans (`sys::children::adopt_orphans`). From then on
//! it is like any other worker: its exit is waited for, its process group is its own, and it is killed with forkpool.
//!
//! About that last promise: the system kills a worker when the *thread* ends that is its parent. Of an adopted process that is the
//! first living thread of forkpool, which is the main one, and that lives as long as forkpool. The worker asks for it
//! when it has been adopted, and ends by itself if forkpool is not its parent then.
//!
//! This file is what slots know of the template. `request` asks for a worker over the template's socket, `loading` is a
//! template's process and what it says, and `keeper` is the thread that loads the template, and loads it again.

#[cfg(target_os = "linux")]
mod request;
#[cfg(not(target_os = "linux"))]
mod request {
    //! There is no template on other systems: `--preload` is refused.

    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::process::Pid;

    use crate::sys::spawn::Ends;

    pub fn fork(_: &OwnedFd, _: u32, _: &Ends, _: Duration) -> io::Result<Pid> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn hang_up(_: &OwnedFd) {}
}
mod loading;
mod keeper;
mod alone;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::process::Process;
use crate::sys::bell::Bell;
use crate::sys::spawn::Ends;

pub use alone::Alone;
pub use keeper::Keeper;

/// The template, which all slots share.
pub struct Template {
    /// Wakes the keeper.
    bell: Bell,
    state: Mutex<State>,
    /// Held by the slot whose request the template is busy with: it does one after the other.
    turn: Mutex<()>,
    /// How long the template may take to fork a worker.
    patience: Duration,
}

#[derive(Default)]
struct State {
    /// The template that has loaded its handler; `None` while there is none.
    loaded: Option<Arc<Loaded>>,
    trial: Trial,
    wishes: Wishes,
}

/// What is known of the template that there is, or was last.
#[derive(Debug, Clone, Copy, Default)]
struct Trial {
    /// A worker has been forked from it.
    has_forked: bool,
    /// It did not answer a request in time, and so was killed.
    has_hung: bool,
}

/// What the keeper is to do.
#[derive(Default)]
struct Wishes {
    /// No worker is needed any more.
    end: bool,
    /// The handler's file is to be loaded anew.
    reload: bool,
}

/// A template that waits for requests.
struct Loaded {
    /// Where requests are sent.
    socket: OwnedFd,
    /// Its process group, which is killed as one.
    group: Pid,
}

impl Template {
    /// `bell` wakes the keeper, and `patience` is how long the template may take to fork a worker.
    pub fn new(bell: Bell, patience: Duration) -> Template {
        Template { bell, state: Mutex::default(), turn: Mutex::default(), patience }
    }

    /// Forks a worker for a slot. The kind of the error is `NotConnected` where there is no template now.
    pub fn start_worker(&self, slot: u32) -> io::Result<Process> {
        Process::adopt(slot, |ends| self.fork(slot, ends))
    }

    fn fork(&self, slot: u32, ends: &Ends) -> io::Result<Pid> {
        let _turn = self.turn.lock().expect(UNPOISONED);
        let loaded = self.lock().loaded.clone().ok_or(io::ErrorKind::NotConnected)?;
        let forked = request::fork(&loaded.socket, slot, ends, self.patience);
        match &forked {
            Ok(_) => self.lock().trial.has_forked = true,
            // Somebody has stopped it, perhaps. Its keeper sees its end and loads another.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.lock().trial.has_hung = true;
                self.signal(Signal::KILL);
                return Err(io::ErrorKind::NotConnected.into());
            }
            Err(_) => {}
        }
        forked
    }

    /// Sends a signal to the template's process group, if there is a template.
    pub fn signal(&self, signal: Signal) {
        // The lock is held meanwhile: the keeper takes the template away under it before its id may be another's.
        if let Some(loaded) = &self.lock().loaded {
            // This fails only where nothing is left of the group that could take the signal.
            let _ = rustix::process::kill_process_group(loaded.group, signal);
        }
    }

    /// The handler's file is to be loaded anew.
    pub fn reload(&self) {
        self.lock().wishes.reload = true;
        self.bell.ring();
    }

    /// No worker is needed any more.
    pub fn end(&self) {
        self.lock().wishes.end = true;
        self.bell.ring();
    }

    fn is_ended(&self) -> bool {
        self.lock().wishes.end
    }

    /// Whether the handler's file is to be loaded anew. Whoever asks does it.
    fn take_reload(&self) -> bool {
        std::mem::take(&mut self.lock().wishes.reload)
    }

    /// From now on workers are forked from this template. Its input, the socket, is taken out of it.
    fn publish(&self, process: &mut Process) {
        let Some(socket) = process.input.take() else { return };
        let mut state = self.lock();
        state.loaded = Some(Arc::new(Loaded { socket, group: process.pid() }));
        state.trial = Trial::default();
    }

    /// From now on there is no template. Returns what is known of the one that there was. A slot that waits for its answer
    /// is told at once.
    fn withdraw(&self) -> Trial {
        let mut state = self.lock();
        if let Some(loaded) = state.loaded.take() {
            request::hang_up(&loaded.socket);
        }
        state.trial
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "no thread panics while it holds this lock";
