//! Signals, and the other ways a run is stopped: what is in flight, what is recorded, how the process ends.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use libc::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1};
use serde_json::{Value, json};

use crate::support::{Ended, HANG, Running, chaos, chaotic, kill, lines, shell, wait_for, wait_until_there};

/// What is said once the first signal has been handled, so that another one is the second.
const AGAIN: &str = "(again to kill them)";

/// Starts a run whose first job says that it runs, then does this; other jobs follow it, without an end of
/// the input, so that only a signal ends the run.
fn start(words: &str, steps: Value, folder: &Path) -> (Running, std::process::ChildStdin) {
    let (running, mut stdin) = chaotic(words).start_with_stdin();
    let there = folder.join("there");
    let first = json!({"do": steps, "touch": there, "wait": folder.join("go"), "pid": folder.join("pid")});
    stdin.write_all(lines(&[first, json!(2), json!(3), json!(4)]).as_bytes()).unwrap();
    wait_until_there(&there);
    (running, stdin)
}

#[test]
fn a_signal_lets_what_is_in_flight_finish_and_then_ends_the_run_by_it() {
    for (signal, name, status) in [(SIGINT, "SIGINT", 130), (SIGTERM, "SIGTERM", 143), (SIGHUP, "SIGHUP", 129)] {
        let folder = tempfile::tempdir().unwrap();
        let (running, stdin) = start("-j 1 --grace 60s", json!(["touch", "wait"]), folder.path());
        let own = running.id();
        kill(own, signal);
        // The job may go on once the signal has been sent. Whether it has been seen is of no matter: it is pending or
        // handled.
        fs::write(folder.path().join("go"), "").unwrap();
        let ended = running.end().check_status(status);
        drop(stdin);
        // Jobs that were not begun when the signal was seen are not run; each one that was read has a record.
        let statuses = ended.statuses();
        assert_eq!(statuses[0], "ok", "{signal}: {}", ended.text());
        assert!(statuses.iter().skip(1).all(|status| status == "not_run" || status == "ok"), "{statuses:?}");
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
    }
}

#[test]
fn the_end_is_a_real_death_by_the_signal() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let (mut running, _stdin) = start("-j 1 --grace 0", json!(["touch", "hang"]), folder.path());
    kill(running.id(), SIGTERM);
    let status = running.child().wait().unwrap();
    assert_eq!((status.signal(), status.code()), (Some(SIGTERM), None));
}

#[test]
fn what_does_not_finish_within_the_grace_is_killed_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (running, _stdin) = start("-j 1 --grace 100ms", json!(["stubborn", "touch", "hang"]), folder.path());
    kill(running.id(), SIGINT);
    let ended = running.end().check_status(130);
    assert_eq!(ended.statuses(), ["died", "not_run", "not_run", "not_run"]);
    let error = &ended.records()[0]["error"];
    assert!(error["message"].to_string().contains("the run was stopped: interrupted (SIGINT)"), "{error}");
    assert_eq!((&error["signal"], &error["sent_by"]), (&"SIGKILL".into(), &"forkpool".into()));
    assert!(ended.records()[1]["error"]["message"].to_string().contains("never begun"));
    assert!(ended.stderr.contains("3 never begun"), "{}", ended.stderr);
}

#[test]
fn a_second_signal_kills_at_once_whatever_the_grace() {
    for (signal, status) in [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] {
        let folder = tempfile::tempdir().unwrap();
        let steps = json!(["stubborn", "orphan", "touch", "hang"]);
        let (mut running, _stdin) = start("-j 1 --grace 1h", steps, folder.path());
        kill(running.id(), signal);
        running.wait_until_it_says(AGAIN);
        kill(running.id(), signal);
        let ended = running.end().check_status(status);
        assert_eq!(ended.statuses(), ["died", "not_run", "not_run", "not_run"]);
    }
}

#[test]
fn an_idle_run_ends_at_a_signal() {
    let (mut running, mut stdin) = chaotic("-j 2").start_with_stdin();
    stdin.write_all(b"1\n").unwrap();
    let mut first = [0; 8];
    std::io::Read::read_exact(running.child().stdout.as_mut().unwrap(), &mut first).unwrap();
    kill(running.id(), SIGTERM);
    running.end().check_status(143);
}

#[test]
fn nothing_is_retried_once_the_run_is_being_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let words = "-j 1 --grace 60s --retries 5 --retry-delay 0 --meta -- --ready";
    let (mut running, _stdin) = start(words, json!(["touch", "asked", "crash"]), folder.path());
    let own = running.id();
    let worker = running.processes().into_iter().find(|&id| id != own).expect("a worker runs");
    kill(own, SIGINT);
    // The worker ends after forkpool has seen the signal, without being asked by forkpool: the test does that.
    running.wait_until_it_says(AGAIN);
    kill(worker, SIGTERM);
    let ended = running.end().check_status(130);
    assert_eq!((ended.statuses()[0].as_str(), &ended.records()[0]["attempts"]), ("died", &1.into()));
}

