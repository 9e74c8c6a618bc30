//! A pool of virtual workers: what the poll loops, the source, the collector and the system do in a simulated run,
//! and what must hold at any moment of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;

use super::super::dispatch::{Dispatch, Wakes, WorkerState};
use super::super::exited::{Exited, How};
use super::super::limits;
use super::super::policies::{RecyclePolicy, RetryPolicy, start_budget};
use super::super::seat::{Seat, account};
use super::super::session::Session;
use super::super::settings::{Depth, PoolSettings};
use super::judge::Observed;
use super::machine::{SimulatedEar, SimulatedMachine, Surroundings};
use super::worker::{Habit, Worker};
use super::{Op, Scenario};
use crate::protocol::Protocol;
use crate::words::cancel::Level;
use crate::words::job::{Extra, Job};
use crate::words::outcome::{Outcome, Status};
use crate::words::worker::{Channel, WorkerCommand};

/// The time limits of the simulated pool. They are longer than the 9 s that a slow job takes, and short enough for many
/// to pass in a scenario; that to load is longer than the 5 s that a worker takes at most.
pub const TIMEOUT: Duration = Duration::from_secs(10);
pub const START_TIMEOUT: Duration = Duration::from_secs(30);
pub const GRACE: Duration = Duration::from_secs(2);
/// The largest step of time that a scenario makes.
pub const STEP: Duration = Duration::from_secs(12);
/// The longest time from the moment a run is stopped to its end, in seconds: `GRACE` to answer, 1 s from SIGTERM to
/// SIGKILL, 10 s until a worker is given up, `STEP`, and one to spare.
const STOPPED: Duration = Duration::from_secs(2 + 1 + 10 + 12 + 1);
/// How many rounds a slot may make at one moment without anything having happened to it: one to see that a deadline has
/// passed and one to judge it, for each of the few deadlines that may be due together.
const ROUNDS: u32 = 12;
/// How many bytes a result has, at most: an error with all that a virtual worker can show of itself.
const RESULT: usize = 600;

/// The time limit of this job: every third one brings its own along.
pub fn limit(job: u64) -> Duration {
    if job.is_multiple_of(3) { 4 * TIMEOUT } else { TIMEOUT }
}

pub struct World {
    pub scenario: Scenario,
    now: Instant,
    slots: Vec<SlotModel>,
    settings: Arc<PoolSettings>,
    dispatch: Arc<Dispatch>,
    surroundings: Rc<RefCell<Surroundings>>,
    /// Whose bells have been rung and not been heard yet.
    rung: Arc<Mutex<Rung>>,
    source: SourceModel,
    collector: CollectorModel,
    pub seen: Observed,
    stopped_at: Option<Instant>,
    finished: bool,
    /// Failed starts in a row, counted by what the virtual workers did, not by what the pool says of them.
    bad_in_a_row: u32,
    /// Some worker has answered a job, as far as its session knows.
    has_worked: bool,
}

#[derive(Default)]
struct Rung {
    slots: BTreeSet<u32>,
    source: bool,
}

/// A slot's thread: it sleeps between two rounds.
struct SlotModel {
    seat: Seat<SimulatedMachine, SimulatedEar>,
    /// When it went to sleep.
    slept_at: Instant,
    /// When it wakes by itself.
    deadline: Option<Instant>,
    over: bool,
    /// How many rounds it has made since something happened to it.
    idle_rounds: u32,
}

/// The source's thread.
struct SourceModel {
    jobs: Sender<Vec<Job>>,
    left: VecDeque<Job>,
    offered: u64,
    /// The source waits for room.
    waits: bool,
    ended: bool,
}

/// The collector, which puts outcomes into order.
struct CollectorModel {
    next: u64,
    waiting: BTreeMap<u64, Outcome>,
    received: u64,
}

