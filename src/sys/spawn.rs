//! Starting the process of a worker.
//!
//! On Linux the new process shares the memory of this one until it executes its program, as with `vfork`: `fork` would
//! copy the page tables of a process with hundreds of threads' stacks for each worker, and `posix_spawn` has no place
//! for the parent-death signal. The price is care. Until it executes its program, the new process
//!
//! - allocates nothing and takes no lock: what it leaves undone when it is killed there would stay so for us;
//! - runs no handler of ours, which would write into our memory and pipes: all signals are blocked before it is born,
//!   and let through when none has a handler any more;
//! - has a stack of its own, while the thread that started it waits in the system call. Of our memory it writes to its
//!   `Birth` and to that thread's `errno` alone.
//!
//! Elsewhere the standard library starts the process, by `fork`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::Pid;

use super::{descriptors, signals};

/// The words of a command, the first of which names the program, and the whole of its environment.
#[derive(Debug)]
pub struct Program {
    pub words: Vec<OsString>,
    pub env: BTreeMap<OsString, OsString>,
}

/// What a worker gets as its descriptors 0, 1 and 2.
#[derive(Debug)]
pub struct Ends {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

pub use system::spawn;

/// Makes this new process a worker: it leads a process group, it has none of the signals blocked or ignored that only
/// forkpool has so, and its limit of descriptors is the one that forkpool was started with. Makes only calls that are
/// safe between fork and exec.
fn settle(parent: Pid) -> rustix::io::Result<()> {
    rustix::process::setpgid(None, None)?;
    die_with(parent)?;
    signals::reset_for_worker();
    descriptors::restore_first_limit()
}

/// Lets this process be killed when the thread that started it ends, as that thread does with forkpool, even by SIGKILL.
#[cfg(target_os = "linux")]
fn die_with(parent: Pid) -> rustix::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The parent may have died before the call above took effect.
    if rustix::process::getppid() != Some(parent) {
        return Err(rustix::io::Errno::SRCH);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with(_: Pid) -> rustix::io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::{c_int, c_void};
    use std::os::fd::AsRawFd;

    use rustix::io::Errno;
    use rustix::process::{WaitOptions, waitpid};
    use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

    use super::super::image::Image;
    use super::*;

    /// What the new process needs until it executes its program, and what it hands back.
    struct Birth {
        image: Image,
        ends: Ends,
        parent: Pid,
        /// Why the program could not be executed.
        failed: Option<Errno>,
    }

    /// The new process calls a few functions in a row, none of which needs more than some hundred bytes.
    const STACK: usize = 64 * 1024;

    /// Starts a program, to be killed with the calling thread, which must live as long as the worker is wanted. Returns
    /// when it is executed, or fails if it cannot be.
    pub fn spawn(program: &Program, ends: Ends) -> io::Result<Pid> {
        let parent = rustix::process::getpid();
        let mut birth = Birth { image: Image::new(program)?, ends: above_standard(ends)?, parent, failed: None };
        let mut stack = Box::<[u128]>::new_uninit_slice(STACK / size_of::<u128>());
        let top: *mut c_void = stack.as_mut_ptr_range().end.cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let id = signals::while_blocked(|| {
            // SAFETY: the stack is aligned, large enough and the new process's alone. This thread waits until that
            // process has executed its program or ended, so the stack and `birth` live long enough, and nobody else
            // uses them meanwhile.
            match unsafe { libc::clone(be_born, top, flags, (&raw mut birth).cast()) } {
                -1 => Err(io::Error::last_os_error()),
                id => Ok(Pid::from_raw(id).expect("a new process has a positive number")),
            }
        })?;
        let Some(error) = birth.failed else { return Ok(id) };
        // The process has ended, and this takes it off the table. It cannot fail for a child that nobody else reaps.
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(id), WaitOptions::empty()));
        Err(error.into())
    }

    /// Descriptors that are none of the standard ones, so that making one of those overwrites none of them.
    fn above_standard(ends: Ends) -> io::Result<Ends> {
        let above = |end: OwnedFd| match end.as_raw_fd() {
            0..=2 => rustix::io::fcntl_dupfd_cloexec(&end, 3),
            _ => Ok(end),
        };
        Ok(Ends { stdin: above(ends.stdin)?, stdout: above(ends.stdout)?, stderr: above(ends.stderr)? })
    }

    // ---- In the new process ----

    extern "C" fn be_born(birth: *mut c_void) -> c_int {
        // SAFETY: it is the `Birth` of `spawn`, which does not use it before this process has executed its program or
        // ended.
        let birth = unsafe { &mut *birth.cast::<Birth>() };
        birth.failed = Some(match prepare(birth) {
            Ok(()) => birth.image.execute(),
            Err(error) => error,
        });
        // Nobody sees this status.
        127
    }

    fn prepare(birth: &Birth) -> rustix::io::Result<()> {
        dup2_stdin(&birth.ends.stdin)?;
        dup2_stdout(&birth.ends.stdout)?;
        dup2_stderr(&birth.ends.stderr)?;
        settle(birth.parent)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    /// Starts a program. Returns when it is executed, or fails if it cannot be.
    pub fn spawn(program: &Program, ends: Ends) -> io::Result<Pid> {
        let Some((name, args)) = program.words.split_first() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut command = Command::new(name);
        command.args(args).env_clear().envs(&program.env);
        command.stdin(ends.stdin).stdout(ends.stdout).stderr(ends.stderr);
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec only calls are made that are safe there: no allocation, no lock.
        unsafe {
            command.pre_exec(move || Ok(settle(parent)?));
        }
        let child = signals::while_blocked(|| command.spawn())?;
        Ok(Pid::from_child(&child))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;
    use crate::sys::children::{self, Child};

    fn program(words: &[&str], env: &[(&str, &str)]) -> Program {
        let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Program { words: words.iter().map(OsString::from).collect(), env }
    }

    /// Starts a program whose stdin ends at once and whose stdout is the other end of what is returned.
    fn start(program: &Program) -> io::Result<(Child, io::PipeReader)> {
        let (output, stdout) = io::pipe()?;
        let [stdin, stderr] = [File::open("/dev/null")?, File::create("/dev/null")?].map(OwnedFd::from);
        let child = children::start(program, Ends { stdin, stdout: stdout.into(), stderr })?;
        Ok((child, output))
    }

    /// Waits for the end of a child, and returns the signal that ended it, if one did.
    fn end(child: Child) -> Option<i32> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(child.id()), options).unwrap().unwrap();
        children::reap(child);
        status.terminating_signal()
    }

    /// What a program writes to its stdout.
    fn run(words: &[&str], env: &[(&str, &str)]) -> io::Result<String> {
        let (child, mut output) = start(&program(words, env))?;
        let mut text = String::new();
        output.read_to_string(&mut text)?;
        assert_eq!(end(child), None, "{words:?}");
        Ok(text)
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_gets_its_words_and_its_environment_and_no_other() {
        assert_eq!(run(&["/bin/echo", "a b", "", "$c"], &[]).unwrap(), "a b  $c\n");
        assert_eq!(run(&["/bin/sh", "-c", "echo $0 $1", "d", "e"], &[]).unwrap(), "d e\n");
        assert_eq!(run(&["/usr/bin/env"], &[]).unwrap(), "");
        assert_eq!(run(&["/usr/bin/env"], &[("B", ""), ("A", "x y=z")]).unwrap(), "A=x y=z\nB=\n");
    }

    #[test]
    fn a_program_is_the_first_in_its_own_path_that_can_be_executed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
        for name in ["directory/tool", "refused", "good"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        write(&folder.path().join("refused/tool"), "#!/bin/sh\n", 0o644);
        write(&folder.path().join("good/tool"), "#!/bin/sh\necho $0 $1\n", 0o755);
        let search = |names: &[&str]| {
            let folders: Vec<_> = names.iter().map(|name| path(name)).collect();
            run(&["tool", "x"], &[("PATH", &folders.join(":"))]).map_err(|error| error.kind())
        };
        let good = Ok(format!("{} x\n", path("good/tool")));
        assert_eq!(search(&["good"]), good);
        assert_eq!(search(&["none", "good/tool", "directory", "refused", "good"]), good);
        assert_eq!(search(&["refused", "none"]), Err(io::ErrorKind::PermissionDenied), "there is one");
        assert_eq!(search(&["none"]), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_script_without_an_interpreter_is_read_by_the_shell() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        write(&script, "echo $0 $1 $# $A\n", 0o755);
        let [script, folder] = [&script, folder.path()].map(|path| path.to_str().unwrap());
        let expected = format!("{script} x 2 y\n");
        assert_eq!(run(&[script, "x", "z"], &[("A", "y")]).unwrap(), expected);
        assert_eq!(run(&["script", "x", "z"], &[("PATH", folder), ("A", "y")]).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_executed_fails_as_in_the_standard_library() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        write(&script, "#!/no/such/interpreter\n", 0o755);
        let long = "x".repeat(300);
        let search = format!("/none:/bin:/{}", "y".repeat(5000));
        for name in
            ["", "/", "/no/such", "/etc/passwd", "/etc/passwd/x", "no-such", &long, script.to_str().unwrap(), "\0"]
        {
            let expected = Command::new(name).env_clear().env("PATH", &search).spawn().unwrap_err();
            let error = run(&[name], &[("PATH", &search)]).unwrap_err();
            assert_eq!((error.kind(), error.raw_os_error()), (expected.kind(), expected.raw_os_error()), "{name}");
        }
        assert_eq!(run(&["/bin/echo", "a\0b"], &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let many = "z".repeat(1 << 20);
        let many = [["/bin/echo"].as_slice(), &[many.as_str(); 9]].concat();
        assert_eq!(run(&many, &[]).unwrap_err().kind(), io::ErrorKind::ArgumentListTooLong);
    }

    #[test]
    fn a_worker_leads_a_group_of_its_own() {
        let (child, output) = start(&program(&["/bin/sh", "-c", "kill -STOP $$"], &[])).unwrap();
        assert_eq!(rustix::process::getpgid(Some(child.id())).unwrap(), child.id());
        rustix::process::kill_process_group(child.id(), rustix::process::Signal::KILL).unwrap();
        assert_eq!(end(child), Some(libc::SIGKILL));
        drop(output);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_worker_is_killed_when_the_thread_that_started_it_ends() {
        let start = || start(&program(&["/bin/sleep", "60"], &[])).unwrap();
        let (child, _output) = std::thread::spawn(start).join().unwrap();
        assert_eq!(end(child), Some(libc::SIGKILL));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_worker_has_no_signal_blocked_and_ignores_what_this_process_was_told_to() {
        // Rust's runtime ignores SIGPIPE, and here every signal is blocked that can be.
        let status = signals::while_blocked(|| run(&["/bin/cat", "/proc/self/status"], &[])).unwrap();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            // The C library keeps signals 32 and 33 to itself, so they are passed on as they are.
            u64::from_str_radix(line.trim(), 16).unwrap() & !(0b11 << 31)
        };
        let ignored = (1..=64).filter(|&signal| signal != libc::SIGCHLD && signals::was_ignored(signal));
        let ignored = ignored.fold(0, |mask, signal| mask | 1 << (signal - 1));
        assert_eq!((mask("SigBlk:"), mask("SigIgn:"), mask("SigCgt:")), (0, ignored, 0));
    }
}
