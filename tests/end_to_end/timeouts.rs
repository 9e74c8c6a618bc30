//! Time limits: whose clock runs when, and how a worker that exceeds one is brought to its end.

use crate::support::{chaotic, forkpool, side_by_side};

#[test]
fn a_job_that_hangs_ends_as_timeout_and_the_next_has_a_new_worker() {
    let ended = chaotic("-j 1 --timeout 1s --meta -- --ready").stdin("{\"do\":\"hang\"}\n{\"do\":\"env\"}\n").end();
    let ended = ended.check_status(1);
    let records = ended.records();
    assert_eq!(ended.statuses(), ["timeout", "ok"]);
    assert_eq!(records[0]["error"]["name"], "TimeoutError");
    assert!(records[0]["error"]["message"].as_str().unwrap().contains("1s"), "{}", ended.text());
    assert_eq!(records[1]["data"]["attempt"], 1);
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_after_the_grace() {
    let ended =
        chaotic("-j 1 --timeout 1s --grace 100ms -- --ready").stdin("{\"do\":[\"stubborn\",\"hang\"]}\n7\n").end();
    assert_eq!(ended.check_status(1).statuses(), ["timeout", "ok"]);
}

#[test]
fn a_worker_that_is_stopped_is_killed_all_the_same() {
    let jobs = "{\"do\":\"crash\",\"signal\":\"STOP\"}\n7\n";
    let ended = chaotic("-j 1 --timeout 1s --grace 100ms -- --ready").stdin(jobs).end();
    assert_eq!(ended.check_status(1).statuses(), ["timeout", "ok"]);
}

#[test]
fn a_timeout_ends_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let jobs = serde_json::json!({"do": ["orphan", "stubborn", "hang"], "pid": pid}).to_string() + "\n7\n";
    // `end` checks that no process of the run is left.
    let ended = chaotic("-j 1 --timeout 2s --grace 100ms -- --ready").stdin(jobs).end();
    assert_eq!(ended.check_status(1).statuses(), ["timeout", "ok"]);
    assert!(pid.exists());
}

#[test]
fn an_answer_after_the_time_limit_is_nobodys() {
    let ended = chaotic("-j 1 --timeout 1s --grace 1s -- --ready").stdin("{\"do\":\"asked\"}\n7\n8\n").end();
    let ended = ended.check_status(1);
    assert_eq!(ended.statuses(), ["timeout", "ok", "ok"]);
    assert_eq!((&ended.records()[1]["data"], &ended.records()[2]["data"]), (&7.into(), &8.into()));
}

#[test]
fn a_job_may_bring_its_own_time_limit() {
    let jobs = [
        r#"{"do":"hang","limit":1}"#,
        r#"{"do":"slow","n":1500,"limit":"2m"}"#,
        r#"{"do":"slow","n":1500}"#,
        r#"{"limit":"soon"}"#,
        r#"{"do":"slow","n":1500,"limit":""}"#,
        r#"{"limit":0}"#,
        r#"{"limit":-1}"#,
        r#"{"limit":null}"#,
    ];
    let all = (60, 1, jobs.join("\n"), &["timeout", "ok", "ok", "bad_input", "ok", "bad_input", "bad_input", "ok"][..]);
    // The job's own limit holds, not the general one.
    let longer = (1, 0, jobs[1].to_owned(), &["ok"][..]);
    side_by_side([all, longer], |(timeout, status, jobs, expected)| {
        let words = format!("-j 8 --timeout {timeout}s --timeout-field limit -- --ready");
        assert_eq!(chaotic(&words).stdin(jobs).end().check_status(status).statuses(), expected);
    });
}

#[test]
fn time_to_load_is_not_the_first_jobs_time() {
    let cases = [
        ("--timeout 1s -- --slow-start 2000", 0, "ok"),
        ("--timeout 1s -- --slow-start 2000 --ready", 0, "ok"),
        ("--timeout 100ms --start-timeout 100ms -- --slow-start 600000", 1, "timeout"),
    ];
    side_by_side(cases, |(words, status, expected)| {
        let ended = chaotic(&format!("-j 1 {words}")).stdin("7\n8\n").end().check_status(status);
        assert_eq!(ended.statuses(), [expected; 2], "{words}: {}", ended.stderr);
    });
}

#[test]
fn the_first_jobs_clock_starts_at_ready() {
    // If the job were still granted the time to load, this would hang.
    let ended = chaotic("-j 1 --timeout 1s --start-timeout 1h -- --ready").stdin("{\"do\":\"hang\"}\n").end();
    assert_eq!(ended.check_status(1).statuses(), ["timeout"]);
}