impl World {
    pub fn new(scenario: Scenario) -> World {
        let now = Instant::now();
        let settings = Arc::new(settings(&scenario));
        let surroundings = Rc::new(RefCell::new(Surroundings::new(&scenario, now)));
        let rung = Arc::new(Mutex::new(Rung::default()));
        let (jobs, fresh) = crossbeam_channel::bounded(1);
        let dispatch = Arc::new(Dispatch::new(limits(&settings), scenario.rate, false, fresh, ring(&rung)));
        let slot = |number: usize| {
            let machine = SimulatedMachine::new(Rc::clone(&surroundings));
            let ear = SimulatedEar { surroundings: Rc::clone(&surroundings) };
            let (settings, dispatch) = (Arc::clone(&settings), Arc::clone(&dispatch));
            let session = Box::new(Session::new(number as u32, Arc::clone(&settings), now, number as u64));
            let seat = Seat::new(number as u32, settings, dispatch, session, machine, ear, now);
            SlotModel { seat, slept_at: now, deadline: Some(now), over: false, idle_rounds: 0 }
        };
        let left = (1..).zip(&scenario.jobs).map(|(number, _)| job(number, scenario.job_bytes)).collect();
        World {
            now,
            slots: (0..scenario.slots).map(slot).collect(),
            settings,
            dispatch,
            surroundings,
            rung,
            source: SourceModel { jobs, left, offered: 0, waits: false, ended: false },
            collector: CollectorModel { next: 1, waiting: BTreeMap::new(), received: 0 },
            seen: Observed::default(),
            stopped_at: None,
            finished: false,
            bad_in_a_row: 0,
            has_worked: false,
            scenario,
        }
    }

    // ---- The threads' part ----

    /// Lets a slot wake: it hears what has arrived, at most so many bytes of output, and makes a round.
    fn run_slot(&mut self, slot: usize, most: usize) {
        self.hear(slot, most);
        let model = &mut self.slots[slot];
        if !model.over {
            model.seat.tick(model.slept_at);
            model.deadline = model.seat.round(self.now);
            model.slept_at = self.now;
            model.over = model.seat.is_over();
        }
        self.after_round(slot);
    }

    fn hear(&mut self, slot: usize, most: usize) {
        let now = self.now;
        if self.slots[slot].seat.machine.worker.as_ref().is_some_and(|worker| worker.exited.is_none()) {
            self.read(slot, most);
        }
        let seat = &mut self.slots[slot].seat;
        let is_proven =
            seat.session.standing(false, now).is_some_and(|standing| standing.worker == WorkerState::Proven);
        let Some(worker) = &mut seat.machine.worker else { return };
        if is_proven {
            self.bad_in_a_row = 0;
            self.has_worked |= worker.has_answered;
        }
        let words = std::mem::take(&mut worker.stderr);
        if !words.is_empty() {
            assert!(seat.session.stderr(&words), "whatever a worker of this machine writes is shown");
        }
        // The slot learns of the worker's exit. Like the poll loop it reads some of what is left before, but perhaps
        // not all.
        if let (Some(how), false) = (worker.exited, worker.exit_told) {
            worker.exit_told = true;
            let unread = Some(worker.pipe.len() as u64);
            self.read(slot, 20);
            let session = &mut self.slots[slot].seat.session;
            session.exited(Exited { how, unread, out_of_memory: false }, now);
        }
        self.read(slot, most);
        let seat = &mut self.slots[slot].seat;
        let Some(worker) = &mut seat.machine.worker else { return };
        if worker.output_has_ended(now) && !worker.end_told {
            worker.end_told = true;
            seat.session.output_ended(now);
        }
        if worker.input_broken && worker.exited.is_none() && !worker.break_told && !worker.input_closed {
            worker.break_told = true;
            seat.session.input_broken(worker.pipe.len() as u64, now);
        }
    }

    fn read(&mut self, slot: usize, most: usize) {
        let seat = &mut self.slots[slot].seat;
        let Some(worker) = &mut seat.machine.worker else { return };
        let bytes: Vec<u8> = worker.output.drain(..most.min(worker.output.len())).collect();
        if !bytes.is_empty()
            && let Some(buffer) = seat.session.output_buffer()
        {
            buffer.extend_from_slice(&bytes);
            seat.session.received(self.now);
        }
    }