#[test]
fn a_delayed_retry_ends_in_its_last_failure_when_the_run_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    let jobs = [json!({"do": "crash"}), json!({"do": ["touch", "hang"], "touch": there})];
    let words = "-j 1 --grace 100ms --retries 5 --retry-delay 1h --meta -- --ready";
    let running = chaotic(words).stdin(lines(&jobs)).start();
    wait_until_there(&there);
    kill(running.id(), SIGINT);
    let ended = running.end().check_status(130);
    assert_eq!(ended.statuses(), ["died", "died"]);
    assert_eq!(ended.records()[0]["error"]["sent_by"], "unknown", "{}", ended.text());
    assert_eq!(ended.records()[0]["attempts"], 1);
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "trap '' HUP; forkpool -j 1 -- {} & id=$!; while ! [ -e there ]; do sleep 0.01; done; \
         kill -HUP $id; kill -HUP $id; touch go; wait $id",
        chaos()
    );
    let job = json!({"do": ["touch", "wait"], "touch": folder.path().join("there"), "wait": folder.path().join("go")});
    fs::write(folder.path().join("jobs"), lines(&[job, json!(2)])).unwrap();
    let script = script.replace("forkpool -j 1", "forkpool -j 1 -i jobs");
    let ended = shell(&script, folder.path()).end().check_status(0);
    assert_eq!(ended.statuses(), ["ok", "ok"]);
}

#[test]
fn a_time_limit_holds_while_a_stopped_run_waits_for_its_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    let job = json!({"do": ["touch", "hang"], "touch": there});
    // Without its time limit the job would have a minute to be answered.
    let running = chaotic("-j 1 --timeout 1s --grace 60s -- --ready").stdin(lines(&[job])).start();
    wait_until_there(&there);
    kill(running.id(), SIGINT);
    assert_eq!(running.end().check_status(130).statuses(), ["timeout"]);
}

#[test]
fn the_summary_says_how_much_of_the_input_was_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    let mut jobs = vec![json!({"do": ["touch", "hang"], "touch": there})];
    jobs.extend(vec![json!(7); 999]);
    fs::write(folder.path().join("jobs"), lines(&jobs)).unwrap();
    let words = format!("-j 1 --window 10 --grace 0 -i {}", folder.path().join("jobs").display());
    let running = chaotic(&words).start();
    wait_until_there(&there);
    kill(running.id(), SIGINT);
    let ended = running.end().check_status(130);
    let records = ended.records().len();
    assert!((1..=10).contains(&records), "{records}");
    assert!(ended.stderr.contains(&format!("{} lines of input not read", 1000 - records)), "{}", ended.stderr);
}

// ---- Ctrl-Z ----

/// The state letters of these processes.
fn states(ids: &[i32]) -> String {
    let state = |id: &i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('-')
    };
    ids.iter().map(state).collect()
}

#[test]
fn ctrl_z_stops_the_workers_too_and_costs_no_job_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    let job = json!({"do": ["touch", "wait"], "touch": there, "wait": folder.path().join("go")});
    let mut run = chaotic("-j 1 --timeout 2s --meta -- --ready").stdin(lines(&[job, json!(2)]));
    // The run has a process group of its own: in an orphaned one, SIGTSTP does nothing.
    run.command().process_group(0);
    let running = run.start();
    wait_until_there(&there);
    let all = running.processes();
    assert_eq!(all.len(), 2);
    kill(running.id(), SIGTSTP);
    wait_for(HANG, || (states(&all) == "TT").then_some(())).expect("all are stopped");
    // The run stands still for longer than the time limit.
    std::thread::sleep(Duration::from_millis(2500));
    fs::write(folder.path().join("go"), "").unwrap();
    kill(running.id(), SIGCONT);
    let ended = running.end().check_status(0);
    assert_eq!(ended.statuses(), ["ok", "ok"]);
}

#[test]
fn a_run_that_was_stopped_by_ctrl_z_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    let job = json!({"do": ["touch", "hang"], "touch": there});
    let mut run = chaotic("-j 1 --grace 100ms -- --ready").stdin(lines(&[job]));
    run.command().process_group(0);
    let running = run.start();
    wait_until_there(&there);
    let all = running.processes();
    kill(running.id(), SIGTSTP);
    wait_for(HANG, || (states(&all) == "TT").then_some(())).expect("all are stopped");
    kill(running.id(), SIGINT);
    kill(running.id(), SIGCONT);
    running.end().check_status(130);
}

// ---- Stops of its own ----

