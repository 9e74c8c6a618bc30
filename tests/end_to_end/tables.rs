//! Tables as people have them: line ends of all kinds, headers with holes, other delimiters, stray quotes, columns of
//! the same name.

use std::fs;

use serde_json::{Value, json};

use crate::formats::{echo, text};
use crate::support::{Ended, shell};

/// The jobs that were run, in order; `null` stands for one that was none.
fn jobs(ended: &Ended) -> Vec<Value> {
    ended.records().iter().map(|record| record["data"].clone()).collect()
}

#[track_caller]
fn check(flags: &[&str], table: &[u8], expected: Value) {
    assert_eq!(Value::from(jobs(&echo(flags, table))), expected);
}

/// The rejects of a table, and what they become when they are fed in again with the same flags.
fn rejected(flags: &[&str], table: &[u8]) -> (String, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rejects");
    let ended = echo(&[flags, &["--echo", "--rejects", text(&file)]].concat(), table);
    let rejects = fs::read(&file).unwrap();
    let again = echo(&[flags, &["--echo"]].concat(), &rejects);
    let failed = |ended: &Ended| -> Vec<Value> {
        let failed = ended.records().into_iter().filter(|record| record["status"] != "ok");
        failed.map(|record| record["input"].clone()).collect()
    };
    assert_eq!(failed(&again), failed(&ended), "the same jobs");
    assert_eq!(again.records().len(), failed(&ended).len(), "and no others");
    (String::from_utf8_lossy(&rejects).into_owned(), failed(&again))
}

// ---- Where a row ends ----

