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

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;
use proptest::prelude::*;

use super::gate::Gate;
use crate::pool::account;
use crate::pool::dispatch::{Dispatch, Limits};
use crate::pool::exited::{Exited, How};
use crate::pool::host::ahead::{Ahead, TO_BEGIN};
use crate::pool::host::{HostSession, SILENCE};
use crate::pool::luggage::Luggage;
use crate::pool::policies::RetryPolicy;
use crate::pool::seat::{Ear, News, Seat, WorkerControl, Wrote};
use crate::pool::settings::{Depth, PoolSettings};
use crate::protocol::stream::{Hello, Note, Order, SentJob, ToAgent, put, put_answer, to_agent};
use crate::testing::pool_settings;
use crate::words::cancel::Level;
use crate::words::host::Way;
use crate::words::job::Job;
use crate::words::outcome::{JobError, Outcome, Status};

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
    ops: Vec<Op>,
    delay: u64,
    retries: u32,
    supplied: bool,
}

/// How long a link may be quiet: both ends say something every ten seconds.
const QUIET: Duration = Duration::from_secs(11);

/// A piece of bytes, and when it arrives.
type Pieces = VecDeque<(Instant, Vec<u8>)>;

/// One stream, with the agent at its far end.
struct Stream {
    there: Pieces,
    back: Pieces,
    /// What has arrived at the agent of a line that has not ended.
    partial: Vec<u8>,
    gate: Gate,
    queue: VecDeque<SentJob>,
    /// The jobs that workers run, and when each is done.
    running: Vec<(SentJob, Instant)>,
    workers: usize,
    /// The settings have come.
    is_open: bool,
    has_ended: bool,
    is_stopped: bool,
    /// The link loses all that is sent.
    is_silent: bool,
    /// The agent is dead, and so are its workers.
    is_dead: bool,
    heard: Instant,
    /// When the last piece that was sent, either way, has arrived or will arrive.
    moved: Instant,
    /// How the process that carries the stream has ended.
    exited: Option<How>,
}

/// What all hosts have in common.
struct Net {
    now: Instant,
    delay: Duration,
    workers: usize,
    times: Vec<u64>,
    /// The streams that the pool still has, by slot, and those that it has buried: their agents may live on.
    streams: BTreeMap<usize, Stream>,
    orphans: Vec<Stream>,
    begun: BTreeMap<u64, u32>,
    announced: BTreeMap<u64, u32>,
    outcomes: Vec<Outcome>,
}

impl Stream {
    fn new(net: &Net) -> Stream {
        let mut hello = Vec::new();
        put(&Hello::own(), &mut hello);
        Stream {
            there: Pieces::new(),
            back: VecDeque::from([(net.now + net.delay, hello)]),
            partial: Vec::new(),
            gate: Gate::new(Ahead::new(net.workers, 1, TO_BEGIN)),
            queue: VecDeque::new(),
            running: Vec::new(),
            workers: net.workers,
            is_open: false,
            has_ended: false,
            is_stopped: false,
            is_silent: false,
            is_dead: false,
            heard: net.now,
            moved: net.now + net.delay,
            exited: None,
        }
    }

    fn say(&mut self, bytes: Vec<u8>, at: Instant) {
        if !bytes.is_empty() && !self.is_silent {
            self.moves(at);
            self.back.push_back((at, bytes));
        }
    }

    /// Something passes over the link. Whoever forwards it (a load balancer in front of kubectl's server) must not have
    /// thought until then that nobody uses it.
    fn moves(&mut self, at: Instant) {
        let quiet = at.saturating_duration_since(self.moved);
        assert!(self.exited.is_some() || quiet <= QUIET, "a link that is alive was quiet for {quiet:?}");
        self.moved = self.moved.max(at);
    }

