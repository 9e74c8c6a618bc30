//! The life of what a slot keeps, as a seat drives it: a worker's (`session`), or a host's with all its workers (`host`).
//!
//! Both are pure state machines. Bytes, exits and the time go in; bytes to write, and what is in the outbox, come out.
//! Neither looks at a clock, a process or a thread: the slot's poll loop does that, and so does the simulation. What is
//! asked only of workers of this machine (a nap, their memory, a stop by the terminal) has an answer here for all others.

use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::dispatch::Standing;
use super::exited::Exited;
use super::luggage::Luggage;
use super::outbox::Outbox;
use crate::words::cancel::Level;
use crate::words::doing::{Doing, Occupation};
use crate::words::host::Way;

pub trait Life: Send {
    /// How the slot stands before the dispatcher; `is_first` says that it has started no worker before. `None` is a
    /// session that is over.
    fn standing(&self, is_first: bool, now: Instant) -> Option<Standing>;

    /// How many jobs its worker has been given and has not answered.
    fn in_flight(&self) -> usize;

    /// There is a process.
    fn is_live(&self) -> bool;

    /// No worker is left, and none will be started.
    fn is_over(&self) -> bool;

    /// What the worker does, for people.
    fn doing(&self, now: Instant) -> Doing;

    /// What the slot spends its time with, where an idle worker has no input; `None` if it is over.
    fn occupation(&self, now: Instant) -> Option<Occupation>;

    /// When `tick` must be called at the latest.
    fn deadline(&self, now: Instant) -> Option<Instant>;

    /// How long the worker's output may be left alone so that answers are read in large pieces; zero unless
    /// many quick jobs are queued.
    fn nap(&self) -> Duration {
        Duration::ZERO
    }

    /// The bytes to write into the worker's stdin.
    fn pending_input(&self) -> &[u8];

    /// Where the worker's output is to be read into, at its end.
    fn output_buffer(&mut self) -> Option<&mut Vec<u8>>;

    /// How the next agent is to be started, where there are hosts.
    fn way(&self) -> Way {
        Way::Installed
    }

    /// A worker has been started. `luggage` is what it is to be told first: nothing, unless it is the agent of a host.
    fn spawned(&mut self, luggage: Luggage, now: Instant);

    /// The slot's next worker is started at `until` at the earliest.
    fn pause(&mut self, until: Instant);

    /// No worker is started any more: the others go on without this slot.
    fn leave_out(&mut self) {}

    /// Gives the worker a job. It must have room for it, as `standing` says.
    fn give(&mut self, delivery: Delivery, now: Instant);

    /// Tells the worker to begin the batch that it has been given, if it would be idle otherwise. Returns whether there
    /// is more to write for that. Must be called when the worker is given no more for now.
    fn begin_batch(&mut self, _: Instant) -> bool {
        false
    }

    /// So many bytes of `pending_input` have been accepted by the pipe.
    fn written(&mut self, bytes: usize);

    /// The worker has closed its stdin with so many bytes unread in it. It will never begin the jobs that these bytes
    /// are, nor those that are not in the pipe yet.
    fn input_broken(&mut self, unread: u64, now: Instant);

    /// Bytes have been appended to `output_buffer`.
    fn received(&mut self, now: Instant);

    /// The end of the worker's output.
    fn output_ended(&mut self, now: Instant);

    /// The worker's process has ended.
    fn exited(&mut self, exited: Exited, now: Instant);

    /// The worker wrote this to its stderr. Returns whether people are to see it.
    fn stderr(&mut self, bytes: &[u8]) -> bool;

    /// Resident memory of the worker's process group, in bytes.
    fn memory(&mut self, _: usize) {}

    /// The worker gets no more jobs, and is replaced once it has none.
    fn retire(&mut self, now: Instant);

    /// The worker is older than an order to replace all workers.
    fn outdated(&mut self);

    /// The run is being stopped.
    fn cancel(&mut self, level: Level, reason: &str, now: Instant);

    /// No job is left anywhere: end the worker in peace.
    fn finish(&mut self, now: Instant);

    /// Another worker has shown that it does not take its jobs in order.
    fn one_at_a_time(&mut self) {}

    /// Judges the deadlines that have passed.
    fn tick(&mut self, now: Instant);

    /// The system has stopped the worker by this signal, because it used a terminal that is not its own. Nobody would
    /// ever continue it, so it is killed.
    fn suspended(&mut self, _: i32, _: Instant) {}

    /// What is to be done and told, for whoever empties it.
    fn out(&mut self) -> &mut Outbox;

    /// The run stands still from now on (Ctrl-Z), or goes on.
    fn hold(&mut self, paused: bool);
}
