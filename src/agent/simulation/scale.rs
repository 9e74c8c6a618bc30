//! How busy many hosts behind a long way are kept, and what it costs to do so.
//!
//! Jobs take a second, more or less, so that nearly each of them is answered, given out and announced by itself: quicker
//! jobs share all that, and the pool has less to do for each.
//!
//! `cargo test` has few hosts. With FORKPOOL_SCALE=1000 in the environment there are so many, which get ten million jobs, and
//! what was measured is written to stderr: `tests/bench/run scale`.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Scenario;
use super::world::{World, settings};
use crate::pool::dispatch::{Dispatch, Recycling, Standing, Turn, WorkerState};
use crate::pool::limits;
use crate::testing::job;

/// The way to each host, and the way back.
const DELAY: Duration = Duration::from_millis(50);
const WORKERS: usize = 64;

fn scenario(hosts: usize, rounds: usize, bytes: usize) -> Scenario {
    let jobs = (0..hosts * WORKERS * rounds).map(|n| 900 + (n as u64 * 7919) % 201).collect();
    let delay = DELAY.as_millis() as u64;
    Scenario { hosts, workers: WORKERS, jobs, bytes, ops: vec![], delay, retries: 0, supplied: true }
}

/// What a run of many hosts came to.
struct Measured {
    /// The part of their time that all workers had a job, from the moment at which the first of them could begin one to
    /// the moment at which the last job began.
    busy: f64,
    /// The same for the whole run: with the start of the agents, and the end with ever fewer jobs.
    busy_in_all: f64,
    /// The time of the pool's pure parts for each job: permits of the source, dispatcher, seats and the home ends of the
    /// streams, receipts of the collector.
    pool: Duration,
}

/// Each worker of the hosts gets `rounds` jobs of so many bytes.
fn measure(hosts: usize, rounds: usize, bytes: usize) -> Measured {
    let mut world = World::new(scenario(hosts, rounds, bytes));
    world.read();
    world.rest();
    world.judge();
    let times = &world.scenario.jobs;
    let (work, workers) = (Duration::from_millis(times.iter().sum()), (hosts * WORKERS) as f64);
    // Hello, settings, readiness, jobs, their announcement and its receipt are on the way one after the other.
    let first = world.start + 6 * DELAY;
    let (last, left) = world.last_begun.expect("all jobs have begun");
    let share = |work: Duration, time: Duration| work.as_secs_f64() / (time.as_secs_f64() * workers);
    Measured {
        busy: share(work - left, last - first),
        busy_in_all: share(work, world.net.borrow().now - world.start),
        pool: world.spent / times.len() as u32,
    }
}

/// The time of the dispatcher alone for each job, where all hosts wait for jobs and each is woken for one.
fn dispatcher_alone(hosts: usize, rounds: usize) -> Duration {
    let (sender, fresh) = crossbeam_channel::bounded(1);
    let rung: Arc<Mutex<Vec<u32>>> = Arc::default();
    let ring = Arc::clone(&rung);
    let limits = limits(&settings(&scenario(hosts, 1, 2)));
    let dispatch = Dispatch::new(limits, None, true, fresh, move |wakes| ring.lock().unwrap().extend(&wakes.slots));
    let now = Instant::now();
    let standing = Standing { room: 1, in_flight: WORKERS, worker: WorkerState::Proven, recycling: Recycling::No };
    let ask = |slot| dispatch.ask(slot, standing, now);
    assert!((0..hosts as u32).all(|slot| matches!(ask(slot), Turn::Sleep(_))), "there is no job yet");
    let (mut spent, mut given) = (Duration::ZERO, 0);
    for _ in 0..rounds {
        let jobs = (0..hosts).map(|n| job(n as u64, "1")).collect();
        sender.send(jobs).unwrap();
        let begin = Instant::now();
        assert_eq!(dispatch.admit(&mut std::iter::repeat_n(1, hosts)), hosts);
        dispatch.offered(now);
        for slot in std::mem::take(&mut *rung.lock().unwrap()) {
            while let Turn::Jobs(jobs) = ask(slot) {
                given += jobs.len();
                dispatch.ended(jobs.len(), jobs.len());
            }
        }
        dispatch.received(hosts, hosts, 0, now);
        spent += begin.elapsed();
    }
    assert_eq!(given, hosts * rounds, "each job wakes a host for it");
    spent / given as u32
}

#[test]
fn the_workers_of_many_hosts_behind_a_long_way_are_hardly_ever_idle() {
    let asked_for = std::env::var("FORKPOOL_SCALE").ok().map(|hosts| hosts.parse().expect("a number of hosts"));
    let (hosts, rounds) = asked_for.map_or((16, 24), |hosts| (hosts, 157));
    let Measured { busy, busy_in_all, pool } = measure(hosts, rounds, 200);
    if asked_for.is_some() {
        let (pool, dispatcher) = (pool.as_nanos(), dispatcher_alone(hosts, 1000).as_nanos());
        let figures = format!("\"pool_ns\":{pool},\"dispatcher_ns\":{dispatcher}");
        writeln!(std::io::stderr(), "{{\"busy\":{busy:.4},\"busy_in_all\":{busy_in_all:.4},{figures}}}").unwrap();
    }
    assert!(busy >= 0.98, "workers are busy {busy:.3} of the time ({busy_in_all:.3} with the start and the end)");
}

#[test]
fn large_jobs_reach_all_workers_of_a_host() {
    let Measured { busy, .. } = measure(4, 3, 128 << 10);
    assert!(busy >= 0.75, "256 workers with three jobs of 128 KiB each are busy {busy:.3} of the time");
}