    /// The agent goes on until `now`. Returns what it has begun, and what it has announced.
    fn work(&mut self, now: Instant, delay: Duration, times: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let (mut begun, mut announced) = (Vec::new(), Vec::new());
        if self.is_dead {
            return (begun, announced);
        }
        let mut said = Vec::new();
        while let Some((at, _)) = self.there.front()
            && *at <= now
        {
            let (_, bytes) = self.there.pop_front().expect("there is one");
            self.heard = now;
            self.partial.extend(bytes);
            while let Some(end) = memchr::memchr(b'\n', &self.partial) {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                self.line(&Bytes::copy_from_slice(&line[..end]), now, &mut said);
            }
        }
        if now >= self.heard + SILENCE {
            self.is_dead = true;
        }
        let done: Vec<(SentJob, Instant)> = self.running.extract_if(.., |(_, at)| *at <= now).collect();
        for (sent, _) in done {
            let ms = Duration::from_millis(times[sent.job.number as usize - 1]);
            self.gate.answered(&[ms]);
            let mut outcome = crate::testing::outcome(sent.job.number, Status::Ok);
            outcome.elapsed = ms;
            put_answer(&outcome, &mut said);
        }
        while self.running.len() < self.workers
            && let Some(sent) = self.queue.pop_front()
        {
            begun.push(sent.job.number);
            let ends = now + Duration::from_millis(times[sent.job.number as usize - 1]);
            self.running.push((sent, ends));
        }
        let waiting: Vec<u64> = self.gate.waiting_jobs();
        let count = self.gate.announce(now);
        if count > 0 {
            announced.extend(&waiting[..count]);
            put(&Note::Begun(count as u64), &mut said);
        }
        if (self.has_ended || self.is_stopped) && self.gate.is_empty() && self.is_open {
            put(&Note::Bye, &mut said);
            self.is_dead = true;
            self.exited = self.exited.or(Some(How::Code(0)));
        }
        self.say(said, now + delay);
        (begun, announced)
    }

    fn line(&mut self, line: &Bytes, now: Instant, said: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_open, true) {
            self.gate.ready();
            return put(&Note::Ready(self.workers), said);
        }
        match to_agent(line).expect("the pool sends lines of the stream") {
            ToAgent::Job(sent) => self.gate.arrived(sent),
            ToAgent::Order(Order::Seen(count)) => {
                if !self.is_stopped {
                    self.queue.extend(self.gate.seen(count as usize, now).expect("only what was announced is seen"));
                }
            }
            ToAgent::Order(Order::Ping(number)) => put(&Note::Pong(number), said),
            ToAgent::Order(Order::End) => self.has_ended = true,
            ToAgent::Order(Order::Drain(_)) => self.is_stopped = true,
            ToAgent::Order(Order::Abort(_)) => self.is_dead = true,
            ToAgent::Order(Order::Hold(_)) => {}
        }
        if self.is_stopped {
            let error = JobError::not_run("never begun");
            let queued: Vec<SentJob> = self.queue.drain(..).collect();
            self.gate.answered(&vec![Duration::ZERO; queued.len()]);
            for sent in self.gate.take_unbegun().into_iter().chain(queued) {
                put_answer(&Outcome::unrun(sent.job, Status::NotRun, &error), said);
            }
        }
    }

    /// When something happens here by itself.
    fn next_event(&self) -> Option<Instant> {
        let arrivals = self.there.front().into_iter().chain(self.back.front()).map(|(at, _)| *at);
        let ends = self.running.iter().map(|(_, at)| *at).filter(|_| !self.is_dead);
        let silent = (!self.is_dead).then_some(self.heard + SILENCE);
        arrivals.chain(ends).chain(silent).min()
    }
}

/// What a seat does to the process that carries its stream.
struct Carrier {
    slot: usize,
    net: Rc<RefCell<Net>>,
}

impl WorkerControl for Carrier {
    fn spawn(&mut self, _: Way) -> io::Result<Luggage> {
        let mut net = self.net.borrow_mut();
        let stream = Stream::new(&net);
        assert!(net.streams.insert(self.slot, stream).is_none(), "the old one has been buried");
        Ok(Luggage { opening: vec!["settings\n".into()], program: None })
    }

    fn write(&mut self, bytes: &[u8]) -> Wrote {
        let mut net = self.net.borrow_mut();
        let at = net.now + net.delay;
        let Some(stream) = net.streams.get_mut(&self.slot) else { return Wrote::Full };
        if stream.exited.is_some() {
            return Wrote::Broken(0);
        }
        if !stream.is_silent {
            stream.moves(at);
            stream.there.push_back((at, bytes.to_vec()));
        }
        Wrote::Bytes(bytes.len())
    }

    fn expect(&mut self, _: usize) {}

    fn close_input(&mut self) -> bool {
        false
    }

    fn signal(&mut self, signal: i32) {
        if signal == libc::SIGKILL
            && let Some(stream) = self.net.borrow_mut().streams.get_mut(&self.slot)
        {
            stream.exited.get_or_insert(How::Signal(signal));
        }
    }

