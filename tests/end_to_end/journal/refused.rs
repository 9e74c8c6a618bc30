//! Journals that are not taken, and nothing is touched.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{ECHO, LINES, Place, check_refused, numbered};
use crate::support::{HANG, forkpool, shell, wait_for};

#[test]
fn a_journal_of_another_run_is_refused_with_a_word_that_says_why() {
    let place = Place::new();
    place.write("in", numbered(5));
    place.write("worker.sh", format!("set -- ran; {}", ECHO.replace("$0", "$1")));
    let worker = ["sh", "worker.sh"];
    place.run(LINES, &worker).end().check_status(0);
    place.take_ran();
    check_refused(&place, LINES, &["sh", "-x", "worker.sh"], "the worker's command has changed");
    let ndjson = LINES.replace("--from lines", "--from ndjson");
    check_refused(&place, &ndjson, &worker, "the input's format was lines when it was begun and is ndjson now");
    check_refused(&place, &format!("{LINES} --key a"), &worker, "--key was not given when it was begun and is a now");
    let json = LINES.replace("--protocol lines", "--protocol json");
    check_refused(&place, &json, &worker, "--protocol was lines");
    place.write("worker.sh", "exec sed -u ''");
    check_refused(&place, LINES, &worker, "the content of the worker's program or script has changed");
}

#[test]
fn a_journal_of_another_handler_is_refused() {
    let place = Place::new();
    place.write("in", "1\n2\n");
    place.write("pet.py", "def pet(job): return job\ndef feed(job): return job\n");
    let run = |handler: &str, flags: &str| {
        let words = format!("--journal journal --resume -j 1 -i in --handler {handler} {flags}");
        forkpool(words.split_ascii_whitespace()).current_dir(place.path("")).end()
    };
    let first = run("pet.py:pet", "").check_status(0);
    let again = run("pet.py:pet", "").check_status(0);
    assert_eq!(again.stdout, first.stdout);
    assert!(again.stderr.contains("; 2 from the journal"), "{}", again.stderr);
    let feed = run("pet.py:feed", "").check_status(2);
    assert!(feed.stderr.contains("the handler's function was pet when it was begun"), "{}", feed.stderr);
    let runtime = run("pet.py:pet", "--runtime python3").check_status(2);
    assert!(runtime.stderr.contains("--runtime was not given when it was begun"), "{}", runtime.stderr);
    place.write("pet.py", "def pet(job): return 5\n");
    let changed = run("pet.py:pet", "").check_status(2);
    assert!(changed.stderr.contains("the content of the handler has changed"), "{}", changed.stderr);
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_kept() {
    let newer = "\"forkpool_journal\":2,\"protocol\":[]}";
    let sum = twox_hash::XxHash3_64::oneshot(newer.as_bytes());
    let newer = format!("{{\"sum\":\"{sum:016x}\",{newer}\n");
    let cases: [(&str, &[u8]); 4] = [
        ("is not a journal", b"name,age\nTom,3\n"),
        ("is not a journal", b"{\"a\":1}"),
        ("has format 2", newer.as_bytes()),
        ("its first line cannot be read", b"{\"sum\":\"0123456789abcdef\",\"forkpool_journal\":1}\n"),
    ];
    for (words, content) in cases {
        let place = Place::new();
        place.write("in", numbered(2));
        place.write("out", "old");
        place.write("journal", content);
        check_refused(&place, LINES, &["sh", "-c", ECHO, "ran"], words);
        assert_eq!(fs::read(place.path("journal")).unwrap(), content);
    }
}

#[test]
fn only_a_regular_file_that_is_nothing_else_is_a_journal() {
    let place = Place::new();
    place.write("in", numbered(2));
    place.write("target", "");
    symlink(place.path("target"), place.path("journal")).unwrap();
    check_refused(&place, LINES, &["cat"], "it is a symbolic link");
    symlink(place.path("nowhere"), place.path("dangling")).unwrap();
    fs::rename(place.path("dangling"), place.path("journal")).unwrap();
    check_refused(&place, LINES, &["cat"], "it is a symbolic link");
    assert!(!place.path("nowhere").exists());
    fs::remove_file(place.path("journal")).unwrap();

    shell("mkfifo journal", place.folder.path()).end().check_status(0);
    let ended = place.echo(&format!("{LINES} --resume")).end().check_status(2);
    assert!(ended.stderr.contains("it is not a regular file"), "{}", ended.stderr);
    fs::remove_file(place.path("journal")).unwrap();

    for (flag, words) in [("-o", "the output"), ("--rejects", "the rejects file"), ("--summary", "the summary")] {
        let flags = format!("-i in --from lines --protocol lines {flag} journal");
        check_refused(&place, &flags, &["cat"], &format!("journal is both {words} and the journal"));
        assert!(!place.path("journal").exists(), "a refused run leaves no file behind");
    }
    fs::hard_link(place.path("in"), place.path("journal")).unwrap();
    check_refused(&place, LINES, &["cat"], "in is both the input and the journal (as journal)");
}

#[test]
fn an_empty_file_that_others_may_read_becomes_private() {
    let place = Place::new();
    place.write("in", numbered(2));
    place.write("journal", "");
    fs::set_permissions(place.path("journal"), fs::Permissions::from_mode(0o666)).unwrap();
    place.echo(LINES).end().check_status(0);
    assert_eq!(fs::metadata(place.path("journal")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn two_runs_do_not_share_a_journal() {
    let place = Place::new();
    shell("mkfifo fifo", place.folder.path()).end().check_status(0);
    let flags = "-j 1 --from lines --protocol lines --to ndjson --resume -i";
    let first = place.echo(&format!("{flags} fifo")).start();
    let mut input = place.open_fifo();
    writeln!(input, "a").unwrap();
    wait_for(HANG, || Some(()).filter(|()| place.journaled() == ["ok"])).expect("the first run has the journal");
    place.write("in", "b\n");
    let second = place.echo(&format!("{flags} in")).end().check_status(2);
    assert!(second.stderr.contains("it is in use by another run"), "{}", second.stderr);
    drop(input);
    first.end().check_status(0);
    assert_eq!(place.take_ran(), ["a"]);
    place.echo(&format!("{flags} in")).end().check_status(0);
}
