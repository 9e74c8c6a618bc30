//! A worker is gone: who is charged, who is returned, what happens to the slot.
//!
//! A serial worker takes its jobs in order, so only the head can have killed it. What stands behind it, and
//! what the worker never read from its pipe, goes back uncharged. Where several jobs were running at once
//! (`--concurrency`, or a worker that turned out not to be serial), all that were begun are charged.

use std::time::{Duration, Instant};

use super::explain::Death;
use super::ladder::Why;
use super::live::{Live, Open};
use super::{Action, Delivery, Report, Session, State};
use crate::pool::policies::restart_pause;
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::outcome::{JobError, Status};

/// How an open job will end, decided before its worker is gone.
#[derive(Debug)]
pub struct Sealed {
    pub status: Status,
    pub error: JobError,
    pub elapsed: Duration,
}

/// A job that no worker even begins to read, again and again, is charged at last: nothing may go round for
/// ever.
pub const RETURNS: u32 = 8;

impl Session {
    /// The worker's end is known, or it has been given up.
    pub(super) fn gone(&mut self, now: Instant) {
        let State::Live(live) = std::mem::replace(&mut self.state, State::Absent { start_at: now }) else { return };
        self.out.actions.push(Action::Bury);
        let mut live = *live;
        let death = Death::of(self.slot, &live, &self.settings, &self.stop_reason);
        let shared = live.open.len() > 1;
        for (index, open) in std::mem::take(&mut live.open).into_iter().enumerate() {
            self.end_job(index, open, shared, &live, &death, now);
        }
        self.report_end(&live, &death, now);
        if self.level >= Level::Drain || self.finishing {
            self.state = State::Over;
        }
    }

    fn end_job(&mut self, index: usize, open: Open, shared: bool, live: &Live, death: &Death, now: Instant) {
        let elapsed = open.started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if let Some(sealed) = open.sealed {
            // It may have ended before its next step was due, of the dump or of the end of its input.
            let error = match &live.ending {
                Some(ending) => ending.explain(sealed.error),
                None => sealed.error,
            };
            self.fail(open.delivery, sealed.status, error.to_json(), RetryAdvice::default(), sealed.elapsed, now);
            return;
        }
        let at_once = self.settings.concurrency > 1 || live.not_serial;
        let head_known = matches!(live.ending.as_ref().map(|ending| ending.why), Some(Why::Timeout | Why::BadReply));
        let suspect = at_once || (index == 0 && !head_known);
        let begun = death.consumed > open.begins;
        if suspect && (begun || open.delivery.returns >= RETURNS) {
            let payload = death.error(&open, begun).to_json();
            self.fail(open.delivery, Status::Died, payload, RetryAdvice::default(), elapsed, now);
        } else {
            // A failed start says nothing about its job, and is bounded by the budget of starts.
            let returns = open.delivery.returns + u32::from(suspect && live.proven);
            let alone = open.delivery.alone || shared;
            // A condemned worker may have gone on to its next job before it was killed.
            let doubtful = open.delivery.doubtful || (begun && head_known);
            self.give_back(Delivery { alone, doubtful, returns, ..open.delivery });
        }
    }

    fn report_end(&mut self, live: &Live, death: &Death, now: Instant) {
        match live.ending.as_ref().map(|ending| ending.why) {
            Some(Why::Recycle) => self.out.reports.push(Report::Recycled),
            Some(Why::Finish | Why::Stopped) => {}
            // A job's own time limit says nothing about how workers start.
            Some(Why::Timeout) => self.out.reports.push(Report::Lost(death.words.clone())),
            _ if !live.proven => self.out.reports.push(Report::FailedStart(death.full_words())),
            Some(Why::BadReply) => self.out.reports.push(Report::Lost(death.words.clone())),
            _ => {
                self.out.reports.push(Report::Lost(death.words.clone()));
                // The first death costs no pause; those that follow without an answer between them do.
                self.state = State::Absent { start_at: now + restart_pause(self.deaths) };
                self.deaths += 1;
            }
        }
    }
}
