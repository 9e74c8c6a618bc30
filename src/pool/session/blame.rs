//! A worker is gone: who is charged, who is returned, what happens to the slot.
//!
//! A serial worker takes its jobs in order, so only the head can have killed it. What stands behind it, and
//! what the worker never read from its pipe, goes back uncharged. Where several jobs were running at once
//! (`--concurrency`, or a worker that turned out not to be serial), all that were begun are charged. Of a batch nobody
//! can tell which job did it: none is charged, and each of them is run again by itself.

use std::time::Instant;

use super::death::Death;
use super::ending::Why;
use super::hands::{Call, Fate, Open};
use super::live::{Live, Stage};
use super::state::{Session, State};
use crate::pool::delivery::Delivery;
use crate::pool::dispatch::Failure;
use crate::pool::outbox::{Action, Report};
use crate::pool::policies::restart_pause;
use crate::words::advice::RetryAdvice;
use crate::words::outcome::Status;

/// A job that came back this often as the head, because its worker ended before it had read it, is charged the next
/// time: nothing may go round for ever.
pub const RETURNS: u32 = 8;

/// What becomes of a job whose worker is gone.
enum Verdict {
    /// How the job ends was decided before its worker was gone.
    Fated(Fate),
    /// The job has killed the worker, as far as anybody can tell. `begun` says that the worker had read it.
    Charged { begun: bool },
    /// The job was in a batch with the one that did it, whichever that was.
    InBatch,
    /// The worker ended before it had read the job that it would have run next.
    NeverRead,
    /// The job stood behind the one that is charged.
    Bystander,
    /// The job stood behind the one that is charged, but the worker may have gone on to it before it was ended.
    Doubtful,
}

/// What is known when the jobs of a worker are judged.
struct Evidence {
    /// Bytes of its input that the worker has read.
    consumed: u64,
    /// All jobs of the worker may have been running at the same time.
    at_once: bool,
    /// The worker was ended by us for what its head did, so that no other job is suspected.
    head_known: bool,
    /// The call that was running, if several jobs were in it.
    batch: Option<Call>,
}

impl Evidence {
    fn verdict(&self, index: usize, open: &mut Open) -> Verdict {
        if let Some(fate) = open.fate.take() {
            return Verdict::Fated(fate);
        }
        let begun = self.consumed > open.begins;
        if begun && self.batch == Some(open.call) {
            return Verdict::InBatch;
        }
        let is_suspect = self.at_once || (index == 0 && !self.head_known);
        match (is_suspect, begun) {
            (true, true) => Verdict::Charged { begun },
            (true, false) if open.delivery.returns >= RETURNS => Verdict::Charged { begun },
            (true, false) => Verdict::NeverRead,
            (false, true) if self.head_known => Verdict::Doubtful,
            (false, _) => Verdict::Bystander,
        }
    }
}

impl Session {
    /// The worker's end is known, or the worker has been given up.
    pub(super) fn gone(&mut self, now: Instant) {
        let State::Live(live) = std::mem::replace(&mut self.state, State::Absent { start_at: now }) else { return };
        self.out.actions.push(Action::Bury);
        let mut live = *live;
        let death = Death::of(self.slot, &live, &self.settings, &self.stopping.why);
        let why = live.ending.as_ref().map(|ending| &ending.why);
        let evidence = Evidence {
            consumed: death.consumed,
            at_once: live.hands.run_at_once(),
            head_known: matches!(why, Some(Why::Timeout(_) | Why::BadReply(..))),
            batch: live.hands.head().map(|head| head.call).filter(|call| call.is_shared()),
        };
        let failure = kind_of_failure(&live, death.consumed);
        // The worker of a handler that takes batches is ours: what stands behind its batch is beyond suspicion.
        let shared = live.hands.len() > 1 && live.calls.is_none();
        for (index, mut open) in live.hands.take_all().into_iter().enumerate() {
            let verdict = evidence.verdict(index, &mut open);
            self.execute(verdict, open, shared, &live, &death, now);
        }
        self.report_end(&live, &death, failure, now);
        if !self.goes_on() {
            self.state = State::Over;
        }
    }

    fn execute(&mut self, verdict: Verdict, open: Open, shared: bool, live: &Live, death: &Death, now: Instant) {
        let alone = open.delivery.alone || shared;
        match verdict {
            Verdict::Fated(Fate { status, error, stay }) => {
                // The worker may have ended before the step was due at which this would have been told: what it has
                // shown meanwhile, a dump or an answer to the end of its input, belongs to the error.
                let error = match &live.ending {
                    Some(ending) => ending.explain(error),
                    None => error,
                };
                self.fail(open.delivery, status, error.to_json(), RetryAdvice::default(), stay, now);
            }
            Verdict::Charged { begun } => {
                let stay = open.stay(now);
                let error = death.error(&open, begun).to_json();
                self.fail(open.delivery, Status::Died, error, RetryAdvice::default(), stay, now);
            }
            Verdict::InBatch => self.out.returned.push(open.delivery.suspected()),
            Verdict::NeverRead => {
                // Only the end of a proven worker is counted against the job. The end of any other is a failed start,
                // which says nothing about the job, and is bounded by the budget of failed starts.
                let returns = open.delivery.returns + u32::from(live.is_proven());
                self.out.returned.push(Delivery { alone, returns, ..open.delivery });
            }
            Verdict::Bystander => self.out.returned.push(Delivery { alone, ..open.delivery }),
            Verdict::Doubtful => self.out.returned.push(Delivery { alone, doubtful: true, ..open.delivery }),
        }
    }

    fn report_end(&mut self, live: &Live, death: &Death, failure: Failure, now: Instant) {
        let report = match live.ending.as_ref().map(|ending| &ending.why) {
            Some(Why::Recycle) => Report::Recycled,
            Some(Why::Finish | Why::Stopped) => return,
            // A job's own time limit says nothing about how workers start.
            Some(Why::Timeout(_)) => Report::Lost(death.words.clone()),
            _ if !live.is_proven() => {
                if failure != Failure::AtStart {
                    self.pause_after_death(now);
                }
                Report::FailedStart(failure, death.full_words(), death.hint.map(str::to_owned))
            }
            Some(Why::BadReply(..)) => Report::Lost(death.words.clone()),
            _ => {
                self.pause_after_death(now);
                Report::Lost(death.words.clone())
            }
        };
        self.out.reports.push(report);
    }

    /// Lets the next worker of this slot wait. The first death costs no pause; deaths that follow without an answer in
    /// between do.
    fn pause_after_death(&mut self, now: Instant) {
        self.state = State::Absent { start_at: now + restart_pause(self.deaths) };
        self.deaths += 1;
    }
}

/// What the end of a worker that was not proven says of how workers start. Such a worker had one job at most, so it had
/// read that job if it had read anything.
fn kind_of_failure(live: &Live, consumed: u64) -> Failure {
    match live.stage {
        Stage::Loading { retries: true, .. } if consumed > 0 => Failure::InRetriedJob,
        _ if consumed > 0 => Failure::InFirstJob,
        _ => Failure::AtStart,
    }
}
