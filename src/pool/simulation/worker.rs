//! A virtual worker: what its jobs do to it, and what goes through its pipes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::exited::How;
use crate::words::outcome::Status;

/// What a job does to its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Answer,
    /// An answer that is much larger than its job.
    Large,
    /// An answer after so many milliseconds, which is well within the time limit.
    Slow(u64),
    Error,
    Crash,
    /// Half a reply, then the end.
    HalfCrash,
    /// The worker ends, while a grandchild holds its output open.
    CrashHeld,
    Hang,
    /// Hangs, and answers when it is asked to end.
    HangLate,
    /// Hangs, and ignores SIGTERM.
    HangDeaf,
    Garbage,
    /// No answer: the worker closes its output and lives on.
    CloseOutput,
    /// An answer, after which the worker closes its input and lives on.
    CloseInput,
    /// A whole answer, then the end: the answer counts.
    AnswerCrash,
    /// Two answers. The second may be blamed on the job after it.
    Double,
    /// An answer to a job it was never given.
    WrongId,
}

impl Deed {
    /// Whether the worker answers it and goes on.
    pub fn is_harmless(self) -> bool {
        matches!(self, Deed::Answer | Deed::Large | Deed::Slow(_) | Deed::Error)
    }

    pub fn hangs(self) -> bool {
        matches!(self, Deed::Hang | Deed::HangLate | Deed::HangDeaf)
    }

    /// How the last attempt of the job may end in a run that is not stopped.
    pub fn ends(self) -> &'static [Status] {
        match self {
            Deed::Answer | Deed::Large | Deed::Slow(_) | Deed::CloseInput | Deed::AnswerCrash | Deed::Double => {
                &[Status::Ok]
            }
            Deed::Error => &[Status::Error],
            Deed::Crash | Deed::HalfCrash | Deed::CrashHeld | Deed::CloseOutput => &[Status::Died],
            Deed::Hang | Deed::HangLate | Deed::HangDeaf => &[Status::Timeout],
            Deed::Garbage | Deed::WrongId => &[Status::BadReply],
        }
    }
}

/// How a worker takes its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// One after the other, each read when the one before it is done.
    Serial,
    /// One after the other, but it reads all that is in its pipe at once.
    ReadsAhead,
    /// All jobs that it has been given at once, as `--concurrency` allows it to.
    AtOnce,
    /// All jobs that it has been given at once, although it was taken for serial.
    Unruly,
    /// One batch after the other, each of which ends with an empty line (`--batch`). It reads all that is in its pipe at
    /// once.
    Batches,
}

impl Habit {
    pub fn is_serial(self) -> bool {
        matches!(self, Habit::Serial | Habit::ReadsAhead | Habit::Batches)
    }
}

/// A job under way, and when it is answered.
struct Running {
    job: u64,
    deed: Deed,
    since: Instant,
    at: Option<Instant>,
}

pub struct Worker {
    habit: Habit,
    /// Bytes in its input pipe that it has not read.
    pub pipe: VecDeque<u8>,
    /// Bytes that it has read, of jobs that it has not begun.
    pub ahead: VecDeque<u8>,
    /// Bytes that it has written and that its session has not read.
    pub output: VecDeque<u8>,
    pub stderr: Vec<u8>,
    /// The slot has closed its end of the input.
    pub input_closed: bool,
    /// The worker has closed its own end of the input.
    pub input_broken: bool,
    pub output_closed: bool,
    pub output_held_until: Option<Instant>,
    /// When it has loaded; `None` once that is over.
    pub ready_at: Option<Instant>,
    says_ready: bool,
    pub exited: Option<How>,
    /// The worker has been sent a signal that ends it: what it writes from now on counts for no job.
    pub condemned: bool,
    /// The session knows of its exit.
    pub exit_told: bool,
    /// The session knows of the end of its output.
    pub end_told: bool,
    running: Vec<Running>,
    /// What it runs is a batch of several jobs, which are answered together or not at all.
    is_in_batch: bool,
    /// The worker ignores SIGTERM.
    deaf: bool,
    /// The worker has said `ready`, or answered a job.
    pub has_shown: bool,
    pub has_answered: bool,
    /// The session knows that its input is broken.
    pub break_told: bool,
    /// All jobs that it has begun.
    pub read: Vec<u64>,
    /// Jobs that it has begun since the world last looked.
    pub begun: Vec<u64>,
    /// Jobs that it has answered, before anybody ended it, since the world last looked.
    pub answered: Vec<u64>,
}

/// The number of the job that a line gives to its worker.
fn number(line: &str) -> u64 {
    let digits = line.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("a job has a number")
}

/// How long a grandchild holds the output open: for longer than any scenario lasts.
const HELD: Duration = Duration::from_secs(3600);

