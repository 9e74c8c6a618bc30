//! The thread that keeps a template: it loads it before there are workers, again when it has died, and anew at SIGUSR2,
//! when the one before goes on until its successor has loaded the handler. While there is none, no worker is started.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::Template;
use super::loading::{Failed, Heard, Loading, load};
use crate::pool::dispatch::Dispatch;
use crate::pool::fatal::fatal_error;
use crate::pool::policies::{restart_pause, start_budget};
use crate::pool::settings::PoolSettings;
use crate::pool::slot::timespec;
use crate::report::Reporter;
use crate::sys::clock::Clock;
use crate::text::people::counted;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, HIGHER_LIMIT};

pub struct Keeper {
    pub template: Arc<Template>,
    pub settings: Arc<PoolSettings>,
    pub dispatch: Arc<Dispatch>,
    pub cancel: Arc<Cancel>,
    pub reporter: Reporter,
    pub clock: Clock,
}

impl Keeper {
    /// Keeps the template until no worker is needed any more. To be called on a thread that lives as long, since the
    /// template is killed with it.
    pub fn run(self) {
        let mut failures = 0;
        while let Some(loading) = self.load(&mut failures) {
            let Some((words, has_forked)) = self.keep(loading) else { return };
            self.reporter.notice(format!("the template is loaded again: {words}"));
            // A template from which workers have been forked has shown that it works.
            failures = if has_forked { 1 } else { failures + 1 };
            if self.is_to_stop_after(failures, &words, None) {
                return;
            }
        }
    }

    /// Loads a template, as often as that takes; `failures` in a row are counted. `None` where none is needed any more,
    /// or none can be had.
    fn load(&self, failures: &mut u32) -> Option<Loading> {
        loop {
            let (words, hint) = match self.try_to_load() {
                Ok(loading) => return Some(loading),
                Err(Failed::Stopped) => return None,
                Err(Failed::Fatal(error)) => {
                    self.cancel.raise(Level::Abort, Reason::Failed(fatal_error(&error)));
                    return None;
                }
                Err(Failed::Ended(words)) => (words, None),
                Err(Failed::NoProcess(words)) => (words, Some(HIGHER_LIMIT)),
            };
            *failures += 1;
            self.reporter.verbose(words.clone());
            if self.is_to_stop_after(*failures, &words, hint) {
                return None;
            }
        }
    }

    fn try_to_load(&self) -> Result<Loading, Failed> {
        // Whoever has asked for it until now is served by this.
        self.template.take_reload();
        load(&self.settings, &self.reporter, &self.clock, &self.template.bell, &|| self.is_over())
    }

    /// Pauses before the next start, unless the run is over, or ends here after so many failures in a row.
    fn is_to_stop_after(&self, failures: u32, words: &str, hint: Option<&'static str>) -> bool {
        if failures >= start_budget(self.settings.workers) {
            let message = format!("workers keep failing to start ({failures} in a row): {words}");
            let error = Error { hint: hint.map(str::to_owned), ..Error::pool(message) };
            self.cancel.raise(Level::Abort, Reason::Failed(error));
            return true;
        }
        self.pause(restart_pause(failures));
        self.is_over()
    }

    /// Sleeps for so long, or until the run is over.
    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|_| !self.is_over()) {
            let mut fds = [PollFd::from_borrowed_fd(self.template.bell.fd(), PollFlags::IN)];
            // An error only means another round.
            let _ = rustix::event::poll(&mut fds, Some(&timespec(left)));
            self.template.bell.hush();
        }
    }

    /// Has workers forked from this template until it dies. Returns how, and whether it has forked any; `None` once none is
    /// needed any more.
    fn keep(&self, mut loading: Loading) -> Option<(String, bool)> {
        self.template.publish(&mut loading.process);
        self.dispatch.hold_starts(false);
        let words = loop {
            if self.is_over() {
                break None;
            }
            if self.template.take_reload() {
                loading = self.renew(loading);
            }
            if let Heard::Ended(how) = loading.hear(&self.template.bell, None) {
                break Some(loading.death(how));
            }
        };
        self.dispatch.hold_starts(true);
        let trial = self.template.withdraw();
        loading.bury();
        let words = words.map(|words| if trial.has_hung { self.hung() } else { words });
        words.map(|words| (words, trial.has_forked))
    }

    fn hung(&self) -> String {
        let limit = humantime::format_duration(self.settings.start_timeout);
        format!("the template did not fork a worker within --start-timeout ({limit}), and was killed")
    }

    /// Loads the handler anew, and then has all workers replaced. If it cannot be loaded, all goes on as it was.
    fn renew(&self, old: Loading) -> Loading {
        self.reporter.notice("SIGUSR2: loading the handler anew".to_owned());
        let why = match self.try_to_load() {
            Ok(mut new) => {
                self.template.withdraw();
                old.bury();
                self.template.publish(&mut new.process);
                let workers = self.dispatch.renew();
                if workers > 0 {
                    let workers = counted(workers as u64, "worker");
                    self.reporter.notice(format!("SIGUSR2: replacing {workers}, one at a time"));
                }
                return new;
            }
            Err(Failed::Stopped) => return old,
            Err(Failed::Fatal(error)) => fatal_error(&error).message,
            Err(Failed::Ended(words) | Failed::NoProcess(words)) => words,
        };
        self.reporter.notice(format!("no worker is replaced, all go on as they are: {why}"));
        old
    }

    /// No worker will be started any more.
    fn is_over(&self) -> bool {
        self.template.is_ended() || self.cancel.level() > Level::Run
    }
}
