//! Starting a worker's process and holding on to it until it is buried.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::exited::How;
use super::launch::{self, OurEnds};
use super::{group, group_memory};
use crate::sys::children::{self, Child};
use crate::sys::spawn::Ends;
use crate::words::worker::{Channel, WorkerCommand};

pub use super::program::{find, find_all};

/// A running worker: its process and our ends of its pipes, all non-blocking.
pub struct Process {
    child: Child,
    /// Our end of the worker's stdin; `None` once it is closed.
    pub input: Option<OwnedFd>,
    /// Our end of the worker's stdout; `None` once it has ended.
    pub output: Option<OwnedFd>,
    /// Our end of the worker's stderr; `None` once it has ended.
    pub stderr: Option<OwnedFd>,
    /// A descriptor that is readable when the process has ended; `None` where the system has no such thing, or once
    /// the end has been seen.
    exit: Option<OwnedFd>,
    /// The end of the process has been seen.
    seen: bool,
    /// How many bytes of its input the worker had not read when it closed its end of it. Our end is closed then, and
    /// cannot be asked any more.
    left_unread: Option<u64>,
    channel: Channel,
    /// Whether the system has been asked to make the input's pipe larger; it may have refused.
    wide_input: bool,
    /// Whether the system has been asked to make the output's pipe larger; it may have refused.
    wide_output: bool,
}

/// How many workers are started at the same time: enough to keep processors busy, few enough that the descriptors that
/// a start needs for a moment are no burden beside those that workers keep.
pub const STARTS_AT_ONCE: usize = 8;

/// Turns to start a worker. A slot starts one while it holds the turn that its number leads to.
static STARTS: [Mutex<()>; STARTS_AT_ONCE] = [const { Mutex::new(()) }; STARTS_AT_ONCE];

impl Process {
    /// Starts `command` in a process group of its own, to be killed with the calling thread.
    pub fn spawn(command: &WorkerCommand, slot: u32, workers: usize) -> io::Result<Process> {
        let program = launch::program(command, slot, workers);
        let _turn = turn(slot);
        let ends = launch::connect(command.channel)?;
        Process::begin(command.channel, ends, |theirs| children::start(&program, theirs))
    }

    /// Takes a worker that `fork` makes: a child of this process, which leads a process group, reads jobs and writes
    /// replies through the ends that it is given.
    pub fn adopt(slot: u32, fork: impl FnOnce(&Ends) -> io::Result<Pid>) -> io::Result<Process> {
        let _turn = turn(slot);
        let ends = launch::connect(Channel::Private)?;
        Process::begin(Channel::Private, ends, |theirs| children::adopt(|| fork(&theirs)))
    }

    /// Starts the template that the workers are forked from. Its input is a socket for requests.
    pub fn template(command: &WorkerCommand, workers: usize) -> io::Result<Process> {
        let program = launch::template(command, workers);
        let ends = launch::connect_template()?;
        Process::begin(Channel::Private, ends, |theirs| children::start(&program, theirs))
    }

