//! Memory is bounded by options and not by the input: what forkpool has taken at most, as the system tells.

use std::fs;
use std::io::{BufRead, BufReader, Read};

use serde_json::json;

use crate::support::{Running, chaotic, forkpool, lines, records, wait_until_there};

const MIB: usize = 1 << 20;

/// The most memory that it has had so far, in bytes.
fn peak(running: &Running) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn jobs_behind_a_reader_that_does_not_read_are_not_read_either() {
    let folder = tempfile::tempdir().unwrap();
    // 30 MiB, which are as much again as records.
    let count = 150_000;
    let jobs: String = (0..count).map(|number| format!("{number:0>200}\n")).collect();
    fs::write(folder.path().join("jobs"), jobs).unwrap();
    let words = "-q -j 2 --depth 64 --memory 4MiB --protocol lines --from lines -i jobs -i - -- cat";
    // It reads its stdin last, so that it is there until that ends.
    let (mut running, stdin) = forkpool(words.split(' ')).current_dir(folder.path()).start_with_stdin();
    running.wait_until_it_is_held_up();
    let mut stdout = BufReader::new(running.child().stdout.take().unwrap());
    let mut read = String::new();
    for number in 0..count {
        read.clear();
        stdout.read_line(&mut read).unwrap();
        assert_eq!(read.trim_end(), format!("{number:0>200}"));
    }
    let peak = peak(&running);
    assert!(peak < 32 * MIB, "{} KiB", peak / 1024);
    drop(stdin);
    running.end().check_status(0);
}

#[test]
fn large_results_that_wait_for_a_slow_job_wait_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (go, last) = (folder.path().join("go"), folder.path().join("last"));
    let mut jobs = vec![json!({"do": ["wait", "answer"], "wait": go})];
    jobs.extend(vec![json!({"do": "huge", "n": 1}); 64]);
    jobs.push(json!({"do": ["touch", "answer"], "touch": last}));
    fs::write(folder.path().join("jobs"), lines(&jobs)).unwrap();
    let run = chaotic("-q -j 2 --memory 4MiB -i jobs -i -").current_dir(folder.path());
    let (mut running, stdin) = run.start_with_stdin();
    let mut stdout = BufReader::new(running.child().stdout.take().unwrap());
    // The last job is begun once all the others are answered, but for the slow one.
    wait_until_there(&last);
    fs::write(go, "").unwrap();
    let mut read = Vec::new();
    for _ in &jobs {
        stdout.read_until(b'\n', &mut read).unwrap();
    }
    let peak = peak(&running);
    assert!(peak < 32 * MIB, "{} KiB", peak / 1024);
    drop(stdin);
    stdout.read_to_end(&mut read).unwrap();
    assert_eq!(records(&read).len(), jobs.len());
    running.end().check_status(0);
}
