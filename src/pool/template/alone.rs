//! A template that is loaded for one worker, by `--check` and `--dry-run`.

use std::io;

use super::Template;
use super::loading::{Failed, Loading, load};
use crate::pool::fatal::fatal_error;
use crate::pool::process::Process;
use crate::pool::settings::PoolSettings;
use crate::report::Reporter;
use crate::sys::bell::Bell;
use crate::sys::children;
use crate::sys::clock::Clock;
use crate::words::error::{Error, Result, reason};

/// A template that nobody keeps: it is killed with the calling thread.
pub struct Alone {
    template: Template,
    loading: Loading,
}

impl Alone {
    pub fn load(settings: &PoolSettings, reporter: &Reporter, clock: &Clock) -> Result<Alone> {
        let failed = |error: io::Error| Error::pool(format!("cannot start the template: {}", reason(&error)));
        children::adopt_orphans().map_err(failed)?;
        let bell = Bell::new().map_err(failed)?;
        let mut loading = load(settings, reporter, clock, &bell, &|| false).map_err(|failed| match failed {
            Failed::Fatal(error) => fatal_error(&error),
            Failed::Ended(words) | Failed::NoProcess(words) => Error::pool(words),
            Failed::Stopped => Error::pool("the template was stopped"),
        })?;
        let template = Template::new(bell, settings.start_timeout);
        template.publish(&mut loading.process);
        Ok(Alone { template, loading })
    }

    /// Forks a worker as that of slot 0.
    pub fn start_worker(&self) -> io::Result<Process> {
        self.template.start_worker(0)
    }

    pub fn bury(self) {
        self.template.withdraw();
        self.loading.bury();
    }
}
