//! Process groups, as /proc shows them.
//!
//! A worker leads a process group, and what it starts is in that group unless it leaves it. Nothing is run again before
//! a worker's group is gone, and a signal is no more than an order: a process that was sent SIGKILL may still be
//! running, for milliseconds on a busy machine, when the call that sent it returns.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// How long a group that was killed is waited for. Only a process that the kernel holds (a file server that does not
/// answer) takes longer to die than milliseconds, and such a process runs no code of its own any more.
const PATIENCE: Duration = Duration::from_secs(1);
/// The first pause between two looks at a group; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_micros(50);
/// From this pause on /proc is read: it takes milliseconds on a machine with thousands of processes.
const READ_FROM: Duration = Duration::from_millis(5);

/// What is known of one process.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    pub process: i32,
    pub group: i32,
    /// The resident size, in pages.
    pub pages: usize,
    /// Whether it has ended, and only waits to be reaped.
    pub is_dead: bool,
}

/// All processes of the machine, as far as /proc shows them.
pub fn processes() -> impl Iterator<Item = Member> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        // A process that has ended meanwhile is none.
        member(process, &fs::read(format!("/proc/{process}/stat")).ok()?)
    })
}

/// Waits until nothing runs any more in a group that was killed and whose leader has been reaped. The dead among its
/// processes do not count: their parent may never reap them.
pub fn wait_until_dead(group: Pid) {
    let begin = Instant::now();
    let mut pause = PAUSE;
    while rustix::process::test_kill_process_group(group).is_ok() && begin.elapsed() < PATIENCE {
        let runs = |member: &Member| member.group == group.as_raw_pid() && !member.is_dead;
        if pause >= READ_FROM && !processes().any(|member| runs(&member)) {
            return;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
}

/// A process by its `stat` (proc_pid_stat(5)).
fn member(process: i32, stat: &[u8]) -> Option<Member> {
    // The second field is the program's name in parentheses, which may hold anything, also blanks and parentheses. The
    // state follows it, and is the third field.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
    let group = fields.nth(5 - 4)?.parse().ok()?;
    let pages = fields.nth(24 - 5 - 1)?.parse().ok()?;
    Some(Member { process, group, pages, is_dead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_name_is() {
        for (state, is_dead) in [("S", false), ("Z", true)] {
            let rest = format!("{state} 1 77 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 4242 22");
            let expected = Member { process: 9, group: 77, pages: 4242, is_dead };
            for name in ["sh", "a b", ") S 1 2", "(x"] {
                assert_eq!(member(9, format!("9 ({name}) {rest}").as_bytes()).as_ref(), Some(&expected), "{name}");
            }
        }
        assert_eq!(member(9, b"9 (sh) S 1"), None);
        assert_eq!(member(9, b""), None);
    }
}
