//! forkpool among other processes: signals that were blocked or ignored before it, process groups, wrappers,
//! orphans, and what happens when it is killed.

use std::fs;
use std::path::Path;
use std::process::Command;

use libc::{SIGKILL, SIGSTOP, SIGTERM, SIGTSTP};
use serde_json::{Value, json};

use crate::support::{
    HANG, Running, chaos, console, forkpool, installed, kill, lines, shell, wait_for, wait_until_there,
};

/// A job that says that it runs and then waits for the file `go`.
fn waiting(folder: &Path) -> Value {
    json!({"do": ["stubborn", "touch", "wait"], "touch": folder.join("there"), "wait": folder.join("go")})
}

/// Runs a shell's script with a job that waits, in the file `jobs`, and returns when the job runs. `WORKER` in the
/// script is the hostile worker.
fn start(script: &str, folder: &Path) -> Running {
    fs::write(folder.join("jobs"), lines(&[waiting(folder), json!(2)])).unwrap();
    let running = shell(&script.replace("WORKER", chaos()), folder).start();
    wait_until_there(&folder.join("there"));
    running
}

/// A field of /proc/ID/status, in the words of the kernel.
fn status(id: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(field))?.trim_start_matches(':').trim().to_owned())
}

/// Waits until a process has taken the signals that were sent to it.
fn wait_until_taken(id: i32) {
    let is_none = |field| status(id, field).is_none_or(|set| set.bytes().all(|byte| byte == b'0'));
    wait_for(HANG, || (is_none("ShdPnd") && is_none("SigPnd")).then_some(())).expect("signals are taken");
}

/// Whether a command that a test stands on works here; if not, the test is skipped.
fn can(command: &[&str]) -> bool {
    let works = Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success());
    if !works {
        console::skip(&format!("{} does not work here", command.join(" ")));
    }
    works
}

// ---- Signals that were blocked or ignored ----

#[test]
fn a_signal_that_was_blocked_before_stops_the_run() {
    if !can(&["env", "--block-signal=TERM", "true"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "exec env --block-signal=TERM,INT,HUP,TSTP,CHLD forkpool -j 1 -i jobs --grace 0 -- WORKER --ready";
    let running = start(script, folder.path());
    kill(running.id(), SIGTERM);
    assert_eq!(running.end().check_status(143).statuses(), ["died", "not_run"]);
}

#[test]
fn a_wish_for_new_workers_that_was_blocked_before_ends_nothing() {
    if !can(&["env", "--block-signal=TERM", "true"]) {
        return;
    }
    for signal in ["USR1", "USR2"] {
        let script = format!("echo Tom | env --block-signal={signal} sh -c 'kill -{signal} $$ && exec \"$@\"' sh");
        let script = script + " forkpool --from lines --protocol lines -- cat";
        assert_eq!(shell(&script, Path::new("/")).end().check_status(0).text(), "Tom\n", "{signal}");
    }
}

#[test]
fn a_worker_has_no_signal_blocked_and_those_ignored_that_were_before() {
    if !can(&["env", "--block-signal=TERM", "true"]) {
        return;
    }
    let ask = r#"grep -E "^Sig(Blk|Ign)" /proc/self/status | tr -d "\n\t"; echo"#;
    // SIGXFSZ and SIGPIPE are ignored by forkpool, or by Rust's runtime.
    for before in ["true", "trap '' HUP QUIT", "trap '' PIPE XFSZ TERM"] {
        let script = format!(
            "{before}; {ask}
             seq 3 | env --block-signal=TERM,INT,PIPE,USR1 \
                forkpool -j 1 --recycle-jobs 1 --protocol lines -- sh -c 'while read x; do {ask}; done'"
        );
        let folder = tempfile::tempdir().unwrap();
        let ended = shell(&script, folder.path()).end().check_status(0);
        let text = ended.text();
        let mut lines = text.lines();
        let expected = lines.next().expect("the shell says what a program gets from it");
        assert!(expected.contains("SigBlk:0000000000000000"), "{expected}");
        assert_eq!(lines.collect::<Vec<&str>>(), [expected; 3], "{before}");
    }
}

#[test]
fn deaths_are_seen_although_sigchld_was_ignored_before() {
    if !can(&["env", "--ignore-signal=CHLD", "true"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs"), lines(&[json!({"do": "exit", "n": 7}), json!(2)])).unwrap();
    let script = format!("env --ignore-signal=CHLD forkpool -j 1 -i jobs -- {} --ready", chaos());
    let ended = shell(&script, folder.path()).end().check_status(1);
    assert_eq!((&ended.records()[0]["error"]["exit_code"], ended.statuses()[1].as_str()), (&json!(7), "ok"));
}

#[test]
fn ctrl_z_does_nothing_where_nobody_could_continue_the_run() {
    // forkpool leads a session of its own here, so that its process group is an orphaned one.
    let folder = tempfile::tempdir().unwrap();
    let mut running = start("exec setsid forkpool -j 1 -i jobs --grace 60s -- WORKER --ready", folder.path());
    kill(running.id(), SIGTSTP);
    wait_until_taken(running.id());
    // The same thread of forkpool takes both signals: if it had stopped at the first, it would not take the second.
    kill(running.id(), SIGTERM);
    running.wait_until_it_says("SIGTERM");
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(running.end().check_status(143).statuses()[0], "ok");
}

// ---- Process 1 ----

/// The words that start a command as process 1 of a namespace of its own; `None` where that is not allowed.
fn as_process_1() -> Option<&'static str> {
    ["unshare -pf --mount-proc", "unshare -Urpf --mount-proc"].into_iter().find(|words| {
        let command: Vec<&str> = words.split(' ').chain(["true"]).collect();
        can(&command)
    })
}

#[test]
fn as_process_1_it_ends_with_the_status_of_the_signal() {
    let Some(unshare) = as_process_1() else { return };
    for (signal, expected) in [(SIGTERM, 143), (libc::SIGINT, 130), (libc::SIGHUP, 129)] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("exec {unshare} forkpool -j 1 -i jobs --grace 0 -- WORKER --ready");
        let running = start(&script, folder.path());
        let own = |id: &i32| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name == "forkpool\n");
        let own = running.processes().into_iter().find(own).expect("forkpool runs");
        kill(own, signal);
        assert_eq!(running.end().check_status(expected).statuses(), ["died", "not_run"]);
    }
}

#[test]
fn as_process_1_it_reaps_orphans_and_every_worker_is_told_apart() {
    let Some(unshare) = as_process_1() else { return };
    // Each job leaves an orphan in the worker's group and one outside; the last one waits until no zombie is there.
    let worker = r#"
        while read job; do
            (sleep 0.01 &)
            (setsid sleep 0.01 &)
            case $job in
                die*) exit 3 ;;
                last) while grep -q "^State:.Z" /proc/[0-9]*/status 2>/dev/null; do sleep 0.01; done ;;
            esac
            echo "$job"
        done"#;
    let folder = tempfile::tempdir().unwrap();
    let jobs: Vec<String> = (1..=40).map(|n| if n % 8 == 0 { format!("die {n}") } else { n.to_string() }).collect();
    fs::write(folder.path().join("jobs"), jobs.join("\n") + "\nlast\n").unwrap();
    fs::write(folder.path().join("worker"), worker).unwrap();
    let script = format!(
        "exec {unshare} forkpool -j 4 -i jobs --from lines --protocol lines --to ndjson --timeout 60s -- sh worker"
    );
    let ended = shell(&script, folder.path()).end().check_status(1);
    for (record, job) in ended.records().iter().zip(&jobs) {
        if job.starts_with("die") {
            assert_eq!((&record["status"], &record["error"]["exit_code"]), (&json!("died"), &json!(3)), "{record}");
        } else {
            assert_eq!(record["data"], **job, "{record}");
        }
    }
    assert_eq!(ended.records()[40]["data"], "last", "zombies are left");
}

