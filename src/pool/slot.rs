//! One slot's thread: the poll loop around a worker's process and its session.
//!
//! The thread owns the process and its pipes; nobody else touches them, so there is no lock, no race about
//! who killed it, and no process id is used after it was reaped. It waits in one place only, `poll`, for its
//! pipes, the worker's exit, its bell (jobs, a stop) and the session's next deadline.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::memory_events::MemoryEvents;
use super::policies::{restart_pause, start_budget};
use super::process::Process;
use super::queue::{Hunger, Queue};
use super::session::{Action, Exited, Report, Session};
use crate::pool::settings::PoolSettings;
use crate::report::Reporter;
use crate::report::counters::Counters;
use crate::sys::bell::Bell;
use crate::words::cancel::{Cancel, Level, Reason};
use crate::words::error::{Error, HIGHER_LIMIT, reason};
use crate::words::message::Message;
use crate::words::outcome::{Outcome, Status};

pub struct Slot {
    pub number: u32,
    pub settings: Arc<PoolSettings>,
    pub queue: Arc<Queue>,
    pub cancel: Arc<Cancel>,
    pub bell: Bell,
    pub outcomes: Sender<Message>,
    pub reporter: Reporter,
    pub counters: Arc<Counters>,
}

/// The running state of the loop.
struct Loop {
    slot: Slot,
    session: Session,
    process: Option<Process>,
    close_when_written: bool,
    /// This slot holds the pool's one permission to replace a worker as planned.
    recycling: bool,
    started_before: bool,
    /// A failure to start has been told already.
    told: bool,
    paused_at: Option<Instant>,
    memory_checked: Instant,
    memory_events: MemoryEvents,
    next_due: Option<Instant>,
    scratch: Vec<u8>,
}

/// What a worker writes to stderr is read in pieces of this size.
const STDERR_READ: usize = 64 * 1024;
/// Reads of one pipe in a row, so that a worker that floods one does not keep us from the others.
const READS: usize = 8;
/// Jobs and replies larger than this get larger pipes: it is the default capacity.
const PIPE: usize = 64 * 1024;
/// Looks at a worker's memory at most this often: /proc is not free.
const MEMORY_CHECK: Duration = Duration::from_millis(100);
/// Where the system has no descriptor for a process's end, it is asked this often.
const EXIT_CHECK: Duration = Duration::from_millis(50);

impl Slot {
    pub fn run(self) {
        let now = Instant::now();
        let seed = u64::from(self.number) ^ (u64::from(std::process::id()) << 32);
        let session = Session::new(self.number, Arc::clone(&self.settings), now, seed);
        let mut running = Loop {
            session,
            process: None,
            close_when_written: false,
            recycling: false,
            started_before: false,
            told: false,
            paused_at: None,
            memory_checked: now,
            memory_events: MemoryEvents::now(),
            next_due: None,
            scratch: vec![0; STDERR_READ],
            slot: self,
        };
        running.run();
    }
}

impl Loop {
    fn run(&mut self) {
        loop {
            let now = Instant::now();
            self.observe(now);
            // What the session decided about the old worker comes before a new one: it is buried first.
            self.settle(now);
            self.start_worker(now);
            let hunger = self.take_jobs(now);
            self.write_input(now);
            self.settle(now);
            if self.session.is_over() && self.slot.queue.is_finished() {
                return;
            }
            self.wait(hunger, now);
            // The time before the wait: whatever arrived before it has been read now, so it beats the
            // deadlines that are judged by it. While the run stands still nobody's time passes.
            if self.paused_at.is_none() {
                self.session.tick(now);
            }
        }
    }