#[test]
fn the_clock_of_a_queued_job_starts_when_its_turn_comes() {
    let jobs = "{\"do\":\"slow\",\"n\":2000}\n{\"limit\":1}\n{\"limit\":1}\n";
    let ended = chaotic("-j 1 --depth 3 --timeout 60s --timeout-field limit -- --ready").stdin(jobs).end();
    assert_eq!(ended.check_status(0).statuses(), ["ok", "ok", "ok"]);
}

#[test]
fn a_timeout_charges_nobody_behind_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let quiet = serde_json::json!({"count": count});
    let jobs = format!("7\n{{\"do\":\"hang\"}}\n{quiet}\n{quiet}\n{quiet}\n");
    let ended = chaotic("-j 1 --depth 4 --timeout 1s --meta -- --ready").stdin(jobs).end().check_status(1);
    assert_eq!(ended.statuses(), ["ok", "timeout", "ok", "ok", "ok"]);
    assert!(ended.records().iter().all(|record| record["attempts"] == 1), "{}", ended.text());
    assert_eq!(std::fs::read_to_string(count).unwrap(), "3\n4\n5\n", "each of them ran once");
}

#[test]
fn with_concurrency_every_running_job_has_its_clock() {
    // The first is answered after the second, so both are in hand when the second's time is up.
    let jobs = "7\n{\"do\":\"defer\"}\n{\"do\":\"hang\",\"limit\":1}\n";
    let ended = chaotic("-j 1 --concurrency 3 --timeout 60s --timeout-field limit -- --ready").stdin(jobs).end();
    let statuses = ended.check_status(1).statuses();
    assert_eq!((statuses[0].as_str(), statuses[2].as_str()), ("ok", "timeout"));
}

#[test]
fn what_a_worker_dumps_before_it_is_ended_is_in_the_record() {
    side_by_side(["USR1", "QUIT"], |signal| {
        let words = format!("-j 1 --timeout 1s --dump {signal} -- --ready --dump");
        let ended = chaotic(&words).stdin("{\"do\":\"hang\"}\n7\n").end().check_status(1);
        assert_eq!(ended.statuses(), ["timeout", "ok"]);
        let dump = ended.records()[0]["error"]["dump"].as_str().unwrap_or_default().to_owned();
        assert!(dump.contains("stack of chaos:\n  at job 1: hang"), "{}", ended.text());
    });
}

#[test]
fn a_worker_that_dies_of_the_dump_signal_was_still_too_slow() {
    let ended = chaotic("-j 1 --timeout 1s --dump USR1 -- --ready").stdin("{\"do\":\"hang\"}\n7\n").end();
    assert_eq!(ended.check_status(1).statuses(), ["timeout", "ok"]);
}

#[test]
fn a_retried_timeout_keeps_its_dump() {
    let words = "-j 1 --timeout 1s --dump USR1 --retries 1 --retry-delay 0 --meta -- --ready --dump";
    let ended = chaotic(words).stdin("{\"do\":\"hang\"}\n").end().check_status(1);
    let record = &ended.records()[0];
    assert_eq!((&record["status"], &record["attempts"]), (&"timeout".into(), &2.into()));
    assert!(record["error"]["dump"].as_str().is_some_and(|dump| dump.contains("hang")), "{record}");
}

#[test]
fn a_worker_that_buffers_its_output_is_told_from_one_that_hangs() {
    side_by_side([("7\n", "--buffered", true), ("{\"do\":\"hang\"}\n", "", false)], |(job, option, buffers)| {
        let words = format!("-j 1 --timeout 1s --start-timeout 100ms -- {option}");
        let ended = chaotic(&words).stdin(job).end().check_status(1);
        let hint = &ended.records()[0]["error"]["hint"];
        match buffers {
            true => assert!(hint.as_str().is_some_and(|hint| hint.contains("flush")), "{}", ended.text()),
            false => assert!(hint.is_null(), "{}", ended.text()),
        }
    });
}

#[test]
fn a_real_filter_that_buffers_is_recognised_too() {
    let args = ["-j", "1", "--protocol", "lines", "--to", "ndjson", "--timeout", "1s", "--start-timeout", "100ms"];
    let ended = forkpool(args.into_iter().chain(["--", "sed", "s/a/b/"])).stdin("\"cat\"\n").end().check_status(1);
    assert!(ended.text().contains("sed -u"), "{}", ended.text());
}
