//! `--protocol node-ipc`: workers written for `child_process.fork()`, under node. The worker of the samples, with the
//! real npm package serialize-error, is run by the tests in `samples`.

use std::path::Path;

use crate::support::{Ended, Run, forkpool, has, installed, project, shell};

/// Runs the jobs through one worker with this code; `None` where node is not installed.
fn run(flags: &[&str], code: &str, jobs: &str) -> Option<Ended> {
    Some(node(flags, &["-e", code])?.stdin(jobs).end())
}

fn node(flags: &[&str], worker: &[&str]) -> Option<Run> {
    if !installed("node") {
        return None;
    }
    Some(forkpool([&["-j", "1", "--protocol", "node-ipc"], flags, &["--", "node"], worker].concat()))
}

const ECHO: &str = "process.on('message', (m) => process.send({ status: 'ok', data: m }))";

#[test]
fn the_message_is_the_job_and_the_reply_its_record() {
    let code = "process.on('message', async ({ name }) => {
        try {
            if (name === 'Felix') throw new TypeError(`${name} bites`);
            process.send({ status: 'ok', data: `${name} purrs` });
        } catch ({ name, message }) {
            process.send({ status: 'error', data: { name, message } });
        }
    })";
    let Some(ended) = run(&[], code, "{\"name\":\"Tom\"}\n{\"name\":\"Felix\"}\n") else { return };
    let ended = ended.check_status(1);
    assert_eq!(
        ended.text(),
        "{\"job\":1,\"status\":\"ok\",\"data\":\"Tom purrs\"}\n\
         {\"job\":2,\"status\":\"error\",\"error\":{\"name\":\"TypeError\",\"message\":\"Felix bites\"}}\n"
    );
}

#[test]
fn a_commonjs_worker_runs_as_it_is() {
    let names = project("samples/names.csv");
    let worker = project("samples/fork/processor.cjs");
    let text = |path: &Path| path.to_str().expect("the project's path is text").to_owned();
    let Some(run) = node(&["-i", &text(&names)], &[&text(&worker)]) else { return };
    let ended = run.end().check_status(1);
    let failed = ended.statuses().iter().filter(|status| *status == "error").count();
    assert_eq!((ended.records().len(), failed), (5494, 7));
}

#[test]
fn any_json_value_and_large_ones_go_both_ways() {
    let large = format!("\"{}\"", "é🐾".repeat(200_000));
    let jobs = format!("null\n0\n[1,[2]]\n\"a\\nb\"\n{large}\n");
    let Some(ended) = run(&[], ECHO, &jobs) else { return };
    let ended = ended.check_status(0);
    let data: Vec<String> = ended.records().iter().map(|record| record["data"].to_string()).collect();
    assert_eq!(data, ["null", "0", "[1,[2]]", "\"a\\nb\"", &large]);
}

#[test]
fn what_the_worker_prints_does_no_harm() {
    let code =
        format!("console.log('hello'); {ECHO}; process.on('message', () => console.log('{{\"status\":\"ok\"}}'))");
    let Some(ended) = run(&[], &code, "1\n2\n") else { return };
    let ended = ended.check_status(0);
    assert_eq!(ended.statuses(), ["ok", "ok"]);
    assert!(ended.stderr.contains("w0: hello"), "{}", ended.stderr);
}

#[test]
fn progress_is_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("progress");
    let code = "process.on('message', (m) => {
        process.send({ status: 'progress', data: { half: m } });
        process.send({ status: 'ok' });
    })";
    let Some(ended) = run(&["--progress-file", file.to_str().unwrap()], code, "7\n") else { return };
    assert_eq!(ended.check_status(0).text(), "{\"job\":1,\"status\":\"ok\",\"data\":null}\n");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"job\":1,\"progress\":{\"half\":7}}\n");
}

