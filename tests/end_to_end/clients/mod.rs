//! The clients for Python and Node. What is claimed of them is checked in their own languages, by `claims.py` and
//! `claims.mjs` in this folder; that no process of theirs is left is checked here, as for any run.

mod server;

use tempfile::TempDir;

use crate::support::{Run, installed, kill, project, shell, side_by_side, wait_until_there};

#[derive(Clone, Copy)]
enum Language {
    Python,
    Node,
}
use Language::{Node, Python};

/// The program that checks a claim, in an empty folder.
fn program(language: Language, claim: &str) -> Option<(Run, TempDir)> {
    let (interpreter, file) = match language {
        Python => ("python3", "claims.py"),
        Node => ("node", "claims.mjs"),
    };
    if !installed(interpreter) {
        return None;
    }
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = project("tests/end_to_end/clients").join(file);
    let run = shell(&format!("exec {interpreter} \"$CLAIMS\" {claim}"), folder.path())
        .env("CLAIMS", file)
        .env("CLIENT", project("src/clients/node/index.js"))
        .env("PYTHONPATH", project("src/clients/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "error")
        .env("FORKPOOL", env!("CARGO_BIN_EXE_forkpool"));
    Some((run, folder))
}

#[track_caller]
fn check(claim: &str, languages: &[Language]) {
    side_by_side(languages.iter().copied(), |language| {
        if let Some((run, _folder)) = program(language, claim) {
            assert_eq!(run.end().check_status(0).stderr, "");
        }
    });
}

/// A test for each claim, so that they run side by side.
macro_rules! claims {
    ($($claim:ident: $($language:ident)*,)*) => {
        $(#[test]
        fn $claim() {
            check(stringify!($claim), &[$($language),*]);
        })*
    };
}

claims! {
    each_job_ends_in_a_record_in_the_order_of_the_jobs: Python Node,
    a_failure_is_an_exception_with_all_that_the_handler_threw: Python Node,
    jobs_are_taken_only_as_far_ahead_as_there_is_room: Python Node,
    a_job_is_answered_before_the_next_one_is_there: Python Node,
    an_error_of_the_jobs_is_raised_after_the_records_before_it: Python Node,
    an_option_that_is_none_is_refused_with_the_words_of_the_command: Python Node,
    a_pool_whose_workers_cannot_load_rejects_its_jobs: Python Node,
    ten_thousand_jobs_are_in_flight_and_each_gets_its_own_answer: Python Node,
    a_reload_takes_over_an_edited_handler_and_loses_no_job: Python Node,
    the_same_goes_for_coroutines: Python,
    a_signal_takes_back_a_job_or_ends_all: Node,
    leaving_early_ends_what_runs: Python Node,
}

#[test]
fn a_program_that_is_ended_in_the_middle_of_a_job_leaves_no_process() {
    let hang = ["hang", "hang_with_a_pool"];
    let cases = [Python, Node].into_iter().flat_map(|language| hang.map(|claim| (language, claim)));
    let cases =
        cases.flat_map(|(language, claim)| [libc::SIGINT, libc::SIGKILL].map(|signal| (language, claim, signal)));
    side_by_side(cases, |(language, claim, signal)| {
        let Some((run, folder)) = program(language, claim) else { return };
        let running = run.start();
        wait_until_there(&folder.path().join("hanging"));
        kill(running.id(), signal);
        // Panics if a process is left.
        running.end().check_status(128 + signal);
    });
}
