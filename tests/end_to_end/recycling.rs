//! Planned and unplanned replacement of workers: recycling, and the budget of failed starts.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use libc::SIGUSR2;
use serde_json::json;

use crate::support::{Ended, Running, chaotic, forkpool, kill, lines, shell, side_by_side, wait_for};

/// How many jobs each process has answered with its environment.
fn jobs_by_process(ended: &Ended) -> HashMap<u64, usize> {
    let mut jobs = HashMap::new();
    for record in ended.records() {
        if let Some(pid) = record["data"]["pid"].as_u64() {
            *jobs.entry(pid).or_default() += 1;
        }
    }
    jobs
}

#[test]
fn one_job_for_each_worker_is_exact() {
    for depth in [1, 4] {
        let words = format!("-j 2 --depth {depth} --recycle-jobs 1 --meta");
        let ended = chaotic(&words).stdin(lines(&vec![json!({"do": "env"}); 30])).end().check_status(0);
        assert_eq!(jobs_by_process(&ended).len(), 30);
        assert!(ended.records().iter().all(|record| record["attempts"] == 1));
    }
}

#[test]
fn a_worker_is_replaced_after_so_many_jobs() {
    for depth in [1, 4] {
        let words = format!("-j 2 --depth {depth} --recycle-jobs 10");
        let ended = chaotic(&words).stdin(lines(&vec![json!({"do": "env"}); 100])).end().check_status(0);
        let jobs = jobs_by_process(&ended);
        assert!(jobs.len() >= 10 && jobs.values().all(|&jobs| jobs <= 10), "{jobs:?}");
        assert!(ended.stderr.contains("recycled worker"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("restart"), "{}", ended.stderr);
    }
}

#[test]
fn a_worker_that_has_grown_is_replaced_between_jobs() {
    let mut jobs = vec![json!({"do": "env"}), json!({"do": "allocate", "n": 100})];
    jobs.extend(vec![json!({"do": ["slow", "env"], "n": 30}); 20]);
    let ended = chaotic("-j 1 --recycle-memory 80MiB --meta").stdin(lines(&jobs)).end().check_status(0);
    let records = ended.records();
    assert_ne!(records[0]["data"]["pid"], records[21]["data"]["pid"], "{}", ended.stderr);
    assert!(records.iter().all(|record| record["attempts"] == 1));
    assert!(ended.stderr.contains("1 recycled worker"), "{}", ended.stderr);
}

#[test]
fn a_worker_that_is_old_is_replaced_between_jobs() {
    let jobs = vec![json!({"do": ["slow", "env"], "n": 100}); 20];
    let ended = chaotic("-j 2 --recycle-age 500ms --meta").stdin(lines(&jobs)).end().check_status(0);
    assert!(jobs_by_process(&ended).len() > 2, "{}", ended.stderr);
    assert!(ended.records().iter().all(|record| record["attempts"] == 1));
}

#[test]
fn a_worker_may_ask_to_be_replaced() {
    for depth in [1, 4] {
        let mut jobs = vec![json!({"do": "env"}); 12];
        jobs[3] = json!({"do": ["recycle", "env"]});
        let words = format!("-j 1 --depth {depth} --meta");
        let ended = chaotic(&words).stdin(lines(&jobs)).end().check_status(0);
        assert_eq!(jobs_by_process(&ended).len(), 2);
        assert!(ended.records().iter().all(|record| record["attempts"] == 1));
    }
}

#[test]
fn a_recycled_worker_that_does_not_leave_is_ended() {
    let jobs = vec![json!({"do": ["stubborn", "answer", "hang"]}); 2];
    let ended = chaotic("-j 1 --recycle-jobs 1 --grace 100ms --meta").stdin(lines(&jobs)).end().check_status(0);
    assert!(ended.records().iter().all(|record| record["attempts"] == 1));
}

// ---- Starts ----

/// A worker that never gets anywhere; each start leaves a line in the file `starts`.
const HOPELESS: &str = "echo start >> starts; echo 'no cat in this house' >&2; exit 3";

#[test]
fn workers_that_never_start_end_the_run_with_their_own_words() {
    side_by_side([1, 4], |workers| {
        let folder = tempfile::tempdir().unwrap();
        let run = forkpool(["-j", &workers.to_string(), "--", "sh", "-c", HOPELESS]).current_dir(folder.path());
        let ended = run.stdin("7\n".repeat(2000)).end().check_status(3);
        assert!(ended.stderr.contains("workers keep failing to start"), "{}", ended.stderr);
        assert!(ended.stderr.contains("exited with status 3"), "{}", ended.stderr);
        assert!(ended.stderr.contains("no cat in this house"), "{}", ended.stderr);
        let starts = fs::read_to_string(folder.path().join("starts")).unwrap().lines().count();
        assert!((5 + workers..=5 + 2 * workers).contains(&starts), "{starts} starts");
        // No worker has read a job, so no job has a record.
        assert_eq!(ended.text(), "");
        assert!(!ended.stderr.contains(" jobs in "), "the reason is the last thing that is said: {}", ended.stderr);
    });
}

#[test]
fn workers_that_never_start_leave_the_last_output_as_it_was() {
    for worker in ["-- sh -c 'exit 3'", "--handler pet.py"] {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        ["old", "rejects"].into_iter().for_each(|name| write(name, "of yesterday\n"));
        write("jobs", &"7\n".repeat(2000));
        write("pet.py", "import no_such_module\n\ndef handler(job):\n    return job\n");
        let outputs = "-q -j 2 -i jobs -o old --rejects rejects --journal new";
        let script = format!("forkpool {outputs} {worker}");
        shell(&script, folder.path()).end().check_status(3);
        for name in ["old", "rejects"] {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "of yesterday\n", "{script}: {name}");
        }
        assert!(!folder.path().join("new").exists(), "{script}");
    }
}

