//! One worker that a single thread talks to: its process, what it is to be given, and the lines that it has written.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::pool::exited::How;
use crate::pool::process::Process;
use crate::pool::settings::PoolSettings;
use crate::pool::template::Alone;
use crate::report::Reporter;
use crate::text::framing::LineQueue;
use crate::words::error::{Error, Result, reason};

/// A running worker and what it has said.
pub struct Worker {
    pub process: Process,
    /// What is to be written to it.
    pub input: Vec<u8>,
    output: LineQueue,
    lines: VecDeque<Bytes>,
    /// A line of more bytes than this is no reply (`--max-reply-bytes`).
    max_line: usize,
    pub output_ended: bool,
    pub exited: Option<How>,
}

/// What came first.
pub enum Heard {
    Line(Bytes),
    /// A line that is longer than any reply may be, or its beginning.
    TooLong(Bytes),
    /// The worker has ended, or closed its output.
    End,
    Nothing,
}

/// Reads in a row before the process and its other pipes are looked at again, so that a worker that floods its output
/// does not keep us from them. Any small number will do.
const READS: usize = 8;

impl Worker {
    /// Starts a worker, or forks it from `template`.
    pub fn start(pool: &PoolSettings, template: Option<&Alone>) -> Result<Worker> {
        let process = match template {
            Some(template) => template.start_worker(),
            None => Process::spawn(&pool.command, 0, 1),
        };
        let process = process.map_err(|error| {
            let program = pool.command.program.to_string_lossy();
            Error::pool(format!("cannot start a worker: {program}: {}", reason(&error)))
        })?;
        Ok(Worker {
            process,
            input: Vec::new(),
            output: LineQueue::default(),
            lines: VecDeque::new(),
            max_line: pool.max_reply_bytes,
            output_ended: false,
            exited: None,
        })
    }

    /// What the worker says next, until a time.
    pub fn hear(&mut self, until: Instant, reporter: &Reporter) -> Heard {
        loop {
            match self.hear_or_exit(until, reporter) {
                // The worker has ended, but what it wrote before that is still in the pipe.
                Heard::End if !self.output_ended => {}
                heard => return heard,
            }
        }
    }

    /// Moves bytes both ways until there is a line, the worker has ended, or it is `until`.
    pub fn hear_or_exit(&mut self, until: Instant, reporter: &Reporter) -> Heard {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return if line.len() > self.max_line { Heard::TooLong(line) } else { Heard::Line(line) };
            }
            if self.output.partial() > self.max_line {
                /// More than is shown of the line.
                const BEGINNING: usize = 1024;
                let line = self.output.partial_bytes();
                return Heard::TooLong(Bytes::copy_from_slice(&line[..line.len().min(BEGINNING)]));
            }
            if self.output_ended && self.exited.is_some() {
                return Heard::End;
            }
            let now = Instant::now();
            if now >= until {
                // Of the two signs of an end one may have come: the worker has closed its output and lives, or it has
                // exited while something holds its output open.
                return if self.output_ended || self.exited.is_some() { Heard::End } else { Heard::Nothing };
            }
            self.exchange(until - now, reporter);
        }
    }

    /// One round of poll: writes, reads, and looks whether the process has ended.
    fn exchange(&mut self, most: Duration, reporter: &Reporter) {
        /// The process is asked this often whether it has ended, because no descriptor that is waited for tells of
        /// that.
        const ROUND: Duration = Duration::from_millis(20);
        let round = most.min(ROUND);
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(round.subsec_nanos()) };
        let mut fds = Vec::with_capacity(3);
        let input = self.process.input.as_ref().filter(|_| !self.input.is_empty());
        fds.extend(input.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT)));
        for fd in [&self.process.output, &self.process.stderr].into_iter().flatten() {
            fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
        }
        // An interrupted poll only means another round.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        drop(fds);
        self.write();
        self.read_stderr(reporter);
        // The exit is looked at before the output is read, so that everything the worker wrote before its exit is in
        // the pipe by then.
        if self.exited.is_none() {
            self.exited = self.process.poll_exit();
        }
        self.read_output();
    }

    fn write(&mut self) {
        if let Some(input) = &self.process.input
            && let Ok(bytes) = rustix::io::write(input, &self.input)
        {
            self.input.drain(..bytes);
        }
    }

    fn read_stderr(&mut self, reporter: &Reporter) {
        let mut scratch = [0; 16 * 1024];
        if let Some(stderr) = &self.process.stderr {
            match rustix::io::read(stderr, &mut scratch[..]) {
                Ok(0) => self.process.stderr = None,
                Ok(bytes) => reporter.log(0, Bytes::copy_from_slice(&scratch[..bytes])),
                Err(_) => {}
            }
        }
    }

    fn read_output(&mut self) {
        for _ in 0..READS {
            let Some(output) = &self.process.output else { break };
            match rustix::io::read(output, rustix::buffer::spare_capacity(self.output.buffer())) {
                Ok(0) => {
                    self.process.output = None;
                    self.output_ended = true;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let lines = self.output.take_lines();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &lines) {
            self.lines.push_back(lines.slice(start..end));
            start = end + 1;
        }
    }
}
