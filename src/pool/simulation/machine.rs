//! What a seat of the simulated pool does to its worker, and who hears of it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::luggage::Luggage;
use super::super::seat::{Ear, News, WorkerControl, Wrote};
use super::Scenario;
use super::worker::{Habit, Worker};
use crate::words::host::Way;
use crate::words::outcome::Outcome;

/// What all seats of a simulated pool have in common: the time, what workers are like, and what was heard.
pub struct Surroundings {
    pub now: Instant,
    pub habit: Habit,
    /// How long a worker takes to load; `None` if it works from the start, and so never says `ready`.
    pub ready: Option<Duration>,
    pub says_ready: bool,
    /// So many starts of a worker fail before one succeeds.
    pub bad_starts: u32,
    /// Outcomes on their way to the collector.
    pub outcomes: Vec<Outcome>,
    /// The pool has given up, and the run has not been stopped for it yet.
    pub gave_up: bool,
    /// A worker was found to answer out of order.
    pub out_of_order: bool,
    /// How many failed starts were told to people.
    pub failed_starts: u32,
    /// When each job was given to a worker.
    pub given: Vec<Instant>,
    /// When the pool was held back, from when until when.
    pub held: Vec<(Instant, Instant)>,
}

impl Surroundings {
    pub fn new(scenario: &Scenario, now: Instant) -> Surroundings {
        Surroundings {
            now,
            habit: scenario.habit,
            ready: scenario.ready.map(Duration::from_millis),
            says_ready: scenario.says_ready,
            bad_starts: scenario.bad_starts,
            outcomes: Vec::new(),
            gave_up: false,
            out_of_order: false,
            failed_starts: 0,
            given: Vec::new(),
            held: Vec::new(),
        }
    }
}

pub struct SimulatedMachine {
    surroundings: Rc<RefCell<Surroundings>>,
    pub worker: Option<Worker>,
    /// Bytes that the worker's stdin takes before it is full.
    pub pipe_room: usize,
    /// Workers that were buried and that the judge has not looked at yet.
    pub buried: Vec<Worker>,
}

impl SimulatedMachine {
    pub fn new(surroundings: Rc<RefCell<Surroundings>>) -> SimulatedMachine {
        SimulatedMachine { surroundings, worker: None, pipe_room: usize::MAX, buried: Vec::new() }
    }
}

impl WorkerControl for SimulatedMachine {
    fn spawn(&mut self, _: Way) -> io::Result<Luggage> {
        assert!(self.worker.is_none(), "no start before the old worker is buried");
        let mut surroundings = self.surroundings.borrow_mut();
        let ready_at = surroundings.ready.map(|load| surroundings.now + load);
        let mut worker = Worker::new(surroundings.habit, ready_at, surroundings.says_ready);
        if surroundings.bad_starts > 0 {
            surroundings.bad_starts -= 1;
            worker.exited = Some(super::super::exited::How::Code(1));
        }
        self.worker = Some(worker);
        Ok(Luggage::default())
    }

    fn write(&mut self, bytes: &[u8]) -> Wrote {
        let Some(worker) = self.worker.as_mut().filter(|worker| !worker.input_closed) else { return Wrote::Full };
        if worker.input_broken || worker.exited.is_some() {
            worker.break_told = true;
            return Wrote::Broken(worker.pipe.len() as u64);
        }
        let room = bytes.len().min(self.pipe_room);
        if room == 0 {
            return Wrote::Full;
        }
        self.pipe_room -= room;
        worker.pipe.extend(&bytes[..room]);
        Wrote::Bytes(room)
    }

    fn expect(&mut self, _: usize) {
        let mut surroundings = self.surroundings.borrow_mut();
        let now = surroundings.now;
        surroundings.given.push(now);
    }

    fn close_input(&mut self) -> bool {
        if let Some(worker) = &mut self.worker {
            worker.input_closed = true;
        }
        false
    }

    fn signal(&mut self, signal: i32) {
        if let Some(worker) = &mut self.worker {
            worker.signalled(signal);
        }
    }

    fn bury(&mut self) {
        self.buried.extend(Some(self.worker.take().expect("only a worker that is there is buried")));
    }

    fn memory(&mut self) -> Option<usize> {
        None
    }

    fn waits_for_input(&mut self) -> bool {
        self.worker.as_ref().is_some_and(Worker::is_idle)
    }
}

pub struct SimulatedEar {
    pub surroundings: Rc<RefCell<Surroundings>>,
}

impl Ear for SimulatedEar {
    fn outcomes(&mut self, outcomes: Vec<Outcome>) {
        self.surroundings.borrow_mut().outcomes.extend(outcomes);
    }

    fn news(&mut self, news: News) {
        let mut surroundings = self.surroundings.borrow_mut();
        match news {
            News::StartFailed(_) => surroundings.failed_starts += 1,
            News::NotSerial => surroundings.out_of_order = true,
            News::GaveUp(_) => surroundings.gave_up = true,
            _ => {}
        }
    }
}
