//! Handlers: what the supplied workers promise, in every language, each with the same tests.
//!
//! A language that is not installed is passed over, unless FORKPOOL_TEST_ALL is 1.

mod at_once;
mod batches;
mod channel;
mod children;
mod choice;
mod declared;
mod environment;
mod errors;
mod guards;
mod init;
mod loading;
mod preload;
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Ended, HANG, console, forkpool, has, installed, project};

struct Language {
    ending: &'static str,
    runtime: &'static str,
    /// A file that cannot be parsed.
    nonsense: &'static str,
    /// A file that needs another that is not there, and the name in the message.
    missing: &'static str,
    /// A file that throws "no database" while it is loaded.
    throws: &'static str,
    /// A file that ends its process while it is loaded.
    exits: &'static str,
    /// A file without a function.
    empty: &'static str,
    /// Functions `one` and `two`, which return 1 and 2.
    two: &'static str,
    /// `two` and a function `handler`, which returns 3.
    with_handler: &'static str,
    /// One function of the file's own, which returns 4, beside what is none: private, imported, or a class.
    only: &'static str,
    /// A handler with one parameter, which returns the job.
    plain: &'static str,
}

const LANGUAGES: [Language; 5] = [
    Language {
        ending: "mjs",
        runtime: "node",
        nonsense: "export default (job => {",
        missing: "import 'no-such-module';\nexport default (job) => job;",
        throws: "throw new Error('no database');",
        exits: "process.exit(3);",
        empty: "export const answer = 42;",
        two: "export const one = () => 1;\nexport const two = () => 2;",
        with_handler: "export const one = () => 1;\nexport const two = () => 2;\nexport const handler = () => 3;",
        only: "export class Kitten {}\nconst helper = () => 0;\nexport const purr = () => 4;",
        plain: "export default (job) => job;",
    },
    Language {
        ending: "py",
        runtime: "python3",
        nonsense: "def f(",
        missing: "import no_such_module",
        throws: "raise RuntimeError('no database')",
        exits: "import sys\nsys.exit(3)",
        empty: "answer = 42",
        two: "def one(job): return 1\ndef two(job): return 2",
        with_handler: "def one(job): return 1\ndef two(job): return 2\ndef handler(job): return 3",
        only: "from json import loads\nclass Kitten: pass\ndef _helper(): return 0\ndef purr(job): return 4",
        plain: "def handler(job, loud=False): return job if loud is False else loud",
    },
    Language {
        ending: "rb",
        runtime: "ruby",
        nonsense: "def f(",
        missing: "require 'no_such_module'",
        throws: "raise 'no database'",
        exits: "exit 3",
        empty: "ANSWER = 42",
        two: "def one(job) = 1\ndef two(job) = 2",
        with_handler: "def one(job) = 1\ndef two(job) = 2\ndef handler(job) = 3",
        only: "require 'pp'\nclass Kitten; def meow() = 0; end\ndef _helper() = 0\ndef purr(job) = 4",
        plain: "def handler(job, loud = false) = loud || job",
    },
    Language {
        ending: "php",
        runtime: "php",
        nonsense: "<?php function f(",
        missing: "<?php require 'no_such_module';",
        throws: "<?php throw new Exception('no database');",
        exits: "<?php exit(3);",
        empty: "<?php $answer = 42;",
        two: "<?php function one($job) { return 1; } function two($job) { return 2; }",
        with_handler: "<?php function one($job) { return 1; } function two($job) { return 2; }\n\
                       function handler($job) { return 3; }",
        only: "<?php class Kitten { function meow() {} } function _helper() {} function purr($job) { return 4; }",
        plain: "<?php function handler($job, $loud = false) { return $loud ?: $job; }",
    },
    Language {
        ending: "pl",
        runtime: "perl",
        nonsense: "sub f {",
        missing: "use no_such_module;",
        throws: "die 'no database';",
        exits: "exit 3;",
        empty: "our $answer = 42;",
        two: "sub one { 1 } sub two { 2 } 1;",
        with_handler: "sub one { 1 } sub two { 2 } sub handler { 3 } 1;",
        only: "use List::Util qw(sum); sub _helper { 0 } sub purr { 4 } 1;",
        plain: "use feature 'signatures'; no warnings; sub handler ($job) { return $job } 1;",
    },
];

/// Calls `test` for every language that is installed.
fn for_each_language(test: impl Fn(&Language)) {
    for language in &LANGUAGES {
        if installed(language.runtime) {
            test(language);
        }
    }
}

/// Runs the jobs through one worker around acts.* beside this file, which does what each job says.
fn acts(language: &Language, options: &[&str], jobs: &[Value]) -> Ended {
    let file = project("tests/end_to_end/handlers").join(format!("acts.{}", language.ending));
    run_with(&file, options, jobs)
}

fn run_with(handler: impl AsRef<Path>, options: &[&str], jobs: &[Value]) -> Ended {
    let handler = handler.as_ref().to_str().expect("the project's path is text");
    let jobs: String = jobs.iter().map(|job| format!("{job}\n")).collect();
    forkpool(["-j", "1", "--handler", handler].iter().chain(options)).stdin(jobs).end()
}

/// A handler of its own for this test, in a temporary folder.
fn written(folder: &tempfile::TempDir, language: &Language, code: &str) -> PathBuf {
    let file = folder.path().join(format!("kitten.{}", language.ending));
    fs::write(&file, code).expect("the folder can be written");
    file
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("there is a folder for temporary files")
}

#[track_caller]
fn data(ended: &Ended) -> Vec<Value> {
    ended.records().into_iter().map(|mut record| record["data"].take()).collect()
}