fn fails(n: usize, of: usize) -> String {
    let job = |index| if index < n { json!({"do": "error"}) } else { json!(7) };
    lines(&(0..of).map(job).collect::<Vec<_>>())
}

#[track_caller]
fn check_stopped(ended: &Ended, failed: usize) {
    let statuses = ended.statuses();
    assert!(statuses.iter().filter(|status| *status == "error").count() >= failed);
    assert!(statuses.len() < 20_000, "it stops: {} records", statuses.len());
    assert!(ended.stderr.contains("stopped"), "{}", ended.stderr);
}

#[test]
fn enough_failures_stop_the_run() {
    let ended = chaotic("-j 1 --window 16 --max-failures 3").stdin(fails(3, 20_000)).end().check_status(5);
    check_stopped(&ended, 3);
    let ended = chaotic("-j 1 --window 16 --max-failures 5%").stdin(fails(60, 20_000)).end().check_status(5);
    check_stopped(&ended, 60);
    let ended = chaotic("-j 1 --max-failures 3").stdin(fails(3, 3)).end().check_status(1);
    assert_eq!(ended.records().len(), 3, "nothing was left to be stopped");
    let ended = chaotic("-j 2 --max-failures 4").stdin(fails(3, 200)).end().check_status(1);
    assert_eq!(ended.records().len(), 200, "not enough of them");
    let ended = chaotic("-j 2 --max-failures 5%").stdin(fails(5, 100)).end().check_status(1);
    assert_eq!(ended.records().len(), 100, "5 of 100 are not more than 5 %");
}

#[test]
fn fail_fast_kills_what_is_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    let hang = json!({"do": ["stubborn", "touch", "hang"], "touch": there});
    let fail = json!({"do": ["wait", "error"], "wait": there});
    let begin = Instant::now();
    let ended = chaotic("-j 2 --fail-fast --grace 1h -- --ready").stdin(lines(&[hang, fail, json!(3)])).end();
    let ended = ended.check_status(5);
    assert_eq!(ended.statuses()[..2], ["died", "error"], "{}", ended.text());
    assert!(begin.elapsed() < HANG);
    assert!(ended.stderr.contains("--fail-fast"), "{}", ended.stderr);
}

// ---- A reader that does not read ----

const QUICK: usize = 50;

/// Starts a run whose stdout is full and not read, and whose last job hangs; returns the worker's id. The quick jobs
/// before it show that outcomes are taken from a slot although nobody deals with them.
fn start_stuck(words: &str, folder: &Path) -> (Running, i32) {
    let there = folder.join("there");
    let mut jobs = vec![json!({"do": "huge", "n": 2})];
    jobs.extend((0..QUICK).map(|number| json!(number)));
    jobs.push(json!({"do": ["stubborn", "touch", "hang"], "touch": there}));
    let running = chaotic(words).stdin(lines(&jobs)).start();
    wait_until_there(&there);
    let own = running.id();
    let workers: Vec<i32> = running.processes().into_iter().filter(|&id| id != own).collect();
    assert_eq!(workers.len(), 1);
    (running, workers[0])
}

#[test]
fn a_reader_that_does_not_read_delays_no_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let (running, worker) = start_stuck("-j 1 --timeout 1s --grace 100ms -- --ready", folder.path());
    wait_for(HANG, || (!running.processes().contains(&worker)).then_some(())).expect("it is killed");
    let statuses = running.end().check_status(1).statuses();
    assert_eq!((statuses.len(), statuses.last().map(String::as_str)), (QUICK + 2, Some("timeout")));
    assert!(statuses[..=QUICK].iter().all(|status| status == "ok"));
}

#[test]
fn a_second_signal_ends_the_run_although_a_write_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, _) = start_stuck("-j 1 --grace 1h -- --ready", folder.path());
    kill(running.id(), SIGINT);
    running.wait_until_it_says(AGAIN);
    kill(running.id(), SIGINT);
    let status = running.child().wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(SIGINT));
    wait_for(HANG, || running.processes().is_empty().then_some(())).expect("no process is left");
}

#[test]
fn at_sigusr1_a_run_says_how_far_it_is_and_who_has_been_at_what_for_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, stdin) = start("-q -j 2", json!(["touch", "wait"]), folder.path());
    kill(running.id(), SIGUSR1);
    running.wait_until_it_says(": job 1 for ");
    kill(running.id(), SIGUSR1);
    running.wait_until_it_says(" more may come");
    fs::write(folder.path().join("go"), "").unwrap();
    drop(stdin);
    let ended = running.end().check_status(0);
    assert_eq!(ended.statuses(), ["ok"; 4]);
    assert!(ended.stderr.contains(" ended of "), "{}", ended.stderr);
    assert!(ended.stderr.lines().count() <= 2 * 12, "{}", ended.stderr);
}
