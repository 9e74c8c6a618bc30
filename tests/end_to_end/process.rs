//! forkpool among other processes: signals that were blocked or ignored before it, process groups, wrappers,
//! orphans, and what happens when it is killed.

use serde_json::json;

use crate::support::{chaos, forkpool, installed, lines};

// ---- Wrappers ----

#[test]
fn the_memory_of_a_worker_behind_a_wrapper_counts() {
    let mut jobs = vec![json!({"do": "env"}), json!({"do": "allocate", "n": 100})];
    jobs.extend(vec![json!({"do": ["slow", "env"], "n": 30}); 20]);
    let words = ["-j", "1", "--recycle-memory", "80MiB", "--", "sh", "-c", "\"$0\" --ready; exit", chaos()];
    let ended = forkpool(words).stdin(lines(&jobs)).end().check_status(0);
    let records = ended.records();
    assert_ne!(records[0]["data"]["pid"], records[21]["data"]["pid"], "{}", ended.stderr);
    assert!(ended.stderr.contains("1 recycled worker"), "{}", ended.stderr);
}

#[test]
fn memory_that_processes_share_counts_once() {
    if !installed("python3") {
        return;
    }
    // Four processes with the same 60 MB, and a worker that answers with its process id.
    let worker = r#"
import os, signal, sys
shared = b"x" * 60_000_000
for _ in range(3):
    if os.fork() == 0:
        signal.pause()
for line in sys.stdin:
    __import__("time").sleep(0.03)
    print(os.getpid(), flush=True)
"#;
    let words = ["-j", "1", "--recycle-memory", "150MiB", "--protocol", "lines", "--", "python3", "-c", worker];
    let ended = forkpool(words).stdin("1\n".repeat(20)).end().check_status(0);
    assert!(!ended.stderr.contains("recycled"), "{}", ended.stderr);
}
