//! How much memory a worker's process group uses.
//!
//! A worker may be a wrapper (`sh -c`, `npx`, `uv run`) or have children of its own, so the memory is that of all
//! processes in its group. Which processes these are stands in /proc. It is read once for all slots, and so seldom that
//! reading takes no more than a fiftieth of one processor, however many processes the machine has.
//!
//! Processes that came of each other by fork share pages, so their resident sizes add up to too much. Where this
//! matters, because the sum is beyond the limit, each page is counted in equal parts for the processes that share it
//! (Pss). To find that out the kernel walks through all pages, which counts towards the time that reading takes.

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::group;

/// The time between two looks is at least this. Memory is looked at to replace, between jobs, a worker that has grown:
/// ten times a second is soon enough.
const INTERVAL: Duration = Duration::from_millis(100);
/// The time between two looks is at least this many times what the last one took.
const RESTRAINT: u32 = 50;

/// The last look, which all slots share: what one finds is true of the others' workers as well.
static LOOK: Mutex<Option<Look>> = Mutex::new(None);

/// What a look at /proc has found.
struct Look {
    at: Instant,
    /// How long the look took.
    cost: Duration,
    /// The process groups by their id, which for a worker's group is the worker's process id.
    groups: HashMap<i32, Group>,
}

#[derive(Default)]
struct Group {
    processes: Vec<i32>,
    /// The sum of the resident sizes, in bytes.
    resident: usize,
    /// The sum of the shares of its processes, once somebody has asked for it.
    shares: Option<usize>,
}

/// The memory of a process group in bytes: exactly, if it is more than `limit`, or else at most. `None` where
/// nobody can tell now: there is no /proc, the group is new, or another slot is looking.
pub fn of_group(group: i32, limit: usize) -> Option<usize> {
    // While another slot looks, this one goes on without an answer: it must not wait for anything but its poll.
    let mut last = LOOK.try_lock().ok()?;
    let now = Instant::now();
    let is_due = |look: &Look| now.duration_since(look.at) >= INTERVAL.max(look.cost * RESTRAINT);
    if last.as_ref().is_none_or(is_due) {
        let groups = groups();
        *last = Some(Look { at: now, cost: now.elapsed(), groups });
    }
    let look = last.as_mut()?;
    let group = look.groups.get_mut(&group)?;
    if group.processes.len() == 1 || group.resident <= limit {
        return Some(group.resident);
    }
    if group.shares.is_none() {
        let begin = Instant::now();
        group.shares = group.processes.iter().map(|&id| share(id)).sum();
        look.cost += begin.elapsed();
    }
    Some(group.shares.unwrap_or(group.resident))
}

/// All process groups of the machine.
fn groups() -> HashMap<i32, Group> {
    let mut groups: HashMap<i32, Group> = HashMap::new();
    let page = rustix::param::page_size();
    for member in group::processes() {
        let group = groups.entry(member.group).or_default();
        group.processes.push(member.process);
        group.resident += member.pages * page;
    }
    groups
}

/// The share of a process in the pages that it has, in bytes; nothing if it has ended. `None` where the kernel does
/// not tell.
fn share(id: i32) -> Option<usize> {
    let sums = match fs::read_to_string(format!("/proc/{id}/smaps_rollup")) {
        Ok(sums) => sums,
        Err(_) if !fs::exists(format!("/proc/{id}")).unwrap_or(true) => return Some(0),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Some(0),
        Err(_) => return None,
    };
    let kilobytes = sums.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<usize>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_own_group_has_the_own_process_and_its_memory() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        let found = &groups()[&group];
        assert!(found.processes.contains(&own));
        assert!(found.resident > 1 << 20, "{}", found.resident);
        let share = share(own).expect("a process may look at itself");
        assert!(share > 0 && share <= found.resident, "{share}");
    }
}
