//! The few things of the system for which no safe wrapper exists: the only folder with `unsafe`.
#![allow(unsafe_code)]

pub mod bell;
pub mod clock;
pub mod descriptors;
pub mod signals;

// Processes: the workers, and the one that ends them if this one is killed.
pub mod children;
pub mod watcher;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Prepares the start of a worker: it has none of the signals blocked or ignored that only forkpool has so, and it is
/// killed when the thread that spawns it ends, as that thread does with this process, even by SIGKILL. The thread must
/// live as long as the worker is wanted. Elsewhere than on Linux a worker notices the end of its input instead. The
/// worker's limit of descriptors is the one that this process was started with.
fn prepare_worker(command: &mut Command) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are made: sigaction, sigprocmask, prctl and
    // getppid; no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            signals::reset_for_worker();
            die_with(parent)
        });
    }
    descriptors::keep_first_limit(command);
}

/// Lets this process be killed when the thread that forked it ends.
#[cfg(target_os = "linux")]
fn die_with(parent: rustix::process::Pid) -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The parent may have died before the call above took effect.
    if rustix::process::getppid() != Some(parent) {
        return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with(_: rustix::process::Pid) -> std::io::Result<()> {
    Ok(())
}

/// Which of the descriptors 0, 1 and 2 were closed when this process was started, as bits.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Looks at what this process was started with before Rust's runtime changes it: the runtime opens /dev/null in place
/// of a closed standard descriptor, so that records would vanish without an error, and ignores SIGPIPE.
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK_BEFORE_MAIN: extern "C" fn() = look_before_main;

extern "C" fn look_before_main() {
    signals::note_ignored();
    for descriptor in 0..3 {
        // SAFETY: F_GETFD takes no argument and changes nothing; a closed descriptor is an error return.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
        }
    }
}

/// Whether descriptor 0, 1 or 2 was closed when this process was started.
pub fn was_closed(descriptor: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & (1 << descriptor) != 0
}
