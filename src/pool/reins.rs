//! What signals do to the pool: Ctrl-Z stops the workers, `fg` lets them go on, SIGUSR2 replaces them.

use std::sync::Arc;

use rustix::process::Signal;

use super::dispatch::Dispatch;
use super::template::Template;
use crate::sys::clock::Clock;

/// Has all workers, what they are forked from, and the run's clock do what a signal means.
pub struct Reins {
    dispatch: Arc<Dispatch>,
    template: Option<Arc<Template>>,
    clock: Clock,
}

impl Reins {
    pub fn new(dispatch: Arc<Dispatch>, template: Option<Arc<Template>>, clock: Clock) -> Reins {
        Reins { dispatch, template, clock }
    }

    /// The run stands still from now on.
    pub fn pause(&self) {
        self.clock.stop();
        self.dispatch.pause();
        self.template.iter().for_each(|template| template.signal(Signal::STOP));
    }

    /// The run goes on.
    pub fn resume(&self) {
        self.clock.go();
        self.template.iter().for_each(|template| template.signal(Signal::CONT));
        self.dispatch.resume();
    }

    /// Each slot is to look at its worker.
    pub fn rouse(&self) {
        self.dispatch.rouse();
    }

    /// All workers are to be replaced, one slot at a time. Returns how many; none if the template is loaded anew first,
    /// which says so itself.
    pub fn renew(&self) -> usize {
        match &self.template {
            None => self.dispatch.renew(),
            Some(template) => {
                template.reload();
                0
            }
        }
    }
}
