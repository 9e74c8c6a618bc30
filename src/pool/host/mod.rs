//! The life of a host in the pool, as a pure state machine: to the dispatcher a host is a slot with many jobs in flight.
//!
//! What carries the stream (ssh, srun, kubectl) is a process like a worker's; at its far end the agent keeps the workers
//! of the host and obeys the limits of their jobs. Order, retries, journal and rate stay here.
//!
//! ```text
//!           started          hello             ready
//!  Absent ──────────► Calling ─────► Loading ─────────► Ready
//!    ▲                   └──────────────┴──────┬───────────┘
//!    │  exit and end of output, and jobs told  │
//!    └─────────────────────────────────────────┴──► Over, when no work is left
//! ```
//!
//! A host where forkpool is not installed is called a second time: then a shell is started there, which asks for this
//! program (`pool::own_program`), and becomes the agent.
//!
//! A host is lost when its stream ends without `bye`, says what is no line of it, or is silent for [`SILENCE`]. Jobs that
//! it has said to begin end as `died` then, or are retried; all others certainly have not begun (see
//! `protocol::stream`), and run elsewhere, uncharged.
//!
//! In reading order: this file has what goes in, `link` the state of a stream, `flight` the jobs at the host, `ahead` how
//! many there may be, `said` what the agent says, `ending` how a stream comes to its end.

mod link;
mod flight;
pub mod ahead;
mod said;
mod ending;

pub use ending::Trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::dispatch::{Recycling, Standing, WorkerState};
use super::exited::Exited;
use super::life::Life;
use super::luggage::Luggage;
use super::outbox::Outbox;
use super::settings::{Host, PoolSettings};
use super::stopping::Stopping;
use crate::protocol::stream::{self, Order};
use crate::words::cancel::Level;
use crate::words::doing::{Doing, Occupation};
use crate::words::host::{HostId, Way};
use link::{Asked, Ending, Link, SIGN_OF_LIFE, Stage};

/// A host that has said nothing for so long is lost: a busy one says something every ten seconds.
pub const SILENCE: Duration = Duration::from_secs(60);

pub struct HostSession {
    name: String,
    id: HostId,
    settings: Arc<PoolSettings>,
    state: State,
    stopping: Stopping,
    /// How often in a row the host was lost without having answered anything.
    losses: u32,
    /// The run stands still.
    is_held: bool,
    /// How its agent is started.
    way: Way,
    /// This program can be brought there, if it turns out that the host has none.
    has_shell: bool,
    dice: fastrand::Rng,
    pub out: Outbox,
}

enum State {
    Absent { start_at: Instant },
    Live(Box<Link>),
    Over,
}

impl HostSession {
    /// `seed` makes the jitter of the pauses before a retry.
    pub fn new(host: &Host, settings: Arc<PoolSettings>, now: Instant, seed: u64) -> HostSession {
        HostSession {
            name: host.name.clone(),
            id: HostId::of(&host.name),
            settings,
            state: State::Absent { start_at: now },
            stopping: Stopping::new(),
            losses: 0,
            is_held: false,
            way: Way::Installed,
            has_shell: host.shell.is_some(),
            dice: fastrand::Rng::with_seed(seed),
            out: Outbox::default(),
        }
    }

    fn link(&self) -> Option<&Link> {
        if let State::Live(link) = &self.state { Some(link) } else { None }
    }

    fn link_mut(&mut self) -> Option<&mut Link> {
        if let State::Live(link) = &mut self.state { Some(link) } else { None }
    }

    /// This program would be brought to the host if it turned out to have none.
    fn may_bring(&self) -> bool {
        self.goes_on() && self.has_shell && self.way == Way::Installed
    }

    fn goes_on(&self) -> bool {
        self.stopping.goes_on()
    }
}

impl Life for HostSession {
    fn standing(&self, is_first: bool, _: Instant) -> Option<Standing> {
        let link = match &self.state {
            State::Over => return None,
            State::Absent { start_at } => {
                let worker = WorkerState::Absent { start_at: *start_at, is_first };
                return Some(Standing { room: 0, in_flight: 0, worker, recycling: Recycling::No });
            }
            State::Live(link) => link,
        };
        let may_retire = self.goes_on() && link.is_open() && link.is_ready() && link.is_outdated;
        Some(Standing {
            room: if self.goes_on() && !self.is_held { link.room() } else { 0 },
            in_flight: link.flight.len(),
            worker: if link.is_ready() { WorkerState::Proven } else { WorkerState::Unproven },
            recycling: if may_retire { Recycling::InTurn } else { Recycling::No },
        })
    }

    fn in_flight(&self) -> usize {
        self.link().map_or(0, |link| link.flight.len())
    }