    /// Looks at what others decided: stop, pause, end of work.
    fn observe(&mut self, now: Instant) {
        let level = self.slot.cancel.level();
        if level >= Level::Drain {
            let why = self.slot.cancel.reason().map_or_else(String::new, |reason| reason.to_string());
            // A record has room for what it was, not for a whole stack trace; that is told once.
            let why = why.lines().next().unwrap_or_default().to_owned();
            self.session.cancel(level, &why, now);
            let rest = self.slot.queue.take_rest();
            let unrun = rest.into_iter().map(|delivery| delivery.not_run(&why));
            self.session.out.outcomes.extend(unrun);
        }
        if self.slot.queue.is_finished() {
            self.session.finish(now);
        }
        if self.slot.queue.one_at_a_time.load(Ordering::Relaxed) {
            self.session.one_at_a_time();
        }
        match (self.slot.queue.paused.load(Ordering::Acquire), self.paused_at) {
            (true, None) => {
                self.paused_at = Some(now);
                self.signal(libc::SIGSTOP);
            }
            (false, Some(since)) => {
                self.paused_at = None;
                self.signal(libc::SIGCONT);
                self.session.shift(now.saturating_duration_since(since));
            }
            _ => {}
        }
        self.check_memory(now);
        if self.session.wants_recycle(now) && (self.is_fresh_per_job() || self.slot.queue.try_recycle()) {
            self.recycling = true;
            self.session.retire(now);
        }
    }

    /// With `--recycle-jobs 1` every slot always replaces its worker; taking turns would serialize the run.
    fn is_fresh_per_job(&self) -> bool {
        self.slot.settings.recycle.jobs == Some(1)
    }

    fn signal(&self, signal: i32) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    fn check_memory(&mut self, now: Instant) {
        if self.slot.settings.recycle.memory.is_none() || now.duration_since(self.memory_checked) < MEMORY_CHECK {
            return;
        }
        self.memory_checked = now;
        if let Some(bytes) = self.process.as_ref().and_then(Process::memory) {
            self.session.memory(bytes);
        }
    }

    fn start_worker(&mut self, now: Instant) {
        if !self.session.wants_spawn(now) || (self.started_before && !self.slot.queue.expects_work()) {
            return;
        }
        assert!(self.process.is_none(), "the old worker has been buried");
        self.started_before = true;
        self.memory_events = MemoryEvents::now();
        match Process::spawn(&self.slot.settings.command, self.slot.number, self.slot.settings.workers) {
            Ok(process) => {
                self.slot.reporter.verbose(format!("worker w{} started: process {}", self.slot.number, process.id()));
                self.process = Some(process);
                self.slot.queue.live.fetch_add(1, Ordering::Relaxed);
                self.close_when_written = false;
                self.session.spawned(now);
            }
            Err(error) => self.failed_to_spawn(&error, now),
        }
    }

    fn failed_to_spawn(&mut self, error: &std::io::Error, now: Instant) {
        let program = self.slot.settings.command.program.to_string_lossy();
        let words = format!("cannot start worker w{}: {program}: {}", self.slot.number, reason(error));
        let starved = [libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOMEM];
        if error.raw_os_error().is_some_and(|code| starved.contains(&code)) {
            // The others do without it, and it tries again later; the pool gives up only when there is none.
            if !std::mem::replace(&mut self.told, true) {
                self.slot.reporter.notice(words.clone());
            }
            if self.slot.queue.live.load(Ordering::Relaxed) > 0 {
                self.session.pause(now + restart_pause(u32::MAX));
            } else {
                self.failed_start(words, Some(HIGHER_LIMIT), now);
            }
        } else {
            let mut error = Error::pool(words);
            if error.message.ends_with("Exec format error") {
                error = error.hint("a script needs a first line such as #!/bin/sh");
            }
            self.slot.cancel.raise(Level::Abort, Reason::Failed(error));
            self.observe(now);
        }
    }

    /// A worker has ended without having shown that it works.
    fn failed_start(&mut self, words: String, hint: Option<&str>, now: Instant) {
        let failures = self.slot.queue.failed_starts.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= start_budget(self.slot.settings.workers) {
            let mut error = Error::pool(format!("workers keep failing to start ({failures} in a row): {words}"));
            error.hint = hint.map(str::to_owned);
            self.slot.cancel.raise(Level::Abort, Reason::Failed(error));
            self.observe(now);
        } else {
            self.session.pause(now + restart_pause(failures));
        }
    }

