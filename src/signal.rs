//! Signals: what Ctrl-C, SIGTERM, SIGHUP and Ctrl-Z do to a run.
//!
//! Once: read no more and finish what is in flight. Twice: kill at once and end, even if a write is stuck.
//! Ctrl-Z stops the workers too (they are in groups of their own, which the terminal does not reach), and the
//! time until `fg` is no job's time. A signal that was ignored at the start (`nohup`, `&`) stays ignored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};

use crate::pool::queue::Queue;
use crate::report::Reporter;
use crate::sys;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, HIGHER_LIMIT, Result};
use crate::words::exit::Exit;

/// After a second signal the run gets this long to bury its workers and say how far it came.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// Time for the slots to stop their workers before we stop ourselves.
const PAUSE: Duration = Duration::from_millis(50);

/// What the handlers work with.
struct Handlers {
    cancel: Arc<Cancel>,
    queue: Arc<Queue>,
    reporter: Reporter,
    seen: AtomicU32,
    grace: Duration,
    leaving: AtomicBool,
}

/// Installs all handlers. They run on threads of their own, not in signal context.
pub fn install(cancel: Arc<Cancel>, queue: Arc<Queue>, reporter: Reporter, grace: Duration) -> Result<()> {
    // Each needs a thread and a pipe: only want of them is in the way.
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("cannot install signal handlers: {error}");
        Error::pool(message).hint(HIGHER_LIMIT)
    };
    sys::ignore(libc::SIGXFSZ);
    let handlers =
        Arc::new(Handlers { cancel, queue, reporter, seen: AtomicU32::new(0), grace, leaving: AtomicBool::new(false) });
    if !sys::is_ignored(SIGINT) {
        let handlers = Arc::clone(&handlers);
        ctrlc::set_handler(move || handlers.stop(SIGINT)).map_err(|error| failed(&error))?;
    }
    let wanted: Vec<i32> = [SIGTERM, SIGHUP, SIGTSTP].into_iter().filter(|&signal| !sys::is_ignored(signal)).collect();
    let mut signals = signal_hook::iterator::Signals::new(wanted).map_err(|error| failed(&error))?;
    let body = move || {
        for signal in signals.forever() {
            match signal {
                SIGTSTP => handlers.pause(),
                signal => handlers.stop(signal),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(body).map_err(|error| failed(&error))?;
    Ok(())
}

impl Handlers {
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
            // Still here: a write is stuck. The workers have been killed by their slots.
            let exit = handlers.cancel.reason().map_or(Exit::Signal(signal), |reason| reason.exit());
            exit.leave();
        };
        if std::thread::Builder::new().spawn(leave).is_err() {
            Exit::Signal(signal).leave();
        }
    }

    fn pause(&self) {
        self.queue.paused.store(true, Ordering::Release);
        self.queue.ring_all();
        std::thread::sleep(PAUSE);
        // Stops this process here, all threads of it, until SIGCONT.
        let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
        self.queue.paused.store(false, Ordering::Release);
        self.queue.ring_all();
    }
}
