//! What a handler throws, and how it ends.

use super::*;

/// Drops every `stack`, which differs from machine to machine, after a look at it.
fn without_stacks(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            if let Some(stack) = fields.remove("stack") {
                assert!(stack.is_string(), "{stack}");
            }
            fields.values_mut().for_each(|field| *field = without_stacks(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_stacks(item.take())),
        _ => {}
    }
    value
}

#[test]
fn errors_have_one_shape_in_every_language() {
    let table = fs::read(project("tests/end_to_end/handlers/errors.json")).expect("the table is there");
    let table: serde_json::Map<String, Value> = serde_json::from_slice(&table).expect("the table is JSON");
    for_each_language(|language| {
        let is_for_it = |case: &Value| case["handlers"].as_array().unwrap().contains(&json!(language.ending));
        let cases: Vec<(&String, &Value)> = table.iter().filter(|(_, case)| is_for_it(case)).collect();
        assert!(cases.len() >= 13, "the table has cases for {}", language.ending);
        let jobs: Vec<Value> = cases.iter().map(|(name, _)| json!({ "name": name })).collect();
        let file = project("tests/end_to_end/handlers").join(format!("errors.{}", language.ending));
        let records = run_with(file, &["--meta"], &jobs).check_status(1).records();
        assert_eq!(records.len(), cases.len());
        for (record, (name, case)) in records.into_iter().zip(cases) {
            assert_eq!(record["status"], "error", "{}: {name}: {record}", language.ending);
            assert_eq!(without_stacks(record["error"].clone()), case["error"], "{}: {name}", language.ending);
        }
    });
}

#[test]
fn a_stack_begins_in_the_handler_and_ends_there() {
    for_each_language(|language| {
        let records = acts(language, &[], &[json!({"do": "fail"})]).records();
        let error = &records[0]["error"];
        assert_eq!((&error["name"], &error["message"]), (&json!("TypeError"), &json!("it fails")));
        if language.ending != "pl" {
            // `die` of a plain hash has no stack.
            let stack = error["stack"].as_str().unwrap();
            assert!(stack.contains(&format!("acts.{}", language.ending)), "{stack}");
            let ours = ["-e:", "<string>", "[eval", "Command line code", "async_hooks"];
            assert!(!ours.iter().any(|ours| stack.contains(ours)), "{stack}");
        }
    });
}

#[test]
fn a_very_large_error_is_cut() {
    for_each_language(|language| {
        let file = project("tests/end_to_end/handlers").join(format!("errors.{}", language.ending));
        let ended = run_with(file, &[], &[json!({"name": "large"}), json!({"name": "plain"})]).check_status(1);
        let records = ended.records();
        assert_eq!(records[0]["error"]["name"], "KittenBites");
        assert!(records[0]["error"]["message"].as_str().unwrap().ends_with('…'), "{}", language.ending);
        assert!(records[0]["error"]["list"].as_array().unwrap().len() > 1000, "{}", language.ending);
        assert!(ended.stdout.len() < 2_000_000, "{}: {}", language.ending, ended.stdout.len());
        assert_eq!(records[1]["error"]["message"], "Tom bites");
    });
}

#[test]
fn an_error_is_followed_by_the_next_job_in_the_same_worker() {
    for_each_language(|language| {
        let jobs = [json!({"do": "fail"}), json!({"do": "echo"})];
        let ended = acts(language, &["-v"], &jobs).check_status(1);
        assert_eq!(ended.statuses(), ["error", "ok"]);
        assert_eq!(ended.stderr.matches("started").count(), 1, "{}", ended.stderr);
    });
}

#[test]
fn an_exit_that_is_an_exception_is_an_error_of_its_job() {
    for (language, message) in LANGUAGES.iter().zip(["", "enough", "exit"]).skip(1) {
        if installed(language.runtime) {
            let records = acts(language, &[], &[json!({"do": "exit"}), json!({"do": "echo"})]).records();
            assert_eq!(records[0]["error"]["name"], "SystemExit");
            assert_eq!(records[0]["error"]["message"], message);
            assert_eq!(records[1]["status"], "ok");
        }
    }
}

#[test]
fn a_handler_that_ends_its_process_has_died() {
    for_each_language(|language| {
        let jobs = [json!({"do": "echo"}), json!({"do": "end"}), json!({"do": "echo"})];
        let records = acts(language, &[], &jobs).check_status(1).records();
        let statuses: Vec<&Value> = records.iter().map(|record| &record["status"]).collect();
        assert_eq!(statuses, ["ok", "died", "ok"], "{}", language.ending);
        assert_eq!(records[1]["error"]["exit_code"], 3);
    });
}

#[test]
fn a_death_neither_loses_nor_repeats_what_was_answered_before() {
    for_each_language(|language| {
        let folder = folder();
        let file = folder.path().join("notes");
        let note = |text: &str| json!({"do": "note", "file": file, "text": text});
        let mut jobs: Vec<Value> = (0..30).map(|number| note(&format!("{number} "))).collect();
        jobs.insert(17, json!({"do": "end"}));
        let ended = acts(language, &["--depth", "64", "--unordered"], &jobs).check_status(1);
        let deaths = ended.text().lines().filter(|line| line.contains("\"died\"")).count();
        assert_eq!(deaths, 1, "{}: {}", language.ending, ended.text());
        let notes = fs::read_to_string(&file).unwrap();
        let mut numbers: Vec<u32> = notes.split_whitespace().map(|number| number.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..30).collect::<Vec<u32>>(), "{}", language.ending);
    });
}
