//! No process outlives the run, and one that forkpool cannot reach holds nothing up.

use std::fs;

use serde_json::{Value, json};

use crate::support::{chaotic, kill, lines, side_by_side, wait_until_there};

#[test]
fn kill_9_of_forkpool_leaves_no_worker() {
    for options in ["", " -- --ready"] {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        // One worker is busy and deaf to everything but SIGKILL, the others are idle.
        let mut run = chaotic(&format!("-j 4{options}"));
        run.command().stdin(std::process::Stdio::piped());
        let mut running = run.start();
        let mut stdin = running.child().stdin.take().unwrap();
        let job = json!({"do": ["stubborn", "touch", "hang"], "touch": there});
        std::io::Write::write_all(&mut stdin, lines(&[job]).as_bytes()).unwrap();
        wait_until_there(&there);
        kill(running.id(), libc::SIGKILL);
        // `end` checks that no process of the run is left.
        running.end().check_status(137);
    }
}

#[test]
fn a_grandchild_goes_with_its_worker_at_the_end_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = [json!({"do": "orphan", "pid": folder.path().join("pid")}), json!(7)];
    chaotic("-j 1").stdin(lines(&jobs)).end().check_status(0);
}

#[test]
fn a_grandchild_goes_with_a_worker_that_dies_or_is_recycled() {
    for (fault, status) in [("crash", 1), ("exit", 1), ("garbage", 1), ("recycle", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let jobs = [json!({"do": ["orphan", fault], "pid": pid}), json!({"do": "alive", "pid": pid})];
        let ended = chaotic("-j 1 -- --ready").stdin(lines(&jobs)).end().check_status(status);
        assert_eq!(ended.records()[1]["data"], false, "{fault}: it outlived its worker");
    }
}

#[test]
fn a_daemon_that_left_the_group_holds_up_neither_a_job_nor_the_end() {
    side_by_side(["answer", "exit", "crash", "hang"], |step| {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let jobs = [json!({"do": ["daemon", step], "pid": pid}), json!(7)];
        let mut running = chaotic("-j 1 --timeout 2s --grace 100ms -- --ready").stdin(lines(&jobs)).start();
        let ended = running.end_leaving_processes();
        let expected = match step {
            "answer" => "ok",
            "hang" => "timeout",
            _ => "died",
        };
        assert_eq!(ended.statuses(), [expected, "ok"], "{step}: {}", ended.stderr);
        // The daemon is out of forkpool's reach, and alive: nobody has waited for it.
        let daemon = fs::read_to_string(pid).unwrap();
        assert!(running.processes().contains(&daemon.parse().unwrap()));
    });
}

#[test]
fn the_dead_are_buried_as_they_fall() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    // With an answer between two deaths, the next worker is started at once.
    let mut jobs: Vec<Value> = [json!({"do": "crash"}), json!(7)].into_iter().cycle().take(20).collect();
    jobs.push(json!({"do": ["touch", "wait"], "touch": there, "wait": folder.path().join("go")}));
    let running = chaotic("-j 1 -- --ready").stdin(lines(&jobs)).start();
    wait_until_there(&there);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.id())).unwrap();
    let own: Vec<String> = fs::read_dir(format!("/proc/{}/task", running.id()))
        .unwrap()
        .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default())
        .collect();
    let children = children + &own.concat();
    let zombies = children.split_whitespace().filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    });
    assert_eq!(zombies.count(), 0);
    fs::write(folder.path().join("go"), "").unwrap();
    running.end().check_status(1);
}