    /// Takes what the session wants. Returns how hungry the slot is when it goes to sleep.
    fn take_jobs(&mut self, now: Instant) -> Hunger {
        self.next_due = None;
        if self.session.is_over() {
            // Only a stop needs it: what is read from now on is to end as not_run.
            return self.sleep_hungry(Hunger::Busy, now);
        }
        if !self.session.is_live() {
            return if self.started_before { self.sleep_hungry(Hunger::Unproven, now) } else { Hunger::None };
        }
        if !self.slot.settings.protocol.has_ids() && self.session.in_flight() == 0 {
            // Without ids a surplus reply would land on the next job: look once more.
            self.read_output(now);
        }
        loop {
            let wanted = self.session.wants_jobs(now);
            if wanted == 0 {
                return Hunger::None;
            }
            if self.give(wanted, now) {
                continue;
            }
            let hunger = match (self.session.in_flight(), self.session.is_proven()) {
                (0, true) => Hunger::Idle,
                (0, false) => Hunger::Unproven,
                _ => Hunger::Busy,
            };
            // Marked first and looked again after, so that a job offered in between is not missed.
            self.slot.queue.set_hunger(self.slot.number, hunger);
            if !self.give(wanted, now) {
                return hunger;
            }
            self.slot.queue.set_hunger(self.slot.number, Hunger::None);
        }
    }

    fn sleep_hungry(&self, hunger: Hunger, now: Instant) -> Hunger {
        self.slot.queue.set_hunger(self.slot.number, hunger);
        if self.slot.cancel.level() >= Level::Drain || (self.session.wants_spawn(now) && self.slot.queue.expects_work())
        {
            // Something came in between: go round once more.
            self.slot.bell.ring();
        }
        hunger
    }

    fn give(&mut self, wanted: usize, now: Instant) -> bool {
        let in_flight = self.session.in_flight();
        let taken = self.slot.queue.take(wanted, in_flight, self.session.is_proven(), now);
        self.next_due = taken.next_due;
        let any = !taken.deliveries.is_empty();
        for delivery in taken.deliveries {
            if delivery.job.data.len() > PIPE
                && let Some(process) = &mut self.process
            {
                process.widen_input();
            }
            self.session.give(delivery, now);
        }
        any
    }

    fn write_input(&mut self, now: Instant) {
        let Some(process) = &mut self.process else { return };
        while let Some(input) = &process.input {
            let pending = self.session.pending_input();
            if pending.is_empty() {
                if std::mem::take(&mut self.close_when_written) {
                    process.close_input();
                    if process.output.is_none() {
                        self.session.output_ended(now);
                    }
                }
                return;
            }
            match rustix::io::write(input, pending) {
                Ok(bytes) => self.session.written(bytes),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // EPIPE.
                Err(_) => {
                    self.input_broke(now);
                    return;
                }
            }
        }
    }

    /// The worker has closed its input. Its exit, if that is why, is seen by itself.
    fn input_broke(&mut self, now: Instant) {
        let unread = self.process.as_mut().and_then(Process::input_broke);
        self.session.input_broken(unread.unwrap_or(0), now);
    }

    /// Does what the session decided, and passes on what it has to say.
    fn settle(&mut self, now: Instant) {
        loop {
            for action in std::mem::take(&mut self.session.out.actions) {
                self.act(action);
            }
            let reports = std::mem::take(&mut self.session.out.reports);
            if reports.is_empty() && self.session.out.actions.is_empty() {
                break;
            }
            for report in reports {
                self.report(report, now);
            }
        }
        if self.close_when_written {
            self.write_input(now);
        }
        let returned = std::mem::take(&mut self.session.out.returned);
        if !returned.is_empty() {
            self.slot.queue.give_back(returned);
        }
        let outcomes = std::mem::take(&mut self.session.out.outcomes);
        if !outcomes.is_empty() {
            self.send(outcomes);
        }
    }

