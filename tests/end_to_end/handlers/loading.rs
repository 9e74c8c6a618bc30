//! A handler that cannot be loaded; and the runtimes that load one.

use super::*;

/// Runs many jobs through a handler that cannot be loaded: no job is run, and no worker is started again.
#[track_caller]
fn check_fatal(handler: &str, options: &[&str], words: &[&str]) {
    let jobs: String = (0..10).map(|number| format!("{number}\n")).collect();
    let ended = forkpool(["-j", "1", "-v", "--handler", handler].iter().chain(options)).stdin(jobs).end();
    let ended = ended.check_status(3);
    assert!(ended.stderr.matches("worker w0 started").count() <= 1, "{}", ended.stderr);
    let errors = ended.stderr.lines().filter(|line| line.starts_with("forkpool: error: ")).count();
    assert_eq!(errors, 1, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
    assert!(ended.statuses().iter().all(|status| status == "not_run"), "{}", ended.text());
}

#[test]
fn a_handler_that_cannot_be_loaded_stops_the_run_at_once_and_says_why() {
    for_each_language(|language| {
        let folder = folder();
        let check = |code: &str, function: &str, words: &[&str]| {
            let file = written(&folder, language, code);
            check_fatal(&format!("{}{function}", file.display()), &[], words);
        };
        let name = format!("kitten.{}", language.ending);
        check(language.nonsense, "", &["cannot be loaded", &name]);
        check(language.missing, "", &["cannot be loaded", "no", "module", &name]);
        check(language.throws, "", &["cannot be loaded", "no database", &name]);
        check(language.exits, "", &["cannot be loaded"]);
        check(language.empty, "", &[&name, "no function"]);
        check(language.two, "", &[&name, "several functions; there are: one, two"]);
        check(language.two, ":three", &[&name, "no function three; there are: one, two"]);
    });
}

#[test]
fn a_handler_whose_file_or_runtime_is_missing_stops_the_run_at_once() {
    let folder = folder();
    let missing = folder.path().join("kitten.mjs");
    check_fatal(missing.to_str().unwrap(), &[], &["cannot load the handler", "kitten.mjs"]);
    let there = written(&folder, &LANGUAGES[0], LANGUAGES[0].plain);
    check_fatal(there.to_str().unwrap(), &["--runtime", "no-such-runtime"], &["no-such-runtime"]);
}

#[test]
fn a_handler_in_an_unknown_language_is_refused() {
    let folder = folder();
    let file = folder.path().join("kitten.cobol");
    fs::write(&file, "").unwrap();
    let ended = forkpool(["--handler", file.to_str().unwrap()]).stdin("1\n").end().check_status(2);
    assert!(ended.stderr.contains(".cobol") && ended.stderr.contains(".mjs"), "{}", ended.stderr);
    let two = project("tests/end_to_end/handlers/acts.py:handler");
    let ended = forkpool(["--handler", two.to_str().unwrap(), "--route", "do"]).stdin("1\n").end().check_status(2);
    assert!(ended.stderr.contains("--route"), "{}", ended.stderr);
}

#[test]
fn flags_of_handlers_are_refused_without_one() {
    for flag in ["--init", "--route", "--runtime"] {
        let ended = forkpool([flag, "connect", "--", "cat"]).stdin("1\n").end().check_status(2);
        assert!(ended.stderr.contains(flag), "{}", ended.stderr);
        let ended = forkpool([flag, "connect"]).stdin("1\n").end().check_status(2);
        assert!(ended.stderr.contains("--handler"), "{}", ended.stderr);
    }
}

#[test]
fn another_runtime_may_be_named_with_its_options() {
    for (language, runtime) in
        LANGUAGES.iter().zip(["node --no-warnings", "python3 -X dev", "ruby -W0", "php -n", "perl -w"])
    {
        if installed(language.runtime) {
            let ended = run_with(
                project("tests/end_to_end/handlers").join(format!("acts.{}", language.ending)),
                &["--runtime", runtime],
                &[json!({"do": "echo"})],
            );
            assert_eq!(ended.check_status(0).statuses(), ["ok"], "{runtime}");
        }
    }
}

#[test]
fn bun_and_deno_run_handlers_and_typescript() {
    let folder = folder();
    let file = folder.path().join("kitten.ts");
    fs::write(&file, "export default (job: { name: string }): string => `${job.name} purrs`;").unwrap();
    for (program, runtimes) in [("bun", &["bun"][..]), ("deno", &["deno", "deno run -A"])] {
        // Neither runtime is in the package lists of most systems, so no test insists on it, not even with
        // FORKPOOL_TEST_ALL.
        if !has(program) {
            console::skip(&format!("{program} is not installed"));
            continue;
        }
        for runtime in runtimes {
            let jobs = [json!({"name": "Tom"}), json!(null), json!({"name": "Mia"})];
            let records = run_with(&file, &["--runtime", runtime], &jobs).check_status(1).records();
            assert_eq!(records[0]["data"], "Tom purrs", "{runtime}");
            assert_eq!(records[1]["error"]["name"], "TypeError", "{runtime}");
            assert_eq!(records[2]["data"], "Mia purrs", "{runtime}");
        }
    }
}
