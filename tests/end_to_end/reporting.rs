//! What is said on stderr: nothing that matters is lost there, and a terminal shows what a terminal can.

use std::fs;
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use libc::SIGTERM;
use serde_json::json;

use crate::support::{
    HANG, Run, Running, chaotic, forkpool, installed, kill, lines, records, shell, wait_for, wait_until_there,
};

// ---- The summary ----

/// The summary of a run of this command line in `folder`, and the command that it says comes next.
fn summary_of(command: &str, folder: &Path, status: i32) -> (serde_json::Value, String) {
    shell(command, folder).end().check_status(status);
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("s")).unwrap()).unwrap();
    let next = summary["next_command"].as_str().unwrap_or_default().to_owned();
    (summary, next)
}

/// Until it is mended, the worker fails each third job. The commands that the summaries print are run as they stand.
#[test]
fn the_command_that_a_summary_prints_does_the_rest_of_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let jobs: String = (1..=12).map(|number| format!("{number}\n")).collect();
    fs::write(folder.join("it's in.ndjson"), jobs).unwrap();
    let worker = "import os\n\
        def handler(n):\n    \
            if n % 3 == 0 and not os.path.exists('mended'): raise ValueError(f'{n} bites')\n    \
            return n\n";
    fs::write(folder.join("h.py"), worker).unwrap();

    let first = r#"forkpool -j1 -qi "it's in.ndjson" -o out.ndjson --summary=s --handler h.py"#;
    // With this window a job is read only once the one before it has its record, so that none is read after the first
    // failure.
    let (summary, go_on) = summary_of(&format!("{first} --journal j --fail-fast --window 1"), folder, 5);
    let group = json!({"status": "error", "name": "ValueError", "message": "3 bites", "jobs": 1, "first_job": 3});
    assert_eq!((&summary["failed"], &summary["errors"], &summary["not_run"]), (&1.into(), &json!([group]), &0.into()));
    let (_, go_on) = summary_of(&go_on.replace(" --fail-fast --window 1", ""), folder, 1);
    fs::write(folder.join("mended"), "").unwrap();
    let (summary, nothing) = summary_of(&go_on, folder, 0);
    assert_eq!((&summary["ok"], &summary["resumed"], nothing.as_str()), (&12.into(), &8.into(), ""));

    fs::remove_file(folder.join("mended")).unwrap();
    let (_, again) = summary_of(&format!("{first} --rejects r"), folder, 1);
    fs::write(folder.join("mended"), "").unwrap();
    let (summary, _) = summary_of(&again, folder, 0);
    assert_eq!(summary["ok"], 4);
    let output = |name: &str| records(&fs::read(folder.join(name)).unwrap());
    assert_eq!((output("out.ndjson").len(), output("out.again.ndjson").len()), (12, 4));
}

// ---- Log files ----

#[test]
fn each_slot_has_a_log_of_its_own_and_no_other_file_is_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("h.py"), "import sys\ndef handler(n): print(f'job {n}', file=sys.stderr); return n\n")
        .unwrap();
    let run = "seq 2 | forkpool -q -j 1 --log-dir logs --handler h.py";
    for _ in 0..2 {
        shell(run, folder).end().check_status(0);
    }
    let log = fs::read_to_string(folder.join("logs/w0.log")).unwrap();
    let words: Vec<&str> = log.lines().map(|line| line.split_once("Z ").expect("a time").1).collect();
    let once = ["job 1", "job 2", "(the worker has ended)"];
    assert_eq!(words, [once, once].concat());
    let ended = shell(&format!("{run} -o logs/w0.log"), folder).end().check_status(2);
    assert!(ended.stderr.contains("is both the output and the log of a worker"), "{}", ended.stderr);
    let ended = shell("seq 2 | forkpool --log-dir no/logs -- cat", folder).end().check_status(2);
    assert!(ended.stderr.contains("--log-dir no/logs: No such file"), "{}", ended.stderr);
    fs::create_dir_all(folder.join("taken/w1.log")).unwrap();
    let ended = shell("seq 2 | forkpool -j 2 --log-dir taken -- cat", folder).end().check_status(2);
    assert!(ended.stderr.contains("taken/w1.log is a folder"), "{}", ended.stderr);
}

// ---- Errors that stand nowhere else ----

/// Far more errors than a pipe and every buffer before it hold.
const ERRORS: usize = 20_000;

/// A run whose jobs are all bad, so that each one's error is a line on stderr.
fn all_bad(options: &str) -> Run {
    let jobs: String = (1..=ERRORS).map(|number| format!("x{number}\n")).collect();
    chaotic(&format!("{options} --to lines -- --ready")).stdin(jobs)
}

