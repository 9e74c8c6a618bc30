//! A second process that ends what is left of the workers when this one is killed.
//!
//! A worker dies with forkpool by its parent-death signal, but that is not inherited: when the worker is a wrapper
//! (`sh -c`, `npx`, `uv run`), the program behind it would work on. So one small process per run knows the process
//! groups of all workers, from records in a pipe whose only other end is ours. When the pipe ends, forkpool is gone,
//! however that came, and the watcher kills the groups that are left.
//!
//! The watcher is a process that runs no other program and shares the memory of this one, as a thread does: nothing
//! is copied for it, now or when forkpool writes to its pages later, so a run of one job pays next to nothing for it.
//! Therefore it allocates nothing, takes no lock and writes to its own stack alone. It has a session of its own and
//! all signals blocked, so that only SIGKILL reaches it, no descriptor but the pipe, so that nobody waits for it, and a
//! name of its own. It never outlives the run.
//!
//! Three gaps are left: a worker whose forkpool is killed before its record is written has hardly had the time to start
//! anything; a group all of whose processes are gone when its forkpool is killed might be somebody else's by the time
//! it is killed, if the system came round all process ids within a millisecond; and the kernel, when it is out of
//! memory and kills forkpool, kills who shares that memory, too.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
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

/// The watcher of this process, if it has one: a process has one pipe to it, so this is no part of any value.
static WATCHER: Mutex<Option<Watcher>> = Mutex::new(None);

/// Ends the watcher when it is dropped.
#[must_use]
pub struct Guard(());

/// A record: the id of a process group that has begun, or its negative when the group has ended. Records are
/// written in one piece, as all short writes into a pipe are, and read in one, because the reader's buffer
/// is a multiple of their size.
type Record = i32;

/// Starts the watcher.
#[cfg(target_os = "linux")]
pub fn start() -> io::Result<Guard> {
    let (reader, records) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // A watcher that does not read (somebody has stopped it) must hold up no slot.
    rustix::io::ioctl_fionbio(&records, true)?;
    // Never freed: the watcher may live a moment longer than whoever would free it.
    let stack = Box::leak(vec![0_u128; STACK / size_of::<u128>()].into_boxed_slice());
    let top: *mut c_void = stack.as_mut_ptr_range().end.cast();
    let pipe = std::ptr::without_provenance_mut(reader.as_raw_fd().cast_unsigned() as usize);
    // All signals stay blocked in the watcher, so that no handler of ours runs there.
    let id = signals::while_blocked(|| {
        // SAFETY: the stack is the watcher's alone, large enough for `watch`, aligned, and lives for ever. `watch`
        // touches no other memory that is ever written, and calls nothing that uses the memory of the calling thread
        // (no allocation, no lock, no errno but for calls whose failure is ignored).
        unsafe { libc::clone(watch, top, libc::CLONE_VM | libc::SIGCHLD, pipe) }
    });
    if id == -1 {
        return Err(io::Error::last_os_error());
    }
    *watcher() = Some(Watcher { id, records, groups: 0 });
    Ok(Guard(()))
}

/// Elsewhere a worker notices the end of its input, and what a wrapper has started is left alone.
#[cfg(not(target_os = "linux"))]
pub fn start() -> io::Result<Guard> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The groups of as many workers as there may be take 40 KiB, twice where the compiler copies them; the rest is for the
/// calls of `watch`. What is not touched takes no memory.
const STACK: usize = 256 * 1024;

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

/// Process groups, in no order. What does not fit is not watched; there are no more workers than this.
struct Groups {
    ids: [Record; 10_240],
    count: usize,
}

impl Groups {
    fn take(&mut self, record: Record) {
        if record > 0 {
            if let Some(free) = self.ids.get_mut(self.count) {
                *free = record;
                self.count += 1;
            }
        } else if let Some(at) = self.ids[..self.count].iter().position(|&id| id == -record) {
            self.count -= 1;
            self.ids[at] = self.ids[self.count];
        }
    }
}

/// Reads records until the pipe ends, then kills the groups that are left. Nothing in here panics or allocates.
#[cfg(target_os = "linux")]
extern "C" fn watch(pipe: *mut c_void) -> c_int {
    let number = pipe.addr() as c_int;
    become_watcher(number);
    // SAFETY: the descriptor is this process's own copy of the pipe, and is not closed before the process ends.
    let pipe = unsafe { BorrowedFd::borrow_raw(number) };
    let mut groups = Groups { ids: [0; 10_240], count: 0 };
    let mut bytes = [0; 256 * size_of::<Record>()];
    loop {
        match rustix::io::read(pipe, &mut bytes) {
            Ok(0) => break,
            Ok(length) => {
                for record in bytes[..length].chunks_exact(size_of::<Record>()) {
                    groups.take(Record::from_ne_bytes([record[0], record[1], record[2], record[3]]));
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            // A pipe does not fail.
            Err(_) => break,
        }
    }
    for &group in &groups.ids[..groups.count] {
        if let Some(group) = Pid::from_raw(group) {
            // It may be gone.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
    0
}

/// Leaves everything that this process has in common with forkpool beside its memory, except the pipe. What fails here
/// makes a watcher that is a little less apart, and still one.
#[cfg(target_os = "linux")]
fn become_watcher(pipe: c_int) {
    // Fails only for the leader of a group, and a new child leads none.
    let _ = rustix::process::setsid();
    // SAFETY: the descriptors are this process's own copies, and nothing here uses any but the pipe.
    unsafe {
        close_range(0, pipe - 1);
        close_range(pipe + 1, c_int::MAX);
    }
    let _ = rustix::thread::set_name(c"forkpool-watch");
}

/// Closes the descriptors from `first` to `last`.
///
/// # Safety
///
/// No descriptor in that range may be used again.
#[cfg(target_os = "linux")]
unsafe fn close_range(first: c_int, last: c_int) {
    if first > last {
        return;
    }
    // SAFETY: these calls touch no memory; what they do to descriptors is the caller's promise.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) != 0 {
            // The kernel is older than that call.
            for descriptor in first..=last.min(MANY) {
                libc::close(descriptor);
            }
        }
    }
}

/// More descriptors than a process that is about to start a run has open.
#[cfg(target_os = "linux")]
const MANY: c_int = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_left_until_its_end_is_told() {
        let mut groups = Groups { ids: [0; 10_240], count: 0 };
        for record in [7, 8, -7, 9, -9, -5, 7] {
            groups.take(record);
        }
        assert_eq!(groups.ids[..groups.count], [8, 7]);
        (0..20_000).for_each(|record| groups.take(record + 100));
        assert_eq!(groups.count, 10_240);
    }
}
