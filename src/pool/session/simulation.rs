//! The session against virtual workers, with a virtual clock and random events.
//!
//! A scenario is a list of jobs (each with what it does to its worker) and of operations (some bytes move, time
//! passes, the run is stopped). After every step the invariants that can be seen from outside are checked; at
//! the end the pool is driven until it is at rest, and every job must have exactly one outcome, of a status that
//! what it did explains. Scenarios shrink (proptest), and PROPTEST_CASES sets how many there are.
//!
//! Bugs that were planted to see this fail, by the invariant of the design they break:
//!
//! 1. `gone` forgets the jobs behind the head; `break_input` drops the undelivered ones; `fail` reports and
//!    returns; `input_broken` returns jobs that are in the pipe as well: "every job ends once".
//! 3. `Live::next_timeout` compares with the time of the last answer; `tick` before `received` in the driver:
//!    "an answer in time is no timeout".
//! 4. `end_job` suspects the last job, or all; `death.consumed` ignores the unread bytes; `fail` without
//!    `alone`: "the innocent are never charged".
//! 5. `give` starts every job's clock; `answer` does not start the next head's: "the innocent are never
//!    charged", "a hang ends".
//! 6. `judge_soon` judges at once on exit although output is left: "an answer in the pipe counts".
//! 7. `gone` without `Bury`, or `climb` signals after it: "no signal, no start before the old one is buried".
//! 9. `report_end` counts a timeout as a failed start; `proven` not set by an answer: "failed starts are told
//!    apart".

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Action, Delivery, Exited, How, Report, Session};
use crate::cancel::Level;
use crate::config::{Channel, Depth, PoolSettings, WorkerCommand};
use crate::job::{Job, Outcome, Status};
use crate::pool::policies::{RecyclePolicy, RetryPolicy};
use crate::protocol::Protocol;

/// What a job does to its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Answer,
    /// An answer after so many milliseconds, which is well within the time limit.
    Slow(u64),
    Error,
    Crash,
    /// Half a reply, then the end.
    HalfCrash,
    /// The end of the leader, while a grandchild holds its output open.
    CrashHeld,
    Hang,
    /// Hangs, and answers when it is asked to end.
    HangLate,
    /// Hangs, and ignores SIGTERM.
    HangDeaf,
    Garbage,
    /// Closes its output and lives on.
    CloseOutput,
    /// A whole answer, then the end: the answer counts.
    AnswerCrash,
    /// Two answers. The second may be blamed on the job after it.
    Double,
    /// An answer to a job it was never given.
    WrongId,
}

impl Deed {
    /// Whether the worker survives it.
    fn is_harmless(self) -> bool {
        matches!(self, Deed::Answer | Deed::Slow(_) | Deed::Error)
    }

