//! Which function is called, and with what.

use super::*;

#[test]
fn the_second_argument_knows_the_job_and_takes_progress() {
    for_each_language(|language| {
        let folder = folder();
        let progress = folder.path().join("progress");
        let options = ["--progress-file", progress.to_str().unwrap()];
        let ended = acts(language, &options, &[json!({"do": "echo"}), json!({"do": "context"})]).check_status(0);
        assert_eq!(data(&ended)[1], json!({"number": 2, "attempt": 1}));
        let progress = fs::read_to_string(progress).unwrap();
        assert_eq!(progress, "{\"job\":2,\"progress\":{\"half\":true}}\n", "{}", language.ending);
    });
}

#[test]
fn the_second_argument_knows_the_attempt() {
    let again = [
        "export default (job, { attempt }) => { if (attempt === 1) throw new Error('again'); return attempt; };",
        "def handler(job, context):\n    if context.attempt == 1:\n        raise OSError('again')\n    \
         return context.attempt",
        "def handler(job, context) = context.attempt == 1 ? raise('again') : context.attempt",
        "<?php function handler($job, $context) {\n\
         if ($context->attempt === 1) throw new Exception('again');\nreturn $context->attempt; }",
        "sub handler { $_[1]->attempt == 1 ? die 'again' : $_[1]->attempt } 1;",
    ];
    for (language, code) in LANGUAGES.iter().zip(again) {
        if installed(language.runtime) {
            let folder = folder();
            let file = written(&folder, language, code);
            let options = ["--retries", "1", "--retry-on", "error", "--retry-delay", "0"];
            assert_eq!(data(&run_with(file, &options, &[json!(0)]).check_status(0)), [2], "{}", language.ending);
        }
    }
}

#[test]
fn a_handler_of_one_parameter_is_given_one() {
    for_each_language(|language| {
        let folder = folder();
        let file = written(&folder, language, language.plain);
        assert_eq!(data(&run_with(file, &[], &[json!("Tom")]).check_status(0)), ["Tom"], "{}", language.ending);
    });
}

#[test]
fn the_function_is_the_one_named_else_handler_else_the_only_one() {
    for_each_language(|language| {
        let folder = folder();
        let call = |code: &str, function: &str| {
            let file = format!("{}{function}", written(&folder, language, code).display());
            data(&run_with(file, &[], &[json!(null)]).check_status(0))[0].clone()
        };
        assert_eq!(call(language.two, ":one"), 1, "{}", language.ending);
        assert_eq!(call(language.with_handler, ":two"), 2, "{}", language.ending);
        assert_eq!(call(language.with_handler, ""), 3, "{}", language.ending);
        assert_eq!(call(language.only, ""), 4, "{}", language.ending);
    });
}

#[test]
fn a_module_of_commonjs_is_a_handler_too() {
    let language = &LANGUAGES[0];
    if installed(language.runtime) {
        let folder = folder();
        let call = |code: &str, function: &str| {
            let file = folder.path().join("kitten.cjs");
            fs::write(&file, code).unwrap();
            data(&run_with(format!("{}{function}", file.display()), &[], &[json!(7)]).check_status(0))[0].clone()
        };
        assert_eq!(call("module.exports = (n) => n + 1;", ""), 8);
        assert_eq!(call("module.exports = { add: (n) => n + 2 };", ""), 9);
        assert_eq!(call("exports.one = () => 1; exports.two = () => 2;", ":two"), 2);
    }
}

#[test]
fn a_route_names_the_function_of_each_job() {
    for_each_language(|language| {
        let folder = folder();
        let file = written(&folder, language, language.two);
        let names = ["one", "two", "three", "toString", "__class__", "exit", "one"];
        let mut jobs: Vec<Value> = names.iter().map(|name| json!({ "command": name })).collect();
        jobs.extend([json!({"command": 1}), json!({}), json!("one"), json!(null)]);
        let records = run_with(file, &["--route", "command"], &jobs).check_status(1).records();
        let answers: Vec<&Value> = records.iter().map(|record| &record["data"]).collect();
        assert_eq!(answers[..2], [&json!(1), &json!(2)], "{}", language.ending);
        assert_eq!(answers[6], &json!(1), "{}", language.ending);
        for record in records[2..6].iter().chain(&records[7..]) {
            let message = record["error"]["message"].as_str().unwrap();
            assert!(message.contains("no function to route"), "{}: {record}", language.ending);
            assert!(message.contains("one, two"), "{}: {record}", language.ending);
        }
    });
}
