//! Retries: what is run again, when, and what the record says of it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Ended, chaotic, lines, side_by_side};

/// Runs the job alone; returns its record and how often it was begun.
#[track_caller]
fn run(words: &str, mut job: Value) -> (Value, usize, Ended) {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    job["count"] = json!(count);
    let ended = chaotic(&format!("-j 2 --meta --retry-delay 0 {words}")).stdin(job.to_string()).end();
    let record = ended.records().remove(0);
    (record, fs::read_to_string(count).unwrap().lines().count(), ended)
}

#[test]
fn by_default_nothing_is_run_twice() {
    let jobs = ["crash", "garbage", "hang", "error"].map(|fault| json!({"do": fault, "until": 2}));
    side_by_side(jobs, |job| {
        let (record, runs, ended) = run("--timeout 2s -- --ready", job);
        assert_eq!((ended.status, runs, &record["attempts"]), (1, 1, &1.into()), "{record}");
    });
}

#[test]
fn a_job_that_passes_on_a_retry_is_ok_and_counted() {
    let faults = [json!("crash"), json!("garbage"), json!("hang"), json!(["half", "exit"])];
    side_by_side(faults.map(|fault| json!({"do": fault, "until": 3})), |job| {
        let (record, runs, ended) = run("--retries 2 --timeout 1s -- --ready", job);
        assert_eq!((ended.status, runs, &record["attempts"]), (0, 3, &3.into()), "{record}");
        assert!(ended.stderr.contains("1 passed on retry"), "{}", ended.stderr);
    });
}

#[test]
fn the_last_failure_is_the_record_when_retries_are_used_up() {
    let job = json!({"do": ["say", "exit"], "n": 1, "until": 2, "then": "abort"});
    let (record, runs, ended) = run("--retries 1 -- --ready", job);
    assert_eq!((ended.status, runs, &record["attempts"]), (1, 2, &2.into()));
    assert_eq!(record["error"]["signal"], "SIGABRT");
}

#[test]
fn the_worker_is_told_which_attempt_it_is() {
    let (record, _, _) = run("--retries 1 -- --ready", json!({"do": "crash", "until": 2, "then": "env"}));
    assert_eq!(record["data"]["attempt"], 2);
}

#[test]
fn only_the_failures_named_are_retried() {
    let (_, runs, _) = run("--retries 3 --retry-on timeout,bad_reply -- --ready", json!({"do": "crash"}));
    assert_eq!(runs, 1);
    let (_, runs, _) = run("--retries 3 -- --ready", json!({"do": "error"}));
    assert_eq!(runs, 1, "an ordinary error is the handler's answer");
    let (record, runs, _) = run("--retries 3 --retry-on error", json!({"do": "error", "until": 4}));
    assert_eq!((&record["status"], runs), (&"ok".into(), 4));
}

#[test]
fn a_workers_own_word_decides() {
    let error = |advice: Value| {
        let mut error = json!({"name": "E", "message": "m"});
        error.as_object_mut().unwrap().extend(advice.as_object().unwrap().clone());
        json!({"do": "error", "error": error, "until": 3})
    };
    let (_, runs, _) = run("--retries 5", error(json!({"retryable": true})));
    assert_eq!(runs, 3);
    let (_, runs, _) = run("--retries 5", error(json!({"retry_after": 0.01})));
    assert_eq!(runs, 3);
    let (_, runs, _) = run("--retries 5 --retry-on error", error(json!({"retryable": false})));
    assert_eq!(runs, 1);
    let (_, runs, _) = run("", error(json!({"retryable": true})));
    assert_eq!(runs, 1, "without --retries there is none");
}

#[test]
fn a_retry_waits_as_long_as_it_was_told() {
    let error = json!({"name": "E", "message": "m", "retry_after": 1.5});
    let cases = [
        ("-j 1 --retries 1 --retry-delay 0", json!({"do": "error", "error": error, "until": 2})),
        // The two delays are 1 s and 2 s, and of each at least half is waited.
        ("-j 1 --retries 2 --retry-delay 1s -- --ready", json!({"do": "crash", "until": 3})),
    ];
    side_by_side(cases, |(words, job)| {
        let begin = Instant::now();
        chaotic(words).stdin(job.to_string()).end().check_status(0);
        assert!(begin.elapsed() >= Duration::from_millis(1500), "{job}");
    });
}

#[test]
fn a_delayed_retry_holds_no_worker_up() {
    let mut jobs = vec![json!({"do": "crash", "until": 2})];
    jobs.extend(vec![json!(7); 5]);
    let words = "-j 1 --unordered --retries 1 --retry-delay 2s -- --ready";
    let ended = chaotic(words).stdin(lines(&jobs)).end().check_status(0);
    let order: Vec<String> = ended.text().lines().map(|line| line[..8].to_owned()).collect();
    assert!(order[5].starts_with("{\"job\":1"), "{}", ended.text());
}

#[test]
fn nothing_is_run_again_before_the_old_group_is_gone() {
    side_by_side(["hang", "garbage", "close_stdout", "exit"], |fault| {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let steps = json!(["stubborn", "orphan", fault, "hang"]);
        let job = json!({"do": steps, "pid": pid, "until": 2, "then": "alive"});
        let words = "-j 2 --timeout 2s --grace 200ms --retries 1 --retry-delay 0 -- --ready";
        let ended = chaotic(words).stdin(job.to_string()).end().check_status(0);
        assert_eq!(ended.records()[0]["data"], false, "{fault}: the grandchild outlived the attempt");
    });
}

#[test]
fn bystanders_of_a_retried_crash_keep_their_first_attempt() {
    let mut jobs = vec![json!(7); 30];
    for poison in [3, 4, 17] {
        jobs[poison] = json!({"do": "crash", "until": 3});
    }
    let words = "-j 2 --depth 8 --meta --retries 2 --retry-delay 0 -- --ready";
    let ended = chaotic(words).stdin(lines(&jobs)).end().check_status(0);
    let attempts: Vec<u64> = ended.records().iter().map(|record| record["attempts"].as_u64().unwrap()).collect();
    let mut expected = [1; 30];
    for poison in [3, 4, 17] {
        expected[poison] = 3;
    }
    assert_eq!(attempts, expected);
}

#[test]
fn no_more_jobs_are_given_out_than_the_rate_allows_retries_among_them() {
    // 20 jobs, each of which fails once: 40 attempts, of which the first two may come at once.
    let jobs = vec![json!({"do": "error", "until": 2}); 20];
    for (words, attempts) in [("--rate 100/s", 20), ("--rate 100/s --retries 1 --retry-on error --retry-delay 0", 40)] {
        let begun = Instant::now();
        let ended = chaotic(&format!("-j 4 {words}")).stdin(lines(&jobs)).end();
        assert_eq!(ended.records().len(), 20, "{}", ended.stderr);
        let least = Duration::from_millis(10 * (attempts - 2));
        assert!(begun.elapsed() >= least, "{words}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_rate_that_is_none_is_refused() {
    for (rate, why) in
        [("fast", "expected a rate such as"), ("0/s", "more than nothing"), ("5/s:0", "one job at least")]
    {
        let ended = chaotic(&format!("--rate {rate}")).end().check_status(2);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
}
