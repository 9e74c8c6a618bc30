//! The whole pool against virtual workers, with a virtual clock and random events: N slots with their sessions and
//! the rounds of their loops, the dispatcher they share, a model of the source and one of the collector.
//!
//! A scenario is a list of jobs (each with what it does to its worker) and of operations (some bytes move, time
//! passes, jobs are read, outcomes are received, the run is stopped). After every step the threads that have
//! something to do run until all sleep; then the invariants that can be seen from outside are checked. At the end the
//! pool is driven until it is at rest, and every job must have exactly one outcome, in order, of a status that what
//! it did explains. Scenarios shrink (proptest), and PROPTEST_CASES sets how many there are.
//!
//! Bugs that were planted, one at a time, to see this fail, with the words it failed with; by the file that each was
//! in, the numbers being those of the design's invariants.
//!
//! `dispatch`: an offered job, a returned one, or a collector that has caught up wakes nobody; nobody keeps the time
//! of a delayed job; the keeper sleeps without a time; a slot is not put among the sleepers; one that declines a job
//! it was called for keeps the promise; a limit stops slots that wait for their turn: "no slot sleeps while a job that
//! it may take is due". A job that must be alone is offered to a slot with jobs: "a slot that has a turn has something
//! to do". A turn is taken with jobs in hand, or never given back: "a
//! turn is taken only with empty hands". A later job's keeper keeps the time of an earlier one (11): "nobody turns in
//! circles". The source is not woken, a stop forgets what waits, the end of the work is not announced: "nothing hangs".
//! The window is not kept, memory is not kept, jobs go out while the collector is behind (10): "no more than a window",
//! "memory stays within --memory". Jobs that kill their worker, or retries of one, count as failed starts (9): "the
//! pool gives up only on bad starts". What is given out is not charged to the rate: "no more jobs than --rate allows";
//! nobody keeps the time of a job that the rate holds back: "nothing hangs".
//!
//! `seat`: a slot of a stopped run asks again at once (11): "nobody turns in circles". Refused jobs are lost: "every
//! job ends once". Orders are not obeyed: "a stopped run ends soon". A slot counts the time of a run that stands still:
//! "nobody counts the time".
//!
//! `session`: jobs behind the head, or not in the pipe, are forgotten, an answered job is returned too (1): "every job
//! ends once". Clocks are judged before lines are taken (3), every clock starts at once, no time to load (5): "ended as
//! Timeout". A condemned worker's replies are taken: "ended as Ok". All are suspected, or the one behind the head, or
//! the head after another's timeout; what the worker never read counts as begun; a retried job is not alone (4): "ended
//! as Died", "the innocent are never charged". With many at once only the head is charged, or has a clock: "all that
//! were running are charged", "every running job has a clock". The next head's clock is not started: the same.
//! In batches: one of several jobs is charged with a death or a timeout: "ended as Died", "ended as Timeout". The jobs
//! of one that failed run together once more, one that is not full is never begun: "nothing hangs". They count as never
//! begun: "not_run means never begun". The clock of the next call is not started: "every running job has a clock".
//! The end is judged at the exit alone (6): "an answer in time counts". No burial (7): "no start before the old worker is
//! buried". No SIGKILL: "nothing hangs". A timeout counts as a failed start (9): "the pool gives up only on bad starts".
//! An answer proves nothing, a worker is replaced before it has done a job: "no slot sleeps". One that is too old wakes
//! the loop for ever: "nobody turns in circles". `--dump` is not kept: "what --dump brought is in the record".
//!
//! What threads, processes and files do (2, 8, 12) is seen by tests of the whole program only.

mod machine;
mod judge;
mod worker;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use crate::words::rate::Rate;
use worker::{Deed, Habit};
use world::World;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// A slot wakes: so many bytes, at most, go through its worker's input pipe, and so many through its output pipe.
    Move(usize, usize, usize),
    /// A slot's worker goes on.
    Work(usize),
    /// Milliseconds pass.
    Pass(u64),
    /// The run stands still for a moment (Ctrl-Z).
    Pause,
    /// All workers are to be replaced (SIGUSR2).
    Renew,
    /// An error asks that nothing is given out for so many milliseconds.
    HoldBack(u64),
    /// The source reads so many jobs, if it may.
    Feed(usize),
    /// The collector receives so many outcomes.
    Collect(usize),
    /// A slot's idle worker ends by itself.
    Quit(usize),
    Drain,
    Abort,
}

#[derive(Debug, Clone)]
struct Scenario {
    slots: usize,
    jobs: Vec<Deed>,
    /// How many bytes the data of each job has.
    job_bytes: usize,
    ops: Vec<Op>,
    habit: Habit,
    /// Jobs in flight, at most: one after the other, or at once. In batches, the jobs of one call.
    depth: usize,
    retries: u32,
    /// A worker takes this many milliseconds to load; `None` if it works from the start.
    ready: Option<u64>,
    /// A worker says when it has loaded.
    says_ready: bool,
    supplied: bool,
    /// So many starts of a worker fail before one succeeds.
    bad_starts: u32,
    dump: bool,
    recycle_jobs: Option<u64>,
    recycle_age: Option<Duration>,
    window: usize,
    memory: usize,
    rate: Option<Rate>,
}

