//! A system that gives too little: descriptors, processes, disk, environment. A clear error and the right exit
//! status, never a hang or a panic.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::support::{Ended, HANG, chaos, chaotic, records, shell, side_by_side, wait_for};

/// Runs a script in a folder with `jobs`, 100 of them, where WORKER stands for the hostile worker.
#[track_caller]
fn run(script: &str, folder: &Path) -> Ended {
    fs::write(folder.join("jobs"), "7\n".repeat(100)).unwrap();
    let ended = shell(&script.replace("WORKER", chaos()), folder).end();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

#[test]
fn too_few_descriptors_are_a_clear_refusal() {
    side_by_side([12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 160], |limit| {
        let folder = tempfile::tempdir().unwrap();
        let ended = run(&format!("ulimit -n {limit}; forkpool -j 8 -i jobs -- WORKER"), folder.path());
        match ended.status {
            0 => assert_eq!(ended.statuses(), ["ok"; 100]),
            2 => {
                assert!(ended.stderr.contains("-j 8 needs "), "{limit}: {}", ended.stderr);
                assert_eq!(ended.text(), "", "{limit}");
            }
            other => panic!("ulimit -n {limit}: exit status {other}: {}", ended.stderr),
        }
    });
}

#[test]
fn a_worker_that_cannot_be_replaced_does_not_end_those_that_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs"), "").unwrap();
    let mut run = chaotic("-j 2").current_dir(folder.path()).stdin(Vec::new()).start();
    let mut input = run.child().stdin.take().unwrap();
    writeln!(input, "1\n2").unwrap();
    let started = wait_for(HANG, || Some(()).filter(|()| run.processes().len() >= 3));
    started.expect("two workers are started");
    // From now on forkpool gets no further descriptor: it has the first eight. The limit is not lower, since poll(2)
    // takes no more descriptors than it allows.
    let id = rustix::process::Pid::from_raw(run.id());
    let none = rustix::process::Rlimit { current: Some(8), maximum: Some(8) };
    rustix::process::prlimit(id, rustix::process::Resource::Nofile, none).unwrap();
    writeln!(input, "{}", json!({"do": "exit", "code": 7})).unwrap();
    write!(input, "{}", "7\n".repeat(50)).unwrap();
    drop(input);
    let ended = run.end().check_status(1);
    let statuses = ended.statuses();
    assert_eq!((statuses.len(), statuses.iter().filter(|status| *status == "died").count()), (53, 1));
    assert!(ended.stderr.contains("cannot start worker"), "{}", ended.stderr);
}

#[test]
fn a_closed_stdin_or_stdout_is_refused_and_a_closed_stderr_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run("forkpool -j 1 -- WORKER <&-", folder.path()).check_status(2);
    assert!(ended.stderr.contains("stdin is closed"), "{}", ended.stderr);
    let ended = run("forkpool -j 1 -i jobs -- WORKER >&-", folder.path()).check_status(2);
    assert!(ended.stderr.contains("stdout is closed"), "{}", ended.stderr);
    assert_eq!(run("forkpool -j 1 -i jobs -- WORKER 2>&-", folder.path()).check_status(0).statuses().len(), 100);
    assert_eq!(run("forkpool -j 1 -i jobs -- WORKER 0<&- 2>&-", folder.path()).check_status(0).statuses().len(), 100);
    run("forkpool -j 1 -i jobs -o out -- WORKER <&- >&- 2>&-", folder.path()).check_status(0);
    assert_eq!(records(&fs::read(folder.path().join("out")).unwrap()).len(), 100);
}

#[test]
fn an_empty_environment_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let forkpool = env!("CARGO_BIN_EXE_forkpool");
    // The mark must stay in the environment: by it the tests find processes that are left behind.
    let run_with = |words: &str| {
        let mark = "FORKPOOL_TEST_RUN=\"$FORKPOOL_TEST_RUN\"";
        run(&format!("env -i {mark} {words}"), folder.path())
    };
    run_with(&format!("{forkpool} -j 2 -i jobs -- WORKER")).check_status(0);
    run_with(&format!("LANG=C LC_ALL=C {forkpool} -j 2 -i jobs -- WORKER")).check_status(0);
    run_with(&format!("{forkpool} -j 2 -i jobs --protocol lines --to ndjson -- cat")).check_status(0);
    let ended = run_with(&format!("PATH= {forkpool} -j 2 -i jobs -- cat")).check_status(3);
    assert!(ended.stderr.contains("no such program"), "{}", ended.stderr);
}

