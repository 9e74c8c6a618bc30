//! Workers that die: what the record says, who is charged, and that nothing else is lost.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Ended, HANG, chaos, chaotic, forkpool, kill, lines, shell, wait_for};

/// Runs this job alone, and returns the error of its record.
#[track_caller]
fn died(job: Value) -> Value {
    let ended = chaotic("-j 1 -- --ready").stdin(job.to_string()).end().check_status(1);
    assert_eq!(ended.statuses(), ["died"], "{}", ended.text());
    assert_eq!(ended.records()[0]["error"]["name"], "WorkerDied");
    ended.records()[0]["error"].clone()
}

#[track_caller]
fn check_attempts(ended: &Ended, expected: &[u32]) {
    let attempts: Vec<Value> = ended.records().iter().map(|record| record["attempts"].clone()).collect();
    assert_eq!(attempts, expected, "{}", ended.text());
}

#[test]
fn an_exit_status_and_the_last_words_are_in_the_record() {
    let error = died(json!({"do": ["say", "exit"], "n": 4, "text": "out of cat food"}));
    assert_eq!((&error["exit_code"], &error["stderr"]), (&4.into(), &"out of cat food\n".into()));
    assert!(error["message"].as_str().unwrap().contains("exited with status 4"), "{error}");
    assert!(error["signal"].is_null() && error["sent_by"].is_null());
}

#[test]
fn of_a_long_log_the_end_is_in_the_record() {
    let error = died(json!({"do": ["flood", "say", "exit"], "n": 3, "text": "at last"}));
    let stderr = error["stderr"].as_str().unwrap();
    assert!(stderr.starts_with("…x") && stderr.ends_with("at last\n") && stderr.len() < 5000, "{stderr}");
}

#[test]
fn exit_0_with_a_job_in_hand_is_a_death_with_a_hint() {
    let error = died(json!({"do": "exit"}));
    assert_eq!(error["exit_code"], 0);
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("until the end of its input")), "{error}");
}

#[test]
fn a_signal_is_named_with_who_sent_it() {
    for (job, signal) in [
        (json!({"do": "crash"}), "SIGKILL"),
        (json!({"do": "crash", "signal": "SEGV"}), "SIGSEGV"),
        (json!({"do": "crash", "signal": "TERM"}), "SIGTERM"),
        (json!({"do": "abort"}), "SIGABRT"),
    ] {
        let error = died(job);
        assert_eq!((&error["signal"], &error["sent_by"]), (&signal.into(), &"unknown".into()));
        assert!(error["exit_code"].is_null(), "{error}");
    }
}

#[test]
fn half_a_reply_is_shown_and_never_joined_with_the_next_workers() {
    let jobs = [json!({"do": ["half", "exit"], "n": 1}), json!(7)];
    let ended = chaotic("-j 1 -- --ready").stdin(lines(&jobs)).end().check_status(1);
    assert_eq!(ended.statuses(), ["died", "ok"]);
    let partial = ended.records()[0]["error"]["partial_reply"].as_str().unwrap_or_default().to_owned();
    assert!(partial.starts_with("{\"id\":1,\"status\":\"ok\""), "{}", ended.text());
    assert_eq!(ended.records()[1]["data"], 7);
}

#[test]
fn an_answer_counts_however_its_worker_ends_after_it() {
    let deaths = [
        json!({"do": ["answer", "exit"], "n": 9}),
        json!({"do": ["answer", "crash"]}),
        json!({"do": ["answer", "abort"]}),
        json!({"do": ["answer", "exit"]}),
    ];
    for depth in [1, 4] {
        let jobs: Vec<Value> = deaths.iter().cycle().take(40).cloned().collect();
        // The worker reads no job ahead: to anybody who looks from outside, a job that it has read when it dies may be
        // the one that killed it.
        let words = format!("-j 2 --meta --depth {depth} -- --ready --read-one");
        let ended = chaotic(&words).stdin(lines(&jobs)).end().check_status(0);
        check_attempts(&ended, &[1; 40]);
    }
}

#[test]
fn a_crash_charges_only_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let mut jobs = vec![json!({"count": count}); 12];
    jobs[3] = json!({"do": "crash", "count": count});
    jobs[8] = json!({"do": "exit", "n": 1, "count": count});
    let ended = chaotic("-j 1 --depth 6 --meta -- --ready").stdin(lines(&jobs)).end().check_status(1);
    let mut expected = ["ok"; 12];
    (expected[3], expected[8]) = ("died", "died");
    assert_eq!(ended.statuses(), expected);
    check_attempts(&ended, &[1; 12]);
    let mut runs: Vec<u32> = fs::read_to_string(count).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    runs.sort_unstable();
    assert_eq!(runs, (1..=12).collect::<Vec<_>>(), "each ran once");
}

#[test]
fn with_concurrency_all_that_were_running_are_charged() {
    let jobs = [json!(7), json!({"do": "defer"}), json!({"do": "defer"}), json!({"do": "crash"})];
    let ended = chaotic("-j 1 --concurrency 3 --meta -- --ready").stdin(lines(&jobs)).end().check_status(1);
    assert_eq!(ended.statuses(), ["ok", "died", "died", "died"]);
}

#[test]
fn a_worker_that_answers_out_of_order_is_given_one_job_at_a_time() {
    let mut jobs = vec![json!({"n": 1}); 20];
    jobs[4] = json!({"do": "defer"});
    let ended = chaotic("-j 1 --depth 4 --meta -- --ready").stdin(lines(&jobs)).end().check_status(0);
    check_attempts(&ended, &[1; 20]);
    assert!(ended.stderr.contains("out of order"), "{}", ended.stderr);
}

