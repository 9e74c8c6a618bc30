//! Hosts over links that delay, are cut, go silent and repeat a start: the real dispatcher, the rounds of real seats and
//! the real state machines of both ends (`pool::host`, `gate`), with a virtual clock and random events.
//!
//! What must hold: every job ends once; no job begins more often than it is charged with, whatever is lost on the way
//! (at most once); a job is charged with the loss of a host only if that host had announced it; nobody hangs or turns in
//! circles; a link is never quiet for so long that somebody on the way would cut it; and a run that is stopped ends soon.
//!
//! Bugs that were planted, one at a time, to see this fail, with the words it failed with. `pool::host`: jobs that were
//! not announced are charged, or all are returned: "charged without having been announced", "begun more often"; a
//! silent host is never given up: "nobody turns in circles"; jobs of a lost host are forgotten: "nothing hangs"; no sign of life
//! is given: "quiet for". `gate`: jobs begin before the announcement was heard: "begun more often".
//!
//! In reading order: `streams` has the links and what is at their far ends, `world` the pool and the time, `judge`
//! what must hold at the end, `scale` how busy many hosts are kept, and what that costs.

mod streams;
mod world;
mod judge;
mod scale;

use proptest::prelude::*;

use world::World;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// Milliseconds pass.
    Pass(u64),
    /// The stream of a host ends at once; what is on its way is lost.
    Cut(usize),
    /// What is sent over the link of a host is lost from now on, and nobody is told.
    Silence(usize),
    /// The agent of a host is killed: what it has written arrives.
    Kill(usize),
    /// The agent of a host says hello once more.
    Repeat(usize),
    Drain,
    Abort,
}

#[derive(Debug, Clone)]
struct Scenario {
    hosts: usize,
    workers: usize,
    /// How long each job takes, in milliseconds.
    jobs: Vec<u64>,
    /// How many bytes each job has.
    bytes: usize,
    ops: Vec<Op>,
    delay: u64,
    retries: u32,
    supplied: bool,
}

fn ops() -> impl Strategy<Value = Op> {
    let host = || 0..3_usize;
    prop_oneof![
        8 => (0..3000_u64).prop_map(Op::Pass),
        1 => (0..70_000_u64).prop_map(Op::Pass),
        1 => host().prop_map(Op::Cut),
        1 => host().prop_map(Op::Silence),
        1 => host().prop_map(Op::Kill),
        1 => host().prop_map(Op::Repeat),
    ]
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let times = prop_oneof![9 => 0..50_u64, 3 => 0..5000_u64, 1 => 0..40_000_u64];
    let shape = (1..=3_usize, 1..=3_usize, prop_oneof![Just(0_u64), 1..200_u64], 0..3_u32, any::<bool>());
    let stop = prop::option::weighted(0.2, (any::<bool>(), 0..20_usize));
    (prop::collection::vec(times, 1..40), prop::collection::vec(ops(), 0..20), shape, stop).prop_map(
        |(jobs, mut ops, (hosts, workers, delay, retries, supplied), stop)| {
            if let Some((drain, at)) = stop {
                ops.insert(at.min(ops.len()), if drain { Op::Drain } else { Op::Abort });
            }
            Scenario { hosts, workers, jobs, bytes: 2, ops, delay, retries, supplied }
        },
    )
}

proptest! {
    #![proptest_config(crate::testing::random())]

    #[test]
    fn every_job_ends_once_and_begins_no_more_often_than_it_is_charged(scenario in scenarios()) {
        let mut world = World::new(scenario);
        world.read();
        for op in world.scenario.ops.clone() {
            world.apply(op);
        }
        world.rest();
        world.judge();
    }
}
