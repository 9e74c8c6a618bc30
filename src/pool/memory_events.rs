//! Whether the kernel has killed for want of memory: the count of this process's cgroup, before and after.

/// `oom_kill` of the cgroup's memory.events at some time; `None` where there is no such file.
#[derive(Debug, Clone, Copy)]
pub struct MemoryEvents {
    kills: Option<u64>,
}

impl MemoryEvents {
    pub fn now() -> MemoryEvents {
        MemoryEvents { kills: kills() }
    }

    pub fn killed_since(self) -> bool {
        matches!((self.kills, kills()), (Some(before), Some(after)) if after > before)
    }
}

fn kills() -> Option<u64> {
    // cgroup v2: one line, `0::/path`. Workers are in our own group.
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let events = std::fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}