    /// Notes what a round of this slot has brought.
    fn after_round(&mut self, slot: usize) {
        let model = &mut self.slots[slot];
        model.idle_rounds += 1;
        assert!(model.idle_rounds <= ROUNDS, "nobody turns in circles: w{slot} makes rounds without an event");
        assert!(!(model.over && model.seat.machine.worker.is_some()), "no process is left");
        for worker in std::mem::take(&mut model.seat.machine.buried) {
            self.note_end(&worker);
        }
        if std::mem::take(&mut self.surroundings.borrow_mut().gave_up) {
            assert!(self.bad_in_a_row >= start_budget(self.slots.len()), "the pool gives up only on bad starts");
            self.stop(Level::Abort);
        }
    }

    /// Counts failed starts by what the worker did.
    fn note_end(&mut self, worker: &Worker) {
        if worker.has_shown || worker.hanging_in().is_some() {
            return;
        }
        let is_retry = worker.read.iter().any(|job| self.seen.begun.get(job).is_some_and(|&begun| begun > 1));
        let is_bad = worker.read.is_empty() || !(self.has_worked || is_retry);
        self.bad_in_a_row += u32::from(is_bad);
    }

    /// Lets every thread that has something to do run, until all sleep, and checks what must hold then.
    fn settle(&mut self) {
        self.run_all();
        self.check();
    }