#[test]
fn workers_that_eat_a_job_at_every_start_end_the_run_too() {
    let ended = chaotic("-j 2").stdin(lines(&vec![json!({"do": "crash"}); 500])).end().check_status(3);
    let statuses = ended.statuses();
    let died = statuses.iter().filter(|status| *status == "died").count();
    assert!((7..=9).contains(&died), "{died} charged");
    assert_eq!(statuses.len() - died, statuses.iter().filter(|status| *status == "not_run").count());
}

#[test]
fn deaths_of_workers_that_were_ready_never_end_the_run() {
    let ended = chaotic("-j 8 -- --ready").stdin(lines(&vec![json!({"do": "crash"}); 40])).end().check_status(1);
    assert_eq!(ended.statuses(), ["died"; 40]);
}

#[test]
fn a_failed_start_costs_no_job() {
    let folder = tempfile::tempdir().unwrap();
    let words = format!("-j 2 --meta -- --fail-unless {}", folder.path().join("there").display());
    let ended = chaotic(&words).stdin(lines(&vec![json!(7); 20])).end().check_status(0);
    assert!(ended.records().iter().all(|record| record["attempts"] == 1), "{}", ended.text());
}

#[test]
fn a_banner_at_every_start_is_shown_and_ends_the_run() {
    let ended = chaotic("-j 1 -- --banner Welcome!").stdin("7\n".repeat(50)).end().check_status(3);
    assert_eq!(ended.records()[0]["error"]["output"], "Welcome!");
    assert!(ended.stderr.contains("Welcome!"), "{}", ended.stderr);
}

#[test]
fn a_program_that_cannot_be_started_is_named_before_anything_is_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plain"), "#!/bin/sh\n").unwrap();
    fs::write(folder.path().join("lost"), "#!/no/such/shell\n").unwrap();
    fs::write(folder.path().join("junk"), "junk").unwrap();
    for name in ["lost", "junk"] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let cases = [("./nowhere", "No such file"), ("nowhere", "no such program in PATH"), ("./plain", "not executable")];
    let more = [("./lost", ""), ("./junk", ""), (".", "directory"), ("/", "directory")];
    side_by_side(cases.into_iter().chain(more), |(program, words)| {
        let ended = forkpool(["-j", "2", "--", program]).current_dir(folder.path()).stdin("7\n").end().check_status(3);
        assert!(ended.stderr.contains(program.trim_start_matches("./")), "{program}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{program}: {}", ended.stderr);
        assert_eq!(ended.text(), "", "{program}");
    });
}