    fn bury(&mut self) {
        let mut net = self.net.borrow_mut();
        let stream = net.streams.remove(&self.slot).expect("only what is there is buried");
        net.orphans.push(stream);
    }

    fn memory(&mut self) -> Option<usize> {
        None
    }

    fn waits_for_input(&mut self) -> bool {
        false
    }
}

struct Hearer(Rc<RefCell<Net>>);

impl Ear for Hearer {
    fn outcomes(&mut self, outcomes: Vec<Outcome>) {
        self.0.borrow_mut().outcomes.extend(outcomes);
    }

    fn news(&mut self, _: News) {}
}

struct Slot {
    seat: Seat<Carrier, Hearer>,
    deadline: Option<Instant>,
    slept_at: Instant,
    told_exit: bool,
}

struct World {
    scenario: Scenario,
    start: Instant,
    net: Rc<RefCell<Net>>,
    dispatch: Arc<Dispatch>,
    slots: Vec<Slot>,
    jobs: Sender<Vec<Job>>,
    rung: Arc<std::sync::Mutex<BTreeSet<u32>>>,
    stopped_at: Option<Instant>,
    received: BTreeMap<u64, Outcome>,
    finished: bool,
}

fn settings(scenario: &Scenario) -> PoolSettings {
    let retry = RetryPolicy { retries: scenario.retries, delay: Duration::from_secs(1), on: vec![Status::Died] };
    let plain = pool_settings("w");
    PoolSettings { workers: scenario.hosts, supplied: scenario.supplied, depth: Depth::Fixed(1), retry, ..plain }
}

impl World {
    fn new(scenario: Scenario) -> World {
        let start = Instant::now();
        let settings = Arc::new(settings(&scenario));
        let rung: Arc<std::sync::Mutex<BTreeSet<u32>>> = Arc::default();
        let ring = Arc::clone(&rung);
        let limits = Limits { window: 1 << 20, memory: 1 << 30, queued: 64, workers: scenario.hosts, leaves_out: true };
        let (jobs, fresh) = crossbeam_channel::bounded(1);
        let dispatch = Arc::new(Dispatch::new(limits, None, false, fresh, move |wakes| {
            ring.lock().unwrap().extend(&wakes.slots);
        }));
        let net = Rc::new(RefCell::new(Net {
            now: start,
            delay: Duration::from_millis(scenario.delay),
            workers: scenario.workers,
            times: scenario.jobs.clone(),
            streams: BTreeMap::new(),
            orphans: Vec::new(),
            begun: BTreeMap::new(),
            announced: BTreeMap::new(),
            outcomes: Vec::new(),
        }));
        let slot = |number: usize| {
            let session = Box::new(HostSession::new(&format!("h{number}"), Arc::clone(&settings), start, 7));
            let carrier = Carrier { slot: number, net: Rc::clone(&net) };
            let (settings, dispatch) = (Arc::clone(&settings), Arc::clone(&dispatch));
            let ear = Hearer(Rc::clone(&net));
            let seat = Seat::new(number as u32, settings, dispatch, session, carrier, ear, start);
            Slot { seat, deadline: Some(start), slept_at: start, told_exit: false }
        };
        let slots = (0..scenario.hosts).map(slot).collect();
        let (stopped_at, received) = (None, BTreeMap::new());
        World { scenario, start, net, dispatch, slots, jobs, rung, stopped_at, received, finished: false }
    }

