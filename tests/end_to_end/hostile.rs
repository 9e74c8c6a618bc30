//! Hostile bytes and sizes: what is no reply, and what is a very long one. Every case ends in a clear record.

use std::fs;

use serde_json::{Value, json};

use crate::support::{chaos, chaotic, forkpool, lines, shell};

/// A job between two harmless ones ends as `bad_reply` with these words; the others are not touched.
#[track_caller]
fn check_bad(job: Value, words: &str) {
    for depth in [1, 3] {
        let words_of_run = format!("-j 1 --depth {depth} --meta -- --ready");
        let ended = chaotic(&words_of_run).stdin(lines(&[json!(1), job.clone(), json!(3)])).end().check_status(1);
        assert_eq!(ended.statuses(), ["ok", "bad_reply", "ok"], "{job}");
        let records = ended.records();
        assert_eq!((&records[0]["data"], &records[2]["data"]), (&1.into(), &3.into()));
        assert!(records.iter().all(|record| record["attempts"] == 1), "{}", ended.text());
        assert_eq!(records[1]["error"]["name"], "BadReply");
        let message = records[1]["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{job}: {message}");
        assert!(ended.stderr.contains("; 1 restart"), "{}", ended.stderr);
    }
}

#[test]
fn what_is_no_reply_is_shown_and_charged() {
    for (text, words) in [
        ("meow", "it is no JSON object; it wrote: meow"),
        ("", "it is no JSON object"),
        ("42", "it is no JSON object"),
        ("null", "it is no JSON object"),
        ("[2,\"ok\",0]", "it is no JSON object"),
        ("{\"id\":2}", "it has no status"),
        ("{\"status\":\"ok\"}", "it has no id"),
        ("{\"id\":2,\"status\":\"fine\"}", "its status is \"fine\""),
        ("{\"id\":\"2\",\"status\":\"ok\"}", "its id is \"2\""),
        ("{\"id\":2,\"status\":\"error\"}", "without an error"),
        ("{\"id\":1,\"status\":\"ok\"}", "job 1 is not in its hands"),
        ("{\"id\":9,\"status\":\"ok\"}", "job 9 is not in its hands"),
        ("{\"id\":2,\"status\":\"ok\",\"data\":0}}", "trailing"),
    ] {
        check_bad(json!({"do": "garbage", "text": text}), words);
    }
    check_bad(json!({"do": "stranger"}), "job 1000002 is not in its hands");
    check_bad(json!({"do": "not_utf8"}), "it is not UTF-8");
    check_bad(json!({"do": "nul"}), "it is no reply");
}

#[test]
fn a_second_answer_is_nobodys() {
    let jobs: Vec<Value> = (0..20).map(|_| json!({"do": ["answer", "answer"]})).collect();
    let ended = chaotic("-j 2 --meta -- --ready").stdin(lines(&jobs)).end();
    for record in ended.records() {
        // The surplus answer hits the job that was given meanwhile, or none; it is never taken for an answer.
        let charged =
            record["status"] == "bad_reply" && record["error"]["message"].to_string().contains("not in its hands");
        assert!(record["status"] == "ok" || charged, "{record}");
    }
}

#[test]
fn junk_between_jobs_charges_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let job = json!({"do": ["stubborn", "answer", "garbage", "touch", "hang"], "touch": done});
    let script = format!(
        "(echo '{job}'; while ! [ -e {done} ]; do sleep 0.01; done; echo 7) | forkpool -j 1 --grace 100ms --meta -- {}",
        chaos(),
        done = done.display()
    );
    let ended = shell(&script, folder.path()).end().check_status(0);
    assert_eq!(ended.records()[1]["attempts"], 1);
    assert!(ended.stderr.contains("; 1 restart"), "{}", ended.stderr);
}

#[test]
fn a_surplus_line_of_a_filter_never_lands_on_the_next_job() {
    let folder = tempfile::tempdir().unwrap();
    let worker = "trap \"\" TERM; read a; echo $a; echo surplus; touch done; while read a; do echo $a; done";
    let script = format!(
        "(echo 1; while ! [ -e done ]; do sleep 0.01; done; echo 2; echo 3) | \
         forkpool -j 1 --grace 100ms --from lines --protocol lines --to ndjson -- sh -c '{worker}'"
    );
    let ended = shell(&script, folder.path()).end().check_status(0);
    let data: Vec<Value> = ended.records().iter().map(|record| record["data"].clone()).collect();
    // The file is there before the second job, and so is the surplus line: the worker is replaced. The new worker
    // writes a surplus line as well, which may come too late to be seen before the third job.
    assert_eq!(data[..2], ["1", "2"], "{}", ended.text());
}

#[test]
fn progress_is_no_answer_and_comes_too_late_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("progress");
    let jobs = [json!({"do": "progress", "n": 3}), json!({"do": ["answer", "progress"]}), json!(3)];
    let words = format!("-j 1 --progress-file {}", file.display());
    let ended = chaotic(&words).stdin(lines(&jobs)).end().check_status(0);
    assert_eq!(ended.records().len(), 3);
    let progress = fs::read_to_string(file).unwrap();
    assert_eq!(progress, (1..=3).map(|n| format!("{{\"job\":1,\"progress\":{n}}}\n")).collect::<String>());
}

