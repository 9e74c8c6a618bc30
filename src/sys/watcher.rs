//! A second process that ends what is left of the workers when this one is killed.
//!
//! A worker dies with forkpool by its parent-death signal, but that is not inherited: when the worker is a wrapper
//! (`sh -c`, `npx`, `uv run`), the program behind it would work on. So one small process per run knows the process
//! groups of all workers, from records in a pipe whose only other end is ours. When the pipe ends, forkpool is gone,
//! however that came, and the watcher kills the groups that are left.
//!
//! It is a fork that runs no other program, made while there is one thread. It has a session of its own, so that no
//! terminal's signal reaches it, no descriptor but the pipe, so that nobody waits for it, and a name of its own. It
//! never outlives the run. Two gaps are left: a worker whose forkpool is killed before its record is written has
//! hardly had the time to start anything, and a group all of whose processes are gone when its forkpool is killed
//! might be somebody else's by the time it is killed, if the system came round all process ids within a millisecond.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};

use super::signals;

/// What this process knows of its watcher. There is at most one.
struct Watcher {
    id: i32,
    records: OwnedFd,
    /// How many groups the watcher would kill.
    groups: usize,
}

static WATCHER: Mutex<Option<Watcher>> = Mutex::new(None);

/// Ends the watcher when it is dropped.
#[must_use]
pub struct Guard(());

/// A record: the id of a process group that has begun, or its negative when the group has ended. Records are
/// written in one piece, as all short writes into a pipe are, and read in one, because the reader's buffer
/// is a multiple of their size.
type Record = i32;

/// Forks the watcher. To be called while this process has only one thread.
pub fn start() -> io::Result<Guard> {
    let (reader, records) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // A watcher that does not read (somebody has stopped it) must hold up no slot.
    rustix::io::ioctl_fionbio(&records, true)?;
    // SAFETY: there is only one thread, so no lock is held in the child for ever by a thread that is not there, and
    // the child may call what it likes. It never returns from `watch`, so nothing of ours is dropped twice.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => watch(&reader),
        id => {
            *watcher() = Some(Watcher { id, records, groups: 0 });
            Ok(Guard(()))
        }
    }
}

/// A worker's group is to be killed with this process.
pub fn began(group: Record) {
    tell(group);
}

/// Nothing is left of a worker's group, or nothing that could be killed.
pub fn ended(group: Record) {
    tell(-group);
}

/// This child is about to be reaped. If it is the watcher, somebody has killed it, and its id is not ours any more.
pub fn reaping(id: i32) {
    watcher().take_if(|watcher| watcher.id == id);
}

fn tell(record: Record) {
    let mut watcher = watcher();
    let Some(told) = watcher.as_mut() else { return };
    match rustix::io::write(&told.records, &record.to_ne_bytes()) {
        Ok(_) if record > 0 => told.groups += 1,
        Ok(_) => told.groups -= 1,
        // It is gone, or it does not read. A watcher that has missed a record might kill a stranger's group.
        Err(_) => watcher.take().into_iter().for_each(|watcher| watcher.kill()),
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut watcher = watcher();
        // If groups are left (a run that could not begin), the pipe stays open, and they end with this process.
        if let Some(watcher) = watcher.take_if(|watcher| watcher.groups == 0) {
            watcher.kill();
        }
    }
}

impl Watcher {
    /// Ends it at once, also if it is stopped. It is our child and has not been reaped, so the id is its own.
    fn kill(self) {
        if let Some(id) = Pid::from_raw(self.id) {
            // Neither fails for a child.
            let _ = rustix::process::kill_process(id, Signal::KILL);
            let _ = rustix::process::waitpid(Some(id), rustix::process::WaitOptions::empty());
        }
    }
}

fn watcher() -> MutexGuard<'static, Option<Watcher>> {
    // It is whole between any two calls.
    WATCHER.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---- In the watcher's process ----

/// Reads records until the pipe ends, then kills the groups that are left. Nothing in here panics.
fn watch(records: &OwnedFd) -> ! {
    become_watcher(records);
    let mut groups = BTreeSet::new();
    let mut bytes = [0; 256 * size_of::<Record>()];
    loop {
        match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
            Ok(0) => break,
            Ok(length) => {
                for record in bytes[..length].chunks_exact(size_of::<Record>()) {
                    take(&mut groups, Record::from_ne_bytes([record[0], record[1], record[2], record[3]]));
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            // A pipe does not fail.
            Err(_) => break,
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        // It may be gone.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    // SAFETY: _exit touches no memory. What exit would do besides is forkpool's, not ours.
    unsafe { libc::_exit(0) }
}

fn take(groups: &mut BTreeSet<Record>, record: Record) {
    if record > 0 {
        groups.insert(record);
    } else {
        groups.remove(&-record);
    }
}

/// Leaves everything that this process shares with forkpool, except the pipe, which becomes descriptor 0. What
/// fails here makes a watcher that is a little less apart, and still one.
fn become_watcher(records: &OwnedFd) {
    // Fails only for the leader of a group, and a new child leads none.
    let _ = rustix::process::setsid();
    signals::reset_for_worker();
    // It leaves when forkpool does, not when all processes of that name are asked to.
    [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].into_iter().for_each(signals::ignore);
    // SAFETY: descriptors of this process are replaced and closed behind their owners' backs, and none of the owners
    // is used or dropped again: the process ends in `watch`, which uses descriptor 0.
    unsafe {
        libc::dup2(records.as_raw_fd(), 0);
        close_from(1);
    }
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"forkpool-watch");
}

/// Closes all descriptors from this one on.
///
/// # Safety
///
/// No descriptor in that range may be used again, and no owner of one may be dropped.
unsafe fn close_from(first: c_int) {
    // SAFETY: close and close_range touch no memory; what they do to descriptors is the caller's promise.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) == 0 {
            return;
        }
        // An older kernel, or another system.
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = most.and_then(|most| c_int::try_from(most).ok()).unwrap_or(MANY);
        for descriptor in first..most.min(MANY) {
            libc::close(descriptor);
        }
    }
}

/// More descriptors than a process that is about to start a run has open.
const MANY: c_int = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_left_until_its_end_is_told() {
        let mut groups = BTreeSet::new();
        for record in [7, 8, -7, 9, -9, -5, 7] {
            take(&mut groups, record);
        }
        assert_eq!(groups.into_iter().collect::<Vec<Record>>(), [7, 8]);
    }
}