    /// How its last attempt may end in a run that is not stopped.
    fn ends(self) -> &'static [Status] {
        match self {
            Deed::Answer | Deed::Slow(_) | Deed::AnswerCrash | Deed::Double => &[Status::Ok],
            Deed::Error => &[Status::Error],
            Deed::Crash | Deed::HalfCrash | Deed::CrashHeld | Deed::CloseOutput => &[Status::Died],
            Deed::Hang | Deed::HangLate | Deed::HangDeaf => &[Status::Timeout],
            Deed::Garbage | Deed::WrongId => &[Status::BadReply],
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// So many bytes go through the worker's input pipe, and so many through its output pipe.
    Move(usize, usize),
    /// The worker goes on.
    Work,
    /// Milliseconds pass.
    Pass(u64),
    /// The idle worker ends by itself.
    Quit,
    Drain,
    Abort,
}

#[derive(Debug, Clone)]
struct Scenario {
    jobs: Vec<Deed>,
    ops: Vec<Op>,
    depth: usize,
    retries: u32,
    /// The worker says `ready`, after this many milliseconds.
    ready: Option<u64>,
    supplied: bool,
    /// So many starts of a worker fail before one succeeds.
    bad_starts: u32,
    recycle: Option<u64>,
    /// The worker takes all that is in its pipe at once.
    reads_ahead: bool,
}

const TIMEOUT: Duration = Duration::from_secs(10);
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A worker's process.
#[derive(Default)]
struct Worker {
    /// In the pipe, not read.
    pipe: VecDeque<u8>,
    /// Read, not yet begun.
    ahead: VecDeque<u8>,
    /// Written, not yet read by the session.
    output: VecDeque<u8>,
    input_closed: bool,
    output_closed: bool,
    output_held_until: Option<Instant>,
    ready_at: Option<Instant>,
    exited: Option<How>,
    told: bool,
    end_told: bool,
    /// The job it runs, and when it answers.
    running: Option<(u64, Deed, Option<Instant>)>,
    deaf: bool,
}

struct World {
    scenario: Scenario,
    session: Session,
    now: Instant,
    waiting: VecDeque<Delivery>,
    outcomes: BTreeMap<u64, Outcome>,
    begun: BTreeMap<u64, u32>,
    worker: Option<Worker>,
    starts: u32,
    failed_starts: u32,
    /// Workers that ended by themselves, or by their job, without an answer or `ready`.
    bad_ends: u32,
    proven: bool,
    stopped: bool,
}

impl World {
    fn new(scenario: Scenario) -> World {
        let now = Instant::now();
        let settings = PoolSettings {
            workers: 1,
            command: WorkerCommand { program: "w".into(), args: vec![], channel: Channel::Stdio },
            protocol: Protocol::Json,
            supplied: scenario.supplied,
            depth: Depth::Fixed(scenario.depth),
            concurrency: 1,
            timeout: Some(TIMEOUT),
            start_timeout: START_TIMEOUT,
            grace: Duration::from_secs(2),
            dump: None,
            retry: RetryPolicy {
                retries: scenario.retries,
                delay: Duration::from_secs(1),
                on: vec![Status::Died, Status::Timeout, Status::BadReply],
            },
            recycle: RecyclePolicy { jobs: scenario.recycle, memory: None, age: None },
            max_reply_bytes: 1000,
            window: 100,
            memory: 1 << 20,
            keep_jobs: true,
            redact: vec![],
        };
        let job = |number| Job { number, line: number, data: Bytes::from_static(b"null"), extra: None };
        let waiting = (1..=scenario.jobs.len() as u64).map(|number| Delivery::new(job(number))).collect();
        World {
            session: Session::new(0, settings.into(), now, 1),
            scenario,
            now,
            waiting,
            outcomes: BTreeMap::new(),
            begun: BTreeMap::new(),
            worker: None,
            starts: 0,
            failed_starts: 0,
            bad_ends: 0,
            proven: false,
            stopped: false,
        }
    }

    fn deed(&self, job: u64) -> Deed {
        self.scenario.jobs[job as usize - 1]
    }

    // ---- The poll loop's part ----

    fn turn(&mut self) {
        if self.session.wants_spawn(self.now) && !(self.stopped && self.waiting.is_empty()) {
            assert!(self.worker.is_none(), "no start before the old worker is buried");
            self.spawn();
        }
        if self.session.wants_recycle(self.now) {
            self.session.retire(self.now);
        }
        for _ in 0..self.session.wants_jobs(self.now) {
            let now = self.now;
            let alone = self.session.in_flight() > 0;
            let due =
                |delivery: &Delivery| delivery.not_before.is_none_or(|at| at <= now) && !(alone && delivery.alone);
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
        let mut worker = Worker::default();
        if self.starts <= self.scenario.bad_starts {
            worker.exited = Some(How::Code(1));
            self.bad_ends += 1;
        } else {
            worker.ready_at = self.scenario.ready.map(|ms| self.now + Duration::from_millis(ms));
        }
        self.worker = Some(worker);
        self.session.spawned(self.now);
    }

    fn settle(&mut self) {
        for action in std::mem::take(&mut self.session.out.actions) {
            match action {
                Action::Bury => assert!(self.worker.take().is_some(), "only a worker that is there is buried"),
                Action::CloseInput => self.worker().input_closed = true,
                Action::Signal(signal) => self.signalled(signal),
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
                Report::NotSerial => panic!("all workers here are serial"),
                _ => {}
            }
        }
    }

    fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("no signal, no start before the old one is buried")
    }

    fn signalled(&mut self, signal: i32) {
        let worker = self.worker();
        if worker.exited.is_some() || (signal == libc::SIGTERM && worker.deaf) {
            return;
        }
        if let Some((job, Deed::HangLate, _)) = worker.running {
            reply(worker, job);
        }
        self.worker().exited = Some(How::Signal(signal));
    }

    // ---- The worker's part ----

