//! A way to a host that behaves as `kubectl exec -i` does when something on the way gives up on it.
//!
//! It ends with status 0, and the process at the far end learns nothing of it: its stdin stays open, and nobody reads
//! what it writes. What stands for kubectl here is a relay, and the far end is held by a process of another session.
//!
//! How long a stream may be quiet, and that an agent that hears nothing ends, is tested beside the agent.

use std::fs;
use std::path::Path;

use super::{begun, jobs, with};
use crate::support::{HANG, forkpool, installed, is_alive, kill, wait_for};

/// `relay HOST PROGRAM…` carries bytes both ways until there is a file `cut-HOST`, and exits with status 0. The program
/// lives on, with its stdin and stdout open.
const RELAY: &str = r#"
import os, selectors, subprocess, sys

host, program = sys.argv[1], sys.argv[2:]
there, back = os.pipe(), os.pipe()
if os.fork() == 0:
    os.setsid()
    child = subprocess.Popen(program, stdin=there[0], stdout=back[1], stderr=subprocess.DEVNULL)
    os.close(there[0])
    os.close(back[1])
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    with open(f"agent-{host}-{child.pid}", "w"):
        pass
    child.wait()
    os._exit(0)
os.close(there[0])
os.close(back[1])
ways = {0: there[1], back[0]: 1}
selector = selectors.DefaultSelector()
for source in ways:
    selector.register(source, selectors.EVENT_READ)
while not os.path.exists(f"cut-{host}"):
    for key, _ in selector.select(0.02):
        piece = os.read(key.fd, 1 << 16)
        if not piece:
            os._exit(0)
        while piece:
            piece = piece[os.write(ways[key.fd], piece):]
os._exit(0)
"#;

/// The process ids of all agents that were started in this folder for `host`.
fn agents(folder: &Path, host: &str) -> Vec<i32> {
    let names = fs::read_dir(folder).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let prefix = format!("agent-{host}-");
    names.filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect()
}

#[test]
fn a_way_that_is_cut_without_a_word_costs_only_what_had_begun() {
    if !installed("python3") {
        return;
    }
    let handler = "import time\ndef work(job):\n    with open('begun', 'a') as begun:\n        begun.write('%s\\n' % job['n'])\n    \
                   time.sleep(0.1)\n    return job['n']\n";
    let folder = with(&jobs(24, 0, ""));
    fs::write(folder.path().join("relay.py"), RELAY).unwrap();
    fs::write(folder.path().join("slow.py"), handler).unwrap();
    let words = "--host a:2,b:2 -i jobs.ndjson --handler slow.py --launch";
    let words = words.split(' ').chain(["python3 relay.py {host} forkpool --agent"]);
    let mut run = forkpool(words).current_dir(folder.path()).start();
    let has_begun = || fs::read_to_string(folder.path().join("begun")).is_ok_and(|text| text.lines().count() >= 6);
    assert!(wait_for(HANG, || has_begun().then_some(())).is_some(), "jobs begin");
    fs::write(folder.path().join("cut-a"), "").unwrap();
    let ended = run.end_leaving_processes().check_status(1);
    // Nobody tells the agents that were cut off, which end when they have heard nothing for a minute.
    assert!(agents(folder.path(), "a").iter().any(|id| is_alive(*id)), "the far end of the cut way lives on");
    agents(folder.path(), "a").into_iter().for_each(|id| kill(id, libc::SIGKILL));
    let records = ended.records();
    assert_eq!(records.len(), 24, "{}", ended.stderr);
    let lost: Vec<_> = records.iter().filter(|record| record["status"] != "ok").collect();
    assert!((1..=8).contains(&lost.len()), "{lost:?}");
    assert!(lost.iter().all(|record| record["error"]["name"] == "HostLost"), "{lost:?}");
    let begun = begun(folder.path());
    assert!(begun.windows(2).all(|pair| pair[0] < pair[1]), "no job begins twice: {begun:?}");
    assert!(ended.stderr.contains("host a is gone: what led there exited with status 0"), "{}", ended.stderr);
}