#[test]
fn a_carriage_return_ends_a_row() {
    let csv = ["--from", "csv"];
    check(&csv, b"a,b\r1,2\r3,4\r", json!([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]));
    check(
        &csv,
        b"a,b\n1,foo\rbar\n1,2\r3,4\n",
        json!([{"a": "1", "b": "foo"}, null, {"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    );
    check(&csv, b"a,b\rc,d\n1,2\n", json!([{"a": "c", "b": "d"}, {"a": "1", "b": "2"}]));
    check(&csv, b"\"a\rb\"\n\"1\r2\r\n3\"\n", json!([{"a\rb": "1\r2\r\n3"}]));
}

#[test]
fn a_row_that_ends_with_a_carriage_return_need_not_wait_for_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let script = "(printf 'n\\r1\\r'; until [ -s out ]; do sleep 0.02; done; printf '2\\r') |
        forkpool --from csv --protocol lines -- sed -u 's/[^0-9]//g' > out
        cat out";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "1\n2\n");
}

// ---- Headers ----

#[test]
fn a_column_without_a_name_gets_one() {
    check(&["--from", "csv"], b"\"\",x,\n1,2,3\n", json!([{"column_1": "1", "x": "2", "column_3": "3"}]));
    check(&["--from", "csv"], b",column_1\n1,2\n", json!([{"column_1_2": "1", "column_1": "2"}]));
    let ended = echo(&["--from", "csv", "--to", "csv"], ",x\n1,2\n");
    assert!(ended.text().starts_with("column_1,x,"), "{}", ended.text());
}

#[test]
fn no_column_of_the_output_has_the_name_of_another() {
    let table = "id,status,error.name,data.id\n1,new,x,y\n";
    let ended = echo(&["--from", "csv", "--to", "csv"], table).check_status(0);
    let head = "id,status,error.name,data.id,data.data.id,data.status,data.error.name,data.data.data.id,\
                forkpool.status,forkpool.error.name,error.message";
    assert_eq!(ended.text().lines().next(), Some(head));
    assert_eq!(ended.stderr.matches("forkpool.status, forkpool.error.name").count(), 1, "{}", ended.stderr);
    let again = echo(&["--from", "csv", "--to", "csv", "--meta"], ended.text()).check_status(0);
    let names: Vec<String> = again.text().lines().next().unwrap().split(',').map(str::to_owned).collect();
    let unique: std::collections::HashSet<&String> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");

    let ended = echo(&["--from", "csv", "--to", "csv", "--meta"], "line,ms\nx,y\n").check_status(0);
    let expected =
        "line,ms,data.line,data.ms,status,error.name,error.message,attempts,worker,forkpool.ms,forkpool.line\n";
    assert!(ended.text().starts_with(expected), "{}", ended.text());
    let ended = echo(&["--from", "csv", "--to", "csv"], "a\n1\n").check_status(0);
    assert!(!ended.stderr.contains("columns"), "nothing to say: {}", ended.stderr);
}

#[test]
fn a_table_with_many_columns_takes_no_more_time_for_each() {
    // With a search for each cell this took minutes.
    let names: Vec<String> = (0..20_000).map(|column| format!("c{column}")).collect();
    let row = vec!["1"; names.len()].join(",");
    let table = format!("{}\n{row}\n{row}\n", names.join(","));
    let ended = echo(&["--from", "csv", "--to", "csv"], table).check_status(0);
    assert_eq!(ended.text().lines().count(), 3);
    assert!(ended.text().lines().all(|line| line.split(',').count() == 2 * names.len() + 3));
}

// ---- Delimiters and quotes ----

#[test]
fn delimiters_and_quotes_are_what_the_user_says() {
    let csv = ["--from", "csv"];
    let with = |flags: &[&'static str]| [&csv[..], flags].concat();
    check(&with(&["--delimiter", ";"]), b"a;b\n1,5;2\n", json!([{"a": "1,5", "b": "2"}]));
    check(&with(&["--delimiter", "tab"]), b"a\tb\n1\t2\n", json!([{"a": "1", "b": "2"}]));
    check(&with(&["--quote", "'"]), b"a,b\n'1,''2','\n'\n", json!([{"a": "1,'2", "b": "\n"}]));
    check(&with(&["--quote", "none"]), b"a\n\"1\n", json!([{"a": "\"1"}]));
    let ended = echo(&with(&["--delimiter", ";", "--to", "csv", "--columns", "a,b"]), "a;b\n\"1;5\";2,5\n");
    assert_eq!(ended.text(), "a;b\n\"1;5\";2,5\n", "an output of the same format has them, too");
    let ended = echo(&with(&["--delimiter", ";", "--to", "tsv", "--columns", "a"]), "a;b\n1;2\n");
    assert_eq!(ended.text(), "a\n1\n");
    let ended = echo(&["--delimiter", ";", "--to", "csv", "--columns", "job,data"], "1\n");
    assert_eq!(ended.text(), "job;data\n1;1\n");
    for flags in
        [&["--delimiter", ";"][..], &["--from", "csv", "--delimiter", "xx"], &["--from", "csv", "--quote", ","]]
    {
        echo(flags, "").check_status(2);
    }
}

#[test]
fn a_table_that_is_read_as_one_column_gets_a_hint() {
    for (table, hint) in
        [("a;b\n1;2\n", "--delimiter ';'"), ("a\tb\n1\t2\n", "--from tsv"), ("a|b\n", "--delimiter '|'")]
    {
        let ended = echo(&["--from", "csv"], table).check_status(0);
        assert_eq!(ended.stderr.matches(hint).count(), 1, "{}", ended.stderr);
    }
    for table in ["sep=;\na;b\n1;2\n", "a,b;c\n1,2\n", "a\n1;2\n"] {
        let ended = echo(&["--from", "csv"], table);
        assert!(!ended.stderr.contains("hint"), "{}", ended.stderr);
    }
}

#[test]
fn a_stray_quote_is_never_changed() {
    check(&["--from", "tsv"], b"a\tb\n\"Weird\" Al\t\"x\ty\"\n", json!([{"a": "\"Weird\" Al", "b": "x\ty"}]));
    check(&["--from", "csv"], b"a\n\"Weird\" Al\n5\" nail\n", json!([null, {"a": "5\" nail"}]));
}

#[test]
fn a_quote_that_is_never_closed_loses_nothing() {
    let table = b"a\n1\n\"2\n3\n4\n";
    check(&["--from", "csv"], table, json!([{"a": "1"}, null]));
    let (rejects, _) = rejected(&["--from", "csv"], table);
    assert_eq!(rejects, "a\n\"2\n3\n4\n");
    // A row beyond the limit is left behind where it ends, and the next one is read.
    let long = format!("a\n\"{}\n\"\n2\n", "x\n".repeat(500));
    check(&["--from", "csv", "--max-job-bytes", "100"], long.as_bytes(), json!([null, {"a": "2"}]));
}

// ---- Columns of the output ----

#[test]
fn a_column_may_have_a_comma_or_a_dot_in_its_name() {
    let table = "\"Income, net\",data.x,error.name\n1,2,3\n";
    let columns = "\"Income, net\",input.data.x,\"data.Income, net\",input.error.name";
    let ended = echo(&["--from", "csv", "--to", "csv", "--columns", columns], table).check_status(0);
    assert_eq!(ended.text(), "\"Income, net\",input.data.x,\"data.Income, net\",input.error.name\n1,2,1,3\n");
    let ended = echo(&["--from", "csv", "--columns-in", "\"a, b\",c"], "1,2\n").check_status(0);
    assert_eq!(jobs(&ended), [json!({"a, b": "1", "c": "2"})]);
    for columns in ["a,\"b", "", "a\nb"] {
        echo(&["--to", "csv", "--columns", columns], "1\n").check_status(2);
    }
}

#[test]
fn a_path_that_nothing_can_have_is_refused_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.csv");
    fs::write(&file, "name\nTom\n").unwrap();
    for (columns, words) in [
        ("status.code", "status is no object"),
        ("name,name", "named twice"),
        ("name,,status", "empty"),
        ("input.nmae", "the input has no column \"nmae\""),
    ] {
        let ended = echo(&["-i", text(&file), "--to", "csv", "--columns", columns], "").check_status(2);
        assert!(ended.stderr.contains(words) && ended.stdout.is_empty(), "{}", ended.stderr);
    }
    let columns = "name,data.nmae,erorr.message,error.code,data.name,ms";
    let ended = echo(&["-i", text(&file), "--to", "csv", "--columns", columns], "").check_status(0);
    for name in ["data.nmae", "erorr.message"] {
        assert_eq!(
            ended.stderr.matches(&format!("no record and no job has \"{name}\"")).count(),
            1,
            "{}",
            ended.stderr
        );
    }
    assert_eq!(ended.stderr.matches("no record and no job").count(), 2, "{}", ended.stderr);
}

// ---- Rejects ----

#[test]
fn rejects_of_any_table_give_the_same_jobs_again() {
    let csv = ["--from", "csv"];
    let (rejects, _) = rejected(&csv, b"\xef\xbb\xbfsep=;\r\nname;fail\r\nTom;\r\nMia;no\r\n1\r\n");
    assert_eq!(rejects, "\u{feff}sep=;\r\nname;fail\r\nMia;no\r\n1\r\n");
    assert_eq!(rejected(&csv, b"name,fail\rTom,\rMia,\"n\ro\"\r").0, "name,fail\rMia,\"n\ro\"\r");
    assert_eq!(rejected(&["--from", "csv", "--delimiter", ";"], b"a;fail\n1;x\n").0, "a;fail\n1;x\n");
    let headless = ["--from", "csv", "--columns-in", "fail"];
    assert_eq!(rejected(&headless, b"\"\"\nsep=;\n").0, "sep=,\nsep=;\n");
    assert_eq!(rejected(&["--from", "csv", "--columns-in", "a,fail"], b"sep=;\n1;x\n").0, "sep=;\n1;x\n");
    assert_eq!(rejected(&["--from", "tsv"], b"a\tfail\n\"Weird\" Al\tx\n").0, "a\tfail\n\"Weird\" Al\tx\n");
    assert_eq!(rejected(&["--from", "lines"], b"a\r\nb\xff\r\n").0, "b\u{fffd}\r\n");
    assert_eq!(rejected(&[], b"1\r\n{\"fail\":1}\r\noops\r\n").0, "{\"fail\":1}\r\noops\r\n");
}

#[test]
fn what_was_cut_is_not_rejected_as_if_it_were_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rejects");
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(300));
    let flags = ["--max-job-bytes", "100", "--rejects", text(&file)];
    let ended = echo(&flags, format!("{long}\noops\n{long}\n")).check_status(1);
    assert_eq!(ended.statuses(), ["bad_input"; 3]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "oops\n");
    assert!(ended.stderr.contains("2 jobs are not in the rejects file"), "{}", ended.stderr);
    let table = format!("a\n{}\nok\n\"{}\"\n", "x".repeat(300), "y\n".repeat(300));
    let ended = echo(&[&["--from", "csv"], &flags[..]].concat(), table).check_status(1);
    assert_eq!(ended.statuses(), ["bad_input", "ok", "bad_input"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}