impl Worker {
    pub fn new(habit: Habit, ready_at: Option<Instant>, says_ready: bool) -> Worker {
        Worker {
            habit,
            pipe: VecDeque::new(),
            ahead: VecDeque::new(),
            output: VecDeque::new(),
            stderr: Vec::new(),
            input_closed: false,
            input_broken: false,
            output_closed: false,
            output_held_until: None,
            ready_at,
            says_ready,
            exited: None,
            condemned: false,
            exit_told: false,
            end_told: false,
            has_shown: false,
            has_answered: false,
            break_told: false,
            read: Vec::new(),
            running: Vec::new(),
            is_in_batch: false,
            deaf: false,
            begun: Vec::new(),
            answered: Vec::new(),
        }
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.ahead.is_empty() && self.exited.is_none()
    }

    /// Whether the worker has something to do right now.
    pub fn can_work(&self, now: Instant) -> bool {
        if self.exited.is_some() || self.ready_at.is_some_and(|at| at > now) {
            return false;
        }
        let due = self.running.iter().any(|running| running.at.is_some_and(|at| at <= now));
        let free = self.running.is_empty() || !self.habit.is_serial();
        let work = self.next_lines() > 0 || (!self.pipe.is_empty() && !self.input_broken);
        let over = self.running.is_empty() && self.input_closed && !self.input_broken;
        due || self.ready_at.is_some() || (free && work) || over
    }

    /// When the worker has something to do next without anybody's help.
    pub fn next_event(&self) -> Option<Instant> {
        if self.exited.is_some() {
            return None;
        }
        self.running.iter().filter_map(|running| running.at).chain(self.ready_at).min()
    }

    /// The jobs that the worker is running and will never answer, and since when.
    pub fn hanging(&self) -> impl Iterator<Item = (u64, Instant)> {
        let alive = self.exited.is_none() && !self.condemned;
        let hanging = self.running.iter().filter(move |running| alive && running.deed.hangs());
        hanging.map(|running| (running.job, running.since))
    }

    /// A job that the worker is running and will never answer, if there is one.
    pub fn hanging_in(&self) -> Option<u64> {
        self.running.iter().find(|running| running.deed.hangs()).map(|running| running.job)
    }

    /// Whether all of the worker's output has been read, and no more will come.
    pub fn output_has_ended(&self, now: Instant) -> bool {
        let held = self.output_held_until.is_some_and(|at| at > now);
        self.output.is_empty() && (self.output_closed || (self.exited.is_some() && !held))
    }

    /// The worker goes one step: it says that it is ready, answers, or begins its next job, which does what `deed`
    /// says.
    pub fn work(&mut self, now: Instant, deed: impl Fn(u64) -> Deed) {
        if self.exited.is_some() {
            return;
        }
        if let Some(at) = self.ready_at {
            if at > now {
                return;
            }
            self.ready_at = None;
            if self.says_ready {
                self.output.extend(b"{\"status\":\"ready\"}\n");
                self.has_shown = true;
            }
        }
        if let Some(index) = self.running.iter().position(|running| running.at.is_some_and(|at| at <= now)) {
            if self.habit == Habit::Batches {
                return self.answer_batch();
            }
            let running = self.running.remove(index);
            self.reply(running.job);
            return;
        }
        if self.habit.is_serial() && !self.running.is_empty() {
            return;
        }
        self.read_pipe();
        let end = self.next_lines();
        if end == 0 {
            if self.input_closed && !self.input_broken && self.pipe.is_empty() && self.running.is_empty() {
                self.exited = Some(How::Code(0));
            }
            return;
        }
        let lines: Vec<u8> = self.ahead.drain(..end).collect();
        let text = std::str::from_utf8(&lines).expect("jobs are text");
        let jobs: Vec<u64> = text.lines().filter(|line| !line.is_empty()).map(number).collect();
        self.begun.extend(&jobs);
        self.read.extend(&jobs);
        self.is_in_batch = jobs.len() > 1;
        match jobs[..] {
            [job] => self.begin(job, deed(job), now),
            _ => self.begin_batch(&jobs, deed, now),
        }
    }

    /// How many bytes have been read of what the worker would begin next, if that is there whole: a job, or a batch with
    /// the empty line behind it.
    fn next_lines(&self) -> usize {
        let mut before = None;
        let mut ends = |byte: u8| {
            let is_empty_line = before.replace(byte) == Some(b'\n');
            byte == b'\n' && (is_empty_line || self.habit != Habit::Batches)
        };
        self.ahead.iter().position(|&byte| ends(byte)).map_or(0, |at| at + 1)
    }