    fn feed(&mut self) {
        let job = |number: u64| Job { number, line: number, data: Bytes::from_static(b"1"), extra: None };
        let jobs: Vec<Job> = (1..=self.scenario.jobs.len() as u64).map(job).collect();
        assert_eq!(self.dispatch.admit(&mut jobs.iter().map(|_| 1)), jobs.len());
        self.jobs.send(jobs).unwrap();
        assert!(self.dispatch.offered(self.start).is_empty());
        self.dispatch.source_ended();
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Pass(ms) => {
                let until = self.net.borrow().now + Duration::from_millis(ms);
                self.go_on(until);
            }
            Op::Drain => self.stop(Level::Drain),
            Op::Abort => self.stop(Level::Abort),
            Op::Cut(host) => self.with_stream(host, |stream, _| {
                stream.there.clear();
                stream.back.clear();
                stream.is_dead = true;
                stream.exited = stream.exited.or(Some(How::Code(255)));
            }),
            Op::Silence(host) => self.with_stream(host, |stream, _| stream.is_silent = true),
            Op::Kill(host) => self.with_stream(host, |stream, _| {
                stream.is_dead = true;
                stream.exited = stream.exited.or(Some(How::Signal(9)));
            }),
            Op::Repeat(host) => self.with_stream(host, |stream, at| {
                let mut hello = Vec::new();
                put(&Hello::own(), &mut hello);
                stream.say(hello, at);
            }),
        }
    }

    fn with_stream(&mut self, host: usize, act: impl FnOnce(&mut Stream, Instant)) {
        let mut net = self.net.borrow_mut();
        let at = net.now + net.delay;
        if let Some(stream) = net.streams.get_mut(&(host % self.scenario.hosts)) {
            act(stream, at);
        }
    }

    fn stop(&mut self, level: Level) {
        let now = self.net.borrow().now;
        self.stopped_at.get_or_insert(now);
        let mut unrun: Vec<Outcome> =
            self.dispatch.stop(level, "test").into_iter().map(|delivery| delivery.not_run("test")).collect();
        account(&self.dispatch, &mut unrun, false);
        self.net.borrow_mut().outcomes.extend(unrun);
    }

    /// All that is due now happens.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 5000, "nobody turns in circles");
            self.agents();
            self.collect();
            let now = self.net.borrow().now;
            let is_due = |slot: &usize| {
                let model = &self.slots[*slot];
                let rung = self.rung.lock().unwrap().contains(&(*slot as u32));
                !model.seat.is_over() && (rung || model.deadline.is_some_and(|at| at <= now) || self.has_heard(*slot))
            };
            let Some(slot) = (0..self.slots.len()).find(is_due) else { return };
            self.rung.lock().unwrap().remove(&(slot as u32));
            self.run_slot(slot, now);
        }
    }

    fn has_heard(&self, slot: usize) -> bool {
        let net = self.net.borrow();
        let Some(stream) = net.streams.get(&slot) else { return false };
        let is_over = stream.exited.is_some() && !self.slots[slot].told_exit;
        is_over || stream.back.front().is_some_and(|(at, _)| *at <= net.now)
    }

    fn run_slot(&mut self, slot: usize, now: Instant) {
        let model = &mut self.slots[slot];
        let (mut bytes, mut exited) = (Vec::new(), None);
        if let Some(stream) = self.net.borrow_mut().streams.get_mut(&slot) {
            // What was written before the end is read before the end is told.
            while let Some((at, _)) = stream.back.front()
                && (*at <= now || stream.exited.is_some())
            {
                bytes.extend(stream.back.pop_front().expect("there is one").1);
            }
            exited = stream.exited.filter(|_| !model.told_exit);
        }
        if !bytes.is_empty()
            && let Some(buffer) = model.seat.session.output_buffer()
        {
            buffer.extend_from_slice(&bytes);
            model.seat.session.received(now);
        }
        if let Some(how) = exited {
            model.told_exit = true;
            model.seat.session.exited(Exited { how, unread: None, out_of_memory: false }, now);
            model.seat.session.output_ended(now);
        }
        model.seat.tick(model.slept_at);
        model.deadline = model.seat.round(now);
        model.slept_at = now;
        // A new process may have been started.
        if self.net.borrow().streams.get(&slot).is_some_and(|stream| stream.exited.is_none()) {
            model.told_exit = false;
        }
    }

    fn agents(&mut self) {
        let net = &mut *self.net.borrow_mut();
        let (now, delay) = (net.now, net.delay);
        for stream in net.streams.values_mut().chain(&mut net.orphans) {
            let (begun, announced) = stream.work(now, delay, &net.times);
            begun.into_iter().for_each(|job| *net.begun.entry(job).or_default() += 1);
            announced.into_iter().for_each(|job| *net.announced.entry(job).or_default() += 1);
        }
    }

    fn collect(&mut self) {
        let (outcomes, now) = {
            let mut net = self.net.borrow_mut();
            (std::mem::take(&mut net.outcomes), net.now)
        };
        for outcome in outcomes {
            self.dispatch.received(1, outcome.size(), 0, now);
            let twice = self.received.insert(outcome.job.number, outcome);
            assert!(twice.is_none(), "every job ends once: {twice:?}");
        }
        if self.received.len() == self.scenario.jobs.len() && !std::mem::replace(&mut self.finished, true) {
            self.dispatch.finish();
        }
    }

    /// Time passes, from one event to the next.
    fn go_on(&mut self, until: Instant) {
        loop {
            self.settle();
            let next = self.next_event().filter(|&at| at <= until);
            let Some(next) = next else { break };
            self.net.borrow_mut().now = next;
        }
        self.net.borrow_mut().now = until;
        self.settle();
    }

    fn next_event(&self) -> Option<Instant> {
        let net = self.net.borrow();
        let streams = net.streams.values().chain(&net.orphans).filter_map(Stream::next_event);
        let deadlines = self.slots.iter().filter(|slot| !slot.seat.is_over()).filter_map(|slot| slot.deadline);
        streams.chain(deadlines).filter(|&at| at > net.now).min()
    }

    fn rest(&mut self) {
        for _ in 0..200_000 {
            self.settle();
            if self.finished && self.slots.iter().all(|slot| slot.seat.is_over()) {
                return;
            }
            let Some(next) = self.next_event() else { break };
            self.net.borrow_mut().now = next;
        }
        panic!("nothing hangs: {} of {} jobs ended", self.received.len(), self.scenario.jobs.len());
    }

    fn judge(&self) {
        let net = self.net.borrow();
        for (number, outcome) in &self.received {
            let begun = net.begun.get(number).copied().unwrap_or(0);
            let announced = net.announced.get(number).copied().unwrap_or(0);
            let status = outcome.status;
            assert!(outcome.attempts <= self.scenario.retries + 1, "no more attempts than are allowed: job {number}");
            match status {
                Status::Ok | Status::Died => {
                    assert!(
                        begun <= outcome.attempts,
                        "job {number} ({status:?}) has begun more often than it is charged"
                    );
                    let words = "charged without having been announced";
                    assert!(announced >= outcome.attempts, "job {number} ({status:?}) is {words}");
                }
                Status::NotRun => {
                    assert!(self.stopped_at.is_some(), "only a stop leaves jobs undone");
                    assert_eq!(begun, 0, "not_run means never begun: job {number}");
                }
                _ => panic!("job {number} ended as {status:?}"),
            }
        }
        let faults = |op: &Op| !matches!(op, Op::Pass(_));
        if !self.scenario.ops.iter().any(faults) {
            let ok = self.received.values().filter(|outcome| outcome.status == Status::Ok).count();
            assert_eq!(ok, self.scenario.jobs.len(), "where nothing is lost every job is done");
        }
        if let Some(at) = self.stopped_at {
            let passed: u64 = self.scenario.ops.iter().map(|op| if let Op::Pass(ms) = op { *ms } else { 0 }).sum();
            let most = Duration::from_secs(60 + 45) + Duration::from_millis(passed);
            assert!(net.now - at <= most, "a stopped run ends soon");
        }
    }
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
            Scenario { hosts, workers, jobs, ops, delay, retries, supplied }
        },
    )
}

