//! Formats in and out, end to end: what a reader of the files sees.

use std::fs;
use std::path::Path;

use crate::support::{Ended, forkpool, installed, shell};

/// A worker that answers each job with itself, or fails where it has a field `fail`.
const ECHO: &str = "import sys, json
for line in sys.stdin.buffer:
    job = json.loads(line)
    data = job['data']
    if isinstance(data, dict) and data.get('fail'):
        reply = {'status': 'error', 'error': {'name': 'Failed', 'message': data['fail']}}
    else:
        reply = {'status': 'ok', 'data': data}
    print(json.dumps({'id': job['id'], **reply}, ensure_ascii=False), flush=True)
";

pub fn echo(flags: &[&str], input: impl AsRef<[u8]>) -> Ended {
    forkpool([flags, &["--", "python3", "-c", ECHO]].concat()).stdin(input).end()
}

/// Answers with what jq makes of the job.
fn jq(flags: &[&str], filter: &str, input: &str) -> Ended {
    let program = format!(". as {{$id, $data}} | {{$id, status: \"ok\", data: ($data | {filter})}}");
    forkpool([flags, &["--", "jq", "-c", "--unbuffered", &program]].concat()).stdin(input).end()
}

// ---- Input ----

#[test]
fn numbers_key_order_and_duplicate_keys_pass_through_untouched() {
    let line = "{\"b\":12345678901234567890,\"a\":1e400,\"b\":1.10,\"u\":\"\\u00e9\"}";
    let worker = "while read -r line; do id=${line#*:}; echo \"{\\\"id\\\":${id%%,*},\\\"status\\\":\\\"ok\\\",\
                  \\\"data\\\":${line#*\\\"data\\\":}\"; done";
    let ended = forkpool(["--", "bash", "-c", worker]).stdin(format!("{line}\n")).end().check_status(0);
    assert_eq!(ended.text(), format!("{{\"job\":1,\"status\":\"ok\",\"data\":{line}}}\n"));
}

#[test]
fn blank_lines_marks_and_line_ends_make_no_difference() {
    let ended = echo(&[], "\u{feff}1\r\n\n  \n2\n3").check_status(0);
    let data: Vec<String> = ended.records().iter().map(|record| record["data"].to_string()).collect();
    assert_eq!(data, ["1", "2", "3"]);
}

#[test]
fn a_line_that_is_no_job_has_its_record_in_its_place() {
    let ended = echo(&["--meta"], "1\n{oops\n\n3\n").check_status(1);
    assert_eq!(ended.statuses(), ["ok", "bad_input", "ok"]);
    let bad = &ended.records()[1];
    assert_eq!((&bad["line"], &bad["error"]["line"], &bad["attempts"]), (&2.into(), &2.into(), &0.into()));
    assert_eq!(ended.records()[2]["line"], 4);
}

#[test]
fn rows_of_a_table_are_objects_of_strings() {
    let table = "name,zip\n\"Tom, jr\",007\n\"two\nlines\",\n";
    let ended = echo(&["--from", "csv"], table).check_status(0);
    let data: Vec<String> = ended.records().iter().map(|record| record["data"].to_string()).collect();
    assert_eq!(data, ["{\"name\":\"Tom, jr\",\"zip\":\"007\"}", "{\"name\":\"two\\nlines\",\"zip\":\"\"}"]);
    let ended = echo(&["--from", "tsv", "--columns-in", "a,b"], "1\tx,y\n").check_status(0);
    assert_eq!(ended.records()[0]["data"].to_string(), "{\"a\":\"1\",\"b\":\"x,y\"}");
}

#[test]
fn a_ragged_row_and_one_that_is_not_utf8_name_their_line() {
    let ended = echo(&["--from", "csv"], b"a,b\n1,2\n1\n\xff,2\n3,4\n").check_status(1);
    assert_eq!(ended.statuses(), ["ok", "bad_input", "bad_input", "ok"]);
    let messages = ended.records().iter().map(|record| record["error"]["message"].to_string()).collect::<Vec<_>>();
    assert_eq!(messages[1], "\"line 3: expected 2 fields, found 1\"");
    assert_eq!(messages[2], "\"line 4: column \\\"a\\\" is not UTF-8\"");
}

#[test]
fn a_header_that_cannot_be_used_is_refused_and_writes_nothing() {
    for (table, words) in [("a,b,a\n1,2,3\n", "columns 1 and 3 are both called \"a\""), ("\"a\"b\n", "cannot be read")]
    {
        let ended = echo(&["--from", "csv", "--to", "csv"], table).check_status(2);
        assert!(ended.stderr.contains(words) && ended.stdout.is_empty(), "{}", ended.stderr);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "a,b\n1,2\n").unwrap();
    fs::write(folder.path().join("b.csv"), "a,c\n1,2\n").unwrap();
    let ended = shell("forkpool -i a.csv -i b.csv -- cat", folder.path()).end().check_status(2);
    assert!(ended.stderr.contains("b.csv") && ended.stderr.contains("header"), "{}", ended.stderr);
}

