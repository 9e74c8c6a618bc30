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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions};

use super::spawn::{Ends, Program, spawn};
use super::watcher;

/// The process ids of the workers. The system has one table of children for this process, so there is one list of them,
/// and no value that could own it.
static WORKERS: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(Mutex::default);
/// Held (to read) by whoever starts a worker, until the worker is on the list, and (to write) by whoever is about to
/// reap a stranger: a worker that dies before it is on the list would be taken for one.
static STARTS: RwLock<()> = RwLock::new(());
/// The system shows one dead child at a time, and the last one shown was a worker, or may be one that is just being
/// started: strangers are looked for again once that worker has been reaped, or is on the list.
static LOOK_AGAIN: AtomicBool = AtomicBool::new(false);

/// The process of a worker that has not been reaped: its id and its group are that worker's.
#[derive(Debug)]
pub struct Child {
    id: Pid,
}

impl Child {
    pub fn id(&self) -> Pid {
        self.id
    }
}

/// Starts a worker in a process group of its own, to be killed with the calling thread, which must live as long as the
/// worker is wanted. (Elsewhere than on Linux it is not killed, and notices the end of its input instead.)
pub fn start(program: &Program, ends: Ends) -> io::Result<Child> {
    adopt(|| spawn(program, ends))
}

/// Takes the new child of this process that `birth` makes as a worker. The child leads a process group.
pub fn adopt(birth: impl FnOnce() -> io::Result<Pid>) -> io::Result<Child> {
    // The lock may be taken after a panic, here and below: it guards no data.
    let starting = STARTS.read().unwrap_or_else(PoisonError::into_inner);
    let child = birth().map(|id| {
        workers().insert(id.as_raw_pid());
        watcher::began(id.as_raw_pid());
        Child { id }
    });
    drop(starting);
    if LOOK_AGAIN.load(Ordering::Acquire) {
        reap_strangers();
    }
    child
}

/// Makes this process the parent of all orphans among its descendants: a worker that is forked twice becomes its child.
#[cfg(target_os = "linux")]
pub fn adopt_orphans() -> io::Result<()> {
    // Which process id is given is of no interest to the system, as long as it is one.
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// No other system hands orphans to anybody but its first process.
#[cfg(not(target_os = "linux"))]
pub fn adopt_orphans() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Reaps a worker whose group has been swept. A worker that could not be killed is a stranger from now on, to be reaped
/// when it ends after all.
pub fn reap(worker: Child) {
    let id = worker.id.as_raw_pid();
    // The watcher is told before the worker is reaped: after that the id may be somebody else's.
    watcher::ended(id);
    // This fails only where the worker has been reaped already, and nobody else reaps what is on the list.
    let _ = rustix::process::waitpid(Some(worker.id), WaitOptions::NOHANG);
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
            // The slot may have reaped it just before `LOOK_AGAIN` was set, and so have missed that.
            if is_worker(id) {
                return;
            }
            continue;
        }
        // It may be a worker that was not on the list yet, so the list is looked at again while no worker is being
        // started. Nobody waits for that here: a template that is to fork a worker may take long. Whoever starts a
        // worker looks for strangers afterwards.
        LOOK_AGAIN.store(true, Ordering::Release);
        let _alone = match STARTS.try_write() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        LOOK_AGAIN.store(false, Ordering::Release);
        if !is_worker(id) {
            watcher::reaping(id);
            reap_now(id);
        }
    }
}

/// The processor time of all children that have been reaped, and of theirs.
pub fn processor_time() -> Duration {
    total(&usage(libc::RUSAGE_CHILDREN))
}

/// The processor time of this process.
pub fn own_processor_time() -> Duration {
    total(&usage(libc::RUSAGE_SELF))
}

fn total(usage: &libc::rusage) -> Duration {
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// The most memory that any one child has had that has been reaped, in bytes.
pub fn peak_memory() -> u64 {
    in_bytes(usage(libc::RUSAGE_CHILDREN).ru_maxrss)
}

/// The most memory that this process has had, in bytes.
pub fn own_peak_memory() -> u64 {
    in_bytes(usage(libc::RUSAGE_SELF).ru_maxrss)
}

/// Most systems count memory in KiB here, Apple's in bytes.
fn in_bytes(size: libc::c_long) -> u64 {
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    size.unsigned_abs().saturating_mul(unit)
}

fn usage(of: libc::c_int) -> libc::rusage {
    // SAFETY: zeroes are valid for the plain struct, which getrusage fills in and which lives until it returns.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(of, &raw mut usage);
        usage
    }
}

fn is_worker(id: i32) -> bool {
    workers().contains(&id)
}

fn workers() -> MutexGuard<'static, HashSet<i32>> {
    // The lock may be taken after a panic: a set of numbers is whole between any two calls.
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
