//! `--check`: what it says about good and bad workers.

use crate::support::{Ended, forkpool, installed, project};

/// Checks a worker in Python that runs `code` for each line.
fn check(code: &str) -> Ended {
    let worker = format!("import sys, json, os, time\nfor line in sys.stdin:\n{code}");
    forkpool(["--check", "--grace", "1s", "--", "python3", "-c", &worker]).end()
}

#[track_caller]
fn fails(ended: Ended, trial: &str, words: &str) {
    let ended = ended.check_status(1);
    let line = ended.text().lines().find(|line| line.starts_with("FAILED")).map(str::to_owned);
    let line = line.unwrap_or_else(|| panic!("something fails: {}", ended.text()));
    assert!(line.contains(trial) && line.contains(words), "{line}");
}

#[test]
fn a_good_worker_passes() {
    let names = project("samples/names.csv");
    let worker = project("samples/pet.py");
    let args = ["--check".as_ref(), "-i".as_ref(), names.as_os_str(), "--".as_ref(), "python3".as_ref()];
    let ended = forkpool(args.into_iter().chain([worker.as_os_str()])).end().check_status(0);
    assert!(ended.text().contains("James"), "the first job of the input is tried: {}", ended.text());
    assert!(ended.text().contains("(6 trials)"), "{}", ended.text());
    forkpool(["--check", "--protocol", "lines", "--", "sed", "-u", "s/a/b/"]).end().check_status(0);
}

#[test]
fn a_handler_passes() {
    let handler = project("samples/handlers/pet.py");
    let ended = forkpool(["--check".as_ref(), "--handler".as_ref(), handler.as_os_str()]).end().check_status(0);
    assert!(ended.text().contains("an odd job (null)"), "{}", ended.text());
}

#[test]
fn a_fork_worker_passes() {
    if !installed("node") {
        return;
    }
    let worker = "process.on('message', (m) => process.send({ status: 'ok', data: m }))";
    forkpool(["--check", "--protocol", "node-ipc", "--", "node", "-e", worker]).end().check_status(0);
}

#[test]
fn printing_to_stdout_is_told() {
    fails(check("  print('hello', flush=True)\n"), "a job", "prints what is no reply: hello");
}

#[test]
fn a_wrong_or_missing_id_is_told() {
    fails(check("  print('{\"status\":\"ok\"}', flush=True)\n"), "a job", "it has no id");
    fails(check("  print('{\"id\":9,\"status\":\"ok\"}', flush=True)\n"), "a job", "answers job 9, but was given 1");
}

#[test]
fn buffered_output_is_told_with_its_cure() {
    let ended = check("  print(json.dumps({'id': json.loads(line)['id'], 'status': 'ok'}))\n");
    fails(ended, "a job", "python -u");
}

#[test]
fn a_worker_that_dies_of_an_odd_job_is_told() {
    let ended = check(
        "  job = json.loads(line)\n  print(json.dumps({'id': job['id'], 'status': 'ok', 'data': job['data']['name']}), \
         flush=True)\n",
    );
    fails(ended, "an odd job (null)", "exited with status 1 instead of answering");
}

#[test]
fn two_answers_and_answers_out_of_order_are_told() {
    let twice =
        "  print((json.dumps({'id': json.loads(line)['id'], 'status': 'ok'}) + '\\n') * 2, flush=True, end='')\n";
    fails(check(twice), "a job", "more than one line for each job");
    let script = "import sys, json, threading, time
def answer(id):
    time.sleep(0.3 if id == 5 else 0)
    sys.stdout.write(json.dumps({'id': id, 'status': 'ok'}) + '\\n')
    sys.stdout.flush()
for line in sys.stdin:
    threading.Thread(target=answer, args=[json.loads(line)['id']]).start()
";
    let ended = forkpool(["--check", "--", "python3", "-c", script]).end().check_status(0);
    assert!(ended.text().contains("out of order"), "{}", ended.text());
}

#[test]
fn ignoring_the_end_of_the_input_is_told() {
    let worker = "import sys, json, time\nfor line in sys.stdin:\n  \
                  print(json.dumps({'id': json.loads(line)['id'], 'status': 'ok'}), flush=True)\ntime.sleep(600)\n";
    let ended = forkpool(["--check", "--grace", "1s", "--", "python3", "-c", worker]).end();
    fails(ended, "the end of the input", "it goes on");
}

#[test]
fn a_worker_that_cannot_be_started_is_an_error_of_the_pool() {
    let ended = forkpool(["--check", "--", "no-such-program"]).end().check_status(3);
    assert!(ended.stderr.contains("no-such-program"), "{}", ended.stderr);
}
