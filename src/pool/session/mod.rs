//! The life of one slot's workers as a pure state machine.
//!
//! Bytes, exits and the time go in; bytes to write, process actions, outcomes and returned jobs come out. It
//! never looks at a clock, a process or a thread: the slot's poll loop does that, and the simulation of the pool
//! does it with a virtual clock and random events.
//!
//! ```text
//!           spawned            ready, or a final reply
//!  Absent ──────────► Loading ────────────────────────► Proven
//!    ▲                   │                                 │
//!    │                   └────────────┬────────────────────┘
//!    │  exit and end of output known  │   (an ending may be under way: see `ladder`)
//!    └────────────────────────────────┴──► Over, when no work is left
//! ```
//!
//! Rules that everything here serves: a job given to the session leaves it exactly once, as an outcome or
//! returned; only the head of a serial worker is ever blamed for its death; what has arrived counts before any
//! deadline is judged, so `received` must be called before `tick`.
//!
//! This file has what goes in. The others, in reading order: `state`, and in it `live` (a running worker) with `hands`
//! (its jobs), `calls`, `wear` and `pace`; `replies` is what the worker says, `ending` and `ladder` bring it to its
//! end, `blame` and `death` say who is to blame for that end; `outbox` is what comes out.

mod state;
mod live;
mod hands;
mod calls;
mod wear;
mod pace;

mod replies;
mod explain;

mod ending;
mod ladder;
mod blame;
mod death;

use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::dispatch::{Recycling, Standing, WorkerState};
use super::exited::{Exited, signal_name};
use super::life::Life;
use super::luggage::Luggage;
use super::outbox::{Action, Outbox, Report};
use crate::text::framing::lines;
use crate::words::advice::RetryAdvice;
use crate::words::cancel::Level;
use crate::words::doing::{Doing, Occupation};
use crate::words::outcome::{JobError, Outcome, Status, Stay};
use blame::RETURNS;
use ending::Why;
use live::{Intake, Live, ProcessState, Stage};
use state::State;
use wear::Wear;

pub use state::Session;

impl Life for Session {
    // ---- What it wants ----

    fn standing(&self, is_first: bool, now: Instant) -> Option<Standing> {
        match &self.state {
            State::Over => None,
            State::Absent { start_at } => {
                let worker = WorkerState::Absent { start_at: *start_at, is_first };
                Some(Standing { room: 0, in_flight: 0, worker, recycling: Recycling::No })
            }
            State::Live(live) => Some(Standing {
                room: if self.goes_on() { live.room(&self.settings, self.one_at_a_time, now) } else { 0 },
                in_flight: live.hands.len(),
                worker: if live.is_proven() { WorkerState::Proven } else { WorkerState::Unproven },
                recycling: if self.may_retire(live) { live.wear.recycling(now) } else { Recycling::No },
            }),
        }
    }

    fn in_flight(&self) -> usize {
        self.live().map_or(0, |live| live.hands.len())
    }

