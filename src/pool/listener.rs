//! What comes of a slot's work, passed on to the collector, to people and to whoever can stop the run.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::fatal::fatal_error;
use super::seat::{Ear, News};
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::text::people::{counted, whole_seconds};
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::message::Message;
use crate::words::outcome::Outcome;

pub struct Listener {
    pub slot: u32,
    pub outcomes: Sender<Message>,
    pub cancel: Arc<Cancel>,
    pub reporter: Reporter,
    pub counters: Arc<Counters>,
}

impl Ear for Listener {
    fn outcomes(&mut self, outcomes: Vec<Outcome>) {
        // Sending fails only where the collector is gone. It outlives the slots, unless it has panicked, and then the
        // process ends.
        let _ = self.outcomes.send(Message::Outcomes(outcomes));
    }

    fn news(&mut self, news: News) {
        let (reporter, counters) = (&self.reporter, &self.counters);
        let name = format!("w{}", self.slot);
        match news {
            News::Started => reporter.verbose(format!("worker {name} started")),
            News::StartFailed(words) => {
                counters.restarted();
                reporter.verbose(words);
            }
            News::Starved(words) => reporter.notice(words),
            News::GaveUp(error) => self.cancel.raise(Level::Abort, Reason::Failed(error)),
            News::Fatal(error) => self.cancel.raise(Level::Abort, Reason::Failed(fatal_error(&error))),
            News::Lost(words) => {
                counters.restarted();
                reporter.notice(words);
            }
            News::Recycled => {
                counters.recycled();
                reporter.verbose(format!("worker {name} was recycled"));
            }
            News::Buried => reporter.log_end(self.slot),
            News::NotSerial => reporter.notice(format!(
                "worker {name} answers out of order, so each worker gets one job at a time from now on (--concurrency \
                 K gives it K at once)"
            )),
            News::Silent(silent) => reporter.hint(format!(
                "worker {name} has read its first job and has answered nothing for {}; many programs hold their output \
                 back in a pipe: try sed -u, jq --unbuffered, python -u, stdbuf -oL",
                whole_seconds(silent.as_secs_f64())
            )),
            News::Lingering(slots, rest) => reporter.notice(lingering(&slots, rest)),
            News::Progress { job, data } => reporter.progress(job, &data),
            News::PassedOnRetry => counters.passed_on_retry(),
        }
    }
}

/// A line that says which workers are waited for, and for how long.
fn lingering(slots: &[u32], rest: std::time::Duration) -> String {
    /// More names than this would say no more to anybody.
    const NAMED: usize = 8;
    let mut names: Vec<String> = slots.iter().take(NAMED).map(|slot| format!("w{slot}")).collect();
    if slots.len() > NAMED {
        names.push(format!("{} more", slots.len() - NAMED));
    }
    let workers = counted(slots.len() as u64, "worker");
    let rest = whole_seconds(rest.as_secs_f64());
    format!(
        "waiting for {workers} that did not exit at the end of the input ({}), up to {rest} (--grace)",
        names.join(", ")
    )
}
