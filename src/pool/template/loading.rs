//! A template's process: what it says while it loads the handler, and how it ends.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags};

use crate::pool::exited::How;
use crate::pool::pipes::Tail;
use crate::pool::process::Process;
use crate::pool::settings::PoolSettings;
use crate::pool::slot::{timespec, watch};
use crate::protocol::{Body, Protocol};
use crate::report::Reporter;
use crate::sys::bell::Bell;
use crate::sys::clock::Clock;
use crate::text::framing::{LineQueue, lines};
use crate::text::people::whole_seconds;
use crate::words::error::reason;
use crate::words::worker::TEMPLATE;

/// The process of a template, whose stderr is passed on.
pub struct Loading {
    pub process: Process,
    output: LineQueue,
    lines: Vec<Bytes>,
    tail: Tail,
    /// What it has said that it is doing: `loading the file of the handler`.
    step: Option<String>,
    reporter: Reporter,
}

/// Why there is no template that has loaded its handler.
pub enum Failed {
    /// The run is being stopped, or needs no more workers.
    Stopped,
    /// No template will ever load this handler: its own error, as JSON.
    Fatal(Bytes),
    /// Another template may do better; in words.
    Ended(String),
    /// The system gives no process now; in words.
    NoProcess(String),
}

/// What has come first.
pub enum Heard {
    Said(Body),
    Ended(How),
    /// The bell has been rung, or it is time.
    Nothing,
}

/// A template that loads for longer than this is told of, as a worker is.
const SILENCE: Duration = Duration::from_secs(5);
/// After the signal of `--dump` a template gets so long to say where it is.
const DUMP: Duration = Duration::from_secs(1);
/// The output of a template is a line for each step of its start. More than this is none.
const LINE: usize = 1 << 20;
/// Reads of its stderr in a row, as many as empty a full pipe: a template that floods it does not keep us from the rest.
const READS: usize = 4;

