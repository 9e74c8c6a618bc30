//! One slot's thread: the poll loop around a worker's process.
//!
//! The thread owns the process and its pipes; nobody else touches them, so there is no lock, no race about who killed
//! the worker, and no process id is used after the worker was reaped. The thread waits in one place only, `poll`, for
//! its pipes, the worker's exit, its bell (jobs, orders, a stopped child) and the time that its seat asks for.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::exited::Exited;
use super::listener::Listener;
use super::machine::{Machine, PIPE};
use super::process::Process;
use super::seat::Seat;
use crate::report::Reporter;
use crate::sys::bell::Bell;
use crate::sys::clock::Clock;

pub struct Slot {
    seat: Seat<Machine, Listener>,
    bell: Bell,
    clock: Clock,
    reporter: Reporter,
    scratch: Vec<u8>,
}

/// What poll has seen.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    rung: bool,
    exit: bool,
    stderr: bool,
    output: bool,
    input_broke: bool,
}

/// What a worker writes to stderr is read in pieces of this size, that of a full pipe on Linux.
const STDERR_READ: usize = 64 * 1024;
/// The most reads of one pipe in a row, so that a worker that floods one does not keep us from the others. Any small
/// number will do.
const READS: usize = 8;
/// Where the system has no descriptor that tells of a process's end, it is asked this often: a death is noticed soon,
/// and twenty calls a second cost nothing.
const EXIT_CHECK: Duration = Duration::from_millis(50);

impl Slot {
    pub fn new(seat: Seat<Machine, Listener>, bell: Bell, clock: Clock, reporter: Reporter) -> Slot {
        Slot { seat, bell, clock, reporter, scratch: vec![0; STDERR_READ] }
    }

    pub fn run(mut self) {
        loop {
            let now = self.clock.now();
            if !self.seat.has_ids() && self.seat.session.in_flight() == 0 {
                // A protocol without ids: a surplus reply would be taken for the answer to the next job, so its output
                // is looked at once more before that is given.
                self.read_output(now);
            }
            let deadline = self.seat.round(now);
            if self.seat.is_over() {
                return;
            }
            let seen = self.wait(deadline, now);
            self.hear(seen);
            // Deadlines are judged by the time before the wait. Whatever had arrived by then has been read now, so that
            // a reply beats its own timeout.
            self.seat.tick(now);
        }
    }

    /// Sleeps until something happens, or `deadline`.
    fn wait(&mut self, deadline: Option<Instant>, now: Instant) -> Seen {
        let napping = !self.seat.session.nap().is_zero();
        let machine = &self.seat.machine;
        let process = machine.process.as_ref();
        let asked_for = process.is_some_and(Process::must_ask).then(|| now + EXIT_CHECK);
        let deadline = [deadline, asked_for].into_iter().flatten().min();
        let timeout = deadline.map(|at| timespec(at.saturating_duration_since(now)));

        let mut fds = Vec::with_capacity(5);
        fds.push(PollFd::from_borrowed_fd(self.bell.fd(), PollFlags::IN));
        let exit = watch(&mut fds, process.and_then(Process::exit_fd), PollFlags::IN);
        let stderr = watch(&mut fds, machine.stderr(), PollFlags::IN);
        let output = watch(&mut fds, machine.output().filter(|_| !napping), PollFlags::IN);
        // The worker's input is watched also when there is nothing to write: a worker may close it and live on, and is
        // given no job then.
        let input = if self.seat.session.pending_input().is_empty() {
            watch(&mut fds, process.and_then(Process::input_pipe), PollFlags::empty())
        } else {
            watch(&mut fds, machine.input(), PollFlags::OUT);
            None
        };
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            // If poll is interrupted, no descriptor counts as ready, and another round follows.
            Ok(_) | Err(Errno::INTR) => {}
            // The system is short of memory, or allows fewer descriptors than before. It is asked again a little later:
            // this thread must not turn in circles.
            Err(_) => std::thread::sleep(EXIT_CHECK),
        }
        let ready = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
        Seen {
            rung: ready(Some(0)),
            exit: ready(exit) || asked_for.is_some(),
            stderr: ready(stderr),
            output: ready(output) || napping,
            input_broke: ready(input),
        }
    }

    /// Reads what has arrived.
    fn hear(&mut self, seen: Seen) {
        if seen.rung {
            self.bell.hush();
        }
        let now = self.clock.now();
        if seen.stderr {
            self.read_stderr();
        }
        if seen.output {
            self.read_output(now);
        }
        if seen.exit {
            self.see_exit(now);
        }
        // A broken input is told after the output has been read: a job that the worker has answered must not be given
        // back.
        if seen.input_broke {
            let unread = self.seat.machine.process.as_mut().and_then(Process::input_broke);
            self.seat.session.input_broken(unread.unwrap_or(0), now);
        }
        if seen.rung
            && let Some(signal) = self.seat.machine.process.as_ref().and_then(Process::stopped_by)
        {
            self.seat.session.suspended(signal, now);
        }
    }

    fn read_output(&mut self, now: Instant) {
        for _ in 0..READS {
            let Some(process) = &mut self.seat.machine.process else { return };
            let Some(buffer) = self.seat.session.output_buffer() else { return };
            if buffer.len() >= PIPE {
                process.widen_output();
            }
            let Some(output) = &process.output else { return };
            let room = buffer.capacity() - buffer.len();
            match rustix::io::read(output, rustix::buffer::spare_capacity(buffer)) {
                Ok(bytes) if bytes > 0 => {
                    self.seat.session.received(now);
                    if bytes < room {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The output has ended. A socket whose far end died with unread bytes in it says so by an error.
                Ok(_) | Err(_) => {
                    process.output = None;
                    self.seat.session.output_ended(now);
                    return;
                }
            }
        }
    }

    fn read_stderr(&mut self) {
        for _ in 0..READS {
            let Some(process) = &mut self.seat.machine.process else { return };
            let Some(stderr) = &process.stderr else { return };
            match rustix::io::read(stderr, &mut self.scratch[..]) {
                Ok(bytes) if bytes > 0 => {
                    let read = &self.scratch[..bytes];
                    if self.seat.session.stderr(read) {
                        self.reporter.log(self.seat.number, Bytes::copy_from_slice(read));
                    }
                    if bytes < self.scratch.len() {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => process.stderr = None,
            }
        }
    }

    /// Looks whether the worker's process has ended. If so, its group is killed while its id is still ours, and what is
    /// left in its pipes is read before the session is told, so that a reply that is there counts.
    fn see_exit(&mut self, now: Instant) {
        let Some(process) = &self.seat.machine.process else { return };
        let Some(how) = process.poll_exit() else { return };
        process.signal(libc::SIGKILL);
        self.read_stderr();
        self.read_output(now);
        let out_of_memory = self.seat.machine.memory_events.killed_since();
        let Some(process) = &mut self.seat.machine.process else { return };
        let unread = process.unread();
        // The exit has been seen: poll would report it again and again.
        process.forget_exit();
        self.seat.session.exited(Exited { how, unread, out_of_memory }, now);
    }
}

/// Adds a descriptor to those that poll waits for, if there is one, and returns its place among them.
pub(super) fn watch<'fd>(fds: &mut Vec<PollFd<'fd>>, fd: Option<BorrowedFd<'fd>>, flags: PollFlags) -> Option<usize> {
    fds.push(PollFd::from_borrowed_fd(fd?, flags));
    Some(fds.len() - 1)
}

pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests;
