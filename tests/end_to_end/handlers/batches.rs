//! `--batch`: the function takes and returns lists.

use super::*;

/// A handler of lists that does what its jobs say: an element that is an error, or what spoils the call for all.
fn acts_on_lists(language: &Language) -> &'static str {
    match language.ending {
        "mjs" => {
            "export default (jobs, contexts) => {\n\
             if (jobs.some((job) => job.do === 'throw')) throw new RangeError('spoiled');\n\
             if (jobs.some((job) => job.do === 'exit')) process.exit(3);\n\
             if (jobs.some((job) => job.do === 'short')) return jobs.slice(1);\n\
             if (jobs.some((job) => job.do === 'no list')) return 7;\n\
             return jobs.map((job, i) => job.do === 'error' ? new TypeError('sad') : [jobs.length, contexts[i].job]);\n};"
        }
        "py" => {
            "import os\ndef handler(jobs, contexts):\n    deeds = [job['do'] for job in jobs]\n    \
             if 'throw' in deeds: raise ValueError('spoiled')\n    if 'exit' in deeds: os._exit(3)\n    \
             if 'hang' in deeds: import time; time.sleep(600)\n    \
             if 'short' in deeds: return jobs[1:]\n    if 'no list' in deeds: return 7\n    \
             return [TypeError('sad') if deed == 'error' else [len(jobs), context.job]\n            \
             for deed, context in zip(deeds, contexts)]"
        }
        "rb" => {
            "def handler(jobs, contexts)\n  deeds = jobs.map { |job| job['do'] }\n  \
             raise 'spoiled' if deeds.include?('throw')\n  exit!(3) if deeds.include?('exit')\n  \
             return jobs[1..] if deeds.include?('short')\n  return 7 if deeds.include?('no list')\n  \
             deeds.zip(contexts).map { |deed, it| deed == 'error' ? TypeError.new('sad') : [jobs.size, it.job] }\nend"
        }
        "php" => {
            "<?php function handler($jobs, $contexts) {\n$deeds = array_column($jobs, 'do');\n\
             if (in_array('throw', $deeds)) throw new Exception('spoiled');\nif (in_array('exit', $deeds)) exit(3);\n\
             if (in_array('short', $deeds)) return array_slice($jobs, 1);\nif (in_array('no list', $deeds)) return 7;\n\
             $act = fn($deed, $it) => $deed === 'error' ? new TypeError('sad') : [count($jobs), $it->job];\n\
             return array_map($act, $deeds, $contexts);\n}"
        }
        _ => {
            "sub handler { my ($jobs, $contexts) = @_; my %does = map { $_->{do} => 1 } @$jobs;\n\
             die \"spoiled\\n\" if $does{throw}; exit 3 if $does{exit}; return [@$jobs[1 .. $#$jobs]] if $does{short};\n\
             return 7 if $does{'no list'};\n\
             return [map { $jobs->[$_]{do} eq 'error' ? bless({ message => 'sad' }, 'TypeError')\n\
             : [scalar @$jobs, $contexts->[$_]->job] } 0 .. $#$jobs]; } 1;"
        }
    }
}

/// Runs jobs that do these things, in one worker, in batches of up to 4.
fn run_deeds(language: &Language, options: &[&str], deeds: &[&str]) -> Ended {
    let folder = folder();
    let file = written(&folder, language, acts_on_lists(language));
    let jobs: Vec<Value> = deeds.iter().map(|deed| json!({ "do": deed })).collect();
    run_with(file, &[&["--batch", "4", "--meta"], options].concat(), &jobs)
}

#[test]
fn the_function_takes_and_returns_lists_and_an_error_in_one_is_that_of_its_job() {
    for_each_language(|language| {
        let ended = run_deeds(language, &[], &["", "", "error", "", ""]).check_status(1);
        assert_eq!(ended.statuses(), ["ok", "ok", "error", "ok", "ok"], "{}", ended.text());
        let records = ended.records();
        for (record, number) in records.iter().zip(1..).filter(|(record, _)| record["status"] == "ok") {
            assert_eq!(record["data"], json!([record["batch"], number]), "{}", language.ending);
        }
        assert_eq!((&records[0]["batch"], &records[2]["batch"]), (&json!(4), &json!(4)), "{}", language.ending);
        let error = &records[2]["error"];
        assert_eq!((&error["name"], &error["message"]), (&json!("TypeError"), &json!("sad")));
    });
}