#[test]
fn crumbs_make_a_reply() {
    let jobs = vec![json!({"do": "crumbs", "text": "x".repeat(2000)}); 5];
    chaotic("-j 2 --depth 2").stdin(lines(&jobs)).end().check_status(0);
}

#[test]
fn a_large_reply_arrives_whole() {
    let ended = chaotic("-j 2").stdin(lines(&[json!({"do": "huge", "n": 8}), json!(7)])).end().check_status(0);
    assert_eq!(ended.records()[0]["data"].as_str().unwrap().len(), 8 << 20);
}

#[test]
fn a_large_job_arrives_whole_and_comes_back() {
    let big = json!("x".repeat(8 << 20));
    let ended = chaotic("-j 2 --depth 2").stdin(lines(&[big.clone(), json!(7), big.clone()])).end().check_status(0);
    assert!(ended.records()[0]["data"] == big && ended.records()[2]["data"] == big);
}

#[test]
fn a_job_above_the_limit_is_bad_input_and_the_next_one_runs() {
    let jobs = format!("7\n\"{}\"\n8\n", "x".repeat(3 << 20));
    let ended = chaotic("-j 1 --max-job-bytes 1MiB").stdin(jobs).end().check_status(1);
    assert_eq!(ended.statuses(), ["ok", "bad_input", "ok"]);
    assert!(ended.records()[1]["error"]["message"].to_string().contains("line 2: longer than --max-job-bytes"));
}

#[test]
fn a_reply_above_the_limit_is_a_bad_reply_and_the_next_job_runs() {
    let jobs = [json!({"do": "huge", "n": 3}), json!(7)];
    let ended = chaotic("-j 1 --max-reply-bytes 1MiB").stdin(lines(&jobs)).end().check_status(1);
    assert_eq!(ended.statuses(), ["bad_reply", "ok"]);
    let message = ended.records()[0]["error"]["message"].to_string();
    assert!(message.contains("longer than --max-reply-bytes") && message.len() < 1000, "{message}");
}

#[test]
fn a_line_that_never_ends_is_cut_off_by_the_limit() {
    let args = ["-j", "1", "--max-reply-bytes", "1MiB", "--", "sh", "-c", "read job; exec tr '\\n' y < /dev/zero"];
    let ended = forkpool(args).stdin("7\n").end();
    // The worker never was ready, so a few starts like this one would end the run.
    assert_eq!(ended.check_status(1).statuses(), ["bad_reply"]);
}

#[test]
fn deep_nesting_is_passed_through_both_ways() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let ended = chaotic("-j 1").stdin(format!("{deep}\n{{\"do\":\"deep\"}}\n")).end().check_status(0);
    let expected =
        format!("{{\"job\":1,\"status\":\"ok\",\"data\":{deep}}}\n{{\"job\":2,\"status\":\"ok\",\"data\":{deep}}}\n");
    assert_eq!(ended.text(), expected);
}

#[test]
fn odd_strings_and_numbers_are_passed_through_untouched() {
    let data = r#"[12345678901234567890,1e400,-0,1.10,"\ud83d","\u0000","\u2028",{"b":1,"a":2,"b":3}]"#;
    let ended = chaotic("-j 1").stdin(format!("{data}\n{{\"do\":\"surrogate\"}}\n")).end().check_status(0);
    let expected = format!(
        "{{\"job\":1,\"status\":\"ok\",\"data\":{data}}}\n{{\"job\":2,\"status\":\"ok\",\"data\":\"\\ud83d\"}}\n"
    );
    assert_eq!(ended.text(), expected);
}

#[test]
fn a_flood_on_stderr_holds_nothing_up() {
    let ended = chaotic("-j 2").stdin(lines(&[json!({"do": "flood", "n": 20}), json!(7)])).end().check_status(0);
    assert_eq!(ended.records()[1]["data"], 7);
    assert!(ended.text().len() < 1000, "nothing of it is on stdout");
}

#[test]
fn a_worker_that_never_reads_is_timed_out_while_the_others_work() {
    let big = json!("x".repeat(10 << 20));
    let jobs = [json!({"do": ["answer", "hang"]}), big.clone(), big.clone(), json!(4), json!(5)];
    let ended = chaotic("-j 2 --timeout 3s --meta -- --ready").stdin(lines(&jobs)).end();
    let statuses = ended.statuses();
    let timeouts = statuses.iter().filter(|status| *status == "timeout").count();
    assert!(timeouts == 1 && statuses.iter().filter(|status| *status == "ok").count() == 4, "{statuses:?}");
}

#[test]
fn a_worker_that_answers_much_before_it_reads_on_is_no_deadlock() {
    let big = json!({"do": "huge", "n": 4, "ballast": "x".repeat(4 << 20)});
    chaotic("-j 1 --depth 4 --timeout 60s").stdin(lines(&vec![big; 4])).end().check_status(0);
}
