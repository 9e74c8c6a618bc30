//! The poll loop's and the system's part in a simulated run, and what must hold at any moment of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::{Action, Delivery, Exited, How, Report, Session};
use super::worker::{Deed, Manner, Worker};
use super::{Op, Scenario};
use crate::pool::policies::{RecyclePolicy, RetryPolicy};
use crate::pool::settings::{Depth, PoolSettings};
use crate::protocol::Protocol;
use crate::words::cancel::Level;
use crate::words::job::{Extra, Job};
use crate::words::outcome::{Outcome, Status};
use crate::words::worker::{Channel, WorkerCommand};

const TIMEOUT: Duration = Duration::from_secs(10);
const START_TIMEOUT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(2);
/// The largest step of time that a scenario makes.
const STEP: Duration = Duration::from_secs(12);
/// From the moment a run is stopped to its end: grace, SIGTERM, SIGKILL, giving up, and the largest step of
/// time.
const STOPPED: Duration = Duration::from_secs(2 + 1 + 10 + 12 + 1);

/// Every third job brings its own time limit along.
fn limit(job: u64) -> Duration {
    if job.is_multiple_of(3) { 4 * TIMEOUT } else { TIMEOUT }
}

pub struct World {
    pub scenario: Scenario,
    session: Session,
    now: Instant,
    waiting: VecDeque<Delivery>,
    outcomes: BTreeMap<u64, Outcome>,
    begun: BTreeMap<u64, u32>,
    /// Jobs whose whole answer was written by a worker that nobody had asked to end.
    answered: BTreeSet<u64>,
    worker: Option<Worker>,
    starts: u32,
    failed_starts: u32,
    /// Workers that ended by themselves, or by their job, without an answer or `ready`.
    bad_ends: u32,
    proven: bool,
    out_of_order: bool,
    stopped_at: Option<Instant>,
}

impl World {
    pub fn new(scenario: Scenario) -> World {
        let now = Instant::now();
        let settings = PoolSettings {
            workers: 1,
            command: WorkerCommand { program: "w".into(), args: vec![], channel: Channel::Stdio },
            protocol: Protocol::Json,
            supplied: scenario.supplied,
            depth: Depth::Fixed(if scenario.manner == Manner::AtOnce { 1 } else { scenario.depth }),
            concurrency: if scenario.manner == Manner::AtOnce { scenario.depth } else { 1 },
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
            window: 100,
            memory: 1 << 20,
            keep_jobs: true,
            redact: vec![],
        };
        let job = |number| {
            let extra = Extra { timeout: Some(limit(number)), ..Extra::default() };
            let data = Bytes::from_static(b"null");
            Job { number, line: number, data, extra: (limit(number) != TIMEOUT).then(|| extra.into()) }
        };
        let waiting = (1..=scenario.jobs.len() as u64).map(|number| Delivery::new(job(number))).collect();
        World {
            session: Session::new(0, settings.into(), now, 1),
            scenario,
            now,
            waiting,
            outcomes: BTreeMap::new(),
            begun: BTreeMap::new(),
            answered: BTreeSet::new(),
            worker: None,
            starts: 0,
            failed_starts: 0,
            bad_ends: 0,
            proven: false,
            out_of_order: false,
            stopped_at: None,
        }
    }

    fn deed(&self, job: u64) -> Deed {
        self.scenario.jobs[job as usize - 1]
    }

    // ---- The poll loop's part ----

    pub fn turn(&mut self) {
        if self.session.wants_spawn(self.now) && !(self.stopped_at.is_some() && self.waiting.is_empty()) {
            assert!(self.worker.is_none(), "no start before the old worker is buried");
            self.spawn();
        }
        if self.session.wants_recycle(self.now) && !self.scenario.recycle_denied {
            self.session.retire(self.now);
        }
        for _ in 0..self.session.wants_jobs(self.now) {
            let now = self.now;
            let shared = self.session.in_flight() > 0;
            let due =
                |delivery: &Delivery| delivery.not_before.is_none_or(|at| at <= now) && !(shared && delivery.alone);
            let Some(index) = self.waiting.iter().position(due) else { break };
            if self.session.wants_jobs(self.now) == 0 {
                break;
            }
            let delivery = self.waiting.remove(index).expect("just found");
            self.session.give(delivery, self.now);
        }
        self.settle();
    }