    fn is_live(&self) -> bool {
        self.live().is_some()
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn doing(&self, now: Instant) -> Doing {
        let Some(live) = self.live() else { return Doing::Absent };
        match (live.hands.longest_running(now), live.stage) {
            (Some((job, since)), _) => Doing::Running { job, since, others: live.hands.len() - 1 },
            _ if !live.is_unharmed() => Doing::Ending,
            (None, Stage::Loading { since, .. }) if self.settings.supplied => {
                Doing::Loading(now.saturating_duration_since(since), live.step.clone())
            }
            (None, _) => Doing::Idle,
        }
    }

    fn occupation(&self, _: Instant) -> Option<Occupation> {
        Some(match &self.state {
            State::Over => return None,
            State::Absent { .. } => Occupation::Down,
            State::Live(live) if !live.hands.is_empty() => Occupation::Busy,
            State::Live(live) if !live.is_unharmed() => Occupation::Down,
            // Only the worker of a handler says when it has loaded; any other may be ready at once.
            State::Live(live) if self.settings.supplied && !live.is_proven() => Occupation::Starting,
            State::Live(_) => Occupation::NoInput,
        })
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        self.live()?.deadline(&self.settings, now)
    }

    fn nap(&self) -> Duration {
        match self.live() {
            Some(live) if self.stopping.level == Level::Run && live.calls.is_none() => live.pace.nap(live.hands.len()),
            _ => Duration::ZERO,
        }
    }

    fn pending_input(&self) -> &[u8] {
        self.live().map_or(&[], |live| live.input.pending())
    }

    fn output_buffer(&mut self) -> Option<&mut Vec<u8>> {
        self.live_mut().map(|live| live.output.buffer())
    }

    // ---- What happens to it ----

    fn spawned(&mut self, _: Luggage, now: Instant) {
        let wear = Wear::new(self.settings.recycle, self.dice.f64(), now);
        self.state = State::Live(Box::new(Live::new(wear, &self.settings, now)));
        if !self.goes_on() {
            self.begin_stop(now);
        }
    }

    fn pause(&mut self, until: Instant) {
        if let State::Absent { start_at } = &mut self.state {
            *start_at = (*start_at).max(until);
        }
    }

    fn give(&mut self, delivery: Delivery, now: Instant) {
        let State::Live(live) = &mut self.state else {
            self.out.returned.push(delivery);
            return;
        };
        if let Err((delivery, reason)) = live.give(delivery, &self.settings, now) {
            let error = JobError::bad_input(reason).with("line", delivery.job.line);
            self.out.outcomes.push(Outcome::unrun(delivery.job, Status::BadInput, &error));
        }
    }

    fn begin_batch(&mut self, now: Instant) -> bool {
        self.live_mut().is_some_and(|live| live.begin_batch(now))
    }

    fn written(&mut self, bytes: usize) {
        if let Some(live) = self.live_mut() {
            live.input.written(bytes);
        }
    }

    fn input_broken(&mut self, unread: u64, now: Instant) {
        let slot = self.slot;
        let Some(live) = self.live_mut() else { return };
        // Returns are counted only where the worker was proven. The end of any other is a failed start, and failed
        // starts have a budget of their own.
        let head = live.hands.head().filter(|_| live.is_proven()).map(hands::Open::number);
        for mut delivery in live.break_input(unread) {
            // The head would have been read next, so each return of it as the head is counted; the ninth is charged.
            delivery.returns += u32::from(head == Some(delivery.job.number));
            if delivery.returns > RETURNS {
                let message = format!("worker w{slot} closed its input and left this job unread");
                let message = format!("{message}, as did {} before it", delivery.returns - 1);
                let error = JobError::new("WorkerDied", message).to_json();
                self.fail(delivery, Status::Died, error, RetryAdvice::default(), Stay::default(), now);
            } else {
                self.out.returned.push(delivery);
            }
        }
        self.end_if_idle(now);
    }

    fn received(&mut self, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        let whole = live.output.take_lines();
        let mut finals = 0;
        for line in lines(&whole) {
            finals += usize::from(self.line(line, now));
        }
        if finals > 0 {
            self.deaths = 0;
        }
        let longest = self.settings.max_reply_bytes;
        let Some(live) = self.live_mut() else { return };
        if finals > 0 {
            live.pace.answered(finals, whole.len(), now);
        }
        if live.output.partial() > longest && live.takes_replies() {
            let start = live.output.partial_bytes()[..explain::SHOWN.min(live.output.partial())].to_vec();
            self.reply_too_long(&start, now);
        }
        self.end_if_idle(now);
    }

    fn output_ended(&mut self, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        match live.process {
            ProcessState::Running => live.process = ProcessState::OutputEnded { judge_at: Some(now + live::SETTLE) },
            ProcessState::OutputEnded { .. } => {}
            ProcessState::Exited { .. } => self.gone(now),
        }
    }

    fn exited(&mut self, exited: Exited, now: Instant) {
        let Some(live) = self.live_mut() else { return };
        let output_ended = matches!(live.process, ProcessState::OutputEnded { .. });
        live.process = ProcessState::Exited { exited, judge_at: now + live::SETTLE };
        if output_ended {
            self.gone(now);
        }
    }

    fn stderr(&mut self, bytes: &[u8]) -> bool {
        if let Some(live) = self.live_mut() {
            live.tail.push(bytes);
            if let Some(ending) = &mut live.ending {
                ending.stderr(bytes);
            }
        }
        true
    }

    fn memory(&mut self, bytes: usize) {
        if let Some(live) = self.live_mut() {
            live.wear.measured(bytes);
        }
    }

    fn retire(&mut self, now: Instant) {
        if let Some(live) = self.live_mut() {
            live.intake = Intake::Retiring;
            self.end_if_idle(now);
        }
    }

    fn outdated(&mut self) {
        if let Some(live) = self.live_mut() {
            live.wear.outdated();
        }
    }

    fn cancel(&mut self, level: Level, reason: &str, now: Instant) {
        if self.stopping.cancel(level, reason) {
            self.begin_stop(now);
        }
    }

    fn finish(&mut self, now: Instant) {
        if self.stopping.finish() {
            self.begin_stop(now);
        }
    }

    fn one_at_a_time(&mut self) {
        self.one_at_a_time = true;
    }

    fn tick(&mut self, now: Instant) {
        let Some(live) = self.live() else { return };
        if live.judge_at().is_some_and(|at| at <= now) {
            self.judge_at_last(now);
        } else if live.ending.as_ref().is_some_and(|ending| ending.deadline() <= now) {
            self.climb(now);
        } else if live.has_clocks() {
            self.check_clocks(now);
        }
    }

    fn suspended(&mut self, signal: i32, now: Instant) {
        if !self.live().is_some_and(Live::is_unharmed) {
            return;
        }
        let name = signal_name(signal);
        let words = format!("was stopped by {name} and ended: a worker cannot use the terminal");
        self.kill(Why::Suspended(words), now);
    }

    fn hold(&mut self, paused: bool) {
        self.out.actions.push(Action::Signal(if paused { libc::SIGSTOP } else { libc::SIGCONT }));
    }

    fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }
}

impl Session {
    /// Whether the worker could be replaced now as planned.
    fn may_retire(&self, live: &Live) -> bool {
        self.goes_on() && live.is_unharmed() && live.intake == Intake::Open
    }

    /// Judges the time limits of a worker that has not been asked to end.
    fn check_clocks(&mut self, now: Instant) {
        let State::Live(live) = &mut self.state else { return };
        if live.silence_deadline(&self.settings).is_some_and(|at| at <= now) {
            self.out.reports.push(Report::Silent(live.looked_at_silence()));
        }
        if live.start_deadline(&self.settings).is_some_and(|at| at <= now) {
            self.start_timed_out(now);
        } else if let Some((index, at)) = live.next_timeout(&self.settings)
            && at <= now
        {
            self.timed_out(index, now);
        }
    }

    fn name(&self) -> String {
        format!("w{}", self.slot)
    }
}

#[cfg(test)]
mod tests;