/// Writes a Python handler that answers with `version`, or one that cannot be loaded.
fn edit(folder: &Path, version: Option<u32>) {
    // The sizes of the two differ: Python takes a file of the same second and size for the one it has compiled.
    let body = |version| {
        let comment = "#".repeat(version as usize);
        format!("import time\ndef handler(job): time.sleep(job); return {version} {comment}\n")
    };
    let body = version.map_or("def handler(:".to_owned(), body);
    fs::write(folder.join("pet.py"), body).unwrap();
}

/// Two workers of the handler, both of which have answered a job, and how many jobs they were given.
fn served(folder: &Path) -> (Running, std::process::ChildStdin, usize) {
    let mut jobs = 0;
    edit(folder, Some(1));
    let words = "-j 2 --handler pet.py -o out.ndjson --meta";
    let (running, mut stdin) = forkpool(words.split(' ')).current_dir(folder).start_with_stdin();
    let both_have_answered = || {
        jobs += 1;
        stdin.write_all(b"0.01\n").unwrap();
        let records = fs::read_to_string(folder.join("out.ndjson")).unwrap_or_default();
        (records.contains("\"worker\":0") && records.contains("\"worker\":1")).then_some(())
    };
    wait_for(Duration::from_secs(60), both_have_answered).expect("each is given jobs");
    (running, stdin, jobs)
}

#[test]
fn at_sigusr2_all_workers_are_replaced_and_no_job_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, mut stdin, jobs) = served(folder.path());
    stdin.write_all(&b"0\n".repeat(1000)).unwrap();
    edit(folder.path(), Some(2));
    kill(running.id(), SIGUSR2);
    running.wait_until_it_says("SIGUSR2: replacing 2 workers, one at a time");
    stdin.write_all(&b"0\n".repeat(1000)).unwrap();
    running.wait_until_it_says("2 workers replaced");
    stdin.write_all(&b"0\n".repeat(1000)).unwrap();
    drop(stdin);
    let ended = running.end().check_status(0);
    let records = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    let data: Vec<&str> = records.lines().collect();
    assert_eq!(data.len(), jobs + 3000);
    let (first, last) = (data[0], &data[data.len() - 1000..]);
    assert!(first.contains("\"data\":1") && last.iter().all(|line| line.contains("\"data\":2")));
    assert!(ended.stderr.contains("2 recycled workers"), "{}", ended.stderr);
}

#[test]
fn a_handler_that_was_broken_by_an_edit_stops_no_run_whose_other_workers_work() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, mut stdin, jobs) = served(folder.path());
    stdin.write_all(&b"0\n".repeat(100)).unwrap();
    edit(folder.path(), None);
    kill(running.id(), SIGUSR2);
    running.wait_until_it_says("is not replaced yet, the others go on: the handler cannot be loaded: SyntaxError");
    stdin.write_all(&b"0\n".repeat(100)).unwrap();
    edit(folder.path(), Some(2));
    running.wait_until_it_says("2 workers replaced");
    stdin.write_all(&b"0\n".repeat(100)).unwrap();
    drop(stdin);
    running.end().check_status(0);
    let records = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    assert_eq!(records.lines().count(), jobs + 300);
    assert!(records.lines().rev().take(100).all(|line| line.contains("\"data\":2")), "{records}");
}

#[test]
fn sigusr2_changes_nothing_in_a_run_that_is_being_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, stdin, _) = served(folder.path());
    kill(running.id(), libc::SIGTERM);
    running.wait_until_it_says("again to kill them");
    kill(running.id(), SIGUSR2);
    let ended = running.end().check_status(143);
    assert!(!ended.stderr.contains("SIGUSR2"), "{}", ended.stderr);
    drop(stdin);
}