    fn run_all(&mut self) {
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 2000, "nobody turns in circles: the threads wake each other");
            let due = |model: &SlotModel| model.deadline.is_some_and(|at| at <= self.now) || model.has_heard(self.now);
            let waking = (0..self.slots.len()).find(|&slot| {
                let is_rung = self.rung.lock().unwrap().slots.contains(&(slot as u32));
                !self.slots[slot].over && (is_rung || due(&self.slots[slot]))
            });
            let Some(slot) = waking else { break };
            if self.rung.lock().unwrap().slots.remove(&(slot as u32)) || self.slots[slot].has_heard(self.now) {
                self.slots[slot].idle_rounds = self.slots[slot].idle_rounds.min(ROUNDS / 2);
            }
            self.run_slot(slot, usize::MAX);
        }
    }

    // ---- The source's and the collector's part ----

    fn feed(&mut self, most: usize) {
        if std::mem::take(&mut self.rung.lock().unwrap().source) {
            self.source.waits = false;
        }
        if self.source.waits || self.source.ended {
            return;
        }
        let wanted = if self.stopped_at.is_some() { 0 } else { most.min(self.source.left.len()) };
        let sizes: Vec<usize> = self.source.left.iter().take(wanted).map(|job| job.data.len()).collect();
        let admitted = if wanted > 0 { self.dispatch.admit(&mut sizes.into_iter()) } else { 0 };
        self.source.waits = wanted > 0 && admitted == 0;
        if admitted > 0 {
            let piece: Vec<Job> = self.source.left.drain(..admitted).collect();
            self.source.offered += admitted as u64;
            self.source.jobs.send(piece).unwrap();
            assert!(self.dispatch.offered(self.now).is_empty(), "only a run that is stopped refuses jobs");
        }
        if self.source.left.is_empty() || self.stopped_at.is_some() {
            self.source.ended = true;
            self.dispatch.source_ended();
        }
    }

    /// The collector receives up to `most` outcomes.
    fn collect(&mut self, most: usize) {
        let outcomes: Vec<Outcome> = {
            let mut surroundings = self.surroundings.borrow_mut();
            let count = most.min(surroundings.outcomes.len());
            surroundings.outcomes.drain(..count).collect()
        };
        if outcomes.is_empty() {
            return;
        }
        let (jobs, bytes) = (outcomes.len(), outcomes.iter().map(Outcome::size).sum());
        for outcome in outcomes {
            let number = outcome.job.number;
            assert!(number >= self.collector.next, "every job ends once: job {number} ended twice");
            let twice = self.collector.waiting.insert(number, outcome);
            assert!(twice.is_none(), "every job ends once: job {number} ended twice");
            self.collector.received += 1;
        }
        while let Some(outcome) = self.collector.waiting.remove(&self.collector.next) {
            self.collector.next += 1;
            self.seen.outcomes.push(outcome);
        }
        // The collector keeps up to half of the memory; what is more waits on disk.
        let waiting = self.collector.waiting.values().map(Outcome::size).sum::<usize>().min(self.scenario.memory / 2);
        self.dispatch.received(jobs, bytes, waiting, self.now);
    }

    fn stop(&mut self, level: Level) {
        self.stopped_at.get_or_insert(self.now);
        let waiting = self.dispatch.stop(level, "test");
        let mut unrun: Vec<Outcome> = waiting.into_iter().map(|delivery| delivery.not_run("test")).collect();
        account(&self.dispatch, &mut unrun, true);
        self.surroundings.borrow_mut().outcomes.extend(unrun);
    }

    // ---- The system's part ----

    fn work(&mut self, slot: usize) {
        let jobs = &self.scenario.jobs;
        let Some(worker) = &mut self.slots[slot].seat.machine.worker else { return };
        worker.work(self.now, |job| jobs[job as usize - 1]);
        let (begun, answered) = (std::mem::take(&mut worker.begun), std::mem::take(&mut worker.answered));
        for job in begun {
            *self.seen.begun.entry(job).or_default() += 1;
        }
        self.seen.answered.extend(answered);
    }

    fn can_work(&self, slot: usize) -> bool {
        self.slots[slot].seat.machine.worker.as_ref().is_some_and(|worker| worker.can_work(self.now))
    }

    fn next_event(&self) -> Option<Instant> {
        let workers = self.slots.iter().filter_map(|model| model.seat.machine.worker.as_ref());
        workers.filter_map(Worker::next_event).filter(|&at| at > self.now).min()
    }

    /// Time passes: the workers go on, but no thread looks at their answers meanwhile.
    fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            for slot in 0..self.slots.len() {
                while self.can_work(slot) {
                    self.work(slot);
                }
            }
            match self.next_event().filter(|&at| self.now < at && at <= end) {
                Some(at) => self.set_time(at),
                None => break,
            }
        }
        self.set_time(end);
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
        self.surroundings.borrow_mut().now = now;
        self.slots.iter_mut().for_each(|model| model.idle_rounds = 0);
    }

    pub fn step(&mut self, op: Op) {
        self.slots.iter_mut().for_each(|model| model.idle_rounds = 0);
        match op {
            Op::Move(slot, into, out) => {
                let slot = slot % self.slots.len();
                self.slots[slot].seat.machine.pipe_room = into;
                if !self.slots[slot].over {
                    self.run_slot(slot, out);
                }
                self.slots[slot].seat.machine.pipe_room = usize::MAX;
            }
            Op::Work(slot) => self.work(slot % self.slots.len()),
            Op::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Op::Pause => {
                self.dispatch.pause();
                self.run_all();
                let timed = self.slots.iter().any(|model| !model.over && model.deadline.is_some());
                assert!(!timed, "nobody counts the time while the run stands still");
                self.dispatch.resume();
            }
            Op::Renew => {
                self.dispatch.renew();
            }
            Op::HoldBack(ms) => {
                let pause = Duration::from_millis(ms);
                self.dispatch.hold_back(pause, self.now);
                self.surroundings.borrow_mut().held.push((self.now, self.now + pause));
            }
            Op::Feed(jobs) => self.feed(jobs),
            Op::Collect(outcomes) => self.collect(outcomes),
            Op::Quit(slot) => {
                let slot = slot % self.slots.len();
                if let Some(worker) = self.slots[slot].seat.machine.worker.as_mut().filter(|worker| worker.is_idle()) {
                    worker.exited = Some(How::Code(0));
                }
            }
            Op::Drain => self.stop(Level::Drain),
            Op::Abort => self.stop(Level::Abort),
        }
        self.settle();
    }

    // ---- What must hold ----

    fn check(&self) {
        let in_flight: usize = self.slots.iter().map(|model| model.seat.session.in_flight()).sum();
        let on_their_way = self.surroundings.borrow().outcomes.len();
        let waiting = self.dispatch.look(|dispatcher| dispatcher.waiting());
        let known = self.collector.received as usize + on_their_way + waiting + in_flight;
        assert_eq!(known, self.source.offered as usize, "every job ends once: one is missing");
        for (slot, model) in self.slots.iter().enumerate() {
            let most = self.settings.ahead();
            assert!(model.seat.session.in_flight() <= most, "no more than depth jobs are in flight");
            let standing = model.seat.session.standing(false, self.now).filter(|_| !self.finished);
            if let Some(standing) = standing {
                let is_owed = self.dispatch.look(|dispatcher| dispatcher.owes(standing, self.now));
                assert!(!is_owed, "no slot sleeps while a job that it may take is due: w{slot} {standing:?}");
            }
            self.check_clocks(model);
        }
        self.dispatch.look(|dispatcher| {
            let holder = dispatcher.in_turn().map(|slot| self.slots[slot as usize].seat.session.in_flight());
            assert!(holder.is_none_or(|in_flight| in_flight == 0), "a turn is taken only with empty hands");
            let (jobs, bytes) = (dispatcher.ledger().jobs(), dispatcher.ledger().bytes());
            assert!(jobs <= self.scenario.window, "no more than a window of jobs is read ahead: {jobs}");
            let results = self.slots.len() * self.settings.ahead() * (RESULT + self.scenario.job_bytes);
            let most = self.scenario.memory.max(self.scenario.job_bytes) + results;
            // In a run that is being stopped all jobs that wait end at once, in more results than the memory holds.
            assert!(
                bytes <= most || self.stopped_at.is_some(),
                "memory stays within --memory: {bytes} of {most} bytes"
            );
        });
    }

    /// No job is given out while the pool is held back, nor more jobs in any time than --rate allows.
    fn check_rate(&self) {
        let surroundings = self.surroundings.borrow();
        let given = &surroundings.given;
        for (from, until) in &surroundings.held {
            let is_early = |at: &&Instant| from < *at && *at < until;
            assert_eq!(given.iter().find(is_early), None, "nothing is given out in a pause");
        }
        let Some(rate) = self.scenario.rate else { return };
        for (first, from) in given.iter().enumerate() {
            for (more, at) in (1..).zip(&given[first..]) {
                let most = (*at - *from + rate.slack).as_nanos() / rate.interval.as_nanos() + 1;
                assert!(more <= most, "no more jobs than --rate allows: {more} of {most}");
            }
        }
    }

    fn check_clocks(&self, model: &SlotModel) {
        let Some(worker) = &model.seat.machine.worker else { return };
        let loading = if worker.has_shown { Duration::ZERO } else { START_TIMEOUT };
        for (job, since) in worker.hanging().filter(|_| self.scenario.habit != Habit::Unruly) {
            // If the worker's end is under way, it is the next step of the ladder that is due, within --grace.
            let latest = (since + limit(job) + loading + STEP).max(self.now + GRACE);
            assert!(model.deadline.is_some_and(|at| at <= latest), "every running job has a clock: job {job}");
        }
    }

    /// Lets everything happen until nothing is left to happen.
    pub fn rest(&mut self) {
        for _ in 0..6000 {
            self.feed(usize::MAX);
            self.collect(usize::MAX);
            if self.source.ended && self.collector.received == self.source.offered && !self.finished {
                self.finished = true;
                self.dispatch.finish();
            }
            self.settle();
            if self.finished && self.slots.iter().all(|model| model.over) {
                assert_eq!(self.seen.outcomes.len() as u64, self.source.offered, "every job ends once");
                let took = self.stopped_at.map_or(Duration::ZERO, |at| self.now - at);
                assert!(took <= STOPPED + self.scenario.passes(), "a stopped run ends soon, not after {took:?}");
                return;
            }
            for slot in 0..self.slots.len() {
                while self.can_work(slot) {
                    self.work(slot);
                }
            }
            self.settle();
            self.skip_to_next_event();
        }
        panic!("nothing hangs: {} of {} jobs ended", self.collector.received, self.scenario.jobs.len());
    }

    fn skip_to_next_event(&mut self) {
        let deadlines = self.slots.iter().filter(|model| !model.over).filter_map(|model| model.deadline);
        let next = deadlines.chain(self.next_event()).filter(|&at| at > self.now).min();
        let busy = (0..self.slots.len()).any(|slot| self.can_work(slot)) || self.rung.lock().unwrap().source;
        if let Some(next) = next
            && !busy
        {
            self.set_time(next);
            self.settle();
        }
    }

    /// What must hold of the outcomes.
    pub fn judge(&mut self) {
        self.check_rate();
        self.seen.was_stopped = self.stopped_at.is_some();
        self.seen.out_of_order = self.surroundings.borrow().out_of_order;
        self.seen.judge(&self.scenario, |job| self.scenario.jobs[job as usize - 1]);
    }
}

