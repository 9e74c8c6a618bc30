//! The session against virtual workers, with a virtual clock and random events.
//!
//! A scenario is a list of jobs (each with what it does to its worker) and of operations (some bytes move, time
//! passes, the run is stopped). After every step the invariants that can be seen from outside are checked; at
//! the end the pool is driven until it is at rest, and every job must have exactly one outcome, of a status that
//! what it did explains. Scenarios shrink (proptest), and PROPTEST_CASES sets how many there are.
//!
//! Bugs that were planted, one at a time, to see this fail; by the invariant of the design that each breaks, with
//! the words it failed with:
//!
//! 1. `gone` forgets the jobs behind the head, `input_broken` drops what is not in the pipe: "every job ends
//!    once: one is missing". `answer` returns a job too: "it was returned too". `fail` retries after a stop, a
//!    condemned worker's replies are taken: "every job ends once", "ended as Ok".
//! 3. `received` judges the clocks before it takes the lines; `shift` leaves a job's clock: "ended as Timeout".
//! 4. `end_job` suspects all, or the one behind the head, or the head after another's timeout; what the worker
//!    never read counts as begun; a retried job is not alone: "ended as Died". With many at once only the head
//!    is charged: "all that were running are charged".
//! 5. `give` starts every clock, no time to load: "ended as Timeout". `answer` does not start the next head's:
//!    "nothing hangs". With many at once only the head has a clock: "every running job has a clock".
//! 6. `judge_soon` judges at the exit alone: "an answer in time counts".
//! 7. `gone` without `Bury`: "no process is left". The ladder without SIGKILL: "nothing hangs", "a stopped run
//!    ends soon".
//! 9. A timeout counts as a failed start, an answer proves nothing: "failed starts are told apart".
//!
//! And of section 8: a worker is replaced before it has done a job: "nothing hangs"; one that is too old wakes
//! the loop while it waits for its turn: "a deadline that has been judged is over"; `--dump` is not kept: "what
//! --dump brought is in the record". Invariants 2, 8 and 10 are about threads, processes and memory; tests/ has
//! their tests.

mod worker;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use worker::{Deed, Manner};
use world::World;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// So many bytes go through the worker's input pipe, and so many through its output pipe.
    Move(usize, usize),
    /// The worker goes on.
    Work,
    /// Milliseconds pass.
    Pass(u64),
    /// Everything stands still for so many milliseconds.
    Pause(u64),
    /// The idle worker ends by itself.
    Quit,
    Drain,
    Abort,
}

#[derive(Debug, Clone)]
struct Scenario {
    jobs: Vec<Deed>,
    ops: Vec<Op>,
    manner: Manner,
    /// Jobs in flight, at most: one after the other, or at once.
    depth: usize,
    retries: u32,
    /// The worker takes this many milliseconds to load.
    ready: Option<u64>,
    /// It says when it has.
    says_ready: bool,
    supplied: bool,
    /// So many starts of a worker fail before one succeeds.
    bad_starts: u32,
    dump: bool,
    recycle_jobs: Option<u64>,
    recycle_age: Option<Duration>,
    /// Another slot is replacing its worker all the time.
    recycle_denied: bool,
}

impl Scenario {
    /// The time that its operations let pass.
    fn passes(&self) -> Duration {
        let ms = |op: &Op| if let Op::Pass(ms) | Op::Pause(ms) = op { *ms } else { 0 };
        Duration::from_millis(self.ops.iter().map(ms).sum())
    }
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => Just(Deed::Answer),
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
    prop_oneof![
        12 => (0..200_usize, 0..200_usize).prop_map(|(into, out)| Op::Move(into, out)),
        12 => Just(Op::Work),
        6 => (0..12_000_u64).prop_map(Op::Pass),
        1 => (0..20_000_u64).prop_map(Op::Pause),
        2 => Just(Op::Quit),
    ]
}

fn manners() -> impl Strategy<Value = Manner> {
    prop_oneof![
        3 => Just(Manner::Serial),
        3 => Just(Manner::ReadsAhead),
        2 => Just(Manner::AtOnce),
        1 => Just(Manner::Unruly),
    ]
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    // A quarter of the scenarios has harmless jobs only: what nothing explains must not happen.
    let harmless =
        prop_oneof![4 => Just(Deed::Answer), 2 => (1..9000_u64).prop_map(Deed::Slow), 1 => Just(Deed::Error)];
    let jobs = prop_oneof![
        3 => prop::collection::vec(deeds(), 1..12),
        1 => prop::collection::vec(harmless, 1..12),
    ];
    let shape =
        (manners(), 1..=6_usize, 0..3_u32, prop::option::of(0..5000_u64), any::<bool>(), 0..3_u32, any::<bool>());
    let recycling = (prop::option::of(1..5_u64), prop::option::of(1..20_000_u64), any::<bool>());
    let stop = prop::option::weighted(0.3, (any::<bool>(), 0..40_usize));
    (jobs, prop::collection::vec(ops(), 0..40), shape, any::<bool>(), recycling, stop).prop_map(
        |(jobs, mut ops, shape, dump, recycling, stop)| {
            let (manner, depth, retries, ready, supplied, bad_starts, says_ready) = shape;
            let (recycle_jobs, recycle_age, recycle_denied) = recycling;
            if let Some((drain, at)) = stop {
                ops.insert(at.min(ops.len()), if drain { Op::Drain } else { Op::Abort });
            }
            // A supplied worker always says when it is ready.
            let ready = if supplied { Some(ready.unwrap_or(10)) } else { ready };
            let recycle_age = recycle_age.map(Duration::from_millis);
            // With a limit on the jobs of a worker, one that may never be replaced would stop the run.
            let recycle_denied = recycle_denied && recycle_jobs.is_none();
            Scenario {
                jobs,
                ops,
                manner,
                depth,
                retries,
                ready,
                says_ready: says_ready || supplied,
                supplied,
                bad_starts,
                dump,
                recycle_jobs,
                recycle_age,
                recycle_denied,
            }
        },
    )
}

proptest! {
    #![proptest_config(crate::testing::random())]

    #[test]
    fn every_job_ends_once_and_only_the_guilty_are_charged(scenario in scenarios()) {
        let mut world = World::new(scenario);
        world.turn();
        for op in world.scenario.ops.clone() {
            world.step(op);
        }
        world.rest();
        world.judge();
    }
}