    fn work(&mut self) {
        let now = self.now;
        let Some(worker) = &mut self.worker else { return };
        if worker.exited.is_some() {
            return;
        }
        if let Some(at) = worker.ready_at {
            if at > now {
                return;
            }
            worker.ready_at = None;
            worker.output.extend(b"{\"status\":\"ready\"}\n");
        }
        if let Some((job, _, Some(at))) = worker.running
            && at <= now
        {
            reply(worker, job);
            worker.running = None;
        }
        if worker.running.is_some() {
            return;
        }
        if self.scenario.reads_ahead {
            let all = worker.pipe.drain(..);
            worker.ahead.extend(all);
        } else if !worker.ahead.contains(&b'\n') {
            // It reads as far as the end of one line.
            while let Some(byte) = worker.pipe.pop_front() {
                worker.ahead.push_back(byte);
                if byte == b'\n' {
                    break;
                }
            }
        }
        let Some(end) = worker.ahead.iter().position(|&byte| byte == b'\n') else {
            if worker.input_closed && worker.pipe.is_empty() {
                worker.exited = Some(How::Code(0));
            }
            return;
        };
        let line: Vec<u8> = worker.ahead.drain(..=end).collect();
        let text = std::str::from_utf8(&line).expect("jobs are text");
        let digits: String =
            text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        let job: u64 = digits.parse().expect("a job has a number");
        *self.begun.entry(job).or_default() += 1;
        self.begin(job);
    }

    fn begin(&mut self, job: u64) {
        let deed = self.deed(job);
        let now = self.now;
        let worker = self.worker();
        worker.running = Some((job, deed, None));
        match deed {
            Deed::Answer => reply(worker, job),
            Deed::Slow(ms) => worker.running = Some((job, deed, Some(now + Duration::from_millis(ms)))),
            Deed::Error => {
                worker.output.extend(format!("{{\"id\":{job},\"status\":\"error\",\"error\":\"no\"}}\n").bytes());
            }
            Deed::Crash => worker.exited = Some(How::Signal(libc::SIGSEGV)),
            Deed::HalfCrash => {
                worker.output.extend(b"{\"id\":");
                worker.exited = Some(How::Code(0));
            }
            Deed::CrashHeld => {
                worker.exited = Some(How::Code(3));
                worker.output_held_until = Some(now + Duration::from_secs(3600));
            }
            Deed::Hang | Deed::HangLate => {}
            Deed::HangDeaf => worker.deaf = true,
            Deed::Garbage => worker.output.extend(b"hello\n"),
            Deed::CloseOutput => worker.output_closed = true,
            Deed::AnswerCrash => {
                reply(worker, job);
                worker.exited = Some(How::Code(1));
            }
            Deed::Double => {
                reply(worker, job);
                reply(worker, job);
            }
            Deed::WrongId => reply(worker, job + 1000),
        }
        if matches!(deed, Deed::Answer | Deed::Error | Deed::Double) {
            worker.running = None;
        }
    }

    // ---- The system's part ----

