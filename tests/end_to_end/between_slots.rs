//! What the slots of a pool share: jobs that wait, turns to replace a worker, the budget of failed starts, the time.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use libc::{SIGCONT, SIGSTOP, SIGTERM};
use serde_json::{Value, json};

use crate::support::{
    HANG, Running, chaotic, forkpool, installed, kill, lines, shell, side_by_side, wait_for, wait_until_there,
};

/// Checks that the run takes hardly any processor time: a thread that turns in circles takes a second of it in a
/// second.
#[track_caller]
fn check_sleeps(running: &Running) {
    let before = running.processor_time();
    std::thread::sleep(Duration::from_secs(1));
    let used = running.processor_time() - before;
    assert!(used < Duration::from_millis(300), "{used:?} of processor time in a second of waiting");
}

/// A job that makes the file `name` when it runs, and runs until the file `go` is made.
fn held(folder: &Path, name: &str) -> Value {
    let there = folder.join(name);
    json!({"do": ["touch", "wait"], "touch": there, "wait": folder.join("go")})
}

#[test]
fn nobody_turns_in_circles_while_the_run_drains() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, mut stdin) = chaotic("-j 8 --grace 60s").start_with_stdin();
    stdin.write_all(lines(&[held(folder.path(), "there")]).as_bytes()).unwrap();
    wait_until_there(&folder.path().join("there"));
    kill(running.id(), SIGTERM);
    running.wait_until_it_says("(again to kill them)");
    check_sleeps(&running);
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(running.end().check_status(143).statuses(), ["ok"]);
}

#[test]
fn nobody_turns_in_circles_while_the_output_is_blocked() {
    // Nobody reads stdout: the first results fill the pipe, and the others are more than the collector may have in
    // hand.
    let mut running = chaotic("-j 4 --memory 1MiB").stdin(lines(&vec![json!({"do": "huge", "n": 1}); 12])).start();
    running.wait_until_it_is_held_up();
    check_sleeps(&running);
    running.end().check_status(0);
}

#[test]
fn a_slot_inside_a_long_job_stops_no_other_from_being_replaced() {
    side_by_side(["--recycle-jobs 3", "--recycle-age 200ms", "--recycle-memory 1KiB"], |limit| {
        let folder = tempfile::tempdir().unwrap();
        // Both workers have answered once and are due, or soon will be, when one of them gets the long job.
        let mut jobs = vec![json!({"do": ["slow", "env"], "n": 150}); 4];
        jobs.push(held(folder.path(), "there"));
        jobs.extend(vec![json!({"do": ["slow", "env"], "n": 60}); 30]);
        let path = folder.path().join("out");
        let words = format!("-j 2 --unordered {limit} -o {}", path.display());
        let running = chaotic(&words).stdin(lines(&jobs)).start();
        // All the other jobs end while that worker holds its own.
        let ended = || fs::read_to_string(&path).unwrap_or_default().lines().count();
        wait_for(HANG, || (ended() == jobs.len() - 1).then_some(())).expect("the other slot goes on");
        fs::write(folder.path().join("go"), "").unwrap();
        running.end().check_status(0);
        let output = fs::read_to_string(&path).unwrap();
        let records = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let late = records.filter(|record| record["job"].as_u64() > Some(10));
        let pids: std::collections::HashSet<_> = late.map(|record| record["data"]["pid"].to_string()).collect();
        assert!(pids.len() > 1, "{limit}: the other slot's worker is replaced meanwhile: {pids:?}");
    });
}