impl SlotModel {
    /// Whether poll would return because of the worker's process or pipes.
    fn has_heard(&self, now: Instant) -> bool {
        let Some(worker) = &self.seat.machine.worker else { return false };
        let is_broken = worker.input_broken && worker.exited.is_none() && !worker.break_told && !worker.input_closed;
        let can_write = !self.seat.session.pending_input().is_empty() && !worker.input_closed;
        !worker.output.is_empty()
            || !worker.stderr.is_empty()
            || (worker.exited.is_some() && !worker.exit_told)
            || (worker.output_has_ended(now) && !worker.end_told)
            || is_broken
            || can_write
    }
}

/// Notes whose bells the dispatcher rings.
fn ring(rung: &Arc<Mutex<Rung>>) -> impl Fn(&Wakes) + Send + Sync + 'static {
    let rung = Arc::clone(rung);
    move |wakes| {
        let mut rung = rung.lock().unwrap();
        rung.slots.extend(&wakes.slots);
        rung.source |= wakes.source;
    }
}

fn job(number: u64, bytes: usize) -> Job {
    let extra = Extra { timeout: Some(limit(number)), ..Extra::default() };
    let data = Bytes::from(format!("\"{}\"", "x".repeat(bytes.saturating_sub(2))));
    Job { number, line: number, data, extra: (limit(number) != TIMEOUT).then(|| extra.into()) }
}

