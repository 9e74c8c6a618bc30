//! The few things of the system for which no safe wrapper exists: the only folder with `unsafe`.
#![allow(unsafe_code)]

pub mod bell;
pub mod clock;
pub mod descriptors;
pub mod signals;

// Processes: the workers, and the one that ends them if this one is killed.
pub mod children;
#[cfg(target_os = "linux")]
mod image;
pub mod spawn;
pub mod watcher;

use std::sync::atomic::{AtomicU8, Ordering};

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