proptest! {
    #![proptest_config(crate::testing::random())]

    #[test]
    fn every_job_ends_once_and_begins_no_more_often_than_it_is_charged(scenario in scenarios()) {
        let mut world = World::new(scenario);
        world.feed();
        for op in world.scenario.ops.clone() {
            world.apply(op);
        }
        world.rest();
        world.judge();
    }
}

/// The share of their time that the workers of hosts have a job, where each way takes `delay` milliseconds.
fn utilisation(hosts: usize, delay: u64, rounds: usize) -> f64 {
    let workers = 64;
    // Jobs take about a second, not all the same.
    let jobs: Vec<u64> = (0..hosts * workers * rounds).map(|n| 900 + (n as u64 * 7919) % 200).collect();
    let work: u64 = jobs.iter().sum();
    let mut world = World::new(Scenario { hosts, workers, jobs, ops: vec![], delay, retries: 0, supplied: true });
    world.feed();
    world.rest();
    world.judge();
    let took = world.net.borrow().now - world.start;
    work as f64 / 1000.0 / (took.as_secs_f64() * (hosts * workers) as f64)
}

#[test]
fn workers_behind_a_long_way_are_hardly_ever_idle() {
    let used = utilisation(2, 50, 100);
    assert!(used >= 0.98, "the start and the end included, the workers are busy {used:.3} of the time");
}