    fn spawn(&mut self) {
        self.starts += 1;
        self.proven = false;
        let ready_at = self.scenario.ready.map(|ms| self.now + Duration::from_millis(ms));
        let mut worker = Worker::new(self.scenario.manner, ready_at, self.scenario.says_ready);
        if self.starts <= self.scenario.bad_starts {
            worker.exited = Some(How::Code(1));
            self.bad_ends += 1;
        }
        self.worker = Some(worker);
        self.session.spawned(self.now);
    }

    fn settle(&mut self) {
        for action in std::mem::take(&mut self.session.out.actions) {
            match action {
                Action::Bury => assert!(self.worker.take().is_some(), "only a worker that is there is buried"),
                Action::CloseInput => self.worker().input_closed = true,
                Action::Signal(signal) => {
                    self.worker().signalled(signal);
                    let words = std::mem::take(&mut self.worker().stderr);
                    self.session.stderr(&words);
                }
            }
        }
        for outcome in std::mem::take(&mut self.session.out.outcomes) {
            let number = outcome.job.number;
            assert!(self.outcomes.insert(number, outcome).is_none(), "every job ends once: job {number} ended twice");
        }
        for delivery in std::mem::take(&mut self.session.out.returned) {
            assert!(!self.outcomes.contains_key(&delivery.job.number), "every job ends once: it was returned too");
            self.waiting.push_back(delivery);
        }
        for report in std::mem::take(&mut self.session.out.reports) {
            match report {
                Report::FailedStart(_) => {
                    self.failed_starts += 1;
                    assert!(!self.proven, "failed starts are told apart: this worker had shown that it works");
                }
                Report::Proven => self.proven = true,
                Report::NotSerial => {
                    assert_eq!(self.scenario.manner, Manner::Unruly, "a serial worker is not taken for an unruly one");
                    self.out_of_order = true;
                }
                _ => {}
            }
        }
    }

    fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("no signal, no start before the old one is buried")
    }

    // ---- The system's part ----

    fn work(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        let jobs = &self.scenario.jobs;
        worker.work(self.now, |job| jobs[job as usize - 1]);
        for job in std::mem::take(&mut worker.begun) {
            *self.begun.entry(job).or_default() += 1;
        }
        self.answered.extend(std::mem::take(&mut worker.answered));
    }

    fn transfer(&mut self, into: usize, out: usize) {
        if self.worker.is_none() {
            return;
        }
        let pending = self.session.pending_input();
        let bytes = pending.len().min(into);
        let pending = pending[..bytes].to_vec();
        let worker = self.worker();
        if worker.input_broken || (worker.exited.is_some() && bytes > 0) {
            let unread = worker.pipe.len() as u64;
            self.session.input_broken(unread, self.now);
        } else {
            self.worker().pipe.extend(pending);
            self.session.written(bytes);
        }
        self.read(out);
        self.settle();
    }

    fn read(&mut self, most: usize) {
        let Some(worker) = &mut self.worker else { return };
        let bytes: Vec<u8> = worker.output.drain(..most.min(worker.output.len())).collect();
        if !bytes.is_empty()
            && let Some(buffer) = self.session.output_buffer()
        {
            buffer.extend_from_slice(&bytes);
            self.session.received(self.now);
        }
    }

    /// The poll loop learns of the worker's end: it reads some of what is left first, but perhaps not all.
    fn see_end(&mut self) {
        let now = self.now;
        let Some(worker) = &mut self.worker else { return };
        let held = worker.output_held_until.is_some_and(|at| at > now);
        if let (Some(how), false) = (worker.exited, worker.exit_told) {
            worker.exit_told = true;
            let unread = Some(worker.pipe.len() as u64);
            self.read(20);
            self.session.exited(Exited { how, unread, out_of_memory: false }, now);
            self.settle();
        }
        let Some(worker) = &mut self.worker else { return };
        let ended = worker.output_closed || (worker.exited.is_some() && !held);
        if ended && worker.output.is_empty() && !worker.end_told {
            worker.end_told = true;
            self.session.output_ended(now);
            self.settle();
        }
    }

    pub fn step(&mut self, op: Op) {
        match op {
            Op::Move(into, out) => self.transfer(into, out),
            Op::Work => self.work(),
            Op::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Op::Pause(ms) => self.pause(Duration::from_millis(ms)),
            Op::Quit => {
                let proven = self.proven;
                if let Some(worker) = self.worker.as_mut().filter(|worker| worker.is_idle()) {
                    worker.exited = Some(How::Code(0));
                    self.bad_ends += u32::from(!proven);
                }
            }
            Op::Drain => self.cancel(Level::Drain),
            Op::Abort => self.cancel(Level::Abort),
        }
        self.see_end();
        // What has arrived is read before any clock is judged, its end included.
        self.read(usize::MAX);
        self.see_end();
        self.settle();
        // One deadline a round, as in the poll loop; a few may be due together.
        for _ in 0..4 {
            self.session.tick(self.now);
            self.settle();
        }
        self.turn();
        self.check();
    }

    /// Time passes: the worker goes on, but nobody looks at its answers meanwhile.
    fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            self.transfer(usize::MAX, 0);
            while self.can_work() {
                self.work();
            }
            match self.next_event().filter(|&at| at <= end) {
                Some(at) if at > self.now => self.now = at,
                Some(_) => self.work(),
                None => break,
            }
        }
        self.now = end;
    }

    /// All of it stands still (Ctrl-Z) for so long.
    fn pause(&mut self, by: Duration) {
        self.now += by;
        if let Some(worker) = &mut self.worker {
            worker.pause(by);
        }
        self.session.shift(by);
    }

    fn can_work(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.can_work(self.now))
    }

    fn next_event(&self) -> Option<Instant> {
        self.worker.as_ref().and_then(Worker::next_event)
    }

    fn cancel(&mut self, level: Level) {
        self.stopped_at.get_or_insert(self.now);
        self.session.cancel(level, "test", self.now);
        for delivery in self.waiting.drain(..) {
            let outcome = delivery.not_run("test");
            assert!(self.outcomes.insert(outcome.job.number, outcome).is_none(), "every job ends once");
        }
        self.settle();
    }

    // ---- What must hold ----

    fn check(&self) {
        let open = self.session.in_flight();
        let known = self.outcomes.len() + self.waiting.len() + open;
        assert_eq!(known, self.scenario.jobs.len(), "every job ends once: one is missing");
        assert!(open <= self.scenario.depth, "no more than depth jobs are in flight");
        let deadline = self.session.deadline(self.now);
        if let Some(at) = deadline {
            let spins = at <= self.now && self.session.is_live();
            assert!(!spins, "a deadline that has been judged is over");
        }
        let loading = if self.proven { Duration::ZERO } else { START_TIMEOUT };
        let hanging = self.worker.iter().flat_map(Worker::hanging);
        for (job, since) in hanging.filter(|_| self.scenario.manner != Manner::Unruly) {
            // Or its end is under way: the next step of the ladder comes within --grace.
            let latest = (since + limit(job) + loading + STEP).max(self.now + GRACE);
            assert!(deadline.is_some_and(|at| at <= latest), "every running job has a clock: job {job}");
        }
    }

    /// Lets everything happen until nothing is left to happen.
    pub fn rest(&mut self) {
        for _ in 0..3000 {
            if self.outcomes.len() == self.scenario.jobs.len() {
                self.session.finish(self.now);
            }
            if self.session.is_over() {
                assert!(self.worker.is_none(), "no process is left");
                assert_eq!(self.outcomes.len(), self.scenario.jobs.len(), "every job ends once");
                let took = self.stopped_at.map_or(Duration::ZERO, |at| self.now - at);
                assert!(took <= STOPPED + self.scenario.passes(), "a stopped run ends soon, not after {took:?}");
                return;
            }
            self.step(Op::Move(usize::MAX, usize::MAX));
            self.step(Op::Work);
            self.step(Op::Move(usize::MAX, usize::MAX));
            // Jump to whatever comes next.
            let retry = self.waiting.iter().filter_map(|delivery| delivery.not_before);
            let events = [self.session.deadline(self.now), self.next_event()].into_iter().flatten();
            let next = retry.chain(events).filter(|&at| at > self.now);
            let busy = self.can_work() || !self.session.pending_input().is_empty();
            if let Some(next) = next.min()
                && !busy
            {
                self.now = next;
            }
        }
        panic!("nothing hangs: {} of {} jobs ended", self.outcomes.len(), self.scenario.jobs.len());
    }

    /// What must hold of the outcomes.
    pub fn judge(&self) {
        let may_blame_neighbours = self.scenario.jobs.iter().any(|deed| match deed {
            Deed::Double => true,
            // It has read its next job when it ends.
            Deed::AnswerCrash => self.scenario.manner != Manner::Serial,
            _ => false,
        });
        for (&number, outcome) in &self.outcomes {
            assert!(outcome.attempts <= self.scenario.retries + 1, "no more attempts than are allowed: job {number}");
            if self.scenario.manner.is_serial() {
                self.judge_serial(number, outcome, may_blame_neighbours);
            } else {
                self.judge_shared(number, outcome, may_blame_neighbours);
            }
        }
        if self.stopped_at.is_none() && !may_blame_neighbours && self.scenario.manner.is_serial() {
            assert!(self.failed_starts >= self.scenario.bad_starts.min(self.starts), "failed starts are told");
            if self.scenario.jobs.iter().all(|deed| deed.is_harmless() || deed.hangs()) {
                assert_eq!(self.failed_starts, self.bad_ends, "failed starts are told apart: a timeout is none");
            }
        }
    }

    /// A serial worker: the blame is exact.
    fn judge_serial(&self, number: u64, outcome: &Outcome, may_blame_neighbours: bool) {
        let deed = self.deed(number);
        let begun = self.begun.get(&number).copied().unwrap_or(0);
        if outcome.status == Status::NotRun {
            assert!(self.stopped_at.is_some(), "only a stop leaves jobs undone");
            // With read-ahead workers too: what is behind the head was never begun.
            assert_eq!(begun, 0, "not_run means never begun: job {number}");
            return;
        }
        if may_blame_neighbours {
            return;
        }
        let as_it_should = deed.ends().contains(&outcome.status);
        if self.answered.contains(&number) && !deed.hangs() {
            assert!(as_it_should, "an answer in time counts: job {number} ({deed:?}) ended as {:?}", outcome.status);
        }
        if self.stopped_at.is_some() {
            let ended = outcome.status == Status::Died;
            // One that is asked to end by a stop, not by its time limit, may still answer.
            let late = deed == Deed::HangLate && outcome.status == Status::Ok;
            assert!(as_it_should || ended || late, "job {number} ({deed:?}) was stopped as {:?}", outcome.status);
            return;
        }
        assert!(as_it_should, "job {number} ({deed:?}) ended as {:?}", outcome.status);
        if deed.is_harmless() || outcome.status == Status::Ok {
            assert_eq!(outcome.attempts, 1, "the innocent are never charged: job {number} ({deed:?})");
            assert_eq!(begun, 1, "an innocent job runs once: job {number} ({deed:?})");
        } else {
            assert_eq!(outcome.attempts, self.scenario.retries + 1, "job {number} ({deed:?})");
        }
        if outcome.status == Status::Timeout && self.scenario.dump {
            let shown = memchr::memmem::find(&outcome.payload, b"stack of the worker").is_some();
            assert!(shown, "what --dump brought is in the record");
        }
    }

    /// Jobs that share a worker share its fate; who is run again has a worker of its own.
    fn judge_shared(&self, number: u64, outcome: &Outcome, may_blame_neighbours: bool) {
        let deed = self.deed(number);
        if outcome.status == Status::NotRun {
            assert!(self.stopped_at.is_some(), "only a stop leaves jobs undone");
            return;
        }
        let as_it_should = deed.ends().contains(&outcome.status);
        let all_harmless = self.scenario.jobs.iter().all(|deed| deed.is_harmless());
        if self.stopped_at.is_some() || may_blame_neighbours {
            return;
        }
        let at_once = self.scenario.manner == Manner::AtOnce;
        if at_once {
            let begun = self.begun.get(&number).copied().unwrap_or(0);
            assert!(begun <= outcome.attempts, "all that were running are charged: job {number} ({deed:?})");
        }
        // Nobody knows who wrote what is no reply: the one that was given first is charged with it.
        let charged = matches!(outcome.status, Status::Died | Status::BadReply);
        if all_harmless {
            assert!(as_it_should, "job {number} ({deed:?}) ended as {:?}", outcome.status);
            assert_eq!(outcome.attempts, 1, "nobody is charged where nothing happens: job {number}");
        } else if at_once && deed.is_harmless() {
            let shared_fate = charged && self.scenario.retries == 0;
            assert!(as_it_should || shared_fate, "job {number} ({deed:?}) ended as {:?}", outcome.status);
        } else if at_once {
            assert!(as_it_should || charged, "job {number} ({deed:?}) ended as {:?}", outcome.status);
        }
        if outcome.status == Status::Timeout {
            assert!(deed.hangs() || !at_once, "an answer in time is no timeout: job {number} ({deed:?})");
        }
        if !self.out_of_order && self.scenario.manner == Manner::Unruly && all_harmless {
            assert_eq!(self.begun.get(&number), Some(&1), "job {number} runs once");
        }
    }
}
