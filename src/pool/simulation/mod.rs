//! The whole pool against virtual workers, with a virtual clock and random events: N slots with their sessions and
//! the rounds of their loops, the dispatcher they share, a model of the source and one of the collector.
//!
//! Scenarios shrink (proptest), and PROPTEST_CASES sets how many there are.

mod body;
mod judge;
mod worker;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use worker::{Deed, Manner};
use world::World;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// A slot wakes: so many bytes go through its worker's input pipe, and so many through its output pipe.
    Move(usize, usize, usize),
    /// A slot's worker goes on.
    Work(usize),
    /// Milliseconds pass.
    Pass(u64),
    /// The run stands still for a moment (Ctrl-Z).
    Pause,
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
    /// Of each job.
    job_bytes: usize,
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
    window: usize,
    memory: usize,
}

impl Scenario {
    /// The time that its operations let pass.
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
        6 => (1..6_usize).prop_map(Op::Feed),
        4 => (1..6_usize).prop_map(Op::Collect),
        2 => slot().prop_map(Op::Quit),
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
    // Some scenarios have harmless jobs only: what nothing explains must not happen.
    let harmless = prop_oneof![
        4 => Just(Deed::Answer),
        2 => Just(Deed::Large),
        2 => (1..9000_u64).prop_map(Deed::Slow),
        1 => Just(Deed::Error),
    ];
    // And some have many jobs in a row that kill their worker, after one that is answered.
    let poison = prop_oneof![2 => Just(Deed::Crash), 1 => Just(Deed::HalfCrash)];
    let poisonous = prop::collection::vec(poison, 6..16).prop_map(|mut jobs| {
        jobs.insert(0, Deed::Answer);
        jobs
    });
    let jobs = prop_oneof![
        12 => prop::collection::vec(deeds(), 1..16),
        4 => prop::collection::vec(harmless, 1..16),
        1 => poisonous,
    ];
    let size = (1..=4_usize, prop_oneof![3 => Just(4_usize), 1 => 4..400_usize]);
    let bounds = (
        prop_oneof![1 => Just(100_usize), 1 => 1..12_usize],
        prop_oneof![1 => Just(1_usize << 20), 1 => 100..3000_usize],
    );
    let shape =
        (manners(), 1..=6_usize, 0..3_u32, prop::option::of(0..5000_u64), any::<bool>(), 0..3_u32, any::<bool>());
    let recycling = (prop::option::of(1..5_u64), prop::option::of(1..20_000_u64));
    let stop = prop::option::weighted(0.3, (any::<bool>(), 0..40_usize));
    (jobs, prop::collection::vec(ops(), 0..50), shape, any::<bool>(), recycling, stop, size, bounds).prop_map(
        |(jobs, mut ops, shape, dump, recycling, stop, size, bounds)| {
            let (manner, depth, retries, ready, supplied, bad_starts, says_ready) = shape;
            let (slots, job_bytes) = size;
            if let Some((drain, at)) = stop {
                ops.insert(at.min(ops.len()), if drain { Op::Drain } else { Op::Abort });
            }
            Scenario {
                slots,
                jobs,
                job_bytes,
                ops,
                manner,
                depth,
                retries,
                // A supplied worker always says when it is ready.
                ready: if supplied { Some(ready.unwrap_or(10)) } else { ready },
                says_ready: says_ready || supplied,
                supplied,
                bad_starts,
                dump,
                recycle_jobs: recycling.0,
                recycle_age: recycling.1.map(Duration::from_millis),
                window: bounds.0,
                memory: bounds.1,
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