    /// `start` makes the process. Its ends are closed here then: as long as one is open, the end of its output never
    /// comes.
    fn begin(
        channel: Channel,
        (ours, theirs): (OurEnds, Ends),
        start: impl FnOnce(Ends) -> io::Result<Child>,
    ) -> io::Result<Process> {
        let child = start(theirs)?;
        let process = Process {
            exit: exit_descriptor(child.id()),
            child,
            input: Some(ours.input),
            output: Some(ours.output),
            stderr: Some(ours.stderr),
            seen: false,
            left_unread: None,
            channel,
            wide_input: false,
            wide_output: false,
        };
        match process.set_nonblocking() {
            Ok(()) => Ok(process),
            Err(error) => {
                process.bury();
                Err(error)
            }
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        for fd in [&self.input, &self.output, &self.stderr].into_iter().flatten() {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok(())
    }

    /// A descriptor that is readable when the process has ended; `None` once the end has been seen.
    pub fn exit_fd(&self) -> Option<BorrowedFd<'_>> {
        self.exit.as_ref().map(AsFd::as_fd)
    }

    /// The end of the process has been seen and needs no more watching.
    pub fn forget_exit(&mut self) {
        self.exit = None;
        self.seen = true;
    }

    /// Whether `poll_exit` must be called from time to time, because no descriptor tells of the process's end.
    pub fn must_ask(&self) -> bool {
        self.exit.is_none() && !self.seen
    }

    /// How the process has ended, if it has. The process is not reaped: as a zombie it keeps its id, and its group,
    /// ours.
    pub fn poll_exit(&self) -> Option<How> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(WaitId::Pid(self.child.id()), options).ok()??;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(How::Code(code)),
            (None, Some(signal)) => Some(How::Signal(signal)),
            (None, None) => None,
        }
    }

    /// The signal by which its terminal has stopped it: SIGTTIN when it tried to read from there, SIGTTOU when it
    /// tried to write or to change something. Nobody continues a worker that is stopped so: it is in no terminal's
    /// foreground. A stop by SIGSTOP is not one of these: whoever sent it, forkpool at Ctrl-Z or a user, means to
    /// let the worker go on. SIGCHLD tells when to ask (`Hooks::on_child` in `signal`).
    pub fn stopped_by(&self) -> Option<i32> {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(WaitId::Pid(self.child.id()), options).ok()??;
        status.stopping_signal().filter(|signal| [libc::SIGTTIN, libc::SIGTTOU].contains(signal))
    }

    /// How many bytes are in the worker's input that it has not read; `None` where nobody can tell.
    pub fn unread(&self) -> Option<u64> {
        let Some(input) = &self.input else { return self.left_unread };
        match self.channel {
            // The number that a socket gives for its far end includes the kernel's own overhead.
            Channel::NodeIpc => None,
            Channel::Stdio | Channel::Private => rustix::io::ioctl_fionread(input).ok(),
        }
    }

    /// Whether the worker has read all that it was given and waits for more: it sleeps in a read of its stdin. A worker
    /// that computes, or waits for something else, is not in that system call.
    pub fn waits_for_input(&self) -> bool {
        /// The number of the system call `read`, and descriptor 0.
        #[cfg(target_arch = "x86_64")]
        const READ: &str = "0 0x0 ";
        #[cfg(not(target_arch = "x86_64"))]
        const READ: &str = "63 0x0 ";
        let asleep = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", self.id())).unwrap_or_default();
        // Not every system shows the call. The function of the kernel in which the process sleeps says nearly the same.
        self.unread() == Some(0) && (asleep("syscall").starts_with(READ) || asleep("wchan").contains("pipe_read"))
    }

    /// To be called when the worker has closed its end of its input, perhaps by ending, which is seen apart from this.
    /// Returns how many bytes of it were left unread.
    pub fn input_broke(&mut self) -> Option<u64> {
        self.left_unread = self.unread();
        self.input = None;
        self.left_unread
    }

    /// The worker's input, if poll can tell by it that the worker has closed its end. A socket is input and output in
    /// one: poll tells of its end when the output is watched.
    pub fn input_pipe(&self) -> Option<BorrowedFd<'_>> {
        let is_pipe = self.channel != Channel::NodeIpc;
        self.input.as_ref().filter(|_| is_pipe).map(AsFd::as_fd)
    }

    /// Sends a signal to the worker's process group.
    pub fn signal(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            // This fails only where nothing is left of the group that could take the signal.
            let _ = rustix::process::kill_process_group(self.child.id(), signal);
        }
    }

    /// Closes the worker's input, which tells the worker that no more is to be done. A socket is input and output in
    /// one, so nothing is heard of the worker after that.
    pub fn close_input(&mut self) {
        self.input = None;
        if self.channel == Channel::NodeIpc {
            self.output = None;
        }
    }

    /// Makes the input's pipe larger, for large jobs: forkpool and the worker take turns less often.
    pub fn widen_input(&mut self) {
        if !std::mem::replace(&mut self.wide_input, true)
            && let Some(input) = &self.input
        {
            widen(input);
        }
    }

    /// Makes the output's pipe larger, for large replies.
    pub fn widen_output(&mut self) {
        if !std::mem::replace(&mut self.wide_output, true)
            && let Some(output) = &self.output
        {
            widen(output);
        }
    }

    /// The memory of the worker's process group in bytes, or `None` where nobody can tell now; see
    /// [`group_memory::of_group`].
    pub fn memory(&self, limit: usize) -> Option<usize> {
        group_memory::of_group(self.id(), limit)
    }

    pub fn id(&self) -> i32 {
        self.pid().as_raw_pid()
    }

    /// The process id, which is also that of the process's group.
    pub fn pid(&self) -> Pid {
        self.child.id()
    }

    /// Kills what is left of the group, reaps the worker and closes its pipes, and waits for the end of the others in the
    /// group. What cannot be killed is not waited for.
    pub fn bury(self) {
        self.signal(libc::SIGKILL);
        let group = self.pid();
        children::reap(self.child);
        group::wait_until_dead(group);
    }
}

