//! Whether the kernel has killed a process for want of memory, so that a worker's death by SIGKILL can be explained.
//!
//! The kernel counts such deaths for each control group (cgroup v2). Workers are in the control group of forkpool, so
//! its count before a worker was started and after the worker's death are compared. It may have been another process
//! of the group that was killed; nothing tells them apart.

/// How many processes the kernel had killed at some time; `None` where it keeps no count.
#[derive(Debug, Clone, Copy)]
pub struct MemoryEvents {
    kills: Option<u64>,
}

impl MemoryEvents {
    pub fn now() -> MemoryEvents {
        MemoryEvents { kills: kills() }
    }

    /// Whether the kernel has killed a process since.
    pub fn killed_since(self) -> bool {
        matches!((self.kills, kills()), (Some(before), Some(after)) if after > before)
    }
}

/// `oom_kill` in the file memory.events of this process's control group.
fn kills() -> Option<u64> {
    // In cgroup v2 the file has one line, `0::/path`.
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let events = std::fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}