    fn is_live(&self) -> bool {
        self.link().is_some()
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn doing(&self, now: Instant) -> Doing {
        let Some(link) = self.link() else { return Doing::Absent };
        match (link.flight.oldest(), link.stage) {
            (Some((job, begun)), _) => {
                let since = now.saturating_duration_since(begun);
                Doing::Running { job, since, others: link.flight.len() - 1 }
            }
            _ if !link.is_open() => Doing::Ending,
            (None, Stage::Calling { since }) => {
                Doing::Loading(now.saturating_duration_since(since), Some("calling the host".to_owned()))
            }
            (None, Stage::Loading { since }) => Doing::Loading(now.saturating_duration_since(since), None),
            (None, Stage::Ready) => Doing::Idle,
        }
    }

    fn occupation(&self, _: Instant) -> Option<Occupation> {
        Some(match &self.state {
            State::Over => return None,
            State::Absent { .. } => Occupation::Down,
            State::Live(link) if !link.flight.is_empty() => Occupation::Busy,
            State::Live(link) if !link.is_open() => Occupation::Down,
            State::Live(link) if link.is_ready() => Occupation::NoInput,
            State::Live(_) => Occupation::Starting,
        })
    }

    fn deadline(&self, _: Instant) -> Option<Instant> {
        let link = self.link()?;
        let ending = match link.ending {
            Ending::No => None,
            Ending::Asked(_, until) | Ending::Killed(_, until) => Some(until),
        };
        let start = match link.stage {
            Stage::Calling { since } if ending.is_none() => Some(since + self.settings.start_timeout),
            _ => None,
        };
        let silent = link.is_heard().then_some(link.heard + SILENCE);
        let ping = (link.is_heard() && link.is_answered()).then_some(link.ping_due);
        [ending, start, silent, ping, link.judge_at].into_iter().flatten().min()
    }

    fn pending_input(&self) -> &[u8] {
        self.link().map_or(&[], |link| link.input.pending())
    }

    fn output_buffer(&mut self) -> Option<&mut Vec<u8>> {
        self.link_mut().map(|link| link.output.buffer())
    }

    fn way(&self) -> Way {
        self.way
    }

    fn spawned(&mut self, luggage: Luggage, now: Instant) {
        self.state = State::Live(Box::new(Link::new(luggage, now)));
        if !self.goes_on() {
            self.begin_stop(now);
        }
    }

    fn pause(&mut self, until: Instant) {
        if let State::Absent { start_at } = &mut self.state {
            *start_at = (*start_at).max(until);
        }
    }

    fn leave_out(&mut self) {
        self.state = State::Over;
    }

    fn give(&mut self, delivery: Delivery, now: Instant) {
        let State::Live(link) = &mut self.state else {
            self.out.returned.push(delivery);
            return;
        };
        // An attempt that ended with its worker has another worker for itself, at the far end.
        let alone = delivery.last_failure.as_ref().is_some_and(|failure| failure.status.is_of_the_worker());
        stream::put_job(&delivery.job, delivery.charged + 1, alone, link.input.bytes());
        link.ping_due = link.ping_due.min(now + SIGN_OF_LIFE / 10);
        link.flight.sent(delivery);
    }

    fn written(&mut self, bytes: usize) {
        if let Some(link) = self.link_mut() {
            link.input.written(bytes);
            // What is left shows that the far end takes it piece by piece.
            link.was_written |= link.input.end() > link.input.accepted();
        }
    }

    /// The command that carries the stream takes nothing any more. What the agent has said is still to be read.
    fn input_broken(&mut self, _: u64, _: Instant) {
        if let Some(link) = self.link_mut() {
            link.input.break_off();
        }
    }

    fn received(&mut self, now: Instant) {
        self.hear(now);
        self.end_if_idle(now);
    }

    fn output_ended(&mut self, now: Instant) {
        let Some(link) = self.link_mut() else { return };
        link.output_ended = true;
        self.seen_an_end(now);
    }

    fn exited(&mut self, exited: Exited, now: Instant) {
        let Some(link) = self.link_mut() else { return };
        link.exited = Some(exited);
        self.seen_an_end(now);
    }

    /// That forkpool is not found on a host is nobody's trouble if it is brought there, so all is held back until that is
    /// known.
    fn stderr(&mut self, bytes: &[u8]) -> bool {
        let may_bring = self.may_bring();
        let Some(link) = self.link_mut() else { return true };
        link.tail.push(bytes);
        link.is_held_back |= may_bring && !link.is_answered();
        !link.is_held_back
    }

    fn retire(&mut self, now: Instant) {
        self.ask_to_end(Asked::Recycle, now);
    }

    fn outdated(&mut self) {
        if let Some(link) = self.link_mut() {
            link.is_outdated = true;
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

    fn tick(&mut self, now: Instant) {
        self.check_clocks(now);
    }

    fn hold(&mut self, paused: bool) {
        self.is_held = paused;
        if let Some(link) = self.link_mut() {
            link.send(&Order::Hold(paused));
        }
    }

    fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }
}

#[cfg(test)]
mod tests;