    fn send(&self, mut outcomes: Vec<Outcome>) {
        let (mut bytes, mut result_bytes) = (0, 0);
        let mut replied = false;
        for outcome in &mut outcomes {
            bytes += outcome.job.data.len();
            replied |= matches!(outcome.status, Status::Ok | Status::Error);
            if !self.slot.settings.keep_jobs {
                outcome.job.data = Bytes::new();
            }
            result_bytes += outcome.size();
        }
        if replied && self.slot.queue.failed_starts.load(Ordering::Relaxed) > 0 {
            // The pool gets work done, also while one of its slots cannot start a worker.
            self.slot.queue.failed_starts.store(0, Ordering::Relaxed);
        }
        self.slot.queue.permits.return_bytes(bytes);
        self.slot.queue.sending(result_bytes);
        // The collector outlives the slots; if it has failed, the run is being aborted anyway.
        let _ = self.slot.outcomes.send(Message::Outcomes(outcomes));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::CloseInput => self.close_when_written = true,
            Action::Signal(signal) => self.signal(signal),
            Action::Bury => {
                if let Some(process) = self.process.take() {
                    process.bury();
                    self.slot.queue.live.fetch_sub(1, Ordering::Relaxed);
                }
                self.slot.reporter.log_end(self.slot.number);
                if std::mem::take(&mut self.recycling) && !self.is_fresh_per_job() {
                    self.slot.queue.recycled();
                }
            }
        }
    }

    fn report(&mut self, report: Report, now: Instant) {
        let reporter = &self.slot.reporter;
        match report {
            Report::FailedStart(words) => {
                reporter.verbose(words.clone());
                self.slot.counters.restarts.fetch_add(1, Ordering::Relaxed);
                self.failed_start(words, None, now);
            }
            Report::Proven => self.slot.queue.failed_starts.store(0, Ordering::Relaxed),
            Report::NotSerial => {
                if !self.slot.queue.one_at_a_time.swap(true, Ordering::Relaxed) {
                    reporter.notice(format!(
                        "worker w{} answers out of order, so each worker gets one job at a time from now on \
                         (--concurrency K gives it K at once)",
                        self.slot.number
                    ));
                }
            }
            Report::Fatal(error) => {
                let error = super::fatal_error(&error);
                self.slot.cancel.raise(Level::Abort, Reason::Failed(error));
                self.observe(now);
            }
            Report::Lost(words) => {
                self.slot.counters.restarts.fetch_add(1, Ordering::Relaxed);
                reporter.notice(words);
            }
            Report::Recycled => {
                self.slot.counters.recycled.fetch_add(1, Ordering::Relaxed);
                reporter.verbose(format!("worker w{} was recycled", self.slot.number));
            }
            Report::Silent => {
                if !self.slot.queue.hinted.swap(true, Ordering::Relaxed) {
                    reporter.alert(
                        "a worker has answered nothing for 5 s since its first job; many programs hold their output \
                         back in a pipe: try sed -u, jq --unbuffered, python -u, stdbuf -oL",
                    );
                }
            }
            Report::Progress { job, data } => reporter.progress(job, &data),
            Report::PassedOnRetry => {
                self.slot.counters.retried_ok.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sleeps until something happens, and reads what has arrived.
    fn wait(&mut self, hunger: Hunger, now: Instant) {
        let nap = self.session.nap();
        let mut deadline = [self.session.deadline(now), self.next_due].into_iter().flatten().min();
        if !nap.is_zero() {
            deadline = Some(deadline.map_or(now + nap, |at| at.min(now + nap)));
        }
        if !self.session.is_live() && self.started_before && hunger != Hunger::None {
            // A pause between starts that nobody needs to end: a job will ring.
            deadline = if self.slot.queue.expects_work() { deadline } else { self.next_due };
        }
        if self.paused_at.is_some() {
            // Its end rings.
            deadline = None;
        }
        let process = self.process.as_ref();
        if process.is_some_and(Process::must_ask) {
            deadline = Some(deadline.map_or(now + EXIT_CHECK, |at| at.min(now + EXIT_CHECK)));
        }
        let timeout = deadline.map(|at| timespec(at.saturating_duration_since(now)));
        let napping = !nap.is_zero();

        let mut fds = Vec::with_capacity(5);
        fds.push(PollFd::from_borrowed_fd(self.slot.bell.fd(), PollFlags::IN));
        let exit = watch(&mut fds, process.and_then(Process::exit_fd), PollFlags::IN);
        let stderr = process.and_then(|process| process.stderr.as_ref()).map(AsFd::as_fd);
        let stderr = watch(&mut fds, stderr, PollFlags::IN);
        let output = process.and_then(|process| process.output.as_ref()).map(AsFd::as_fd);
        let output = watch(&mut fds, output.filter(|_| !napping), PollFlags::IN);
        // With nothing to write it is watched all the same: a worker may close it and live on.
        let input = match self.session.pending_input().is_empty() {
            true => watch(&mut fds, process.and_then(Process::input_pipe), PollFlags::empty()),
            false => {
                let input = process.and_then(|process| process.input.as_ref()).map(AsFd::as_fd);
                watch(&mut fds, input, PollFlags::OUT);
                None
            }
        };
        // An interrupted poll only means another round.
        let _ = rustix::event::poll(&mut fds, timeout.as_ref());
        let ready = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
        let rung = ready(Some(0));
        let (exit, stderr, output) = (ready(exit), ready(stderr), ready(output) || napping);
        let input_broke = ready(input);
        drop(fds);

        if hunger != Hunger::None {
            self.slot.queue.set_hunger(self.slot.number, Hunger::None);
        }
        if rung {
            self.slot.bell.hush();
        }
        let now = Instant::now();
        if stderr {
            self.read_stderr();
        }
        if output {
            self.read_output(now);
        }
        let asked = self.process.as_ref().is_some_and(Process::must_ask);
        if exit || asked {
            self.see_exit(now);
        }
        // After the rest: what the worker has answered is not given back.
        if input_broke {
            self.input_broke(now);
        }
    }

    fn read_output(&mut self, now: Instant) {
        for _ in 0..READS {
            let Some(process) = &mut self.process else { return };
            let Some(buffer) = self.session.output_buffer() else { return };
            if buffer.len() >= PIPE {
                process.widen_output();
            }
            let Some(output) = &process.output else { return };
            let room = buffer.capacity() - buffer.len();
            match rustix::io::read(output, rustix::buffer::spare_capacity(buffer)) {
                Ok(0) => {
                    if let Some(process) = &mut self.process {
                        process.output = None;
                    }
                    self.session.output_ended(now);
                    return;
                }
                Ok(bytes) => {
                    self.session.received(now);
                    if bytes < room {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // A socket whose far end died with unread bytes in it says so once, then ends.
                Err(_) => {
                    if let Some(process) = &mut self.process {
                        process.output = None;
                    }
                    self.session.output_ended(now);
                    return;
                }
            }
        }
    }

    fn read_stderr(&mut self) {
        for _ in 0..READS {
            let Some(process) = &mut self.process else { return };
            let Some(stderr) = &process.stderr else { return };
            match rustix::io::read(stderr, &mut self.scratch[..]) {
                Ok(0) => process.stderr = None,
                Ok(bytes) => {
                    self.session.stderr(&self.scratch[..bytes]);
                    self.slot.reporter.log(self.slot.number, Bytes::copy_from_slice(&self.scratch[..bytes]));
                    if bytes < self.scratch.len() {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => process.stderr = None,
            }
        }
    }

    /// The worker's process has ended, perhaps: sweep its group while its id is still ours, then read what is
    /// left in its pipes, so that a reply that is there counts.
    fn see_exit(&mut self, now: Instant) {
        let Some(how) = self.process.as_ref().and_then(Process::poll_exit) else { return };
        self.signal(libc::SIGKILL);
        self.read_stderr();
        self.read_output(now);
        let Some(process) = &mut self.process else { return };
        let unread = process.unread();
        // It has been seen: poll must not report it again.
        process.forget_exit();
        let out_of_memory = self.memory_events.killed_since();
        self.session.exited(Exited { how, unread, out_of_memory }, now);
    }
}

/// Adds a descriptor, if there is one, and says at which place.
fn watch<'fd>(fds: &mut Vec<PollFd<'fd>>, fd: Option<BorrowedFd<'fd>>, flags: PollFlags) -> Option<usize> {
    fds.push(PollFd::from_borrowed_fd(fd?, flags));
    Some(fds.len() - 1)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
