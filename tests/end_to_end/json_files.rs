//! JSON that is not one value a line: arrays, values printed over several lines, values without line breaks between.

use std::fs;

use serde_json::Value;

use crate::formats::{echo, text};
use crate::support::shell;

/// The jobs as the worker got them, byte for byte, or what is wrong with them.
fn jobs(flags: &[&str], input: &str) -> Vec<String> {
    let worker = "while read -r line; do id=${line#*:}; echo \"{\\\"id\\\":${id%%,*},\\\"status\\\":\\\"ok\\\",\
                  \\\"data\\\":${line#*\\\"data\\\":}\"; done";
    let ended = crate::support::forkpool([flags, &["--", "bash", "-c", worker]].concat()).stdin(input).end();
    let lines = ended.text();
    let job = |line: &str| match line.split_once("\"ok\",\"data\":") {
        Some((_, data)) => data.strip_suffix('}').expect("a record is an object").to_owned(),
        None => {
            let record: Value = serde_json::from_str(line).expect("a record is JSON");
            record["error"]["message"].as_str().expect("an error has a message").to_owned()
        }
    };
    lines.lines().map(job).collect()
}

#[track_caller]
fn check(input: &str, expected: &[&str]) {
    assert_eq!(jobs(&["--from", "json"], input), expected);
}

#[test]
fn an_array_gives_its_elements() {
    check("[{\"a\":1},\n{\"b\": 2.50}, \"x\", [3]]\n", &["{\"a\":1}", "{\"b\": 2.50}", "\"x\"", "[3]"]);
    check(" [ ] ", &[]);
    check("", &[]);
    check("\u{feff}[1e400]", &["1e400"]);
}

#[test]
fn values_one_after_the_other_are_a_job_each() {
    check("{\n  \"a\": 1,\r\n  \"b\": [\"x\\n\"]\n}\n{}\n", &["{   \"a\": 1,    \"b\": [\"x\\n\"] }", "{}"]);
    check("{}{\"a\":2}1 2\ntrue\"x\"[1]", &["{}", "{\"a\":2}", "1", "2", "true", "\"x\"", "[1]"]);
}

#[test]
fn what_is_no_value_is_told_with_its_line_and_the_rest_goes_on() {
    check("[\n1,\n{\"a\":\n}\n,3]", &["1", "line 3: invalid JSON: expected value at line 4 column 1", "3"]);
    check(
        "[1,,2,]",
        &[
            "1",
            "line 1: invalid JSON: EOF while parsing a value at column 0",
            "2",
            "line 1: invalid JSON: EOF while parsing a value at column 0",
        ],
    );
    check("{}\n, 1\n2\n", &["{}", "line 2: invalid JSON: expected value", "2"]);
    check(
        "[1]\n[2]\n",
        &["1", "line 2: behind the array that the input begins with (--from ndjson takes each line as a job)"],
    );
    check("[1,\n2", &["1", "line 2: the input ends inside of the array that it begins with"]);
    check("1\n{\"a\":", &["1", "line 2: the input ends inside of this value"]);
    check("1\x0c2\n", &["line 1: invalid JSON: trailing characters at column 2"]);
}

#[test]
fn a_value_that_is_too_long_is_one_bad_job() {
    let flags = ["--from", "json", "--max-job-bytes", "100"];
    let long = "{\"a\":\"]\\\"}".to_owned() + &"x".repeat(300) + "\"}";
    let bad = "line 1: longer than --max-job-bytes (100 bytes)";
    assert_eq!(jobs(&flags, &format!("[{long},2]")), [bad, "2"]);
    assert_eq!(jobs(&flags, &format!("{long}2")), [bad, "2"]);
}

#[test]
fn the_first_job_is_run_before_the_array_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    for (name, start, end) in [("array", "[1,", "2]"), ("values", "{} ", "2")] {
        let script = format!(
            "(echo '{start}'; until [ -s {name} ]; do sleep 0.02; done; echo '{end}') |
            forkpool --from json --protocol lines -- sed -u s/x/y/ > {name}; wc -l < {name}"
        );
        assert_eq!(shell(&script, folder.path()).end().check_status(0).text().trim(), "2");
    }
}

#[test]
fn the_ending_json_means_json() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("movies.json"), "[\n{\"n\":1},\n{\"n\":2}\n]\n").unwrap();
    let script = "gzip -k movies.json; forkpool -i movies.json -i movies.json.gz -- jq -c --unbuffered '{id, status: \"ok\", data: .data.n}'";
    let ended = shell(script, folder.path()).end().check_status(0);
    assert_eq!(ended.records().iter().map(|record| record["data"].clone()).collect::<Vec<_>>(), [1, 2, 1, 2]);
}

#[test]
fn ndjson_that_looks_like_json_gets_a_hint() {
    for input in
        ["[\n{\"a\":1},\n{\"a\":2}\n]\n", "{\n\"a\": 1\n}\n", "\n\n{} {}\n", "[{\"a\":1},{\"a\":2}]\n", "[{\"a\":1}]"]
    {
        let ended = echo(&[], input);
        assert_eq!(ended.stderr.matches("--from json").count(), 1, "{input}: {}", ended.stderr);
    }
    for input in ["{}\n{} {}\n", "[1,2]\n", "[{}]\n[{}]\n", "{\"a\":}\n", "oops\n"] {
        let ended = echo(&[], input);
        assert!(!ended.stderr.contains("--from json"), "{input}: {}", ended.stderr);
    }
}

#[test]
fn blanks_that_json_does_not_know_are_no_blanks() {
    let ended = echo(&[], "{}\n\x0c\n{}\x0c\n\x0b{}\n \t\r\n{}\n").check_status(1);
    assert_eq!(ended.statuses(), ["ok", "bad_input", "bad_input", "bad_input", "ok"]);
}

#[test]
fn rejects_are_ready_to_be_fed_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rejects");
    let rejects = |input: &str| {
        echo(&["--from", "json", "--rejects", text(&file)], input).check_status(1);
        fs::read_to_string(&file).unwrap()
    };
    assert_eq!(rejects("[{\"fail\":1},\n2, 3 4,\n{\"fail\":\n2}]"), "[\n{\"fail\":1},\n3 4,\n{\"fail\": 2}\n]\n");
    assert_eq!(rejects("{}{\"fail\":1}{\n\"fail\":2}\n"), "{\"fail\":1}\n{ \"fail\":2}\n");
    assert_eq!(rejects("{} ]x\n[1\n"), "]x\n[1\n", "and what has no end comes last");
}
