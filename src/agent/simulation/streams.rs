//! The streams to hosts, which delay, lose or stop carrying what is sent, and the agents at their far ends with workers
//! that only take time.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::gate::Gate;
use crate::pool::exited::How;
use crate::pool::host::SILENCE;
use crate::pool::host::ahead::{Ahead, TO_BEGIN};
use crate::pool::luggage::Luggage;
use crate::pool::seat::{Ear, News, WorkerControl, Wrote};
use crate::protocol::stream::{Hello, Note, Order, SentJob, ToAgent, put, put_answer, to_agent};
use crate::text::framing::{LineQueue, lines};
use crate::words::host::Way;
use crate::words::job::Job;
use crate::words::outcome::{JobError, Outcome, Status};

/// How long a link may be quiet: both ends say something every ten seconds.
const QUIET: Duration = Duration::from_secs(11);

/// A piece of bytes, and when it arrives.
type Pieces = VecDeque<(Instant, Vec<u8>)>;

/// One stream, with the agent at its far end.
pub struct Stream {
    pub there: Pieces,
    pub back: Pieces,
    /// What has arrived at the agent of a line that has not ended.
    partial: LineQueue,
    gate: Gate,
    queue: VecDeque<SentJob>,
    /// When each of the jobs that workers run is done, and its number.
    running: BinaryHeap<Reverse<(Instant, u64)>>,
    workers: usize,
    /// The settings have come.
    is_open: bool,
    has_ended: bool,
    is_stopped: bool,
    /// The link loses all that is sent.
    pub is_silent: bool,
    /// The agent is dead, and so are its workers.
    pub is_dead: bool,
    heard: Instant,
    /// When the last piece that was sent, either way, has arrived or will arrive.
    moved: Instant,
    /// How the process that carries the stream has ended.
    pub exited: Option<How>,
}

/// What all hosts have in common.
pub struct Net {
    pub now: Instant,
    pub terms: Terms,
    /// The streams that the pool still has, by slot, and those that it has buried: their agents may live on.
    pub streams: Vec<Option<Stream>>,
    pub orphans: Vec<Stream>,
    /// How often each job has begun, and how often that was announced.
    pub begun: Vec<u32>,
    pub announced: Vec<u32>,
    /// How many jobs have begun for the first time.
    pub first_begun: usize,
    pub outcomes: Vec<Outcome>,
}

/// What does not change.
pub struct Terms {
    /// How long a piece of bytes is on its way.
    pub delay: Duration,
    /// How many workers each host has.
    pub workers: usize,
    /// How long each job takes, in milliseconds.
    pub times: Vec<u64>,
    /// The data of each job, and of its result.
    pub data: Bytes,
}

impl Terms {
    pub fn job(&self, number: u64) -> Job {
        Job { number, line: number, data: self.data.clone(), extra: None }
    }

    fn time(&self, number: u64) -> Duration {
        Duration::from_millis(self.times[number as usize - 1])
    }
}

impl Net {
    /// The agents go on until now. Returns whether any had something to do.
    pub fn work(&mut self) -> bool {
        let now = self.now;
        let mut has_worked = false;
        for stream in self.streams.iter_mut().flatten().chain(&mut self.orphans) {
            if stream.next_event().is_some_and(|at| at <= now) {
                has_worked = true;
                let (begun, announced) = stream.work(now, &self.terms);
                for number in begun {
                    self.first_begun += usize::from(self.begun[number as usize - 1] == 0);
                    self.begun[number as usize - 1] += 1;
                }
                announced.into_iter().for_each(|number| self.announced[number as usize - 1] += 1);
            }
        }
        has_worked
    }

    /// How much time the workers of all hosts still have to spend with the jobs that they run.
    pub fn work_in_hands(&self) -> Duration {
        let running = self.streams.iter().flatten().flat_map(|stream| &stream.running);
        running.map(|Reverse((at, _))| at.saturating_duration_since(self.now)).sum()
    }

    fn stream(&mut self, slot: usize) -> Option<&mut Stream> {
        self.streams[slot].as_mut()
    }
}

impl Stream {
    fn new(net: &Net) -> Stream {
        let mut hello = Vec::new();
        put(&Hello::own(), &mut hello);
        Stream {
            there: Pieces::new(),
            back: VecDeque::from([(net.now + net.terms.delay, hello)]),
            partial: LineQueue::default(),
            gate: Gate::new(Ahead::new(net.terms.workers, 1, TO_BEGIN)),
            queue: VecDeque::new(),
            running: BinaryHeap::new(),
            workers: net.terms.workers,
            is_open: false,
            has_ended: false,
            is_stopped: false,
            is_silent: false,
            is_dead: false,
            heard: net.now,
            moved: net.now + net.terms.delay,
            exited: None,
        }
    }