#[test]
fn lines_are_strings_blank_ones_too() {
    let ended = echo(&["--from", "lines"], "a \"b\"\r\n\nc").check_status(0);
    let data: Vec<String> = ended.records().iter().map(|record| record["data"].to_string()).collect();
    assert_eq!(data, ["\"a \\\"b\\\"\"", "\"\"", "\"c\""]);
}

#[test]
fn the_ending_of_the_file_says_what_it_is_compressed_or_not() {
    if !installed("gzip") || !installed("zstd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "n\n1\n").unwrap();
    fs::write(folder.path().join("b.csv"), "n\n2\n").unwrap();
    // A gzip file may have several members, a zstd file several frames.
    let script = "gzip -k a.csv && gzip -k b.csv && zstd -q a.csv && printf 'n\\n' | zstd -q > c.csv.zst \
        && echo 3 | zstd -q >> c.csv.zst && tail -n 1 b.csv | gzip >> a.csv.gz \
        && forkpool --protocol lines -i a.csv -i a.csv.gz -i b.csv.gz -i a.csv.zst -i c.csv.zst -- sed -u 's/[^0-9]//g'";
    let ended = shell(script, folder.path()).end().check_status(0);
    assert_eq!(ended.text(), "1\n1\n2\n2\n1\n3\n");
}

#[test]
fn a_compressed_file_that_is_cut_off_loses_only_its_end() {
    if !installed("gzip") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "seq 100000 | gzip | head -c 100000 > n.gz; forkpool --protocol lines -i n.gz -- sed -u s/a/b/ > out; \
        s=$?; head -n 2 out; exit $s";
    let ended = shell(script, folder.path()).end().check_status(4);
    assert_eq!(ended.text(), "1\n2\n");
    assert!(ended.stderr.contains("cannot read n.gz"), "{}", ended.stderr);
}

#[test]
fn several_files_are_read_in_their_order_and_messages_say_which() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.ndjson"), "1\n").unwrap();
    fs::write(folder.path().join("b.ndjson"), "2\noops\n").unwrap();
    let script = "echo 3 | forkpool -i a.ndjson -i b.ndjson -i - -- jq -c --unbuffered '{id, status: \"ok\", data}'";
    let ended = shell(script, folder.path()).end().check_status(1);
    assert_eq!(ended.statuses(), ["ok", "ok", "bad_input", "ok"]);
    let message = ended.records()[2]["error"]["message"].to_string();
    assert!(message.starts_with("\"b.ndjson: line 2: "), "{message}");
}

#[test]
fn utf16_is_told_from_utf8() {
    let ended = echo(&[], b"\xff\xfe1\0\n\0").check_status(2);
    assert!(ended.stderr.contains("UTF-16") && ended.stderr.contains("iconv"), "{}", ended.stderr);
}

// ---- Records ----

#[test]
fn meta_and_echo_add_to_the_record() {
    let ended = echo(&["-j", "1", "--meta", "--echo"], "{\"n\":1.0}\n").check_status(0);
    let record = &ended.records()[0];
    assert_eq!((&record["attempts"], &record["worker"], &record["line"]), (&1.into(), &0.into(), &1.into()));
    assert!(record["ms"].as_f64().is_some_and(|ms| ms > 0.0));
    assert!(ended.text().ends_with(",\"input\":{\"n\":1.0}}\n"), "{}", ended.text());
}

#[test]
fn unordered_records_are_written_as_they_finish() {
    let folder = tempfile::tempdir().unwrap();
    // The first job waits until the record of the second one is there.
    let worker = "import sys, json, os, time
for line in sys.stdin:
    job = json.loads(line)
    while job['id'] == 1 and not os.path.getsize('out'):
        time.sleep(0.01)
    print(json.dumps({'id': job['id'], 'status': 'ok', 'data': 0}), flush=True)
";
    fs::write(folder.path().join("worker.py"), worker).unwrap();
    let script = "printf '1\\n2\\n' | forkpool -j 2 --unordered -o out -- python3 worker.py && cut -c 1-8 out";
    let ended = shell(script, folder.path()).end().check_status(0);
    assert_eq!(ended.text(), "{\"job\":2\n{\"job\":1\n");
}

#[test]
fn the_first_record_is_there_before_the_input_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "(echo 1; until [ -s out ]; do sleep 0.02; done; echo 2) | forkpool --protocol lines -- sed -u s/a/b/ > out
        cat out";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "1\n2\n");
}

// ---- Lines out ----

