//! The pool and its hosts with a virtual clock: the real dispatcher, the rounds of real seats, and what must hold.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;

use super::streams::{Carrier, Hearer, Net, Stream, Terms};
use super::{Op, Scenario};
use crate::pool::dispatch::{Dispatch, Wakes};
use crate::pool::exited::{Exited, How};
use crate::pool::host::HostSession;
use crate::pool::policies::RetryPolicy;
use crate::pool::seat::Seat;
use crate::pool::settings::{Depth, Host, HostSettings, PoolSettings, queued};
use crate::pool::{account, limits};
use crate::protocol::stream::{Hello, put};
use crate::testing::pool_settings;
use crate::words::cancel::Level;
use crate::words::job::Job;
use crate::words::outcome::{Outcome, Status};

struct Slot {
    seat: Seat<Carrier, Hearer>,
    deadline: Option<Instant>,
    slept_at: Instant,
    told_exit: bool,
    is_rung: bool,
}

pub struct World {
    pub scenario: Scenario,
    pub start: Instant,
    pub net: Rc<RefCell<Net>>,
    dispatch: Arc<Dispatch>,
    slots: Vec<Slot>,
    jobs: Sender<Vec<Job>>,
    /// How many jobs have been read.
    read: usize,
    /// Whom the dispatcher has woken.
    rung: Arc<Mutex<Wakes>>,
    pub stopped_at: Option<Instant>,
    /// What has become of each job, after how many attempts.
    pub received: Vec<Option<(Status, u32)>>,
    ended: usize,
    /// When the last job began, and how much there was left to do then.
    pub last_begun: Option<(Instant, Duration)>,
    /// The processor time of the pool's pure parts, beside which that of pipes and threads comes.
    pub spent: Duration,
}

/// How many jobs the source reads in one piece.
const PIECE: usize = 256;

pub fn settings(scenario: &Scenario) -> PoolSettings {
    let retry = RetryPolicy { retries: scenario.retries, delay: Duration::from_secs(1), on: vec![Status::Died] };
    let plain = pool_settings("w");
    let host =
        |number: usize| Host { name: format!("h{number}"), workers: None, command: plain.command.clone(), shell: None };
    let list = (0..scenario.hosts).map(host).collect();
    let hosts = HostSettings { list, words: vec![], directory: None, env: vec![], files: vec![] };
    PoolSettings {
        workers: scenario.hosts,
        supplied: scenario.supplied,
        depth: Depth::Auto,
        retry,
        // As the command line has it without --window.
        window: 4 * queued(scenario.hosts, 1, true),
        hosts: Some(hosts),
        ..plain
    }
}

impl World {
    pub fn new(scenario: Scenario) -> World {
        let start = Instant::now();
        let settings = Arc::new(settings(&scenario));
        let rung: Arc<Mutex<Wakes>> = Arc::default();
        let ring = Arc::clone(&rung);
        let (jobs, fresh) = crossbeam_channel::bounded(1);
        let dispatch = Arc::new(Dispatch::new(limits(&settings), None, false, fresh, move |wakes| {
            let mut rung = ring.lock().unwrap();
            rung.slots.extend(&wakes.slots);
            rung.source |= wakes.source;
        }));
        let count = scenario.jobs.len();
        let terms = Terms {
            delay: Duration::from_millis(scenario.delay),
            workers: scenario.workers,
            times: scenario.jobs.clone(),
            data: Bytes::from(format!("\"{}\"", "x".repeat(scenario.bytes.saturating_sub(2)))),
        };
        let net = Rc::new(RefCell::new(Net {
            now: start,
            terms,
            streams: (0..scenario.hosts).map(|_| None).collect(),
            orphans: Vec::new(),
            begun: vec![0; count],
            announced: vec![0; count],
            first_begun: 0,
            outcomes: Vec::new(),
        }));
        let slot = |number: usize| {
            let host = &settings.hosts.as_ref().expect("they are in the settings").list[number];
            let session = Box::new(HostSession::new(host, Arc::clone(&settings), start, 7));
            let carrier = Carrier { slot: number, net: Rc::clone(&net) };
            let (settings, dispatch) = (Arc::clone(&settings), Arc::clone(&dispatch));
            let ear = Hearer(Rc::clone(&net));
            let seat = Seat::new(number as u32, settings, dispatch, session, carrier, ear, start);
            Slot { seat, deadline: Some(start), slept_at: start, told_exit: false, is_rung: false }
        };
        let slots = (0..scenario.hosts).map(slot).collect();
        World {
            scenario,
            start,
            net,
            dispatch,
            slots,
            jobs,
            read: 0,
            rung,
            stopped_at: None,
            received: vec![None; count],
            ended: 0,
            last_begun: None,
            spent: Duration::ZERO,
        }
    }