#[test]
fn a_retry_that_is_due_is_run_by_the_slot_that_sleeps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let words = "-j 3 --unordered --retries 1 --retry-on error --retry-delay 500ms --meta";
    let (running, mut stdin) = chaotic(&format!("{words} -o {}", path.display())).start_with_stdin();
    let ended = |jobs: usize| {
        let count = || fs::read_to_string(&path).unwrap_or_default().lines().count();
        wait_for(HANG, || (count() >= jobs).then_some(())).unwrap_or_else(|| panic!("{jobs} jobs end"));
    };
    // All three workers have shown that they work, and sleep.
    stdin.write_all(lines(&vec![json!({"do": "slow", "n": 100}); 3]).as_bytes()).unwrap();
    ended(3);
    // Then one job fails and waits for its retry, while two other jobs occupy two slots until the retry has ended.
    let count = folder.path().join("count");
    stdin.write_all(lines(&[json!({"do": "error", "until": 2, "count": count})]).as_bytes()).unwrap();
    wait_until_there(&count);
    let (one, other) = (held(folder.path(), "one"), held(folder.path(), "other"));
    stdin.write_all(lines(&[one, other]).as_bytes()).unwrap();
    for name in ["one", "other"] {
        wait_until_there(&folder.path().join(name));
    }
    ended(4);
    fs::write(folder.path().join("go"), "").unwrap();
    drop(stdin);
    running.end().check_status(0);
}

// ---- The budget of failed starts ----

/// A job that kills its worker, which has read it by then and has never said `ready`.
fn poison() -> Value {
    json!({"do": "exit", "n": 7})
}

#[test]
fn jobs_that_kill_their_worker_stop_no_pool_that_works() {
    let mut jobs = vec![json!("good"); 50];
    jobs.extend(vec![poison(); 7]);
    jobs.extend(vec![json!("good"); 20]);
    let ended = chaotic("-j 1").stdin(lines(&jobs)).end().check_status(1);
    let died = ended.statuses().iter().filter(|status| *status == "died").count();
    let ok = ended.statuses().iter().filter(|status| *status == "ok").count();
    assert_eq!((died, ok), (7, 70), "{}", ended.stderr);
}

#[test]
fn the_retries_of_one_job_do_not_use_up_the_budget_of_starts() {
    let cases =
        [(vec![poison()], vec!["died"]), (vec![json!("good"), poison(), json!("good")], vec!["ok", "died", "ok"])];
    side_by_side(cases, |(jobs, expected)| {
        let ended = chaotic("-j 1 --retries 7 --retry-delay 0 --meta").stdin(lines(&jobs)).end().check_status(1);
        assert_eq!(ended.statuses(), expected);
        assert_eq!(ended.records()[expected.len() / 2]["attempts"], 8);
    });
}

#[test]
fn a_journal_shows_that_the_program_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = vec![json!("good"); 3];
    jobs.extend(vec![poison(); 7]);
    fs::write(folder.path().join("jobs"), lines(&jobs)).unwrap();
    let words = |more: &str| {
        let (jobs, journal) = (folder.path().join("jobs"), folder.path().join("journal"));
        format!("-j 1 -i {} --journal {} {more}", jobs.display(), journal.display())
    };
    chaotic(&words("")).end().check_status(1);
    // Only the jobs that kill their worker are left to run.
    let ended = chaotic(&words("--resume")).end().check_status(1);
    assert_eq!(ended.statuses().iter().filter(|status| *status == "died").count(), 7, "{}", ended.stderr);
}

#[test]
fn a_program_that_never_works_is_not_started_for_each_of_its_jobs() {
    let ended = chaotic("-j 1").stdin(lines(&vec![poison(); 40])).end().check_status(3);
    assert!(ended.stderr.contains("workers keep failing to start (6 in a row)"), "{}", ended.stderr);
}

// ---- Replies ----

#[test]
fn a_reply_that_is_too_long_is_refused_however_it_is_cut() {
    // The first reply fits into one read with its line end, the second comes in many pieces.
    for length in [200, 300_000] {
        let job = json!("x".repeat(length));
        let ended = chaotic("-j 1 --max-reply-bytes 150").stdin(lines(&[job, json!(1)])).end().check_status(1);
        assert_eq!(ended.statuses(), ["bad_reply", "ok"], "{length}");
        assert!(ended.text().contains("longer than --max-reply-bytes (150 bytes)"), "{}", ended.text());
    }
}

// ---- Ends ----