fn settings(scenario: &Scenario) -> PoolSettings {
    let at_once = scenario.habit == Habit::AtOnce;
    PoolSettings {
        workers: scenario.slots,
        command: WorkerCommand {
            wrap: Vec::new(),
            program: "w".into(),
            args: vec![],
            channel: Channel::Stdio,
            env: Vec::new(),
        },
        protocol: Protocol::Json,
        supplied: scenario.supplied,
        preload: false,
        depth: Depth::Fixed(if at_once { 1 } else { scenario.depth }),
        concurrency: if at_once { scenario.depth } else { 1 },
        batch: (scenario.habit == Habit::Batches).then_some(scenario.depth),
        timeout: Some(TIMEOUT),
        start_timeout: START_TIMEOUT,
        grace: GRACE,
        dump: scenario.dump.then_some(libc::SIGUSR1),
        retry: RetryPolicy {
            retries: scenario.retries,
            delay: Duration::from_secs(1),
            on: vec![Status::Died, Status::Timeout, Status::BadReply],
        },
        recycle: RecyclePolicy { jobs: scenario.recycle_jobs, memory: None, age: scenario.recycle_age },
        max_reply_bytes: 1000,
        window: scenario.window,
        memory: scenario.memory,
        keep_jobs: true,
        redact: vec![],
        hosts: None,
        watched: true,
        rate: scenario.rate,
    }
}