    /// Calls the handler with several jobs. One that does not answer spoils the call, and none of the others is answered
    /// either.
    fn begin_batch(&mut self, jobs: &[u64], deed: impl Fn(u64) -> Deed, now: Instant) {
        let does = |wanted: fn(Deed) -> bool| jobs.iter().copied().find(|&job| wanted(deed(job)));
        if let Some(job) = does(|deed| !deed.is_harmless() && deed.ends() != [Status::Ok]) {
            return self.begin(job, deed(job), now);
        }
        // Of the errors some are thrown by the call, and its jobs come again by themselves. Others are in its list.
        if does(|deed| deed == Deed::Error).is_some_and(|job| job.is_multiple_of(2)) {
            let again = jobs.iter().map(|job| format!("{{\"id\":{job},\"status\":\"again\"}}\n"));
            return self.output.extend(again.collect::<String>().bytes());
        }
        let slow = |&job: &u64| if let Deed::Slow(ms) = deed(job) { ms } else { 0 };
        // The call takes as long as its slowest job, and is answered as a whole.
        let at = Some(now + Duration::from_millis(jobs.iter().map(slow).max().unwrap_or(0)));
        self.running.extend(jobs.iter().map(|&job| Running { job, deed: deed(job), since: now, at }));
    }

    /// Writes all answers of a call, and does then what some of its jobs do after their answer.
    fn answer_batch(&mut self) {
        let jobs = std::mem::take(&mut self.running);
        jobs.iter().for_each(|running| self.answer(running.job, running.deed));
        for Running { job, deed, .. } in jobs {
            match deed {
                Deed::CloseInput => self.input_broken = true,
                Deed::AnswerCrash => self.exited = Some(How::Code(1)),
                Deed::Double => self.reply(job),
                _ => {}
            }
        }
    }

    fn read_pipe(&mut self) {
        if self.input_broken {
            return;
        }
        if self.habit != Habit::Serial {
            let all = self.pipe.drain(..);
            self.ahead.extend(all);
        } else if !self.ahead.contains(&b'\n') {
            // A serial worker reads as far as the end of one line.
            while let Some(byte) = self.pipe.pop_front() {
                self.ahead.push_back(byte);
                if byte == b'\n' {
                    break;
                }
            }
        }
    }

    fn begin(&mut self, job: u64, deed: Deed, now: Instant) {
        let mut at = None;
        match deed {
            Deed::Answer | Deed::Large | Deed::Error => return self.answer(job, deed),
            Deed::Slow(ms) => at = Some(now + Duration::from_millis(ms)),
            Deed::Double => {
                self.reply(job);
                return self.reply(job);
            }
            Deed::Crash => self.exited = Some(How::Signal(libc::SIGSEGV)),
            Deed::HalfCrash => {
                self.output.extend(b"{\"id\":");
                self.exited = Some(How::Code(0));
            }
            Deed::CrashHeld => {
                self.exited = Some(How::Code(3));
                self.output_held_until = Some(now + HELD);
            }
            Deed::Hang | Deed::HangLate => {}
            Deed::HangDeaf => self.deaf = true,
            Deed::Garbage => self.output.extend(b"hello\n"),
            Deed::CloseOutput => self.output_closed = true,
            Deed::CloseInput => {
                self.input_broken = true;
                return self.reply(job);
            }
            Deed::AnswerCrash => {
                self.reply(job);
                self.exited = Some(How::Code(1));
            }
            Deed::WrongId => self.output.extend(b"{\"id\":1001,\"status\":\"ok\",\"data\":0}\n"),
        }
        self.running.push(Running { job, deed, since: now, at });
    }

    fn answer(&mut self, job: u64, deed: Deed) {
        match deed {
            Deed::Large => self.reply_with(job, &"1".repeat(500)),
            Deed::Error => {
                self.output.extend(format!("{{\"id\":{job},\"status\":\"error\",\"error\":\"no\"}}\n").bytes());
                self.has_shown = true;
                self.has_answered = true;
            }
            _ => self.reply(job),
        }
    }

    fn reply(&mut self, job: u64) {
        self.reply_with(job, "0");
    }

    fn reply_with(&mut self, job: u64, data: &str) {
        if self.output_closed {
            return;
        }
        self.output.extend(format!("{{\"id\":{job},\"status\":\"ok\",\"data\":{data}}}\n").bytes());
        if !self.condemned {
            self.answered.push(job);
            self.has_shown = true;
            self.has_answered = true;
        }
    }

    /// The worker is sent a signal.
    pub fn signalled(&mut self, signal: i32) {
        // Ctrl-Z and `fg` change nothing for the worker, since no time passes between them.
        if self.exited.is_some() || matches!(signal, libc::SIGSTOP | libc::SIGCONT) {
            return;
        }
        if signal == libc::SIGUSR1 {
            self.stderr.extend(b"stack of the worker\n");
            return;
        }
        self.condemned = true;
        if signal == libc::SIGTERM && self.deaf {
            return;
        }
        let late = self.running.iter().find(|running| running.deed == Deed::HangLate && !self.is_in_batch);
        if let Some(late) = late {
            let job = late.job;
            self.reply(job);
        }
        self.exited = Some(How::Signal(signal));
    }
}
