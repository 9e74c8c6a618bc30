//! What passes between forkpool and a handler, and what does not.

use super::*;

#[test]
fn what_a_handler_or_its_children_print_is_no_reply() {
    for_each_language(|language| {
        let jobs = [json!({"do": "print"}), json!({"do": "print"}), json!({"do": "echo"})];
        let ended = acts(language, &[], &jobs).check_status(0);
        assert_eq!(data(&ended), [json!("printed"), json!("printed"), json!({"do": "echo"})]);
        assert_eq!(ended.stderr.matches("not from the worker").count(), 2, "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("from a child").count(), 2, "{}", ended.stderr);
    });
}

#[test]
fn a_handlers_children_do_not_hold_the_channel() {
    // PHP cannot set close-on-exec, so its children have the channel.
    for language in LANGUAGES.iter().filter(|language| language.ending != "php") {
        if installed(language.runtime) {
            let ended = acts(language, &[], &[json!({"do": "child_descriptors"})]).check_status(0);
            // The child opens a descriptor itself to list them, which is 3.
            let descriptors = data(&ended)[0].clone();
            assert!(descriptors.as_array().unwrap().contains(&json!("3")), "{descriptors}");
            assert!(!descriptors.as_array().unwrap().contains(&json!("4")), "{}: {descriptors}", language.ending);
        }
    }
}

#[test]
fn values_come_back_as_they_went() {
    for_each_language(|language| {
        let mut odd = json!({
            "do": "echo",
            "name": "Jürgen \"Ü\" 🐾\u{0}\u{2028}\\",
            "list": [[], [0, -1.5, 1e300], true, null],
            "": "empty",
        });
        let ended = acts(language, &[], &[odd.clone()]).check_status(0);
        assert_eq!(data(&ended)[0], odd, "{}", language.ending);
        if matches!(language.ending, "py" | "rb") {
            odd["big"] = serde_json::from_str("1234567890123456789").unwrap();
            let text = "{\"do\":\"echo\",\"big\":123456789012345678901234567890}\n";
            let file = project("tests/end_to_end/handlers").join(format!("acts.{}", language.ending));
            let ended = forkpool(["--handler", file.to_str().unwrap()]).stdin(text).end().check_status(0);
            assert!(ended.text().contains("\"big\":123456789012345678901234567890}"), "{}", ended.text());
        }
    });
}

#[test]
fn large_jobs_and_results_pass() {
    const LARGE: usize = 10 << 20;
    for_each_language(|language| {
        let jobs = [json!({"do": "echo", "text": "ü".repeat(LARGE / 2)}), json!({"do": "text", "size": LARGE})];
        let data = data(&acts(language, &[], &jobs).check_status(0));
        assert!(data[0] == jobs[0], "{}", language.ending);
        assert_eq!(data[1].as_str().map(str::len), Some(LARGE), "{}", language.ending);
    });
}

#[test]
fn a_result_that_is_no_json_is_an_error_of_its_job() {
    for_each_language(|language| {
        let jobs = [json!({"do": "not_json"}), json!({"do": "circular"}), json!({"do": "nothing"})];
        let ended = acts(language, &["-v"], &jobs).check_status(1);
        assert_eq!(ended.statuses(), ["error", "error", "ok"], "{}: {}", language.ending, ended.text());
        assert_eq!(data(&ended)[2], Value::Null);
        assert_eq!(ended.stderr.matches("started").count(), 1, "{}", ended.stderr);
    });
}

#[test]
fn a_job_that_a_language_cannot_read_is_an_error_of_that_job() {
    let deep =
        format!("{{\"do\":\"echo\",\"deep\":{}{}}}\n{{\"do\":\"echo\"}}\n", "[".repeat(20_000), "]".repeat(20_000));
    for_each_language(|language| {
        let file = project("tests/end_to_end/handlers").join(format!("acts.{}", language.ending));
        let ended = forkpool(["-j", "1", "-v", "--handler", file.to_str().unwrap()]).stdin(&deep).end();
        let lines: Vec<&str> = std::str::from_utf8(&ended.stdout).unwrap().lines().collect();
        let fate = if language.ending == "mjs" { "" } else { "{\"job\":1,\"status\":\"error\"" };
        assert!(lines[0].starts_with(fate), "{}: {:.300}", language.ending, lines[0]);
        assert_eq!(lines[1], "{\"job\":2,\"status\":\"ok\",\"data\":{\"do\":\"echo\"}}");
        assert_eq!(ended.stderr.matches("started").count(), 1, "{}", ended.stderr);
    });
}

#[test]
fn a_large_batch_keeps_its_order() {
    for_each_language(|language| {
        let folder = folder();
        let file = written(&folder, language, language.plain);
        let jobs: Vec<Value> = (1..=20_000).map(|number| json!({ "n": number })).collect();
        let lines: String = jobs.iter().map(|job| format!("{job}\n")).collect();
        let ended = forkpool(["-j", "3", "--handler", file.to_str().unwrap()]).stdin(lines).end().check_status(0);
        assert!(data(&ended) == jobs, "{}", language.ending);
    });
}

#[test]
fn what_a_handler_leaves_running_keeps_no_worker() {
    for_each_language(|language| {
        let begun = Instant::now();
        // A worker that does not end by itself would be given an hour.
        acts(language, &["--grace", "1h"], &[json!({"do": "linger"})]).check_status(0);
        assert!(begun.elapsed() < HANG, "{}", language.ending);
    });
}
