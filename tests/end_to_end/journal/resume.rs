//! What is written, and what is run again.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{LINES, Place, numbered, results};
use crate::support::{Ended, installed, shell};

#[test]
fn every_outcome_is_one_line_behind_a_header() {
    let place = Place::new();
    place.write("in", "{\"name\":\"Tom\",\"do\":\"ok\"}\nnot json\n{\"name\":\"Max\",\"do\":\"fail\"}\n");
    let ended = place.obedient("-j 1 -i in").end().check_status(1);
    assert_eq!(ended.statuses(), ["ok", "bad_input", "error"]);
    let lines = place.lines("journal");
    assert_eq!(lines.len(), 3, "a header and two outcomes: a bad line is found again");
    assert!(lines[0].contains("\"forkpool_journal\":1"), "{}", lines[0]);
    assert!(lines[1].ends_with("\"data\":{\"did\": \"Tom\", \"big\": 12345678901234567890}}"), "{}", lines[1]);
    assert_eq!(place.journaled(), ["ok", "error"]);
    let mode = fs::metadata(place.path("journal")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_outcome_is_in_the_journal_before_its_record_is_written() {
    let place = Place::new();
    shell("mkfifo fifo", place.folder.path()).end().check_status(0);
    let mut running = place.run("--protocol lines -i fifo", &["sed", "-u", ""]).start();
    let mut input = place.open_fifo();
    let mut stdout = BufReader::new(running.child().stdout.take().unwrap());
    // A record of this job is more than a pipe holds, so that its rest waits for a reader.
    let job = "x".repeat(500_000);
    for number in 1..=3 {
        writeln!(input, "\"{job}\"").unwrap();
        let mut record = vec![0];
        stdout.read_exact(&mut record).unwrap();
        assert_eq!(place.journaled().len(), number);
        stdout.read_until(b'\n', &mut record).unwrap();
        assert_eq!(record.len(), job.len() + 1);
    }
    drop(input);
    drop(stdout);
    running.end_leaving_processes();
}

#[test]
fn sync_is_always_never_or_a_time() {
    for sync in ["always", "never", "1s", "10ms"] {
        let place = Place::new();
        place.write("in", numbered(50));
        place.echo(&format!("{LINES} --sync {sync}")).end().check_status(0);
        assert_eq!(place.journaled().len(), 50);
    }
    let place = Place::new();
    let ended = place.echo(&format!("{LINES} --sync often")).end().check_status(2);
    assert!(ended.stderr.contains("expected always, never or a duration"), "{}", ended.stderr);
}

#[test]
fn a_journal_that_exists_is_refused_without_resume_and_left_alone() {
    let place = Place::new();
    place.write("in", numbered(5));
    place.echo(LINES).end().check_status(0);
    let (journal, out) = (place.read("journal"), place.read("out"));
    let ended = place.echo(LINES).end().check_status(2);
    assert!(ended.stderr.contains("exists already") && ended.stderr.contains("--resume"), "{}", ended.stderr);
    assert_eq!((place.read("journal"), place.read("out")), (journal, out));
}

#[test]
fn resume_without_a_journal_is_a_plain_run_and_after_the_end_nothing_is_run() {
    let place = Place::new();
    place.write("in", numbered(20));
    place.echo(&format!("{LINES} --resume")).end().check_status(0);
    assert_eq!(place.take_ran().len(), 20);
    let (journal, out) = (place.read("journal"), place.read("out"));
    let ended = place.echo(&format!("{LINES} --resume --summary sum")).end().check_status(0);
    assert_eq!(place.take_ran(), Vec::<String>::new());
    assert_eq!((place.read("journal"), place.read("out")), (journal, out));
    assert!(ended.stderr.contains("20 ok; 20 from the journal"), "{}", ended.stderr);
    let summary: Value = serde_json::from_str(&place.read("sum")).unwrap();
    assert_eq!((&summary["resumed"], &summary["jobs"]), (&20.into(), &20.into()));
}

#[test]
fn a_job_is_known_by_its_content_and_not_by_its_line() {
    let place = Place::new();
    let flags = format!("{LINES} --resume");
    let check = |input: &str, expected: &[&str]| {
        place.write("in", input);
        place.echo(&flags).end().check_status(0);
        assert_eq!(place.take_ran(), expected, "{input:?}");
        assert_eq!(results(&place), input.lines().collect::<Vec<_>>());
    };
    check("a\nb\nc\nd\n", &["a", "b", "c", "d"]);
    check("new\na\nb\nc\nd\n", &["new"]);
    check("d\nc\nb\na\n", &[]);
    check("b\nd\n", &[]);
    // Equal jobs that the input has on purpose stay separate.
    check("b\nb\nd\nb\n", &["b", "b"]);
    check("b\nx\nd\nb\na\nb\nb\n", &["b", "x"]);
    check("", &[]);
}

#[test]
fn equal_jobs_keep_their_own_results() {
    let place = Place::new();
    place.write("in", "a\na\nb\na\n");
    // The result says which call it was; one worker takes the jobs in order.
    let count = "n=0; while read -r line; do n=$((n+1)); echo \"$line $n\"; done";
    let flags = "-j 1 -i in --from lines --protocol lines --to ndjson -o out --resume";
    place.run(flags, &["sh", "-c", count]).end().check_status(0);
    place.write("in", "b\na\na\na\n");
    place.run(flags, &["sh", "-c", count]).end().check_status(0);
    assert_eq!(results(&place), ["b 3", "a 1", "a 2", "a 4"]);
}

const FAILING: &str = r#"{"name":"Ada","do":"ok"}
{"name":"Ben","do":"fail"}
{"name":"Cleo","do":"die"}
{"name":"Dot","do":"hang"}
{"name":"Eve","do":"junk"}
{"name":"Fay","do":"ok"}
"#;

#[test]
fn answers_are_done_and_broken_workers_are_tried_again() {
    let place = Place::new();
    place.write("in", FAILING);
    let flags = "-j 1 -i in --timeout 1s --resume";
    let ended = place.obedient(flags).end().check_status(1);
    assert_eq!(ended.statuses(), ["ok", "error", "died", "timeout", "bad_reply", "ok"]);
    place.take_ran();
    let again = place.obedient(flags).end().check_status(1);
    assert_eq!(again.statuses(), ended.statuses());
    assert_eq!(place.take_ran(), ["Cleo", "Dot", "Eve"]);

    place.write("healed", "");
    let resumed = place.obedient(flags).end().check_status(1);
    assert_eq!(resumed.statuses(), ["ok", "error", "ok", "ok", "ok", "ok"]);
    assert_eq!(place.take_ran(), ["Cleo", "Dot", "Eve"]);
    assert!(resumed.stderr.contains("; 3 from the journal"), "{}", resumed.stderr);

    let retried = place.obedient(&format!("{flags} --retry-failed")).end().check_status(0);
    assert_eq!(retried.statuses(), ["ok"; 6]);
    assert_eq!(place.take_ran(), ["Ben"]);
    // The outcome that was written last counts.
    let after = place.obedient(flags).end().check_status(0);
    assert_eq!(after.stdout, retried.stdout);
    assert_eq!(place.take_ran(), Vec::<String>::new());
}

#[test]
fn a_key_is_what_a_job_is_known_by() {
    let place = Place::new();
    let flags = "-j 1 -i in --protocol lines --to ndjson --echo --key id --resume";
    let check = |input: &str, expected: &[&str]| {
        place.write("in", input);
        let ended = place.echo(flags).end().check_status(0);
        assert_eq!(place.take_ran(), expected);
        ended
    };
    check(
        "{\"id\":1,\"a\":1}\n{\"id\":2,\"a\":2}\n{\"a\":9}\n",
        &["{\"a\":9}", "{\"id\":1,\"a\":1}", "{\"id\":2,\"a\":2}"],
    );
    let ended = check("{\"a\":5,\"id\":2}\n{\"id\":3}\n{\"a\":9}\n", &["{\"id\":3}"]);
    let records = ended.records();
    assert_eq!(records[0]["data"], "{\"id\":2,\"a\":2}", "the result is the one of this key");
    assert_eq!(records[0]["input"]["a"], 5, "the job is the one of this input");
}

#[test]
fn records_from_the_journal_are_complete() {
    let place = Place::new();
    place.write("in", FAILING.lines().take(2).collect::<Vec<_>>().join("\n"));
    let flags = "-j 1 -i in --meta --echo --resume";
    let first = place.obedient(flags).end().check_status(1);
    let again = place.obedient(flags).end().check_status(1);
    assert_eq!(again.text(), first.text());
    let records = again.records();
    assert_eq!((&records[1]["attempts"], &records[1]["line"]), (&1.into(), &2.into()));
    assert!(records[0]["ms"].is_number() && records[0]["worker"] == 0 && records[0]["input"]["name"] == "Ada");
}

#[test]
fn a_resumed_table_and_its_rejects_are_those_of_one_run() {
    let table: String = (1..=60).map(|n| format!("cat {n},{}\n", if n % 7 == 0 { "fail" } else { "ok" })).collect();
    let whole = Place::new();
    whole.write("in.csv", format!("name,do\n{table}"));
    whole.obedient("-j 2 -i in.csv -o out.csv --rejects rejects.csv").end().check_status(1);

    let place = Place::new();
    let half: Vec<&str> = table.lines().take(31).collect();
    place.write("in.csv", format!("name,do\n{}\n", half.join("\n")));
    place.obedient("-j 2 -i in.csv -o out.csv").end().check_status(1);
    place.take_ran();
    place.write("in.csv", format!("name,do\n{table}"));
    let ended = place.obedient("-j 2 -i in.csv -o out.csv --rejects rejects.csv --resume").end().check_status(1);
    assert!(ended.stderr.contains("; 31 from the journal"), "{}", ended.stderr);
    assert_eq!(place.take_ran().len(), 29);
    assert_eq!(place.read("out.csv"), whole.read("out.csv"));
    assert_eq!(place.read("rejects.csv"), whole.read("rejects.csv"));
    assert_eq!(place.lines("rejects.csv").len(), 9);

    // The rejects are jobs of the same journal.
    fs::copy(place.path("rejects.csv"), place.path("in.csv")).unwrap();
    place.write("healed", "");
    place.obedient("-i in.csv --to ndjson -o out.ndjson --resume --retry-failed").end().check_status(0);
    assert_eq!(place.take_ran().len(), 8);
}

#[test]
fn a_compressed_input_is_resumed_by_its_lines() {
    let place = Place::new();
    place.write("plain", numbered(200));
    place.echo("-j 2 -i plain --from lines --protocol lines -o out").end().check_status(0);
    place.take_ran();
    shell("gzip < plain > in.txt.gz", place.folder.path()).end().check_status(0);
    place.echo("-j 2 -i in.txt.gz --protocol lines -o out2 --resume").end().check_status(0);
    assert_eq!(place.take_ran(), Vec::<String>::new());
    assert_eq!(place.read("out2"), numbered(200));
}

#[test]
fn failures_of_earlier_runs_do_not_stop_a_run() {
    let place = Place::new();
    let jobs: String = (1..=30).map(|n| format!("{{\"name\":\"{n}\",\"do\":\"fail\"}}\n")).collect();
    place.write("in", jobs);
    let flags = "-j 1 -i in --max-failures 3 --window 1 --resume";
    let first = place.obedient(flags).end().check_status(5);
    assert!(first.stderr.contains("stopped after 3 failed jobs"), "{}", first.stderr);
    let before = place.journaled().len();
    // The jobs that are under way when the third has failed end, too.
    assert!((3..12).contains(&before), "{before}");
    let second = place.obedient(flags).end().check_status(5);
    assert!(second.stderr.contains("stopped after 3 failed jobs"), "{}", second.stderr);
    assert!((before + 3..30).contains(&place.journaled().len()));
    place.obedient("-j 1 -i in --resume").end().check_status(1);
    let last = place.obedient("-j 1 -i in --fail-fast --resume").end().check_status(1);
    assert_eq!(last.statuses(), ["error"; 30]);
    assert!(last.stderr.contains("; 30 from the journal") && !last.stderr.contains("stopped"), "{}", last.stderr);
}

#[test]
fn a_dry_run_says_what_is_done_and_touches_nothing() {
    let place = Place::new();
    place.write("in", numbered(3));
    place.echo(LINES).end().check_status(0);
    place.write("in", numbered(5));
    let torn = format!("{}{{\"sum\"", place.read("journal"));
    place.write("journal", &torn);
    let ended = place.echo(&format!("{LINES} --resume --dry-run")).end().check_status(0);
    assert!(ended.text().contains("journal   journal (3 jobs done already)"), "{}", ended.text());
    assert_eq!(place.read("journal"), torn);
    assert!(!place.path("journal.damaged").exists());
}

// ---- Why, mend, again ----

/// A handler that fails for the second of three jobs, and one that is mended.
const BROKEN: &str = "def handler(job):\n    if job == 2: raise ValueError('no twos')\n    return ['old', job]\n";
const MENDED: &str = "def handler(job):\n    return ['new', job]\n";

#[test]
fn a_handler_that_was_mended_runs_what_has_failed() {
    if !installed("python3") {
        return;
    }
    let place = Place::new();
    place.write("in", "1\n2\n3\n");
    place.write("h.py", BROKEN);
    let run = |more: &str| place.with_handler(&format!("-j 1 -i in --handler h.py {more}"));
    let data = |ended: &Ended| ended.records().iter().map(|record| record["data"].to_string()).collect::<Vec<_>>();
    run("").end().check_status(1);
    place.write("h.py", MENDED);

    let refused = run("--resume").end().check_status(2);
    assert!(refused.stderr.contains("the content of the handler has changed"), "{}", refused.stderr);
    for way in ["--retry-failed", "--accept-changes"] {
        assert!(refused.stderr.contains(way), "{}", refused.stderr);
    }
    let before = place.read("journal");
    let kept = run("--resume --accept-changes").end().check_status(1);
    assert!(kept.stderr.contains("3 results of before that are kept"), "{}", kept.stderr);
    assert_eq!(data(&kept), [r#"["old",1]"#, "null", r#"["old",3]"#]);
    assert_eq!(place.read("journal"), before, "nothing was run");

    let mended = run("--resume --retry-failed").end().check_status(0);
    assert!(mended.stderr.contains("2 results of before that are kept"), "{}", mended.stderr);
    assert_eq!(data(&mended), [r#"["old",1]"#, r#"["new",2]"#, r#"["old",3]"#]);
    // From now on the journal is that of the mended handler, and what it has of both is known.
    let again = run("--resume").end().check_status(0);
    assert!(again.stderr.contains("3 from the journal") && !again.stderr.contains("are kept"), "{}", again.stderr);
    assert_eq!(again.stdout, mended.stdout);
}

#[test]
fn statuses_that_are_run_again_can_be_chosen() {
    let place = Place::new();
    place.write(
        "in",
        "{\"name\":\"1\",\"do\":\"fail\"}\n{\"name\":\"2\",\"do\":\"die\"}\n{\"name\":\"3\",\"do\":\"ok\"}\n",
    );
    let flags = "-j 1 -i in";
    place.obedient(flags).end().check_status(1);
    let from_journal = |more: &str| {
        let ended = place.obedient(&format!("{flags} --resume {more}")).end().check_status(1);
        let said = ended
            .stderr
            .split([';', '\n'])
            .find_map(|part| part.trim().strip_suffix(" from the journal").map(str::to_owned));
        said.and_then(|number| number.parse::<usize>().ok()).unwrap_or(0)
    };
    assert_eq!(from_journal("--retry-failed=error"), 2);
    assert_eq!(from_journal("--retry-failed=died"), 2);
    assert_eq!(from_journal("--retry-failed=error,died"), 1);
    assert_eq!(from_journal("--retry-failed=timeout"), 3);
}