#[test]
fn a_worker_that_closes_its_output_and_lives_on_is_a_death() {
    let jobs = [json!({"do": ["close_stdout", "hang"]}), json!(7)];
    let ended = chaotic("-j 1 -- --ready").stdin(lines(&jobs)).end().check_status(1);
    assert_eq!(ended.statuses(), ["died", "ok"]);
    let message = ended.records()[0]["error"]["message"].to_string();
    assert!(message.contains("closed its output"), "{message}");
}

#[test]
fn a_worker_that_closes_its_input_gets_no_more_jobs_and_loses_none() {
    let big = "x".repeat(200_000);
    let jobs = [json!({"do": ["close_stdin", "answer", "hang"]}), json!(big), json!(7), json!(8)];
    let ended = chaotic("-j 1 --grace 100ms --timeout 60s --meta -- --ready").stdin(lines(&jobs)).end();
    let ended = ended.check_status(0);
    check_attempts(&ended, &[1; 4]);
}

#[test]
fn jobs_in_an_input_that_is_closed_go_to_another_worker_without_any_time_limit() {
    let jobs = [json!({"do": ["close_stdin", "answer", "hang"]}), json!(2), json!(3)];
    let words = "-j 1 --depth 3 --grace 100ms --meta -- --ready --read-one";
    let ended = chaotic(words).stdin(lines(&jobs)).end().check_status(0);
    check_attempts(&ended, &[1; 3]);
}

#[test]
fn a_job_that_no_worker_reads_does_not_go_round_for_ever() {
    let ended = chaotic("-j 8 --grace 100ms -- --ready --close-stdin").stdin("7\n8\n").end().check_status(1);
    assert_eq!(ended.statuses(), ["died", "died"]);
    assert!(ended.text().contains("as did 8 before it"), "{}", ended.text());
}

#[test]
fn a_death_is_noticed_although_a_grandchild_holds_the_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let jobs = [json!({"do": ["orphan", "exit"], "n": 5, "pid": pid}), json!(7)];
    let ended = chaotic("-j 1 -- --ready").stdin(lines(&jobs)).end().check_status(1);
    assert_eq!(ended.statuses(), ["died", "ok"]);
    assert_eq!(ended.records()[0]["error"]["exit_code"], 5);
}

#[test]
fn a_job_that_was_never_read_is_not_charged_although_its_pipe_broke() {
    // The worker leaves while the third job is still being written; the second is in the pipe, unread.
    let leave = json!({"do": ["answer", "exit"]});
    let big = json!("x".repeat(300_000));
    let jobs: Vec<Value> = [leave, json!(7), big].into_iter().cycle().take(90).collect();
    let ended = chaotic("-j 2 --depth 3 --meta -- --ready --read-one").stdin(lines(&jobs)).end().check_status(0);
    check_attempts(&ended, &[1; 90]);
}

#[test]
fn a_death_between_jobs_costs_no_job() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead");
    // The worker is gone, and forkpool has seen that, before the second job is written.
    let script = format!(
        "(echo '{}'; while ! [ -e {dead} ]; do sleep 0.01; done; echo 7) | forkpool -j 1 --meta -- {}",
        json!({"do": ["answer", "touch", "exit"], "touch": dead, "n": 1}),
        chaos(),
        dead = dead.display()
    );
    let ended = shell(&script, folder.path()).end().check_status(0);
    check_attempts(&ended, &[1, 1]);
}

#[test]
fn all_workers_may_be_killed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let jobs: Vec<Value> = (0..8)
        .map(|n| json!({"do": ["touch", "hang"], "touch": folder.path().join(n.to_string()), "until": 2}))
        .chain(std::iter::repeat_n(json!(7), 20))
        .collect();
    let running = chaotic("-j 8 --retries 1 --retry-delay 0 --meta -- --ready").stdin(lines(&jobs)).start();
    let there = || (0..8).all(|n| folder.path().join(n.to_string()).exists()).then_some(());
    wait_for(HANG, there).expect("eight workers hang");
    let own = running.id();
    for id in running.processes().into_iter().filter(|&id| id != own) {
        kill(id, libc::SIGKILL);
    }
    let ended = running.end().check_status(0);
    let mut expected = [1; 28];
    expected[..8].fill(2);
    check_attempts(&ended, &expected);
}

#[test]
fn an_ordinary_error_keeps_its_worker() {
    let jobs =
        [json!({"do": "env"}), json!({"do": "error", "error": {"message": "no", "code": 5}}), json!({"do": "env"})];
    let ended = chaotic("-j 1").stdin(lines(&jobs)).end().check_status(1);
    let records = ended.records();
    assert_eq!(records[1]["error"], json!({"name": "Error", "message": "no", "code": 5}));
    assert_eq!(records[0]["data"]["pid"], records[2]["data"]["pid"]);
}

#[test]
fn a_lines_worker_that_ends_early_is_a_death_with_a_hint() {
    let args = ["-j", "1", "--protocol", "lines", "--to", "ndjson", "--", "sh", "-c", "read a; echo $a; read a"];
    let ended = forkpool(args).stdin("\"a\"\n\"b\"\n\"c\"\n\"d\"\n").end().check_status(1);
    assert_eq!(ended.statuses(), ["ok", "died", "ok", "died"]);
    assert!(ended.text().contains("answering every line"), "{}", ended.text());
}
