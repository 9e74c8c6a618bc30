//! The few things of the system for which no safe wrapper exists: the only file with `unsafe`.
#![allow(unsafe_code)]

pub mod bell;
// The pool asks the system's own clock so far.
#[allow(dead_code)]
pub mod clock;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Lets the child be killed when the thread that spawns it ends, as it does with this process, even by
/// SIGKILL. The thread must live as long as the child is wanted. Elsewhere than on Linux a worker notices the
/// end of its input instead.
pub fn die_with_spawner(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec only async-signal-safe calls are made: prctl and getppid, no
        // allocation, no lock.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
                // The parent may have died before the call above took effect.
                if rustix::process::getppid() != Some(parent) {
                    return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
                }
                Ok(())
            });
        }
    }
}

/// Whether a signal was ignored when this process was started (`nohup`, `&` in a script); it is to stay so.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: sigaction with a null new action only reads; the struct is plain data for which zeroes are
    // valid, and it lives until the call returns.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Makes a signal do nothing: SIGXFSZ, so that a file size limit is an error of the write and no death.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN installs no code that could run.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

/// Which of the descriptors 0, 1 and 2 were closed when this process was started, as bits.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Rust's runtime opens /dev/null in place of a closed standard descriptor before `main` runs, so that
/// records would vanish without an error; this looks before it does.
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK_BEFORE_MAIN: extern "C" fn() = look_before_main;

extern "C" fn look_before_main() {
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