#[test]
fn another_status_is_a_broken_protocol() {
    let code = "process.on('message', (m) => process.send(m === 1 ? { status: 'done' } : { status: 'ok' }))";
    let Some(ended) = run(&[], code, "1\n2\n") else { return };
    let ended = ended.check_status(1);
    assert_eq!(ended.statuses(), ["bad_reply", "ok"]);
    let error = &ended.records()[0]["error"];
    assert_eq!(error["output"], "{\"status\":\"done\"}");
}

#[test]
fn a_job_that_node_would_swallow_is_refused_and_its_own_messages_are_noise() {
    let code = format!("process.send({{ cmd: 'NODE_CHATTER', x: 1 }}); {ECHO}");
    let Some(ended) = run(&[], &code, "{\"cmd\":\"NODE_HANDLE\"}\n{\"cmd\":\"node\"}\n") else { return };
    let ended = ended.check_status(1);
    assert_eq!(ended.statuses(), ["bad_input", "ok"]);
    let message = ended.records()[0]["error"]["message"].to_string();
    assert!(message.contains("NODE_"), "{message}");
}

#[test]
fn one_job_at_a_time_is_all_there_is() {
    for flags in [["--depth", "2"], ["--depth", "auto"], ["--concurrency", "2"]] {
        let Some(ended) = run(&flags, ECHO, "1\n") else { return };
        let ended = ended.check_status(2);
        assert!(ended.stderr.contains("node-ipc has no job ids"), "{}", ended.stderr);
    }
}

#[test]
fn the_channel_is_the_same_under_bun_and_deno() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("echo.mjs"), ECHO).unwrap();
    for (program, words) in [("bun", "bun"), ("deno", "deno run -A")] {
        if !has(program) {
            continue;
        }
        let script = format!("printf '1\\n{{\"a\":[2]}}\\n' | forkpool -j 1 --protocol node-ipc -- {words} echo.mjs");
        let ended = shell(&script, folder.path()).end().check_status(0);
        assert_eq!(ended.records()[1]["data"].to_string(), "{\"a\":[2]}", "{program}: {}", ended.stderr);
    }
}

#[test]
fn a_second_answer_charges_nobody() {
    if !installed("node") {
        return;
    }
    // The next job comes when the second answer has been seen.
    let folder = tempfile::tempdir().unwrap();
    let code = "process.on('message', (m) => {
        process.send({ status: 'ok', data: m });
        if (m === 1) process.send({ status: 'ok', data: 'again' });
    })";
    let script = "(echo 1; until grep -q hands log; do sleep 0.02; done; echo 2) |
        forkpool -j 1 --protocol node-ipc -- node -e \"$CODE\" 2> log";
    let ended = shell(script, folder.path()).env("CODE", code).end().check_status(0);
    let records = ended.records();
    assert_eq!((&records[0]["data"], &records[1]["data"]), (&1.into(), &2.into()));
}

#[test]
fn an_exit_without_an_answer_has_a_hint() {
    let code = "process.on('message', (m) => process.exit(0))";
    let Some(ended) = run(&[], code, "1\n") else { return };
    let ended = ended.check_status(1);
    assert_eq!(ended.statuses(), ["died"]);
    let hint = ended.records()[0]["error"]["hint"].to_string();
    assert!(hint.contains("npx"), "{hint}");
}

#[test]
fn a_late_answer_is_not_lost_to_a_closed_channel() {
    let code = "process.on('message', (m) => setTimeout(() => process.send({ status: 'ok', data: m }), 300))";
    let Some(ended) = run(&[], code, "1\n2\n") else { return };
    assert_eq!(ended.check_status(0).statuses(), ["ok", "ok"]);
}

#[test]
fn a_worker_with_a_timer_is_ended_all_the_same() {
    let code = format!("setInterval(() => {{}}, 1000); {ECHO}");
    let Some(ended) = run(&["--grace", "100ms"], &code, "1\n") else { return };
    assert_eq!(ended.check_status(0).statuses(), ["ok"]);
}