#[test]
fn a_full_device_ends_the_run_with_4_and_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    for (script, words) in [
        ("forkpool -j 2 -i jobs -- WORKER > /dev/full", "cannot write to stdout: No space left on device"),
        ("yes 7 | forkpool -j 2 -- WORKER > /dev/full", "cannot write to stdout: No space left on device"),
        ("forkpool -j 2 -i jobs -o /dev/full -- WORKER", "cannot write to /dev/full: No space left on device"),
        ("echo oops | forkpool -j 2 --rejects /dev/full -- WORKER > out", "/dev/full: No space left on device"),
        (
            "forkpool -j 2 -i jobs --summary /dev/fd/5 -- WORKER > out 5> /dev/full",
            "cannot write /dev/fd/5: No space left on device",
        ),
    ] {
        let ended = run(script, folder.path()).check_status(4);
        assert!(ended.stderr.contains(words), "{script}: {}", ended.stderr);
    }
    run("forkpool -j 2 -i jobs --summary /dev/full/x -- WORKER > out", folder.path()).check_status(2);
    run("forkpool -j 2 -i jobs -- WORKER 2> /dev/full", folder.path()).check_status(0);
}

#[test]
fn a_file_size_limit_is_an_error_and_leaves_whole_records_but_the_last() {
    let folder = tempfile::tempdir().unwrap();
    // The limit is in blocks of 512 or 1024 bytes, depending on the shell.
    let ended = run("ulimit -f 2; forkpool -j 2 -i jobs -o out -- WORKER", folder.path()).check_status(4);
    assert!(ended.stderr.contains("File too large"), "{}", ended.stderr);
    let out = fs::read(folder.path().join("out")).unwrap();
    let whole = out.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    assert!(!records(&out[..whole]).is_empty());
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly_with_141() {
    let folder = tempfile::tempdir().unwrap();
    let script = "{ yes 7 | forkpool -j 2 -- WORKER 2> err; echo $? > status; } | head -1";
    let ended = run(script, folder.path()).check_status(0);
    assert_eq!(ended.records().len(), 1);
    assert_eq!(fs::read_to_string(folder.path().join("status")).unwrap(), "141\n");
    assert_eq!(fs::read_to_string(folder.path().join("err")).unwrap(), "");
}

#[test]
fn a_reader_that_leaves_is_noticed_while_no_record_is_due() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hang"), format!("1\n{}\n", json!({"do": "hang"}))).unwrap();
    let script = "{ forkpool -j 2 -i hang -- WORKER 2> err; echo $? > status; } | head -1";
    run(script, folder.path()).check_status(0);
    assert_eq!(fs::read_to_string(folder.path().join("status")).unwrap(), "141\n");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_hindrance() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs"), "7\n").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let ended = chaotic("-j 1 -i jobs").current_dir(folder.path()).end().check_status(0);
    assert_eq!(ended.statuses(), ["ok"]);
    let ended = chaotic("-j 1 -i jobs -o no/such/folder").current_dir(folder.path()).end().check_status(2);
    assert!(ended.stderr.contains("no/such/folder"), "{}", ended.stderr);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn results_that_cannot_be_kept_on_disk_end_the_run_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let mut jobs = vec![json!({"do": "wait", "wait": go}).to_string()];
    jobs.extend(vec![json!({"do": "huge", "n": 1}).to_string(); 20]);
    fs::write(folder.path().join("big"), jobs.join("\n")).unwrap();
    let script = "export TMPDIR=/no/such/folder; forkpool -j 2 --memory 2MiB --window 64 -i big -- WORKER > out";
    let ended = run(script, folder.path()).check_status(4);
    let words = "cannot keep waiting results in the temporary directory /no/such/folder: No such file";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    let records = records(&fs::read(folder.path().join("out")).unwrap());
    assert!(records.iter().filter(|record| record["status"] == "ok").count() > 0, "what was there is written");
    assert!(ended.stderr.contains(&format!("{} jobs in", records.len())), "one record a job: {}", ended.stderr);
}

/// A worker says on its stderr that it was started.
#[test]
fn no_more_workers_are_started_than_there_are_jobs() {
    let started = |workers: u32, input: &str| {
        let worker = "sh -c 'echo started >&2; exec cat'";
        let script = format!("{input} | forkpool -j {workers} --protocol lines -- {worker}");
        let ended = shell(&script, Path::new("/")).end().check_status(0);
        ended.stderr.lines().filter(|line| line.ends_with(": started")).count()
    };
    assert_eq!(started(40, "seq 3"), 3);
    assert_eq!(started(3, "sleep 1"), 3, "jobs may still come, and find their workers warm");
}
