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

/// All process groups of the machine, as far as /proc shows them.
fn groups() -> HashMap<i32, Group> {
    let mut groups: HashMap<i32, Group> = HashMap::new();
    let page = rustix::param::page_size();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that has ended meanwhile uses no memory.
        let Ok(stat) = fs::read(format!("/proc/{id}/stat")) else { continue };
        if let Some((group, pages)) = group_and_pages(&stat) {
            let group = groups.entry(group).or_default();
            group.processes.push(id);
            group.resident += pages * page;
        }
    }
    groups
}

/// The process group and the resident pages of a process, from its `stat` (proc_pid_stat(5)).
fn group_and_pages(stat: &[u8]) -> Option<(i32, usize)> {
    // The second field is the program's name in parentheses, which may hold anything, also blanks and parentheses. The
    // state follows it, and is the third field.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    let group = fields.nth(5 - 3)?.parse().ok()?;
    let pages = fields.nth(24 - 5 - 1)?.parse().ok()?;
    Some((group, pages))
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
    fn the_fields_are_found_whatever_the_name_is() {
        let rest = "S 1 77 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 4242 22";
        for name in ["sh", "a b", ") S 1 2", "(x"] {
            assert_eq!(group_and_pages(format!("9 ({name}) {rest}").as_bytes()), Some((77, 4242)), "{name}");
        }
        assert_eq!(group_and_pages(b"9 (sh) S 1"), None);
        assert_eq!(group_and_pages(b""), None);
    }

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