#[test]
fn a_signal_from_outside_is_not_called_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, mut stdin) = chaotic("-j 1 --grace 60s").start_with_stdin();
    let job = json!({"do": ["touch", "hang"], "touch": folder.path().join("there")});
    stdin.write_all(lines(&[job]).as_bytes()).unwrap();
    wait_until_there(&folder.path().join("there"));
    let own = running.id();
    let worker = running.processes().into_iter().find(|&id| id != own).unwrap();
    kill(own, SIGTERM);
    running.wait_until_it_says("(again to kill them)");
    // The worker gets the signal as well, as it does from systemd, which sends it to all processes of a service.
    kill(worker, SIGTERM);
    let ended = running.end().check_status(143);
    let error = &ended.records()[0]["error"];
    assert_eq!((&error["signal"], &error["sent_by"]), (&"SIGTERM".into(), &"unknown".into()), "{error}");
    assert!(
        error["message"].to_string().contains("by SIGTERM (not sent by forkpool) while the run was being stopped"),
        "{error}"
    );
}

#[test]
fn who_is_waited_for_at_the_end_is_said_once() {
    let ended = chaotic("-j 3 --grace 2500ms -- --ready")
        .stdin(lines(&vec![json!({"do": ["slow", "answer", "hang"], "n": 500}); 3]))
        .end();
    let ended = ended.check_status(0);
    let said: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("waiting for")).collect();
    assert_eq!(said.len(), 1, "{}", ended.stderr);
    assert!(
        said[0].contains("did not exit at the end of the input (w") && said[0].contains("(--grace)"),
        "{}",
        said[0]
    );
}

// ---- Time ----

#[test]
fn time_in_which_nothing_ran_is_no_jobs_time() {
    let folder = tempfile::tempdir().unwrap();
    let running = chaotic("-j 1 --timeout 2s -- --ready").stdin(lines(&[held(folder.path(), "there")])).start();
    wait_until_there(&folder.path().join("there"));
    let all = running.processes();
    all.iter().for_each(|&id| kill(id, SIGSTOP));
    // The run stands still for longer than the time limit, which is what is tested.
    std::thread::sleep(Duration::from_secs(3));
    fs::write(folder.path().join("go"), "").unwrap();
    all.iter().for_each(|&id| kill(id, SIGCONT));
    assert_eq!(running.end().check_status(0).statuses(), ["ok"]);
}

// ---- Workers that seem to hang ----

#[test]
fn the_hint_about_buffers_is_for_workers_that_wait_for_more() {
    let hint = "hold their output back";
    let silent = |words: &str, worker: &str| {
        let words = words.split_whitespace().chain([
            "-j",
            "1",
            "--from",
            "lines",
            "--protocol",
            "lines",
            "--",
            "sh",
            "-c",
            worker,
        ]);
        forkpool(words).stdin("a\n").end().stderr
    };
    let honest = "read x; sleep 6; echo done; while read x; do echo more; done";
    // A worker that has taken its job and waits for the next one, with the answer to the first in a buffer.
    let buffering = "exec python3 -c 'import sys\nfor line in sys.stdin: print(line, end=\"\")'";
    let limits = "--timeout 7s --start-timeout 1s";
    let cases =
        [("", honest, false), (limits, buffering, true), ("-q --timeout 7s --start-timeout 1s", buffering, false)];
    side_by_side(cases, |(words, worker, expected)| {
        let said = silent(words, worker);
        assert_eq!(said.contains(hint), expected, "{words} {worker}: {said}");
    });
}

#[test]
fn a_worker_that_its_terminal_has_stopped_is_ended_and_said() {
    if !installed("python3") {
        return;
    }
    // forkpool runs in the foreground of a terminal of its own; its worker, in the background, reads from that
    // terminal.
    let script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let worker = "while read job; do read answer </dev/tty; echo \"$answer\"; done";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs"), "1\n").unwrap();
    let words = ["-j", "1", "-i", "jobs", "--protocol", "lines", "--to", "ndjson", "--", "sh", "-c", worker];
    let mut run = shell("exec python3 -c \"$0\" forkpool \"$@\"", folder.path());
    run.command().arg(script).args(words);
    let ended = run.end().check_status(1);
    // The terminal shows stdout and stderr in one.
    assert!(ended.text().contains("w0 was stopped by SIGTTIN and ended"), "{}{}", ended.text(), ended.stderr);
}
