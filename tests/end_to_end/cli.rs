//! The command line: what is refused, what is shown, what the exit status says.

use std::fs;

use crate::support::{Ended, forkpool, kill, project, shell};

/// Runs `forkpool --protocol lines FLAGS -- sed -u s/n/m/`.
fn sed(flags: &[&str], input: &str) -> Ended {
    forkpool([&["--protocol", "lines"], flags, &["--", "sed", "-u", "s/n/m/"]].concat()).stdin(input).end()
}

#[test]
fn every_job_has_its_record_in_input_order() {
    let names: String = (1..=1000).map(|number| format!("{{\"n\":{number}}}\n")).collect();
    let ended = sed(&["-j", "2", "--to", "ndjson"], &names).check_status(0);
    let records = ended.records();
    assert_eq!(records.len(), 1000);
    assert_eq!(records[999]["data"], "{\"m\":1000}");
}

#[test]
fn no_jobs_are_all_ok() {
    let ended = sed(&[], "").check_status(0);
    assert_eq!(ended.text(), "");
    assert!(ended.stderr.contains("0 jobs"), "{}", ended.stderr);
}

// ---- What is refused ----

#[track_caller]
fn refused(args: &[&str], words: &str) {
    let ended = forkpool(args).end().check_status(2);
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "nothing but records goes to stdout");
}

#[test]
fn wrong_usage_is_refused_with_a_hint() {
    refused(&["--colums", "a", "--", "cat"], "--columns");
    refused(&[], "no worker given");
    refused(&["-i", "no-such-file", "--", "cat"], "cannot read no-such-file: No such file");
    refused(&["-i", "/", "--", "cat"], "cannot read /: it is a directory");
    refused(&["-o", "/no-such-folder/x", "--", "cat"], "cannot write /no-such-folder/x");
    refused(&["--timeout", "soon", "--", "cat"], "a duration such as 500ms");
    refused(&["-j", "0", "--", "cat"], "at least one worker");
    refused(&["--columns", "a", "--", "cat"], "--columns is for CSV and TSV output");
    refused(&["--columns-in", "a", "--", "cat"], "--columns-in is for CSV and TSV input");
    refused(&["--depth", "2", "--concurrency", "2", "--", "cat"], "exclude each other");
    refused(&["--protocol", "lines", "--concurrency", "2", "--", "cat"], "--concurrency must be 1");
    refused(&["-i", "-", "-i", "-", "--", "cat"], "only once");
    refused(&["-i", "a.csv", "-i", "b.ndjson", "--", "cat"], "different formats");
    refused(&["--resume", "--", "cat"], "--journal");
}

#[test]
fn a_worker_that_cannot_be_started_is_told_by_name_and_reason() {
    for (program, words) in [
        ("no-such-program", "no-such-program: no such program in PATH"),
        ("./no-such-file", "./no-such-file: No such file"),
        ("/etc/passwd", "/etc/passwd: it is not executable"),
        ("/tmp", "/tmp: it is a directory"),
    ] {
        let ended = forkpool(["--", program]).stdin("1\n").end().check_status(3);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "printf '#!/no/such/interpreter\\n' > script && chmod +x script && echo 1 | forkpool -- ./script";
    let ended = shell(script, folder.path()).end().check_status(3);
    assert!(ended.stderr.contains("./script"), "{}", ended.stderr);
}

// ---- What is shown ----

#[test]
fn a_quiet_run_still_says_why_a_line_has_no_result() {
    let ended = sed(&["-q"], "\"a\\nb\"\n").check_status(1);
    assert_eq!(ended.text(), "\n");
    assert!(ended.stderr.contains("job 1 (line 1) bad_input"), "{}", ended.stderr);
}

#[test]
fn the_summary_says_what_failed_and_what_to_do_and_quiet_runs_have_none() {
    let ended = sed(&[], "1\n\"a\\nb\"\n").check_status(1);
    let summary: Vec<&str> = ended.stderr.lines().rev().take(3).collect();
    let [hint, error, line] = summary[..] else { panic!("{}", ended.stderr) };
    assert!(line.starts_with("forkpool: 2 jobs in ") && line.contains(": 1 ok, 1 failed (1 bad_input); "), "{line}");
    assert!(error.starts_with("forkpool:   1 × BadInput: ") && error.ends_with(" (job 2)"), "{error}");
    assert!(hint.starts_with("forkpool: hint: with --rejects FILE"), "{hint}");
    assert_eq!(sed(&["-q"], "1\n").check_status(0).stderr, "");
}

#[test]
fn the_summary_is_there_for_machines_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.json");
    sed(&["--summary", file.to_str().unwrap()], "1\n\"a\\nb\"\n").check_status(1);
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!((&summary["jobs"], &summary["by_status"]["bad_input"]), (&2.into(), &1.into()));
    assert_eq!((&summary["exit_status"], &summary["input_complete"]), (&1.into(), &true.into()));
}

#[test]
fn what_a_worker_writes_to_stderr_has_its_slot_in_front_and_no_control_characters() {
    let worker = "printf 'one\\033[2J\\ntwo' >&2; cat";
    let ended = forkpool(["-j", "1", "--protocol", "lines", "--", "sh", "-c", worker]).stdin("1\n").end();
    let ended = ended.check_status(0);
    assert!(ended.stderr.contains("w0: one\\x1b[2J\nw0: two\n"), "{}", ended.stderr);
}