impl Scenario {
    /// The time that the operations of the scenario let pass.
    fn passes(&self) -> Duration {
        let ms = |op: &Op| if let Op::Pass(ms) = op { *ms } else { 0 };
        Duration::from_millis(self.ops.iter().map(ms).sum())
    }
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => Just(Deed::Answer),
        1 => Just(Deed::Large),
        2 => (1..9000_u64).prop_map(Deed::Slow),
        1 => Just(Deed::Error),
        1 => Just(Deed::Crash),
        1 => Just(Deed::HalfCrash),
        1 => Just(Deed::CrashHeld),
        1 => Just(Deed::Hang),
        1 => Just(Deed::HangLate),
        1 => Just(Deed::HangDeaf),
        1 => Just(Deed::Garbage),
        1 => Just(Deed::CloseOutput),
        1 => Just(Deed::CloseInput),
        1 => Just(Deed::AnswerCrash),
        1 => Just(Deed::Double),
        1 => Just(Deed::WrongId),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let slot = || 0..4_usize;
    prop_oneof![
        12 => (slot(), 0..200_usize, 0..200_usize).prop_map(|(slot, into, out)| Op::Move(slot, into, out)),
        12 => slot().prop_map(Op::Work),
        6 => (0..12_000_u64).prop_map(Op::Pass),
        1 => Just(Op::Pause),
        1 => Just(Op::Renew),
        1 => (1..5000_u64).prop_map(Op::HoldBack),
        6 => (1..6_usize).prop_map(Op::Feed),
        4 => (1..6_usize).prop_map(Op::Collect),
        2 => slot().prop_map(Op::Quit),
    ]
}

fn habits() -> impl Strategy<Value = Habit> {
    prop_oneof![
        3 => Just(Habit::Serial),
        3 => Just(Habit::ReadsAhead),
        2 => Just(Habit::AtOnce),
        1 => Just(Habit::Unruly),
        3 => Just(Habit::Batches),
    ]
}

/// The jobs of a scenario. In some scenarios they are harmless: what nothing explains must not happen. And in some many
/// jobs in a row kill their worker, after one that is answered.
fn jobs() -> impl Strategy<Value = Vec<Deed>> {
    let harmless = prop_oneof![
        4 => Just(Deed::Answer),
        2 => Just(Deed::Large),
        2 => (1..9000_u64).prop_map(Deed::Slow),
        1 => Just(Deed::Error),
    ];
    let poison = prop_oneof![2 => Just(Deed::Crash), 1 => Just(Deed::HalfCrash)];
    let poisonous = prop::collection::vec(poison, 6..16).prop_map(|mut jobs| {
        jobs.insert(0, Deed::Answer);
        jobs
    });
    prop_oneof![
        12 => prop::collection::vec(deeds(), 1..16),
        4 => prop::collection::vec(harmless, 1..16),
        1 => poisonous,
    ]
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let size = (1..=4_usize, prop_oneof![3 => Just(4_usize), 1 => 4..400_usize]);
    let bounds = (
        prop_oneof![1 => Just(100_usize), 1 => 1..12_usize],
        prop_oneof![1 => Just(1_usize << 20), 1 => 100..3000_usize],
    );
    let shape =
        (habits(), 1..=6_usize, 0..3_u32, prop::option::of(0..5000_u64), any::<bool>(), 0..3_u32, any::<bool>());
    let recycling = (prop::option::of(1..5_u64), prop::option::of(1..20_000_u64));
    let rate = prop::option::weighted(0.3, (1..3000_u64, 1..4_u32));
    let stop = prop::option::weighted(0.3, (any::<bool>(), 0..40_usize));
    (jobs(), prop::collection::vec(ops(), 0..50), shape, any::<bool>(), recycling, stop, size, (bounds, rate)).prop_map(
        |(jobs, mut ops, shape, dump, recycling, stop, size, (bounds, rate))| {
            let (habit, depth, retries, ready, supplied, bad_starts, says_ready) = shape;
            let (slots, job_bytes) = size;
            if let Some((drain, at)) = stop {
                ops.insert(at.min(ops.len()), if drain { Op::Drain } else { Op::Abort });
            }
            Scenario {
                slots,
                jobs,
                job_bytes,
                ops,
                habit,
                depth,
                retries,
                // A supplied worker always says when it is ready.
                ready: if supplied || habit == Habit::Batches { Some(ready.unwrap_or(10)) } else { ready },
                says_ready: says_ready || supplied || habit == Habit::Batches,
                supplied: supplied || habit == Habit::Batches,
                bad_starts,
                dump,
                recycle_jobs: recycling.0,
                recycle_age: recycling.1.map(Duration::from_millis),
                window: bounds.0,
                memory: bounds.1,
                rate: rate.map(|(ms, burst)| Rate {
                    interval: Duration::from_millis(ms),
                    slack: (burst - 1) * Duration::from_millis(ms),
                }),
            }
        },
    )
}

proptest! {
    #![proptest_config(crate::testing::random())]

    #[test]
    fn every_job_ends_once_and_only_the_guilty_are_charged(scenario in scenarios()) {
        let mut world = World::new(scenario);
        for op in world.scenario.ops.clone() {
            world.step(op);
        }
        world.rest();
        world.judge();
    }
}
