//! What a worker's process is started with: its words, its environment and its pipes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

#[cfg(target_os = "linux")]
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::sys::spawn::{Ends, Program};
use crate::words::worker::{Channel, WorkerCommand};

/// Our ends of what a worker reads and writes.
pub struct OurEnds {
    pub input: OwnedFd,
    pub output: OwnedFd,
    pub stderr: OwnedFd,
}

/// What is executed for a slot, with its environment.
pub fn program(command: &WorkerCommand, slot: u32, workers: usize) -> Program {
    let (program, args) = command.words(slot);
    let mut words = match command.channel {
        Channel::Stdio => Vec::new(),
        Channel::Private => through_shell("3<&0 4>&1 0</dev/null 1>&2"),
        Channel::NodeIpc => through_shell("3<&0 0</dev/null 1>&2"),
    };
    words.push(program);
    words.extend(args);
    let mut env: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    // The channel of a Node that has started forkpool is not the worker's, which has its own things there.
    for name in ["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID"] {
        env.remove(OsStr::new(name));
    }
    env.extend(command.env.iter().cloned());
    let mut set = |name: &str, value: String| env.insert(name.into(), value.into());
    set("FORKPOOL_SLOT", slot.to_string());
    set("FORKPOOL_WORKERS", workers.to_string());
    if command.channel == Channel::NodeIpc {
        set("NODE_CHANNEL_FD", "3".to_owned());
        set("NODE_CHANNEL_SERIALIZATION_MODE", "json".to_owned());
    }
    Program { words, env }
}

/// What is executed for the template (`--preload`). What it loads is for all slots, so it has no number of one: a
/// handler that asks for that while it is loaded is told so by the missing variable.
pub fn template(command: &WorkerCommand, workers: usize) -> Program {
    let mut program = program(command, 0, workers);
    program.env.remove(OsStr::new("FORKPOOL_SLOT"));
    program
}

/// Makes a socket for requests, which keeps them apart, as the template's input, and two pipes.
#[cfg(target_os = "linux")]
pub fn connect_template() -> io::Result<(OurEnds, Ends)> {
    let (stderr, their_stderr) = io::pipe()?;
    let (output, stdout) = io::pipe()?;
    let flags = SocketFlags::CLOEXEC;
    let (input, stdin) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let ours = OurEnds { input, output: output.into(), stderr: stderr.into() };
    Ok((ours, Ends { stdin, stdout: stdout.into(), stderr: their_stderr.into() }))
}

/// There is no template elsewhere: `--preload` is refused.
#[cfg(not(target_os = "linux"))]
pub fn connect_template() -> io::Result<(OurEnds, Ends)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes three pipes, or a socket instead of the first two, as `child_process.fork` does: both its input and its output
/// are our end of it. All is made before there is a process that a failure would leave behind.
pub fn connect(channel: Channel) -> io::Result<(OurEnds, Ends)> {
    let (stderr, their_stderr) = io::pipe()?;
    let (input, output, stdin, stdout) = match channel {
        Channel::NodeIpc => {
            let (ours, theirs) = UnixStream::pair()?;
            let nothing = File::options().write(true).open("/dev/null")?;
            (OwnedFd::from(ours.try_clone()?), OwnedFd::from(ours), OwnedFd::from(theirs), OwnedFd::from(nothing))
        }
        Channel::Stdio | Channel::Private => {
            let (stdin, input) = io::pipe()?;
            let (output, stdout) = io::pipe()?;
            (input.into(), output.into(), stdin.into(), stdout.into())
        }
    };
    let ours = OurEnds { input, output, stderr: stderr.into() };
    Ok((ours, Ends { stdin, stdout, stderr: their_stderr.into() }))
}

/// `sh` moves the descriptors and becomes the program that the words after these name: no extra process stays, and
/// nothing unsafe is needed.
fn through_shell(redirections: &str) -> Vec<OsString> {
    vec!["/bin/sh".into(), "-c".into(), format!("exec \"$0\" \"$@\" {redirections}").into()]
}