#[test]
fn line_n_belongs_to_job_n() {
    let input = "\"plain\"\n{\"fail\":\"no\"}\n\"two\\nlines\"\n{\"n\":1}\nnull\n";
    let ended = echo(&["--to", "lines"], input).check_status(1);
    assert_eq!(ended.text(), "plain\n\n\"two\\nlines\"\n{\"n\": 1}\nnull\n");
    assert!(ended.stderr.contains("job 2 (line 2) error: Failed: no"), "{}", ended.stderr);
    echo(&["--to", "lines", "--unordered"], "1\n").check_status(2);
}

// ---- Tables out ----

#[test]
fn a_table_has_the_columns_of_the_input_then_those_of_the_results() {
    let table = "name,age\nTom,3\nMia,1\n";
    let ended = jq(&["--from", "csv", "--to", "csv"], "if .name == \"Tom\" then {purr: 1.5, age: 4} else 7 end", table);
    let expected = "name,age,purr,data.age,data,status,error.name,error.message\nTom,3,1.5,4,,ok,,\nMia,1,,,7,ok,,\n";
    assert_eq!(ended.check_status(0).text(), expected);
}

#[test]
fn a_table_of_json_jobs_has_their_keys_in_the_order_first_seen() {
    let ended = jq(&["--to", "tsv"], "{c: [.a]}", "{\"b\":{\"x\":1}}\n{\"a\":\"t\\tab\",\"b\":null}\n");
    let expected = "b\ta\tc\tstatus\terror.name\terror.message\n\
                    \"{\"\"x\"\":1}\"\t\t[null]\tok\t\t\n\t\"t\tab\"\t\"[\"\"t\\tab\"\"]\"\tok\t\t\n";
    assert_eq!(ended.check_status(0).text(), expected);
    let ended = echo(&["--from", "lines", "--to", "csv"], "x\n").check_status(0);
    assert_eq!(ended.text(), "input,data,status,error.name,error.message\nx,x,ok,,\n");
}

#[test]
fn a_table_without_rows_has_its_header() {
    let ended = echo(&["--from", "csv", "--to", "csv"], "a,b\n").check_status(0);
    assert_eq!(ended.text(), "a,b,status,error.name,error.message\n");
}

#[test]
fn chosen_columns_stream_and_reach_into_record_job_and_result() {
    let flags = ["--from", "csv", "--to", "csv", "--columns", "job,name,data.name,error.message,nothing"];
    let ended = echo(&flags, "name,fail\nTom,\nMia,no\n").check_status(1);
    assert_eq!(ended.text(), "job,name,data.name,error.message,nothing\n1,Tom,Tom,,\n2,Mia,,no,\n");
    let folder = tempfile::tempdir().unwrap();
    let script = "(echo n; echo 1; until grep -q 1 out; do sleep 0.02; done; echo 2) |
        forkpool --from csv --to csv --columns data --protocol lines -- sed -u 's/[^0-9]//g' > out
        cat out";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "data\n1\n2\n");
}

#[test]
fn formulas_are_disarmed_when_asked() {
    let table = "a\n=1+1\n-5\n+cmd\n@x\n";
    let columns = ["--from", "csv", "--to", "csv", "--columns", "a"];
    let ended = echo(&[&columns[..], &["--csv-safe"]].concat(), table).check_status(0);
    assert_eq!(ended.text(), "a\n'=1+1\n-5\n'+cmd\n'@x\n");
    assert_eq!(echo(&columns, table).check_status(0).text(), "a\n=1+1\n-5\n+cmd\n@x\n");
}

// ---- Rejects ----

/// What is written to `--rejects`.
fn rejects(flags: &[&str], input: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rejects");
    echo(&[&["--rejects", text(&file)], flags].concat(), input).check_status(1);
    fs::read(file).unwrap()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is text")
}

#[test]
fn rejects_are_ready_to_be_fed_in_again() {
    let table = b"name,fail\r\nTom,\r\n\"Mia\nMao\",\"no\"\r\nragged\r\n";
    let rejected = rejects(&["--from", "csv"], table);
    assert_eq!(String::from_utf8(rejected).unwrap(), "name,fail\r\n\"Mia\nMao\",\"no\"\r\nragged\r\n");
    assert_eq!(rejects(&[], b" {\"fail\":\"x\",\"n\":1.0}\n2\noops\n"), b"{\"fail\":\"x\",\"n\":1.0}\noops\n");
    assert_eq!(rejects(&["--from", "lines"], b"fine\nb\xffd\n"), b"b\xffd\n");
    let long = [&b"["[..], &b"x".repeat(100_000), b"\n"].concat();
    assert_eq!(rejects(&[], &long), long, "whole, however long");
    assert_eq!(rejects(&["--from", "csv", "--columns-in", "name,fail"], b"Tom,\nMia,no\n"), b"Mia,no\n");
}

#[test]
fn a_run_without_rejects_leaves_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rejects");
    echo(&["--rejects", text(&file)], "1\n").check_status(0);
    assert_eq!(fs::read(file).unwrap(), b"");
}