    pub fn say(&mut self, bytes: Vec<u8>, at: Instant) {
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

    /// The agent goes on until `now`. Returns the numbers of the jobs that it has begun, and of those that it has announced.
    fn work(&mut self, now: Instant, terms: &Terms) -> (Vec<u64>, Vec<u64>) {
        let (mut begun, mut announced) = (Vec::new(), Vec::new());
        let mut said = Vec::new();
        self.hear(now, &mut said);
        if now >= self.heard + SILENCE {
            self.is_dead = true;
        }
        self.answer(now, terms, &mut said);
        while self.running.len() < self.workers
            && let Some(sent) = self.queue.pop_front()
        {
            begun.push(sent.job.number);
            self.running.push(Reverse((now + terms.time(sent.job.number), sent.job.number)));
        }
        let count = self.gate.announce(now);
        if count > 0 {
            announced = self.gate.announced_last(count);
            put(&Note::Begun(count as u64), &mut said);
        }
        if (self.has_ended || self.is_stopped) && self.gate.is_empty() && self.is_open {
            put(&Note::Bye, &mut said);
            self.is_dead = true;
            self.exited = self.exited.or(Some(How::Code(0)));
        }
        self.say(said, now + terms.delay);
        (begun, announced)
    }

    /// Takes what has arrived.
    fn hear(&mut self, now: Instant, said: &mut Vec<u8>) {
        while let Some((at, _)) = self.there.front()
            && *at <= now
        {
            let (_, bytes) = self.there.pop_front().expect("there is one");
            self.heard = now;
            self.partial.buffer().extend_from_slice(&bytes);
            for line in lines(&self.partial.take_lines()) {
                self.line(&line, now, said);
            }
        }
    }

    /// The workers are done with some jobs.
    fn answer(&mut self, now: Instant, terms: &Terms, said: &mut Vec<u8>) {
        while let Some(&Reverse((at, number))) = self.running.peek()
            && at <= now
        {
            self.running.pop();
            let elapsed = terms.time(number);
            self.gate.answered(&[elapsed]);
            let outcome =
                Outcome { elapsed, payload: terms.data.clone(), ..crate::testing::outcome(number, Status::Ok) };
            put_answer(&outcome, said);
        }
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
    pub fn next_event(&self) -> Option<Instant> {
        let arrival = self.there.front().map(|(at, _)| *at);
        let end = self.running.peek().map(|Reverse((at, _))| *at);
        if self.is_dead { None } else { arrival.into_iter().chain(end).chain([self.heard + SILENCE]).min() }
    }
}

/// What a seat does to the process that carries its stream.
pub struct Carrier {
    pub slot: usize,
    pub net: Rc<RefCell<Net>>,
}

impl WorkerControl for Carrier {
    fn spawn(&mut self, _: Way) -> io::Result<Luggage> {
        let mut net = self.net.borrow_mut();
        let stream = Stream::new(&net);
        assert!(net.streams[self.slot].replace(stream).is_none(), "the old one has been buried");
        Ok(Luggage { opening: vec!["settings\n".into()], program: None })
    }

    fn write(&mut self, bytes: &[u8]) -> Wrote {
        let mut net = self.net.borrow_mut();
        let at = net.now + net.terms.delay;
        let Some(stream) = net.stream(self.slot) else { return Wrote::Full };
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
            && let Some(stream) = self.net.borrow_mut().stream(self.slot)
        {
            stream.exited.get_or_insert(How::Signal(signal));
        }
    }

    fn bury(&mut self) {
        let mut net = self.net.borrow_mut();
        let stream = net.streams[self.slot].take().expect("only what is there is buried");
        net.orphans.push(stream);
    }

    fn memory(&mut self) -> Option<usize> {
        None
    }

    fn waits_for_input(&mut self) -> bool {
        false
    }
}

pub struct Hearer(pub Rc<RefCell<Net>>);

impl Ear for Hearer {
    fn outcomes(&mut self, outcomes: Vec<Outcome>) {
        self.0.borrow_mut().outcomes.extend(outcomes);
    }

    fn news(&mut self, _: News) {}
}