fn count(stderr: &str, words: &str) -> usize {
    stderr.lines().filter(|line| line.contains(words)).count()
}

#[test]
fn no_error_is_missing_however_many_there_are() {
    let ended = all_bad("-q").end().check_status(1);
    assert_eq!(ended.text().lines().count(), ERRORS);
    assert_eq!(count(&ended.stderr, "invalid JSON"), ERRORS);
    assert_eq!(ended.stderr.lines().count(), ERRORS, "a quiet run says nothing else");
}

#[test]
fn errors_and_the_summary_wait_for_a_slow_reader() {
    let mut running = all_bad("").start();
    let mut stderr = running.child().stderr.take().expect("it is piped");
    // Longer than the second after which the end of a run gives up what may be given up.
    std::thread::sleep(Duration::from_millis(1500));
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    running.end().check_status(1);
    assert_eq!(count(&said, " bad_input: "), ERRORS);
    let summary = said.lines().rev().nth(1).expect("the summary and one group of errors");
    assert!(summary.contains("20,000 jobs in "), "{summary}");
}

#[test]
fn a_stderr_that_does_not_block_loses_nothing() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let mut run = all_bad("-q");
    run.command().stderr(writer);
    let running = run.start();
    let mut said = String::new();
    fs::File::from(reader).read_to_string(&mut said).unwrap();
    running.end().check_status(1);
    assert_eq!(count(&said, "invalid JSON"), ERRORS);
}

#[test]
fn a_stderr_that_nobody_reads_any_more_is_no_reason_to_wait() {
    let mut running = all_bad("").start();
    drop(running.child().stderr.take());
    let ended = running.end().check_status(1);
    assert_eq!(ended.text().lines().count(), ERRORS);
}

#[test]
fn a_second_signal_ends_a_run_whose_stderr_is_stuck() {
    let mut running = all_bad("").start();
    // stderr is kept open, and never read.
    let stderr = running.child().stderr.take().expect("it is piped");
    let is_stuck = || {
        let before = rustix::io::ioctl_fionread(&stderr).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        (before > 0 && rustix::io::ioctl_fionread(&stderr).unwrap() == before).then_some(())
    };
    wait_for(HANG, is_stuck).expect("the pipe is full");
    kill(running.id(), SIGTERM);
    // The run waits for stderr with whatever it would say, so the second signal may come at any time after the first
    // has been taken; two that come together are one.
    let status = wait_for(HANG, || {
        kill(running.id(), SIGTERM);
        std::thread::sleep(Duration::from_millis(50));
        running.child().try_wait().unwrap()
    });
    assert!(status.is_some(), "it ends");
}

// ---- What may be dropped ----

#[test]
fn what_is_dropped_of_a_log_is_counted_in_lines() {
    /// Far more lines than there is room for.
    const FLOODS: usize = 64;
    const LINES_OF_A_FLOOD: usize = 10_000;
    let jobs = lines(&[json!({"do": "flood", "n": FLOODS})]);
    let mut running = chaotic("-j 1 -- --ready").stdin(jobs).start();
    let mut stderr = running.child().stderr.take().expect("it is piped");
    // Nobody reads until the job has its record.
    let mut record = [0; 1];
    running.child().stdout.as_mut().expect("it is piped").read_exact(&mut record).unwrap();
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    running.end().check_status(0);
    let shown = said.lines().filter(|line| line.starts_with("w0: ")).count();
    let dropped: usize = said
        .lines()
        .filter_map(|line| line.strip_prefix("forkpool: ")?.strip_suffix(" of worker output dropped: stderr is slow"))
        .map(|counted| counted.split(' ').next().unwrap().replace(',', "").parse::<usize>().unwrap())
        .sum();
    assert!(dropped > 0, "{}", said.len());
    assert!(said.lines().last().is_some_and(|line| line.contains("1 job in ")), "the summary comes last");
    assert_eq!(shown + dropped, FLOODS * LINES_OF_A_FLOOD, "each line is shown or counted");
}

// ---- A terminal ----

/// Runs `forkpool`, the beginning of a command, on a terminal of so many columns, and returns what came onto the
/// terminal. Its worker is in sh and runs `script` for each line `$x` of its input.
fn on_a_terminal(columns: u32, forkpool: &str, script: &str, jobs: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("worker"), format!("while read -r x; do {script}; echo \"$x\"; done\n")).unwrap();
    let command =
        format!("stty cols {columns}; seq {jobs} | {forkpool} -j 1 --protocol lines -o out -- sh worker; exit $?\n");
    fs::write(folder.path().join("command"), command).unwrap();
    let terminal = shell("script -qec 'sh command' /dev/null", folder.path()).env("TERM", "xterm");
    terminal.end().check_status(0).text()
}

