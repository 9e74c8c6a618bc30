//! What people type wrong the first time is told them in words that say what to type instead.

use std::fs;

use std::path::Path;

use crate::support::{chaotic, forkpool, shell, side_by_side};

/// A shell line, its exit status, and what it says on stderr.
const MISTAKES: &[(&str, i32, &str)] = &[
    ("echo 1 | forkpool -j1 -- cat", 1, "hint: a line filter, such as cat, sed or jq, needs --protocol lines"),
    ("echo 1 | forkpool -j1 -- sed -u s/data/x/", 1, "has no status"),
    (
        "printf 'name,age\\nTom,3\\n' | forkpool -- cat",
        1,
        "stdin: the first line is no JSON; hint: --from csv for a table",
    ),
    ("printf 'name;age\\nTom;3\\n' | forkpool -- cat", 1, "hint: --from csv --delimiter ';'"),
    ("printf 'name\\tage\\nTom\\t3\\n' | forkpool -- cat", 1, "hint: --from tsv"),
    ("printf 'Tom\\n' | forkpool -- cat", 1, "hint: --from lines"),
    ("printf '\"M\\374ller\"\\n' | forkpool -- cat", 1, "hint: iconv -f latin1"),
    ("printf 'M\\374ller\\n' | forkpool --from lines -- cat", 1, "hint: iconv -f latin1"),
    ("printf 'n\\nM\\374ller\\n' | forkpool --from csv -- cat", 1, "hint: iconv -f latin1"),
    ("printf 'n\\374\\n1\\n' | forkpool --from csv -- cat", 2, "hint: iconv -f latin1"),
    ("printf '[\"M\\374ller\"]' | forkpool --from json -- cat", 1, "hint: iconv -f latin1"),
    ("forkpool -q -- cat -i in.ndjson -o out </dev/null", 0, "hint: -i in.ndjson -o out stand behind the program"),
    ("forkpool -- cat </dev/null", 0, "0 jobs: stdin was empty"),
    ("forkpool -i empty -i /dev/null -- cat", 0, "0 jobs: all 2 inputs were empty"),
    ("forkpool -i empty --dry-run --handler h.py:nope", 3, "has no function nope; there are: "),
    ("forkpool --halt now,fail=1 -- cat", 2, "tip: here: --max-failures N"),
];

#[test]
fn each_is_told_what_to_type_instead() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(folder.path().join("h.py"), "def handler(job): return job\n").unwrap();
    side_by_side(MISTAKES, |(line, status, expected)| {
        let ended = shell(line, folder.path()).end();
        assert!(ended.stderr.contains(expected), "{line}: {}", ended.stderr);
        ended.check_status(*status);
    });
}

/// What is no mistake is told nothing.
#[test]
fn an_empty_input_is_no_reason_to_say_anything_in_a_quiet_run() {
    let folder = tempfile::tempdir().unwrap();
    for line in
        ["forkpool -q -- sed -u -e s/-i/-o/ </dev/null", "echo 1 | forkpool -q --protocol lines -- sh -c cat -i"]
    {
        assert_eq!(shell(line, folder.path()).end().stderr.lines().filter(|line| line.contains("hint")).count(), 0);
    }
}

/// Without a program that sets it, the source of the manual is shown.
#[test]
fn the_manual_comes_with_the_program() {
    for (flag, expected) in [("--man", "forkpool"), ("--man=worker", "protocol")] {
        let run = || forkpool([flag]);
        for ended in [run().end(), run().env("PATH", "/nonexistent").end()] {
            assert!(ended.check_status(0).text().contains(expected), "{flag}");
        }
    }
}

#[test]
fn an_async_handler_that_waits_and_was_never_given_concurrency_has_a_hint_and_any_other_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("wait.mjs", "export default (job) => new Promise((done) => setTimeout(done, 200));");
    write("wait.py", "import asyncio\nasync def wait(job): await asyncio.sleep(0.2)");
    write("block.py", "import time\ndef block(job): time.sleep(0.2)");
    let cases = [("wait.mjs", true), ("wait.py", true), ("block.py", false), ("wait.py --concurrency 2", false)];
    side_by_side(cases, |(words, is_hinted)| {
        let words = format!("-j 4 --handler {words}");
        let jobs = "1\n".repeat(24);
        let ended = forkpool(words.split(' ')).current_dir(folder.path()).stdin(jobs).end().check_status(0);
        let hint = "hint: the async handler waited for";
        assert_eq!(ended.stderr.contains(hint), is_hinted, "{words}: {}", ended.stderr);
        assert_eq!(ended.stderr.contains("with --concurrency"), is_hinted, "{words}: {}", ended.stderr);
    });
}

#[test]
fn a_wrapper_whose_workers_never_start_is_named() {
    let ended = shell("echo 1 | forkpool -j 1 --wrap 'sh -c \"exit 3\"' -- cat", Path::new("/")).end().check_status(3);
    assert!(ended.stderr.contains("hint: --wrap puts sh before the worker"), "{}", ended.stderr);
}

#[test]
fn an_id_that_no_job_has_is_told_once() {
    let run = |id: &str| {
        let ended = chaotic(&format!("--id {id}")).stdin("{\"do\":\"answer\",\"name\":1}\n2\n").end().check_status(0);
        ended.stderr.matches("--id: no job has a field").count()
    };
    assert_eq!((run("nme"), run("name")), (1, 0));
}