    fn transfer(&mut self, into: usize, out: usize) {
        if self.worker.is_none() {
            return;
        }
        let pending = self.session.pending_input();
        let bytes = pending.len().min(into);
        let pending = pending[..bytes].to_vec();
        if self.worker().exited.is_some() && bytes > 0 {
            self.session.input_broken(self.now);
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

    /// The poll loop learns of the worker's end: it reads what is left first.
    fn see_end(&mut self) {
        let now = self.now;
        let Some(worker) = &mut self.worker else { return };
        let held = worker.output_held_until.is_some_and(|at| at > now);
        if let (Some(how), false) = (worker.exited, worker.told) {
            worker.told = true;
            let unread = Some(worker.pipe.len() as u64);
            self.read(usize::MAX);
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

    fn step(&mut self, op: Op) {
        match op {
            Op::Move(into, out) => self.transfer(into, out),
            Op::Work => self.work(),
            Op::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Op::Quit => {
                let proven = self.proven;
                if let Some(worker) = &mut self.worker
                    && worker.running.is_none()
                    && worker.exited.is_none()
                    && worker.ahead.is_empty()
                {
                    worker.exited = Some(How::Code(0));
                    self.bad_ends += u32::from(!proven);
                }
            }
            Op::Drain => self.cancel(Level::Drain),
            Op::Abort => self.cancel(Level::Abort),
        }
        self.see_end();
        // What has arrived is read before any clock is judged.
        self.read(usize::MAX);
        self.settle();
        self.session.tick(self.now);
        self.settle();
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

    /// Whether the worker can go on right now.
    fn can_work(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| {
            if worker.exited.is_some() || worker.running.is_some() {
                return false;
            }
            match worker.ready_at {
                Some(at) => at <= self.now,
                None => !worker.pipe.is_empty() || !worker.ahead.is_empty() || worker.input_closed,
            }
        })
    }

    /// When the worker goes on by itself.
    fn next_event(&self) -> Option<Instant> {
        let worker = self.worker.as_ref().filter(|worker| worker.exited.is_none())?;
        let answer = worker.running.and_then(|(_, _, at)| at);
        [worker.ready_at, answer].into_iter().flatten().min()
    }

    fn cancel(&mut self, level: Level) {
        self.stopped = true;
        self.session.cancel(level, "test", self.now);
        for delivery in self.waiting.drain(..) {
            let outcome = delivery.not_run("test");
            assert!(self.outcomes.insert(outcome.job.number, outcome).is_none(), "every job ends once");
        }
        self.settle();
    }

    /// What must hold at any moment.
    fn check(&self) {
        let open = self.session.in_flight();
        let known = self.outcomes.len() + self.waiting.len() + open;
        assert_eq!(known, self.scenario.jobs.len(), "every job ends once: one is missing");
        assert!(open <= self.scenario.depth, "no more than depth jobs are in flight");
        if let Some(at) = self.session.deadline(self.now) {
            assert!(at <= self.now + Duration::from_secs(3600), "a deadline is never out of reach");
        }
    }

    /// Lets everything happen until nothing is left to happen.
    fn rest(&mut self) {
        for _ in 0..3000 {
            if self.outcomes.len() == self.scenario.jobs.len() {
                self.session.finish(self.now);
            }
            if self.session.is_over() {
                assert!(self.worker.is_none(), "no process is left");
                assert_eq!(self.outcomes.len(), self.scenario.jobs.len(), "every job ends once");
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
    fn judge(&self) {
        let may_blame_neighbours = self.scenario.jobs.iter().any(|deed| match deed {
            Deed::Double => true,
            // It has read its next job when it ends.
            Deed::AnswerCrash => self.scenario.reads_ahead,
            _ => false,
        });
        for (number, outcome) in &self.outcomes {
            let deed = self.deed(*number);
            let begun = self.begun.get(number).copied().unwrap_or(0);
            if outcome.status == Status::NotRun {
                assert!(self.stopped, "only a stop leaves jobs undone");
                // With read-ahead workers too: what is behind the head was never begun.
                assert_eq!(begun, 0, "not_run means never begun: job {number}");
                continue;
            }
            if self.stopped || may_blame_neighbours {
                continue;
            }
            assert!(deed.ends().contains(&outcome.status), "job {number} ({deed:?}) ended as {:?}", outcome.status);
            if deed.is_harmless() || outcome.status == Status::Ok {
                assert_eq!(outcome.attempts, 1, "the innocent are never charged: job {number} ({deed:?})");
                assert_eq!(begun, 1, "an innocent job runs once: job {number} ({deed:?})");
            } else {
                assert_eq!(outcome.attempts, self.scenario.retries + 1, "job {number} ({deed:?})");
            }
        }
        if !self.stopped && !may_blame_neighbours {
            assert!(self.failed_starts >= self.scenario.bad_starts.min(self.starts), "failed starts are told");
            let condemned = |deed: &&Deed| matches!(deed, Deed::Hang | Deed::HangLate | Deed::HangDeaf);
            if self.scenario.jobs.iter().all(|deed| deed.is_harmless() || condemned(&deed)) {
                assert_eq!(self.failed_starts, self.bad_ends, "failed starts are told apart: a timeout is none");
            }
        }
    }
}

fn reply(worker: &mut Worker, job: u64) {
    worker.output.extend(format!("{{\"id\":{job},\"status\":\"ok\",\"data\":{job}}}\n").bytes());
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
        1 => Just(Deed::AnswerCrash),
        1 => Just(Deed::Double),
        1 => Just(Deed::WrongId),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..200_usize, 0..200_usize).prop_map(|(into, out)| Op::Move(into, out)),
        6 => Just(Op::Work),
        3 => (0..12_000_u64).prop_map(Op::Pass),
        1 => Just(Op::Quit),
    ]
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let shape = (1..=6_usize, 0..3_u32, prop::option::of(0..5000_u64), any::<bool>(), 0..3_u32);
    let rest = (prop::option::of(1..5_u64), any::<bool>(), prop::option::weighted(0.3, (any::<bool>(), 0..40_usize)));
    (prop::collection::vec(deeds(), 1..12), prop::collection::vec(ops(), 0..40), shape, rest).prop_map(
        |(jobs, mut ops, (depth, retries, ready, supplied, bad_starts), (recycle, reads_ahead, stop))| {
            if let Some((drain, at)) = stop {
                ops.insert(at.min(ops.len()), if drain { Op::Drain } else { Op::Abort });
            }
            // A supplied worker always says when it is ready.
            let ready = if supplied { Some(ready.unwrap_or(10)) } else { ready };
            Scenario { jobs, ops, depth, retries, ready, supplied, bad_starts, recycle, reads_ahead }
        },
    )
}

proptest! {
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