/// Starts a template, and waits until it has loaded the handler or `is_stopped`, which is asked when the bell rings.
pub fn load(
    settings: &PoolSettings,
    reporter: &Reporter,
    clock: &Clock,
    bell: &Bell,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Loading, Failed> {
    let process = Process::template(&settings.command, settings.workers).map_err(|error| {
        let program = settings.command.program.to_string_lossy();
        Failed::NoProcess(format!("cannot start the template: {program}: {}", reason(&error)))
    })?;
    let (lines, tail, step) = (Vec::new(), Tail::default(), None);
    let mut template = Loading { process, output: LineQueue::default(), lines, tail, step, reporter: reporter.clone() };
    match template.until_ready(settings, clock, bell, is_stopped) {
        Ok(()) => Ok(template),
        Err(failed) => {
            template.bury();
            Err(failed)
        }
    }
}

impl Loading {
    fn until_ready(
        &mut self,
        settings: &PoolSettings,
        clock: &Clock,
        bell: &Bell,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), Failed> {
        let begun = clock.now();
        let deadline = begun.checked_add(settings.start_timeout);
        let mut silence = begun.checked_add(SILENCE);
        loop {
            if is_stopped() {
                return Err(Failed::Stopped);
            }
            let now = clock.now();
            if deadline.is_some_and(|at| at <= now) {
                return Err(self.timed_out(settings, bell));
            }
            if silence.is_some_and(|at| at <= now) {
                silence = None;
                self.reporter.notice(format!(
                    "the template is loading for {}; --start-timeout {}",
                    whole_seconds(SILENCE.as_secs_f64()),
                    humantime::format_duration(settings.start_timeout),
                ));
            }
            let next = [deadline, silence].into_iter().flatten().min();
            match self.hear(bell, next.map(|at| at - now)) {
                Heard::Said(Body::Ready) => return Ok(()),
                Heard::Said(Body::Fatal(error)) => return Err(Failed::Fatal(error)),
                Heard::Said(Body::Loading(what)) => self.step = serde_json::from_slice(&what).ok(),
                Heard::Ended(how) => return Err(Failed::Ended(self.death(how))),
                Heard::Said(_) | Heard::Nothing => {}
            }
        }
    }

    /// Ends a template that has not loaded its handler in time. With `--dump` it may say first where it is.
    fn timed_out(&mut self, settings: &PoolSettings, bell: &Bell) -> Failed {
        if let Some(signal) = settings.dump {
            self.process.signal(signal);
            let until = Instant::now() + DUMP;
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                if let Heard::Ended(_) = self.hear(bell, Some(left)) {
                    break;
                }
            }
        }
        let limit = humantime::format_duration(settings.start_timeout);
        let step = match &self.step {
            Some(step) => format!("it was still loading {step}"),
            None => "its program had not begun to load anything".to_owned(),
        };
        let words = format!("the template was ended: it was not ready within --start-timeout ({limit}); {step}");
        Failed::Ended(self.with_last_words(words))
    }

    /// How it has ended, in words.
    pub fn death(&self, how: How) -> String {
        self.with_last_words(format!("the template {how}"))
    }

    fn with_last_words(&self, mut words: String) -> String {
        if !self.tail.is_empty() {
            words.push_str("; its last words:\n");
            words.push_str(self.tail.text().trim_end());
        }
        words
    }

    /// What the template says next, or how it has ended, within `most`.
    pub fn hear(&mut self, bell: &Bell, most: Option<Duration>) -> Heard {
        loop {
            while !self.lines.is_empty() {
                // What is no reply is the handler's, which has written where it should not.
                if let Ok(reply) = Protocol::Json.decode(&self.lines.remove(0)) {
                    return Heard::Said(reply.body);
                }
            }
            if let Some(how) = self.process.poll_exit() {
                self.process.signal(libc::SIGKILL);
                self.read_stderr();
                self.read_output();
                if self.lines.is_empty() {
                    return Heard::Ended(how);
                }
                continue;
            }
            if !self.wait(bell, most) {
                return Heard::Nothing;
            }
        }
    }

    /// Waits for the template and reads what it has written. Returns false if the bell has been rung, or it is time.
    fn wait(&mut self, bell: &Bell, most: Option<Duration>) -> bool {
        /// Where no descriptor tells of the template's end, it is asked this often.
        const EXIT_CHECK: Duration = Duration::from_millis(50);
        let is_asked = self.process.must_ask();
        let timeout = if is_asked { Some(most.unwrap_or(EXIT_CHECK).min(EXIT_CHECK)) } else { most };
        let mut fds = vec![PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN)];
        let exit = watch(&mut fds, self.process.exit_fd(), PollFlags::IN);
        let stderr = watch(&mut fds, self.process.stderr.as_ref().map(AsFd::as_fd), PollFlags::IN);
        let output = watch(&mut fds, self.process.output.as_ref().map(AsFd::as_fd), PollFlags::IN);
        // An interrupted poll only means another round.
        let found = rustix::event::poll(&mut fds, timeout.map(timespec).as_ref()).unwrap_or(0);
        let ready = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
        let (rung, exit, stderr, output) = (ready(Some(0)), ready(exit), ready(stderr), ready(output));
        if rung {
            bell.hush();
        }
        if stderr {
            self.read_stderr();
        }
        if output {
            self.read_output();
        }
        !rung && (exit || found > 0)
    }

    fn read_stderr(&mut self) {
        let mut scratch = [0; 16 * 1024];
        for _ in 0..READS {
            let Some(stderr) = &self.process.stderr else { return };
            match rustix::io::read(stderr, &mut scratch[..]) {
                Ok(0) => self.process.stderr = None,
                Ok(bytes) => {
                    self.tail.push(&scratch[..bytes]);
                    self.reporter.log(TEMPLATE, Bytes::copy_from_slice(&scratch[..bytes]));
                }
                Err(_) => return,
            }
        }
    }

    fn read_output(&mut self) {
        if let Some(output) = &self.process.output
            && let Ok(0) = rustix::io::read(output, rustix::buffer::spare_capacity(self.output.buffer()))
        {
            self.process.output = None;
        }
        if self.output.partial() > LINE {
            self.output.discard();
        }
        let whole = self.output.take_lines();
        self.lines.extend(lines(&whole));
    }

    /// Kills the template and what it has started, and reaps it. That does not take long: nobody waits for one that cannot
    /// be killed.
    pub fn bury(mut self) {
        /// Killed processes are gone in milliseconds, so only what is stuck takes longer.
        const LAST_MOMENT: Duration = Duration::from_secs(1);
        self.process.signal(libc::SIGKILL);
        if let Some(exit) = self.process.exit_fd() {
            let mut fds = [PollFd::from_borrowed_fd(exit, PollFlags::IN)];
            // Interrupted or not, it has been killed.
            let _ = rustix::event::poll(&mut fds, Some(&timespec(LAST_MOMENT)));
        }
        // What it has said so far is not lost.
        self.read_stderr();
        self.process.bury();
        self.reporter.log_end(TEMPLATE);
    }
}
