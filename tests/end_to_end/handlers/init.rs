//! `--init`: a function that is called once in each worker, before its first job.

use super::*;
use crate::support::lines;

/// Runs the jobs through one worker around init.* beside this file, in a folder of its own.
fn run_init(language: &Language, options: &[&str], jobs: &[Value]) -> Ended {
    let file = project("tests/end_to_end/handlers").join(format!("init.{}", language.ending));
    let handler = file.to_str().expect("the project's path is text");
    let folder = folder();
    forkpool(["-j", "1", "--handler", handler].iter().chain(options))
        .current_dir(folder.path())
        .stdin(lines(jobs))
        .end()
}

#[test]
fn init_is_called_once_in_each_worker_before_its_first_job() {
    for_each_language(|language| {
        let called_once = vec![json!({"calls": 1, "slot": "0"}); 3];
        let jobs = [json!(1), json!(2), json!(3)];
        assert_eq!(data(&run_init(language, &["--init", "connect"], &jobs).check_status(0)), called_once);
        let options = ["--init", "connect", "--recycle-jobs", "1"];
        assert_eq!(data(&run_init(language, &options, &jobs).check_status(0)), called_once);
        let ended = run_init(language, &["--check", "--init", "connect"], &[]).check_status(0);
        assert!(ended.text().contains("ok      the init function connect ("), "{}", ended.text());
    });
}

#[test]
fn an_error_in_init_is_a_failed_start_and_the_next_start_may_succeed() {
    for_each_language(|language| {
        let ended = run_init(language, &["-v", "--init", "refuse_once"], &[json!(1)]).check_status(0);
        assert_eq!(ended.statuses(), ["ok"]);
        let words = "worker w0 failed in the init function refuse_once: ";
        let line = ended.stderr.lines().find(|line| line.contains(words)).expect(words);
        assert!(line.ends_with(": no database"), "{line}");
        for function in ["refuse", "leave"] {
            let ended = run_init(language, &["--check", "--init", function], &[]).check_status(3);
            assert!(ended.stderr.contains(&format!("the init function {function} failed: ")), "{}", ended.stderr);
        }
    });
    let ended = run_init(&LANGUAGES[0], &["--check", "--init", "wait"], &[]).check_status(3);
    assert!(ended.stderr.contains("wait waits for a promise that nothing settles"), "{}", ended.stderr);
}

#[test]
fn an_init_that_always_fails_ends_the_run_with_its_own_words() {
    let python = &LANGUAGES[1];
    let ended = run_init(python, &["--init", "refuse"], &[json!(1)]).check_status(3);
    assert!(ended.text().is_empty(), "no job has begun");
    let words = "forkpool: error: workers keep failing to start (6 in a row): worker w0 failed in the init function \
                 refuse: ConnectionError: no database\nTraceback";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("raise ConnectionError"), "{}", ended.stderr);
}

#[test]
fn an_init_that_hangs_is_named_by_the_start_timeout() {
    let options = ["--check", "--start-timeout", "2", "--init", "hang"];
    let ended = run_init(&LANGUAGES[1], &options, &[]).check_status(3);
    assert!(ended.stderr.contains("was still in the init function hang"), "{}", ended.stderr);
}

#[test]
fn a_dry_run_finds_the_init_function_and_does_not_call_it() {
    for_each_language(|language| {
        run_init(language, &["--dry-run", "--init", "refuse"], &[]).check_status(0);
        let ended = run_init(language, &["--dry-run", "--init", "nope"], &[]).check_status(3);
        assert!(ended.stderr.contains("no function nope; there are: "), "{}", ended.stderr);
        let ended = run_init(language, &["-v", "--init", "nope"], &[json!(1)]).check_status(3);
        assert!(ended.stderr.contains("no function nope; there are: "), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("worker w0 started").count(), 1, "{}", ended.stderr);
    });
}

#[test]
fn the_init_function_is_no_handler() {
    for_each_language(|language| {
        let job = json!({"do": "connect"});
        let ended = run_init(language, &["--route", "do", "--init", "connect"], &[job]).check_status(1);
        let message = &ended.records()[0]["error"]["message"];
        assert!(message.as_str().unwrap().starts_with("no function to route \"connect\" to"), "{message}");
        let folder = folder();
        let two = written(&folder, language, language.two);
        run_with(&two, &["--dry-run", "--init", "one"], &[]).check_status(0);
        let three = written(&folder, language, language.with_handler);
        let ended = run_with(&three, &["--init", "handler"], &[json!(1)]).check_status(3);
        assert!(ended.stderr.contains("several functions; there are: one, two"), "{}", ended.stderr);
    });
}
