//! What a file names is what runs; a guess is only for files that name nothing, and is refused where it could be wrong.

use super::*;

/// Files by name, the handler first; the job is 100.
#[track_caller]
fn run_files(files: &[(&str, &str)], function: &str) -> Option<Ended> {
    let (handler, _) = files[0];
    let ending = handler.rsplit_once('.').unwrap().1;
    let language =
        LANGUAGES.iter().find(|language| language.ending == ending.trim_start_matches('c')).unwrap_or(&LANGUAGES[0]);
    if !installed(language.runtime) {
        return None;
    }
    let folder = folder();
    for (name, code) in files {
        fs::write(folder.path().join(name), code).unwrap();
    }
    let handler = format!("{}{function}", folder.path().join(handler).display());
    Some(forkpool(["-j", "1", "--handler", &handler]).stdin("100\n").end())
}

#[track_caller]
fn check(files: &[(&str, &str)], function: &str, expected: Value) {
    if let Some(ended) = run_files(files, function) {
        assert_eq!(data(&ended.check_status(0)), [expected], "{}", files[0].1);
    }
}

/// Nothing is run, and these words are said.
#[track_caller]
fn check_refused(files: &[(&str, &str)], function: &str, words: &str) {
    if let Some(ended) = run_files(files, function) {
        let ended = ended.check_status(3);
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[test]
fn python_runs_what_is_called_handler_whatever_it_is() {
    let convert = "def convert(r, rate=1.0): return r * rate\n";
    for (handler, expected) in [
        ("from functools import partial\nhandler = partial(convert, rate=1.25)", json!(125.0)),
        ("from other import handler", json!("other")),
        ("from other import work as handler", json!("work")),
        ("class Twice:\n    def __call__(self, job): return job * 2\nhandler = Twice()", json!(200)),
        ("class Twice:\n    def run(self, job): return job * 2\nhandler = Twice().run", json!(200)),
        ("from other import decorated\n@decorated\ndef handler(job): return job", json!([100])),
        ("handler = str", json!("100")),
        ("handler = lambda job: job + 1", json!(101)),
        ("async def work(job): return 7\nfrom functools import partial\nhandler = partial(work)", json!(7)),
        (
            "def __getattr__(name):\n    if name == 'handler': return convert\n    raise AttributeError(name)",
            json!(100.0),
        ),
    ] {
        let code = format!("{convert}{handler}\n");
        let other = "def handler(job): return 'other'\ndef work(job): return 'work'\n\
                     class decorated:\n    def __init__(self, function): self.function = function\n    \
                     def __call__(self, job): return [self.function(job)]\n";
        check(&[("kitten.py", &code), ("other.py", other)], "", expected.clone());
        check(&[("kitten.py", &code), ("other.py", other)], ":handler", expected);
    }
    check(&[("kitten.py", "from functools import partial\npurr = partial(max, 3)\n")], ":purr", json!(100));
    check(&[("kitten.py", "from functools import partial\npurr = partial(max, 300)\n")], "", json!(300));
}

#[test]
fn python_guesses_only_what_cannot_be_wrong() {
    let refused = |code: &str, words: &str| check_refused(&[("kitten.py", code)], "", words);
    refused("handler = None\ndef purr(job): return job", "handler is a NoneType, no function; there are: purr");
    refused(
        "from functools import partial\ndef convert(r, rate): return r\neuro = partial(convert, rate=2)",
        "several functions; there are: convert, euro",
    );
    check(&[("kitten.py", "__all__ = ['purr']\ndef help(job): return 0\ndef purr(job): return 1")], "", json!(1));
}

#[test]
fn javascript_runs_the_default_export_whatever_it_is() {
    let compiled = "Object.defineProperty(exports, '__esModule', { value: true });\n";
    let cases = [
        ("kitten.cjs", format!("{compiled}exports.default = (j) => j * 2;\nexports.help = (j) => 'help';"), json!(200)),
        ("kitten.cjs", format!("{compiled}exports.help = () => 0;\nexports.handler = (j) => j * 2;"), json!(200)),
        (
            "kitten.cjs",
            format!("{compiled}exports.default = {{ rate: 2, handler(j) {{ return j * this.rate; }} }};"),
            json!(200),
        ),
        (
            "kitten.cjs",
            "module.exports = { rate: 2, handler(j) { return j * this.rate; }, help() {} };".into(),
            json!(200),
        ),
        (
            "kitten.cjs",
            "exports.rate = 2;\nexports.handler = function (j) { return j * this.rate; };".into(),
            json!(200),
        ),
        ("kitten.mjs", "export default { rate: 2, handler(j) { return j * this.rate; } };".into(), json!(200)),
        (
            "kitten.mjs",
            "class Pets { #rate = 2; handler(j) { return j * this.#rate; } help() {} }\nexport default new Pets();"
                .into(),
            json!(200),
        ),
        (
            "kitten.mjs",
            "import twice from './other.mjs';\nexport const help = () => 0;\nexport default twice;".into(),
            json!(200),
        ),
        (
            "kitten.mjs",
            "export { default as handler } from './other.mjs';\nexport const help = () => 0;".into(),
            json!(200),
        ),
        ("kitten.mjs", "export default Math.sqrt.bind(null);\nexport const help = () => 0;".into(), json!(10)),
        ("kitten.mjs", "export default class Kitten {}\nexport const handler = (j) => j + 1;".into(), json!(101)),
    ];
    for (name, code, expected) in cases {
        check(&[(name, &code), ("other.mjs", "export default (j) => j * 2;")], "", expected);
    }
    let methods = "module.exports = { rate: 2, twice(j) { return j * this.rate; }, help() {} };";
    check(&[("kitten.cjs", methods)], ":twice", json!(200));
    // A number comes as JSON has it.
    check(&[("kitten.js", "module.exports = (j) => j;\nif (!module.parent) process.exit(2);")], "", json!(100));
}

#[test]
fn javascript_guesses_only_what_cannot_be_wrong() {
    let refused = |name: &str, code: &str, words: &str| check_refused(&[(name, code)], "", words);
    refused(
        "kitten.mjs",
        "export default class Kitten {}\nexport const purr = () => 1;",
        "its export default is a class",
    );
    refused("kitten.mjs", "export const handler = {};\nexport const purr = () => 1;", "no function; there are: purr");
    refused("kitten.mjs", "export default 42;\nexport const purr = () => 1;", "its export default is of type number");
    refused("kitten.cjs", "exports.one = () => 1; exports.two = () => 2;", "several functions; there are: one, two");
    check_refused(
        &[("kitten.js", "module.exports = (j) => j"), ("package.json", "{\"type\":\"module\"}")],
        "",
        "module is not defined in ES module scope",
    );
}

#[test]
fn ruby_runs_methods_and_what_constants_hold() {
    let convert = "def convert(job, rate = 1) = job * rate\n";
    for (handler, function, expected) in [
        ("HANDLER = ->(job) { job * 2 }", "", json!(200)),
        ("HANDLER = method(:convert)", "", json!(100)),
        ("HANDLER = method(:convert).curry(2)[3]", "", json!(300)),
        ("module Handler; def self.call(job) = job * 2; end", "", json!(200)),
        ("$handler = proc { |job, context| [job, context.job] }", "", json!([100, 1])),
        ("require_relative 'other'", "", json!("other")),
        ("alias handler convert", "", json!(100)),
        ("Object.define_method(:handler) { |job| job + 1 }", "", json!(101)),
        ("Purr = ->(job) { job * 2 }", ":Purr", json!(200)),
        ("Purr = ->(job) { job * 2 }", ":convert", json!(100)),
        ("class Pets; def call(job) = job * 2; end\nHANDLER = Pets.new", "", json!(200)),
    ] {
        let code = format!("{convert}{handler}\n");
        check(&[("kitten.rb", &code), ("other.rb", "def handler(job) = 'other'\n")], function, expected);
    }
    check(&[("kitten.rb", "PURR = ->(job) { job * 2 }\n")], "", json!(200));
    let refused = |code: &str, words: &str| check_refused(&[("kitten.rb", &format!("{convert}{code}\n"))], "", words);
    refused("HANDLER = 42", "HANDLER is of class Integer and has no call");
    refused("handler = ->(job) { job * 2 }", "handler is a local variable");
    refused("Twice = ->(job) { job * 2 }", "several functions; there are: convert, Twice");
}

#[test]
fn php_runs_what_the_file_returns_and_what_handler_holds() {
    let convert = "<?php function convert($job, $rate = 1) { return $job * $rate; }\n";
    for (handler, function, expected) in [
        ("$handler = fn($job) => $job * 2;", "", json!(200)),
        ("$handler = 'convert';", "", json!(100)),
        ("class Twice { function __invoke($job) { return $job * 2; } } $handler = new Twice;", "", json!(200)),
        ("class Twice { function run($job) { return $job * 2; } } $handler = [new Twice, 'run'];", "", json!(200)),
        ("return fn($job) => $job * 2;", "", json!(200)),
        ("class Twice { function __invoke($job) { return $job * 2; } } return new Twice;", "", json!(200)),
        ("return ['twice' => fn($job) => $job * 2, 'handler' => fn($job) => $job * 3];", "", json!(300)),
        ("return ['twice' => fn($job) => $job * 2];", ":twice", json!(200)),
        ("require 'other.php';", "", json!("other")),
        ("$purr = convert(...);", ":purr", json!(100)),
    ] {
        let code = format!("{convert}{handler}\n");
        check(
            &[("kitten.php", &code), ("other.php", "<?php function handler($job) { return 'other'; }")],
            function,
            expected,
        );
    }
    check_refused(&[("kitten.php", &format!("{convert}$handler = 42;"))], "", "$handler is of type int, no function");
    check_refused(
        &[("kitten.php", &format!("{convert}return ['twice' => fn($job) => $job * 2];"))],
        "",
        "several functions; there are: twice, convert",
    );
}

#[test]
fn perl_runs_what_is_called_handler_wherever_it_was_made() {
    let convert = "sub convert { my ($job) = @_; return $job * 1 }\n";
    for (handler, function, expected) in [
        ("*handler = sub { $_[0] * 2 };", "", json!(200)),
        ("sub Pets::twice { $_[0] * 2 } *handler = \\&Pets::twice;", "", json!(200)),
        ("our $handler = sub { $_[0] * 2 };", "", json!(200)),
        ("use lib do { __FILE__ =~ m{^(.*)/} }; use other;", "", json!("other")),
        ("use List::Util qw(sum); *handler = \\&sum;", "", json!(101)),
        (
            "package Pets { use overload '&{}' => sub { sub { $_[0] * 2 } }; } our $handler = bless {}, 'Pets';",
            "",
            json!(200),
        ),
        ("*purr = sub { $_[0] * 2 };", ":purr", json!(200)),
        ("use constant RATE => 2;", "", json!(100)),
        ("sub { $_[0] * 2 };", "", json!(200)),
    ] {
        let ending = if handler.starts_with("sub {") { "" } else { "1;" };
        let code = format!("{convert}{handler}\n{ending}");
        // The context is an argument of `sum`; its job is 1.
        let code = if handler.contains("sum") {
            format!("{code}\n*handler = sub {{ sum($_[0], $_[1]->job) }}; 1;")
        } else {
            code
        };
        let other = "package other; sub import { *main::handler = sub { 'other' } } 1;";
        check(&[("kitten.pl", &code), ("other.pm", other)], function, expected);
    }
    check(&[("kitten.pl", "*purr = sub { $_[0] * 2 }; 1;")], "", json!(200));
    check_refused(
        &[("kitten.pl", &format!("{convert}*twice = sub {{ $_[0] * 2 }}; 1;"))],
        "",
        "several functions; there are: convert, twice",
    );
}