/// The turn that the number of a slot leads to, to start a worker.
fn turn(slot: u32) -> MutexGuard<'static, ()> {
    // The lock may be taken after a panic: it guards no data.
    STARTS[slot as usize % STARTS_AT_ONCE].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a pipe larger, to be faster.
fn widen(pipe: &OwnedFd) {
    #[cfg(target_os = "linux")]
    {
        /// The largest pipe that a process without privileges may ask for by default.
        const WIDE: usize = 1 << 20;
        // A system that does not allow it has a slower pipe, and nothing else is wrong.
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, WIDE);
    }
    // Other systems have no such call; the name is used so that the compiler does not miss a use of it.
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

#[cfg(target_os = "linux")]
fn exit_descriptor(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn exit_descriptor(_: Pid) -> Option<OwnedFd> {
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// A worker that is a shell: it runs `script` and then reads its input.
    fn shell(script: &str) -> Process {
        let args = ["-c".into(), format!("{script}; cat").into()].to_vec();
        let command = WorkerCommand {
            wrap: Vec::new(),
            program: "/bin/sh".into(),
            args,
            channel: Channel::Stdio,
            env: Vec::new(),
        };
        Process::spawn(&command, 0, 1).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nothing_of_a_group_runs_when_its_worker_is_buried() {
        // Processes that wait their turn for a processor also wait for it to die.
        let process = shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do (while :; do :; done) & done; echo");
        let group = process.id();
        let output = process.output.as_ref().unwrap();
        rustix::event::poll(&mut [rustix::event::PollFd::new(output, rustix::event::PollFlags::IN)], None).unwrap();
        process.bury();
        assert_eq!(group::processes().filter(|member| member.group == group && !member.is_dead).count(), 0);
    }

    #[test]
    fn a_stop_by_the_terminal_is_told_from_any_other() {
        let check = |signal: &str, expected: Option<i32>| {
            let process = shell(&format!("kill -{signal} $$"));
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
            rustix::process::waitid(WaitId::Pid(process.child.id()), options).unwrap();
            assert_eq!((process.stopped_by(), process.poll_exit().is_some()), (expected, false), "{signal}");
            process.signal(libc::SIGCONT);
            let end = Instant::now() + Duration::from_secs(60);
            while process.stopped_by().is_some() {
                assert!(Instant::now() < end, "{signal}: it goes on");
                std::thread::sleep(Duration::from_millis(1));
            }
            process.bury();
        };
        check("TTIN", Some(libc::SIGTTIN));
        check("TTOU", Some(libc::SIGTTOU));
        check("STOP", None);
        check("TSTP", None);
    }
}
