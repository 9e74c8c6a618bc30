//! Asynchronous handlers, and many jobs at once in one worker.

use super::*;

#[test]
fn promises_and_coroutines_are_awaited() {
    let folder = folder();
    let python = "import asyncio\nasync def handler(job):\n    await asyncio.sleep(0)\n    return 1 / job";
    let node = "export default async (n) => { await null; if (n === 0) throw new RangeError('zero'); return 1 / n; };";
    for (language, code) in [(&LANGUAGES[0], node), (&LANGUAGES[1], python)] {
        if installed(language.runtime) {
            let file = written(&folder, language, code);
            let ended = run_with(file, &[], &[json!(1), json!(0), json!(2)]).check_status(1);
            assert_eq!(ended.statuses(), ["ok", "error", "ok"], "{}", ended.text());
            assert_eq!(data(&ended)[2], 0.5);
        }
    }
}

/// A handler that goes on only when as many jobs have begun as the job says.
fn meeting(language: &Language) -> &'static str {
    match language.ending {
        "mjs" => {
            "let begun = 0;\nlet open;\nconst all = new Promise((resolve) => { open = resolve; });\n\
             export default async ({ meet, end }) => {\n\
             if (++begun === meet) open();\nawait all;\nif (end) process.exit(3);\nreturn begun;\n};"
        }
        _ => {
            "import asyncio, os\nbegun = 0\nall = None\nasync def handler(job):\n    global begun, all\n    \
             all = all or asyncio.Event()\n    begun += 1\n    if begun == job['meet']:\n        all.set()\n    \
             await all.wait()\n    if job.get('end'):\n        os._exit(3)\n    return begun"
        }
    }
}

#[test]
fn concurrency_runs_as_many_jobs_at_once_in_one_worker() {
    for language in LANGUAGES[..2].iter().filter(|language| installed(language.runtime)) {
        let folder = folder();
        let file = written(&folder, language, meeting(language));
        let jobs = vec![json!({ "meet": 8 }); 8];
        assert_eq!(data(&run_with(file, &["--concurrency", "8"], &jobs).check_status(0)), vec![json!(8); 8]);
    }
}

#[test]
fn a_death_ends_all_jobs_that_ran_at_once() {
    for language in LANGUAGES[..2].iter().filter(|language| installed(language.runtime)) {
        let folder = folder();
        let file = written(&folder, language, meeting(language));
        let mut jobs = vec![json!({ "meet": 4, "end": true }); 4];
        jobs.push(json!({ "meet": 1 }));
        let ended = run_with(file, &["--concurrency", "4"], &jobs).check_status(1);
        assert_eq!(ended.statuses(), ["died", "died", "died", "died", "ok"]);
    }
}

#[test]
fn without_concurrency_an_async_handler_has_one_job_at_a_time() {
    let node =
        "let open = 0;\nexport default async () => { open += 1; await new Promise(setImmediate); return open--; };";
    let python = "import asyncio\nopened = 0\nasync def handler(job):\n    global opened\n    opened += 1\n    \
                  await asyncio.sleep(0)\n    opened -= 1\n    return opened + 1";
    for (language, code) in [(&LANGUAGES[0], node), (&LANGUAGES[1], python)] {
        if installed(language.runtime) {
            let folder = folder();
            let file = written(&folder, language, code);
            let ended = run_with(file, &["--depth", "16"], &vec![json!(0); 200]).check_status(0);
            assert_eq!(data(&ended), vec![json!(1); 200]);
        }
    }
}

#[test]
fn a_hundred_sleeps_at_once_take_little_longer_than_one() {
    let node = "export default (ms) => new Promise((resolve) => setTimeout(resolve, ms, ms));";
    let python = "import asyncio\nasync def handler(ms):\n    await asyncio.sleep(ms / 1000)\n    return ms";
    for (language, code) in [(&LANGUAGES[0], node), (&LANGUAGES[1], python)] {
        if installed(language.runtime) {
            let folder = folder();
            let file = written(&folder, language, code);
            let begun = Instant::now();
            run_with(file, &["--concurrency", "100"], &vec![json!(600); 100]).check_status(0);
            // One after the other the jobs would take a minute.
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        }
    }
}

#[test]
fn handlers_that_are_not_async_work_with_concurrency() {
    for_each_language(|language| {
        let folder = folder();
        let file = written(&folder, language, language.plain);
        let jobs: Vec<Value> = (0..500).map(|number| json!(number)).collect();
        assert!(data(&run_with(file, &["--concurrency", "50"], &jobs).check_status(0)) == jobs, "{}", language.ending);
    });
}

#[test]
fn a_late_throw_is_logged_and_harms_no_other_job() {
    let language = &LANGUAGES[0];
    if installed(language.runtime) {
        for act in ["late_throw", "late_rejection"] {
            let jobs = [json!({"do": act}), json!({"do": "sleep", "ms": 100}), json!({"do": "echo"})];
            let ended = acts(language, &["-v"], &jobs).check_status(0);
            assert!(ended.stderr.contains("too late"), "{}", ended.stderr);
            assert_eq!(ended.stderr.matches(" started").count(), 1, "{}", ended.stderr);
        }
    }
}

#[test]
fn a_throw_that_leaves_its_job_unanswered_is_that_jobs_error() {
    let language = &LANGUAGES[0];
    if installed(language.runtime) {
        let jobs = [json!({"do": "stray_throw"}), json!({"do": "echo"})];
        let records = acts(language, &[], &jobs).check_status(1).records();
        assert_eq!(records[0]["error"]["message"], "stray");
        assert_eq!(records[1]["status"], "ok");
    }
}

#[test]
fn half_a_surrogate_pair_from_python_is_escaped() {
    if installed("python3") {
        let ended = acts(&LANGUAGES[1], &[], &[json!({"do": "surrogate"})]).check_status(0);
        assert!(ended.text().contains(r#""data":"\ud800""#), "{}", ended.text());
    }
}

#[test]
fn an_interrupt_of_the_workers_group_is_left_to_forkpool() {
    let interrupt = [
        "import { kill } from 'node:process';\nexport default (n) => { kill(0, 'SIGINT'); return n; };",
        "import os, signal\ndef handler(n):\n    os.killpg(0, signal.SIGINT)\n    return n",
        "def handler(n)\n  Process.kill('INT', 0)\n  n\nend",
        "<?php function handler($n) { posix_kill(getmypid(), 2); return $n; }",
        "sub handler { kill INT => $$; return $_[0] } 1;",
    ];
    for (language, code) in LANGUAGES.iter().zip(interrupt) {
        if installed(language.runtime) {
            let folder = folder();
            let file = written(&folder, language, code);
            let ended = run_with(file, &[], &[json!(1), json!(2)]).check_status(0);
            assert_eq!(data(&ended), [1, 2], "{}", language.ending);
        }
    }
}