    /// The source reads as many jobs as it may.
    pub fn read(&mut self) {
        let now = self.net.borrow().now;
        while self.read < self.scenario.jobs.len() {
            let sizes = vec![self.scenario.bytes; PIECE.min(self.scenario.jobs.len() - self.read)];
            let begin = Instant::now();
            let admitted = self.dispatch.admit(&mut sizes.into_iter());
            self.spent += begin.elapsed();
            if admitted == 0 {
                return;
            }
            let numbers = self.read + 1..=self.read + admitted;
            let jobs: Vec<Job> = numbers.map(|number| self.net.borrow().terms.job(number as u64)).collect();
            self.read += admitted;
            let begin = Instant::now();
            self.jobs.send(jobs).unwrap();
            let refused = self.dispatch.offered(now);
            self.spent += begin.elapsed();
            assert!(refused.is_empty(), "nothing is read in a run that is being stopped");
        }
        self.dispatch.source_ended();
    }

    pub fn apply(&mut self, op: Op) {
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
        let at = net.now + net.terms.delay;
        if let Some(stream) = &mut net.streams[host % self.scenario.hosts] {
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
            let agents_worked = self.net.borrow_mut().work();
            self.note_last_begun();
            self.collect();
            let Wakes { slots: rung, source } = std::mem::take(&mut *self.rung.lock().unwrap());
            if source {
                self.read();
            }
            rung.into_iter().for_each(|slot| self.slots[slot as usize].is_rung = true);
            let now = self.net.borrow().now;
            let mut pool_worked = false;
            for slot in 0..self.slots.len() {
                if self.is_due(slot, now) {
                    pool_worked = true;
                    self.run_slot(slot, now);
                }
            }
            if !agents_worked && !pool_worked {
                return;
            }
        }
    }

    fn note_last_begun(&mut self) {
        let net = self.net.borrow();
        if self.last_begun.is_none() && net.first_begun == self.scenario.jobs.len() {
            self.last_begun = Some((net.now, net.work_in_hands()));
        }
    }

    fn is_due(&self, slot: usize, now: Instant) -> bool {
        let model = &self.slots[slot];
        let is_awake = model.is_rung || model.deadline.is_some_and(|at| at <= now);
        !model.seat.is_over() && (is_awake || self.has_heard(slot))
    }

    fn has_heard(&self, slot: usize) -> bool {
        let net = self.net.borrow();
        let Some(stream) = &net.streams[slot] else { return false };
        let is_over = stream.exited.is_some() && !self.slots[slot].told_exit;
        is_over || stream.back.front().is_some_and(|(at, _)| *at <= net.now)
    }

    fn run_slot(&mut self, slot: usize, now: Instant) {
        let model = &mut self.slots[slot];
        model.is_rung = false;
        let (mut bytes, mut exited) = (Vec::new(), None);
        if let Some(stream) = &mut self.net.borrow_mut().streams[slot] {
            // What was written before the end is read before the end is told.
            while let Some((at, _)) = stream.back.front()
                && (*at <= now || stream.exited.is_some())
            {
                bytes.extend(stream.back.pop_front().expect("there is one").1);
            }
            exited = stream.exited.filter(|_| !model.told_exit);
        }
        let begin = Instant::now();
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
        self.spent += begin.elapsed();
        model.slept_at = now;
        // A new process may have been started.
        if self.net.borrow().streams[slot].as_ref().is_some_and(|stream| stream.exited.is_none()) {
            model.told_exit = false;
        }
    }

    fn collect(&mut self) {
        let (outcomes, now) = {
            let mut net = self.net.borrow_mut();
            (std::mem::take(&mut net.outcomes), net.now)
        };
        if outcomes.is_empty() {
            return;
        }
        let begin = Instant::now();
        self.dispatch.received(outcomes.len(), outcomes.iter().map(Outcome::size).sum(), 0, now);
        self.spent += begin.elapsed();
        self.ended += outcomes.len();
        for outcome in outcomes {
            let place = &mut self.received[outcome.job.number as usize - 1];
            let twice = place.replace((outcome.status, outcome.attempts));
            assert!(twice.is_none(), "every job ends once: {twice:?}");
        }
        if self.ended == self.scenario.jobs.len() {
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
        let streams = net.streams.iter().flatten().chain(&net.orphans).filter_map(Stream::next_event);
        let arrivals = net.streams.iter().flatten().filter_map(|stream| stream.back.front()).map(|(at, _)| *at);
        let deadlines = self.slots.iter().filter(|slot| !slot.seat.is_over()).filter_map(|slot| slot.deadline);
        streams.chain(arrivals).chain(deadlines).filter(|&at| at > net.now).min()
    }

    pub fn rest(&mut self) {
        for _ in 0..1_000_000 {
            self.settle();
            if self.slots.iter().all(|slot| slot.seat.is_over()) {
                return;
            }
            let Some(next) = self.next_event() else { break };
            self.net.borrow_mut().now = next;
        }
        panic!("nothing hangs: {} of {} jobs ended", self.ended, self.scenario.jobs.len());
    }
}