// ---- Wrappers ----

#[test]
fn the_memory_of_a_worker_behind_a_wrapper_counts() {
    let mut jobs = vec![json!({"do": "env"}), json!({"do": "allocate", "n": 100})];
    jobs.extend(vec![json!({"do": ["slow", "env"], "n": 30}); 40]);
    let words = ["-j", "1", "--recycle-memory", "80MiB", "--", "sh", "-c", "\"$0\" --ready; exit", chaos()];
    let ended = forkpool(words).stdin(lines(&jobs)).end().check_status(0);
    let records = ended.records();
    assert_ne!(records[0]["data"]["pid"], records[41]["data"]["pid"], "{}", ended.stderr);
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

#[test]
fn kill_9_of_forkpool_ends_the_worker_behind_a_wrapper() {
    let folder = tempfile::tempdir().unwrap();
    let job = json!({"do": ["stubborn", "touch", "hang"], "touch": folder.path().join("there")});
    let words = ["-j", "3", "--", "sh", "-c", "\"$0\" --ready; exit", chaos()];
    let running = forkpool(words).stdin(lines(&[job])).start();
    wait_until_there(&folder.path().join("there"));
    kill(running.id(), SIGKILL);
    // `end` checks that no process of the run is left.
    running.end().check_status(137);
}

// ---- The watcher ----

#[test]
fn the_watcher_holds_nothing_that_somebody_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let running = start("exec forkpool -j 2 -i jobs -- WORKER --ready", folder.path());
    let watcher = running.watcher();
    assert_eq!(fs::read_dir(format!("/proc/{watcher}/fd")).unwrap().count(), 1);
    let blocked = u64::from_str_radix(&status(watcher, "SigBlk").unwrap(), 16).unwrap();
    assert_ne!(blocked & 1 << (libc::SIGTERM - 1), 0, "no signal that can be blocked reaches it: {blocked:x}");
    let stat = fs::read_to_string(format!("/proc/{watcher}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[2..4], [watcher.to_string(), watcher.to_string()], "its group and its session");
    fs::write(folder.path().join("go"), "").unwrap();
    running.end().check_status(0);
}

#[test]
fn a_run_goes_on_and_ends_without_its_watcher() {
    for signal in [SIGKILL, SIGSTOP, SIGTERM] {
        let folder = tempfile::tempdir().unwrap();
        let running = start("exec forkpool -j 2 -i jobs --recycle-jobs 1 -- WORKER --ready", folder.path());
        kill(running.watcher(), signal);
        fs::write(folder.path().join("go"), "").unwrap();
        assert_eq!(running.end().check_status(0).statuses(), ["ok", "ok"], "{signal}");
    }
}

#[test]
fn a_stopped_run_that_is_killed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let running = start("exec forkpool -j 2 -i jobs -- WORKER --ready", folder.path());
    let all = running.processes();
    all.iter().for_each(|&id| kill(id, SIGSTOP));
    kill(running.id(), SIGKILL);
    running.end().check_status(137);
}
