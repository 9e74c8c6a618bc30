//! The children of this process: the workers, which their slots reap, and others, which are reaped here.
//!
//! A dead worker stays a zombie until its slot has swept its process group: only so long do the process id and the
//! group belong to that worker for sure. So nobody else may reap it, and every worker is on a list from before it
//! can be seen dead until it has been reaped.
//!
//! What is not on the list is a stranger that nobody waits for: an orphan that was handed to us because we are
//! process 1 (the entry point of a container) or a subreaper, a child of the shell that became us by `exec`, or
//! a watcher that was killed. Strangers are reaped as soon as they end, or a long run would fill the process table.

use std::collections::HashSet;
use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use super::{prepare_worker, signals, watcher};

/// The process ids of the workers. There is one table of children in a process, so this is no part of any value.
static WORKERS: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(Mutex::default);
/// Shared by those who start a worker, until it is on the list; held alone by who is about to reap a stranger.
static STARTS: RwLock<()> = RwLock::new(());
/// A dead worker stood before whatever strangers there may be: they are looked for once it is reaped.
static LOOK_AGAIN: AtomicBool = AtomicBool::new(false);

/// Starts a worker in a process group of its own, to be killed with the calling thread.
pub fn start(command: &mut Command) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    prepare_worker(command);
    let _starting = STARTS.read().unwrap_or_else(PoisonError::into_inner);
    let child = signals::while_blocked(|| command.spawn())?;
    let id = child.id().cast_signed();
    workers().insert(id);
    watcher::began(id);
    Ok(child)
}

/// Reaps a worker whose group has been swept. One that cannot be killed is a stranger from now on.
pub fn reap(mut worker: Child) {
    let id = worker.id().cast_signed();
    // Before the id may be given to somebody else.
    watcher::ended(id);
    // Fails only if it was reaped already, and nobody else does that.
    let _ = worker.try_wait();
    workers().remove(&id);
    if LOOK_AGAIN.load(Ordering::Acquire) {
        reap_strangers();
    }
}

/// Reaps the dead children that are no workers. To be called at SIGCHLD.
pub fn reap_strangers() {
    LOOK_AGAIN.store(false, Ordering::Release);
    while let Some(id) = first_dead() {
        if is_worker(id) {
            LOOK_AGAIN.store(true, Ordering::Release);
            // Its slot may have reaped it before it could see that.
            if is_worker(id) {
                return;
            }
            continue;
        }
        // It may be a worker that is not on the list yet: looked at again while none is being started.
        let _alone = STARTS.write().unwrap_or_else(PoisonError::into_inner);
        if !is_worker(id) {
            watcher::reaping(id);
            reap_now(id);
        }
    }
}

fn is_worker(id: i32) -> bool {
    workers().contains(&id)
}

fn workers() -> MutexGuard<'static, HashSet<i32>> {
    // A set of numbers is whole between any two calls.
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process id of a dead child, which stays a zombie.
fn first_dead() -> Option<i32> {
    // SAFETY: zeroes are valid for the plain struct, which lives until the call returns. The id is only read from
    // what waitid has filled in for a child, or from zeroes if there is none.
    let id = unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        if libc::waitid(libc::P_ALL, 0, &raw mut found, options) != 0 {
            return None;
        }
        found.si_pid()
    };
    (id != 0).then_some(id)
}

fn reap_now(id: i32) {
    // SAFETY: a null pointer for the status is allowed; no other memory is touched.
    unsafe {
        libc::waitpid(id, std::ptr::null_mut(), libc::WNOHANG);
    }
}
