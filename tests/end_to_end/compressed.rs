//! Compressed files in and out, and files that are no text at all.

use std::fs;

use crate::formats::echo;
use crate::support::{installed, shell};

#[test]
fn what_is_compressed_is_known_by_its_first_bytes() {
    if !installed("zstd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "\u{feff}n\n1\n2\n").unwrap();
    let script = "gzip < a.csv > gz && zstd -q < a.csv > zst
        for file in gz zst; do forkpool --from csv --protocol lines -- sed -u 's/[^0-9]//g' < $file
        forkpool --from csv -i $file --protocol lines -- sed -u 's/[^0-9]//g'; done
        cat gz | forkpool --from csv --protocol lines -- sed -u 's/[^0-9]//g'";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "1\n2\n".repeat(5));
}

#[test]
fn zeros_behind_gzip_are_padding_and_anything_else_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let script = "(echo 1 | gzip; echo 2 | gzip; head -c 70000 /dev/zero) > z.gz
        forkpool --from lines --protocol lines -i z.gz -- sed -u s/x/y/; echo $?
        (echo 1 | gzip; head -c 5 /dev/zero; echo junk) > z.gz
        forkpool --from lines --protocol lines -i z.gz -- sed -u s/x/y/; echo $?";
    let ended = shell(script, folder.path()).end();
    assert_eq!(ended.text(), "1\n2\n0\n1\n4\n");
}

#[test]
fn what_is_no_text_is_refused_with_a_way_to_convert_it() {
    for (bytes, words, hint) in [
        (&b"PK\x03\x04\x14\0\x06\0"[..], "xlsx", "CSV UTF-8"),
        (b"PAR1\x15\x04\x15\x10", "Parquet", "duckdb"),
        (b"SQLite format 3\0\x10\0", "SQLite", "sqlite3 -json"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls", "CSV UTF-8"),
        (b"\xfd7zXZ\0\0\x04", "xz", "xz -dc"),
    ] {
        for format in ["csv", "ndjson", "json", "lines"] {
            let ended = echo(&["--from", format], bytes).check_status(2);
            assert!(ended.stderr.contains(words) && ended.stderr.contains(hint), "{}", ended.stderr);
            assert!(ended.stdout.is_empty());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("book.xlsx"), b"PK\x03\x04\x14\0\x06\0").unwrap();
    let ended = shell("forkpool -i book.xlsx -o out -- cat; s=$?; ls; exit $s", folder.path()).end().check_status(2);
    assert_eq!(ended.text(), "book.xlsx\n", "nothing was made");
}

// ---- Compressed outputs ----

#[test]
fn the_ending_of_the_output_says_how_it_is_compressed() {
    if !installed("zstd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), "n\n1\nx\n").unwrap();
    let script = "for run in 'o.csv.gz gzip r.gz' 'o.tsv.zst zstd r.csv.zst' 'o.GZ gzip r.csv.gz'; do set -- $run
        forkpool -q -i in.csv -o $1 --rejects $3 -- jq -c --unbuffered 'if .data.n == \"x\" then
            {id, status: \"error\", error: {message: \"no\"}} else {id, status: \"ok\", data: 7} end'
        echo $?; $2 -dc < $1 || echo damaged; $2 -dc < $3 || echo damaged; forkpool -q -i $3 --from csv --protocol lines -- cat; done";
    let expected = "1\nn,data,status,error.name,error.message\n1,7,ok,,\nx,,error,Error,no\nn\nx\n{\"n\":\"x\"}\n\
        1\nn\tdata\tstatus\terror.name\terror.message\n1\t7\tok\t\t\nx\t\terror\tError\tno\nn\nx\n{\"n\":\"x\"}\n\
        1\n{\"job\":1,\"status\":\"ok\",\"data\":7}\n\
        {\"job\":2,\"status\":\"error\",\"error\":{\"name\":\"Error\",\"message\":\"no\"}}\nn\nx\n{\"n\":\"x\"}\n";
    assert_eq!(shell(script, folder.path()).end().text(), expected);
}

#[test]
fn a_compressed_output_of_no_records_is_a_whole_file() {
    if !installed("zstd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script =
        "forkpool -o o.gz --rejects r.zst -- cat </dev/null && gzip -t o.gz && zstd -q -t r.zst && gzip -dc o.gz";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "");
}

#[test]
fn a_run_that_was_killed_leaves_what_can_be_decoded_and_goes_on() {
    if !installed("zstd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The third job waits until the records before it can be read, and kills the run.
    let worker = "import sys, json, os, subprocess, time
ending, decoder = sys.argv[1], sys.argv[2]
def decoded():
    return subprocess.run([decoder, '-dc', 'o.ndjson.' + ending], capture_output=True).stdout.decode()
for line in sys.stdin:
    job = json.loads(line)
    if job['id'] == 3 and not os.path.exists(ending + '.killed'):
        while ending == 'gz' and decoded().count('\\n') < 2:
            time.sleep(0.05)
        open(ending + '.killed', 'w').close()
        os.kill(os.getppid(), 9)
        time.sleep(9)
    print(json.dumps({'id': job['id'], 'status': 'ok', 'data': job['data']}), flush=True)
";
    fs::write(folder.path().join("worker.py"), worker).unwrap();
    let script = "seq 5 > in.ndjson; seq 5 | sed 's/.*/{\"job\":&,\"status\":\"ok\",\"data\":&}/' > expected
        for run in 'gz gzip' 'zst zstd'; do set -- $run
        for part in 1 2; do forkpool -q -j 1 --journal j.$1 --resume -i in.ndjson -o o.ndjson.$1 -- python3 worker.py $1 $2 2>/dev/null; done
        $2 -dc o.ndjson.$1 | cmp - expected && echo same; done";
    assert_eq!(shell(script, folder.path()).end().text(), "same\nsame\n");
}

#[test]
fn an_output_that_nobody_can_write_is_refused() {
    for name in ["o.xlsx", "o.csv.xz", "o.parquet", "o.zip"] {
        let ended = echo(&["-o", name], "1\n").check_status(2);
        assert!(ended.stderr.contains("cannot write") && ended.stderr.contains(".csv.gz"), "{}", ended.stderr);
    }
}