#[test]
fn the_bar_is_drawn_while_workers_log_all_the_time() {
    if !installed("script") {
        return;
    }
    // The worker logs 50 lines a second, for longer than a second.
    let log = "for n in $(seq 60); do echo \"line $n\" >&2; sleep 0.02; done";
    let shown = on_a_terminal(100, "forkpool", log, 1);
    assert!(shown.matches("0/1").count() >= 5, "{shown:?}");
    assert_eq!(shown.matches("w0: line").count(), 60, "{shown:?}");
}

#[test]
fn a_narrow_terminal_shows_the_time_and_the_failures_on_one_line() {
    if !installed("script") {
        return;
    }
    let shown = on_a_terminal(40, "forkpool", "sleep 0.03", 40);
    let bars: Vec<&str> = shown.split(['\r', '\n']).filter(|line| line.contains("/40")).collect();
    assert!(bars.iter().any(|bar| bar.contains("ETA")), "{shown:?}");
    let is_short = |bar: &&str| bar.replace("\x1b[J", "").len() < 40;
    assert!(bars.iter().all(is_short), "{bars:?}");
}

const RED: &str = "printf \"\\033[31mred\\033[0m \\033[2J\\n\" >&2";

#[test]
fn a_terminal_shows_the_colours_of_a_log_and_nothing_else_a_worker_could_do_to_it() {
    if !installed("script") {
        return;
    }
    let shown = on_a_terminal(80, "forkpool", RED, 1);
    assert!(shown.contains("w0: \x1b[31mred\x1b[0m \\x1b[2J"), "{shown:?}");
    let shown = on_a_terminal(80, "NO_COLOR=1 forkpool", RED, 1);
    assert!(shown.contains("w0: red \\x1b[2J"), "{shown:?}");
}

#[test]
fn a_log_in_a_file_has_no_colours_and_only_the_end_of_a_bar() {
    let worker = format!("{RED}; printf \"\\r 50%%\\r100%%\\n\" >&2; cat");
    let ended =
        forkpool(["-j", "1", "--protocol", "lines", "--", "sh", "-c", &worker]).stdin("1\n").end().check_status(0);
    assert!(ended.stderr.starts_with("w0: red \\x1b[2J\nw0: 100%\n"), "{:?}", ended.stderr);
}

// ---- A stdout that is a socket ----

/// Starts a run whose stdout is a socket, as under Node, and whose job waits for the file `wait`. Returns our end of the
/// socket.
fn start_on_a_socket(folder: &Path) -> (Running, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let there = folder.join("there");
    let job = json!({"do": ["touch", "wait", "answer"], "touch": there, "wait": folder.join("wait")});
    let mut run = chaotic("-j 1 --grace 1h -- --ready").stdin(lines(&[job]));
    run.command().stdout(OwnedFd::from(theirs));
    let running = run.start();
    wait_until_there(&there);
    (running, ours)
}

#[test]
fn a_reader_that_leaves_a_socket_ends_the_run_while_a_job_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let (running, ours) = start_on_a_socket(folder.path());
    drop(ours);
    running.end().check_status(141);
}

#[test]
fn a_reader_that_will_write_no_more_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let (running, mut ours) = start_on_a_socket(folder.path());
    ours.shutdown(Shutdown::Write).unwrap();
    fs::write(folder.path().join("wait"), "").unwrap();
    let mut output = Vec::new();
    ours.read_to_end(&mut output).unwrap();
    running.end().check_status(0);
    assert_eq!(records(&output)[0]["status"], "ok");
}

// ---- A worker that floods its output, and --check ----

#[track_caller]
fn check_fails(options: &[&str], worker: &str, words: &str) {
    let command = ["--", "sh", "-c", worker];
    let check = ["--check", "--grace", "1s"].iter().chain(options).chain(&command);
    let ended = forkpool(check).end().check_status(1);
    assert!(ended.text().contains(words), "{}", ended.text());
}

#[test]
fn a_line_that_never_ends_is_told_and_takes_no_memory() {
    let limit = ["--max-reply-bytes", "1000000"];
    let words = "FAILED  a job: it writes a line that is longer than --max-reply-bytes (1000000 bytes): xxx";
    check_fails(&limit, "head -c 100000000 /dev/zero | tr '\\0' x; sleep 600", words);
    check_fails(&limit, "yes x | tr -d '\\n'", words);
    // A line that is whole, but longer than a reply may be.
    check_fails(&limit, "head -c 1000001 /dev/zero | tr '\\0' x; echo; sleep 600", words);
}

#[test]
fn lines_that_never_end_are_told() {
    check_fails(&[], "yes", "FAILED  a job: it prints what is no reply: y");
}