#[test]
fn a_worker_that_holds_its_output_back_is_hinted_at() {
    // `sed` without -u answers at the end of its input; the run goes on, until it is stopped here.
    let run = forkpool(["--grace", "100ms", "--protocol", "lines", "--", "sed", "s/a/b/"]);
    let mut running = run.stdin("1\n").start();
    running.wait_until_it_says("answered nothing for 5 s");
    kill(running.id(), libc::SIGTERM);
    let ended = running.end().check_status(143);
    assert!(ended.stderr.contains("sed -u"), "{}", ended.stderr);
}

#[test]
fn progress_is_a_plain_line_where_there_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let worker = "until [ -e go ]; do sleep 0.02; done; cat";
    let run = forkpool(["--progress", "plain", "--protocol", "lines", "--", "sh", "-c", worker]);
    let mut running = run.current_dir(folder.path()).stdin("1\n").start();
    running.wait_until_it_says("forkpool: 0 done, ");
    fs::write(folder.path().join("go"), "").unwrap();
    running.end().check_status(0);
}

#[test]
fn a_dry_run_says_what_would_be_run_and_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), "a,b\n1,2\nragged\n3,4\n").unwrap();
    let script = "forkpool --dry-run -j 3 -i in.csv -o out.ndjson --rejects again.csv -- touch ran; ls";
    let text = shell(script, folder.path()).end().check_status(0).text();
    for words in
        ["3 × ", "touch \"ran\"", "in.csv (csv)", "2 and 1 line that cannot be read as a job", "out.ndjson (ndjson)"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.ends_with("in.csv\n"), "nothing is made: {text}");
}

#[test]
fn a_dry_run_names_the_handler_and_not_what_runs_it() {
    let handler = project("samples/handlers/pet.py");
    let ended = forkpool(["--dry-run".as_ref(), "--handler".as_ref(), handler.as_os_str()]).end().check_status(0);
    let first = ended.text().lines().next().unwrap_or_default().to_owned();
    assert!(first.ends_with(&format!("python3, around {}", handler.display())), "{first}");
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = forkpool(["--completions", shell]).end().check_status(0);
        assert!(ended.text().contains("rejects"), "{shell}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    assert!(forkpool(["--help"]).end().check_status(0).text().contains("--journal"));
    assert_eq!(forkpool(["-V"]).end().check_status(0).text(), format!("forkpool {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn secrets_in_errors_are_blanked_out_when_asked() {
    let error = "{\"name\":\"E\",\"message\":\"no\",\"Token\":\"abc\",\"cause\":{\"token\":[1]},\"n\":1.0}";
    let worker = format!("read -r line; echo '{{\"id\":1,\"status\":\"error\",\"error\":{error}}}'; cat");
    let ended = forkpool(["-j", "1", "--redact", "token", "--", "sh", "-c", &worker]).stdin("1\n").end();
    let text = ended.check_status(1).text();
    let expected = "\"Token\":\"[redacted]\",\"cause\":{\"token\":\"[redacted]\"},\"n\":1.0}";
    assert!(text.contains(expected), "{text}");
}

// ---- Workers ----

#[test]
fn a_percentage_of_the_processors_is_at_least_one_worker() {
    let worker = "while read -r line; do echo \"$FORKPOOL_WORKERS\"; done";
    let count = |workers: &str| {
        let ended = forkpool(["-j", workers, "--protocol", "lines", "--", "sh", "-c", worker]).stdin("1\n").end();
        ended.check_status(0).text().trim().parse::<usize>().expect("a number of workers")
    };
    let processors = std::thread::available_parallelism().unwrap().get();
    assert_eq!((count("100%"), count("1%"), count("200%"), count("3")), (processors, 1, 2 * processors, 3));
}

#[test]
fn each_worker_knows_its_slot() {
    let folder = tempfile::tempdir().unwrap();
    // Each worker answers once the other has begun, so that both are used.
    let worker = "while read -r line; do touch $FORKPOOL_SLOT; until [ -e 0 ] && [ -e 1 ]; do sleep 0.01; done
        echo $FORKPOOL_SLOT; done";
    fs::write(folder.path().join("worker"), worker).unwrap();
    let script = "printf '1\\n2\\n' | forkpool -j 2 --protocol lines -- sh worker | sort";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "0\n1\n");
}

#[test]
fn a_worker_that_died_idle_is_replaced_before_it_gets_a_job() {
    let folder = tempfile::tempdir().unwrap();
    // The first worker answers one job and leaves; the next job comes when it is gone.
    let worker = "read -r line; echo \"$line\"; echo $$ > gone";
    fs::write(folder.path().join("worker"), worker).unwrap();
    let script = "(echo 1; until [ -s gone ] && ! kill -0 $(cat gone) 2> /dev/null; do sleep 0.02; done; echo 2) |
        forkpool -j 1 --protocol lines -- sh worker";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "1\n2\n");
}

#[test]
fn a_workers_stdin_is_never_ours() {
    let ended = forkpool(
        ["-j", "1", "-i", project("samples/kittens.ndjson").to_str().unwrap(), "--protocol", "lines"]
            .into_iter()
            .chain(["--", "sed", "-u", "s/.*/x/"]),
    );
    // Nobody reads what stands on forkpool's stdin: the input is a file, and workers have a stdin of their own.
    assert_eq!(ended.stdin("not for the worker\n").end().check_status(0).text(), "x\n".repeat(12));
}