/// Checks that of a batch only the third job fails, in a call of its own.
#[track_caller]
fn check_culprit(language: &Language, options: &[&str], deed: &str, status: &str, attempts: u32) -> Value {
    let ended = run_deeds(language, options, &["", "", deed, ""]).check_status(1);
    assert_eq!(ended.statuses(), ["ok", "ok", status, "ok"], "{} {deed}: {}", language.ending, ended.text());
    let mut records = ended.records();
    let charged: Vec<&Value> = records.iter().map(|record| &record["attempts"]).collect();
    assert_eq!(charged, [1, 1, attempts, 1], "{} {deed}", language.ending);
    assert!(records.iter().all(|record| record["batch"] == 1), "{} {deed}: {}", language.ending, ended.text());
    records[2]["error"]["message"].take()
}

#[test]
fn what_spoils_a_call_fails_the_culprit_only() {
    for_each_language(|language| {
        assert_eq!(check_culprit(language, &[], "throw", "error", 1), "spoiled");
        let words = check_culprit(language, &[], "short", "error", 1);
        assert_eq!(words, "the handler returned a list of 0 for a list of 1");
        let words = check_culprit(language, &[], "no list", "error", 1);
        assert!(words.as_str().unwrap().ends_with(" for a list of 1"), "{}: {words}", language.ending);
        let words = check_culprit(language, &[], "exit", "died", 1);
        assert!(words.as_str().unwrap().contains("exited with status 3"), "{}: {words}", language.ending);
    });
}

#[test]
fn a_call_that_takes_too_long_fails_the_culprit_only() {
    let words = check_culprit(&LANGUAGES[1], &["--timeout", "2s"], "hang", "timeout", 1);
    assert!(words.as_str().unwrap().contains("within 2s"), "{words}");
}

#[test]
fn retries_are_for_the_culprit_and_in_batches_of_one() {
    let options = ["--retries", "2", "--retry-on", "died,error", "--retry-delay", "0s"];
    for (deed, status) in [("throw", "error"), ("exit", "died")] {
        check_culprit(&LANGUAGES[1], &options, deed, status, 3);
    }
}

#[test]
fn promises_and_coroutines_of_lists_are_awaited() {
    let python = "import asyncio\n__all__ = ['handler']\nasync def handler(jobs):\n    await asyncio.sleep(0)\n    \
                  return await asyncio.gather(*map(half, jobs), return_exceptions=True)\n\
                  async def half(job): return 1 / job";
    let node = "export default async (jobs) => { await null; return jobs.map((n) => n ? 1 / n : new Error('zero')); };";
    for (language, code) in [(&LANGUAGES[0], node), (&LANGUAGES[1], python)] {
        let folder = folder();
        let file = written(&folder, language, code);
        let ended = run_with(file, &["--batch", "3"], &[json!(1), json!(0), json!(2), json!(4)]).check_status(1);
        assert_eq!(ended.statuses(), ["ok", "error", "ok", "ok"], "{}", ended.text());
        assert_eq!(data(&ended)[2..], [json!(0.5), json!(0.25)]);
    }
}

#[test]
fn large_jobs_are_batched_although_no_pipe_holds_them() {
    let folder = folder();
    let file = written(&folder, &LANGUAGES[1], "def handler(jobs): return [len(jobs)] * len(jobs)");
    let jobs = vec![json!("x".repeat(300_000)); 8];
    assert_eq!(data(&run_with(file, &["--batch", "8"], &jobs).check_status(0))[0], 8);
}

#[test]
fn what_does_not_go_with_batches_is_refused() {
    let handler = project("samples/handlers/pet.py");
    let handler = handler.to_str().expect("the project's path is text");
    for flags in [["--concurrency", "2"], ["--depth", "2"], ["--route", "x"], ["--check", "-v"]] {
        let ended = forkpool(["--batch", "2", "--handler", handler].iter().chain(&flags)).stdin("1\n").end();
        assert!(ended.check_status(2).stderr.contains("cannot be used with"), "{flags:?}");
    }
    let ended = forkpool(["--batch", "2", "--", "cat"]).stdin("1\n").end().check_status(2);
    assert!(ended.stderr.contains("--handler"), "{}", ended.stderr);
}
