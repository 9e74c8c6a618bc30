//! `--host`: workers behind a stream. The agents here are processes of this machine, which everything but the way to
//! them has in common with those of another one.

mod brought;
mod kubectl;
mod network;
mod shells;
mod slurm;
mod ssh;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{Ended, console, forkpool, installed, records};

/// Notes who begins which job, and may end its agent or its worker.
const HANDLER: &str = "
import os, signal, time

def work(job):
    with open('begun', 'a') as begun:
        begun.write('%s\\n' % job['n'])
    once = 'agent-was-killed'
    if job.get('kill') and not os.path.exists(once):
        open(once, 'w').close()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if job.get('die'):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.get('raise'):
        raise ValueError('bites')
    return [job['n'], os.environ.get('WHO'), os.environ.get('H')]
";

/// Reaches an agent on this machine, which knows the name of its host.
const LAUNCH: &str = "env H={host} forkpool --agent";

/// Whether a test runs that needs root and these programs: only where nothing may be skipped.
fn may_use_root(what: &str, programs: &[&str]) -> bool {
    if !console::all_must_run() {
        console::skip(&format!("{what} need root and run only with FORKPOOL_TEST_ALL=1"));
        return false;
    }
    let can = rustix::process::geteuid().is_root() && programs.iter().all(|program| installed(program));
    if !can {
        console::skip(&format!("{what} need root"));
    }
    can
}

/// The jobs that have begun by now, by the lines of a file, which begin with their numbers; one may be half there.
fn begun_so_far(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut begun: Vec<u64> = text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    begun.sort_unstable();
    begun
}

fn folder(jobs: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("work.py"), HANDLER).unwrap();
    fs::write(folder.path().join("jobs.ndjson"), jobs.join("\n")).unwrap();
    folder
}

/// Jobs numbered from 1, all harmless but one.
fn jobs(count: usize, odd: usize, deed: &str) -> Vec<String> {
    let job = |n| if n == odd { format!("{{\"n\":{n},\"{deed}\":1}}") } else { format!("{{\"n\":{n}}}") };
    (1..=count).map(job).collect()
}

fn run(folder: &Path, launch: &str, words: &str) -> Ended {
    let words = words.split_whitespace();
    forkpool(["--launch", launch, "-i", "jobs.ndjson"].into_iter().chain(words)).current_dir(folder).end()
}

fn with(jobs: &[String]) -> tempfile::TempDir {
    folder(&jobs.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How often each job has begun, in order.
fn begun(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("begun")).unwrap();
    let mut begun: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    begun.sort_unstable();
    begun
}

#[test]
fn jobs_run_on_all_hosts_and_their_records_are_in_order() {
    let folder = with(&jobs(60, 7, "raise"));
    let words = "--host a:1,b:1 --handler work.py:work --env PATH --meta --depth 1";
    let ended = run(folder.path(), LAUNCH, words).check_status(1);
    let records = records(&ended.stdout);
    assert_eq!(records.len(), 60);
    for (record, number) in records.iter().zip(1..) {
        assert_eq!(record["job"], number);
        assert_eq!(record["worker"], 0);
        if number == 7 {
            assert_eq!((&record["status"], &record["error"]["message"]), (&Value::from("error"), &"bites".into()));
        } else {
            assert_eq!((&record["data"][0], &record["data"][2]), (&number.into(), &record["host"]));
        }
    }
    assert_eq!(begun(folder.path()), (1..=60).collect::<Vec<u32>>());
}

#[test]
fn a_host_that_is_lost_costs_only_what_it_had_announced_and_no_job_begins_twice() {
    let folder = with(&jobs(400, 5, "kill"));
    let words = "--host a:1,b:1 --handler work.py:work --depth 1 --meta";
    let ended = run(folder.path(), LAUNCH, words).check_status(1);
    let records = records(&ended.stdout);
    assert_eq!(records.len(), 400);
    let lost: Vec<&Value> = records.iter().filter(|record| record["status"] != "ok").collect();
    assert!(lost.iter().any(|record| record["job"] == 5), "the job that killed the agent");
    for record in &lost {
        assert_eq!((&record["status"], &record["error"]["name"]), (&"died".into(), &"HostLost".into()), "{record}");
        assert_eq!(record["host"], lost[0]["host"], "the other host lost nothing");
    }
    let begun = begun(folder.path());
    assert!(begun.windows(2).all(|pair| pair[0] < pair[1]), "no job begins twice: {begun:?}");
    assert!(begun.len() > 400 - lost.len() && lost.len() < 200, "most jobs run: {} were lost", lost.len());
}

#[test]
fn with_retries_the_job_of_a_lost_host_runs_again() {
    let folder = with(&jobs(6, 2, "kill"));
    let words = "--host a:1,b:1 --handler work.py:work --retries 1 --retry-delay 0 --meta";
    let ended = run(folder.path(), LAUNCH, words).check_status(0);
    assert_eq!(records(&ended.stdout)[1]["attempts"], 2);
}

#[test]
fn a_worker_that_dies_is_charged_to_its_job_as_at_home() {
    let folder = with(&jobs(3, 2, "die"));
    let ended = run(folder.path(), LAUNCH, "--host a:1 --handler work.py:work").check_status(1);
    let records = records(&ended.stdout);
    assert_eq!((&records[1]["status"], &records[1]["error"]["name"]), (&"died".into(), &"WorkerDied".into()));
    assert_eq!(records[2]["status"], "ok");
}

#[test]
fn a_host_that_cannot_be_reached_costs_nothing_unless_it_is_the_last() {
    let folder = with(&jobs(1, 0, ""));
    let launch = "sh -c 'test $0 = a && exec forkpool --agent; echo no route to $0 >&2; exit 255' {host} --agent";
    let ended = run(folder.path(), launch, "--host b:1,a:1 --handler work.py:work").check_status(0);
    assert!(ended.stderr.contains("b: no route to b\n"), "{}", ended.stderr);
    let none = "sh -c 'echo forkpool: not found >&2; exit 127' {host} --agent";
    let ended = run(folder.path(), none, "--host b:1 --handler work.py:work").check_status(3);
    assert!(ended.stderr.contains("hint: forkpool must be in the PATH"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "nothing is written of a run that came to nothing");
}

#[test]
fn a_shell_that_prints_before_the_agent_does_no_harm() {
    let folder = with(&jobs(2, 0, ""));
    let launch = "sh -c 'echo Welcome; echo; exec forkpool --agent' {host} --agent";
    run(folder.path(), launch, "--host a:1 --handler work.py:work").check_status(0);
    let only = "sh -c 'echo Welcome; exit 1' {host} --agent";
    let ended = run(folder.path(), only, "--host a:1 --handler work.py:work --check").check_status(1);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(
        said.contains("a: FAILED") && said.contains("Welcome") && said.contains("hint: what was printed"),
        "{said}"
    );
}

#[test]
fn another_version_is_refused_and_both_are_named() {
    let folder = with(&jobs(1, 0, ""));
    let launch = "sh -c 'echo \"{\\\"forkpool_agent\\\":\\\"0.0.1\\\"}\"; cat' {host} --agent";
    let ended = run(folder.path(), launch, "--host a:1 --handler work.py:work").check_status(3);
    let words = format!("host a: it has forkpool 0.0.1, and this is {}", env!("CARGO_PKG_VERSION"));
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
}

#[test]
fn files_and_variables_go_along_and_the_files_away_again() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, temporary) = (folder.path().join("it's \"odd\" $HOME"), folder.path().join("tmp"));
    fs::create_dir(&inner).unwrap();
    fs::create_dir(&temporary).unwrap();
    fs::write(inner.join("work.py"), "import helper, os\ndef work(job): return [helper.X, os.environ['WHO']]\n")
        .unwrap();
    fs::write(inner.join("helper.py"), "X = 7\n").unwrap();
    let work = inner.join("work.py");
    let helper = inner.join("helper.py");
    let words = ["--host", "a:1", "--launch", LAUNCH, "--env", "WHO", "--from", "lines", "--handler"].map(Path::new);
    let run = forkpool(words.into_iter().chain([work.as_path(), Path::new("--put"), helper.as_path()]));
    let ended = run.env("WHO", "a \"b\"\n").env("TMPDIR", &temporary).stdin("x\n").end().check_status(0);
    assert_eq!(records(&ended.stdout)[0]["data"], serde_json::json!([7, "a \"b\"\n"]));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_logs_of_a_host_have_its_name_and_say_which_worker() {
    let folder = with(&jobs(1, 0, ""));
    let words = "-q --host a:1 --log-dir logs --protocol lines -- sh -c cat";
    let words = words.split_whitespace().map(|word| if word == "cat" { "echo hello >&2; cat" } else { word });
    let first = ["--launch", LAUNCH, "-i", "jobs.ndjson"];
    let ended = forkpool(first.into_iter().chain(words)).current_dir(folder.path()).end().check_status(0);
    assert_eq!(ended.stderr, "");
    let log = fs::read_to_string(folder.path().join("logs/a.log")).unwrap();
    assert!(log.contains("w0: hello\n"), "{log}");
}

#[test]
fn a_dry_run_says_what_would_be_called() {
    let folder = with(&jobs(2, 0, ""));
    let ended = run(folder.path(), "ssh -T {host}", "--host a:3,b --handler work.py:work --dry-run").check_status(0);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(said.contains("host      a: 3 workers, by ssh -T a forkpool --agent\n"), "{said}");
    assert!(said.contains("host      b: as many workers as -j says there, by ssh -T b forkpool --agent\n"), "{said}");
}

#[test]
fn a_handler_that_cannot_work_anywhere_ends_the_run_at_once() {
    let folder = with(&jobs(2, 0, ""));
    let ended = run(folder.path(), LAUNCH, "--host a:1,b:1 --handler work.py:nope").check_status(3);
    assert!(ended.stderr.contains("has no function nope"), "{}", ended.stderr);
}

#[test]
fn the_nodes_of_a_slurm_allocation_are_hosts() {
    let folder = with(&jobs(20, 0, ""));
    // What stands for Slurm: the names of two nodes, and a step that runs here.
    let programs = [
        ("scontrol", "test \"$*\" = 'show hostnames n[1-2]' && printf 'n1\\nn2\\n'"),
        ("srun", "test \"$1 $2 $3 $4 $5\" = '-Q --overlap -N1 -n1 -w' || exit 9; H=$6; export H; shift 6; exec \"$@\""),
    ];
    for (name, script) in programs {
        let program = folder.path().join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let binaries = Path::new(env!("CARGO_BIN_EXE_forkpool")).parent().unwrap().to_owned();
    let path = [folder.path().to_owned(), binaries];
    let old = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(path.into_iter().chain(std::env::split_paths(&old))).unwrap();
    let words = "--hosts slurm --handler work.py:work -i jobs.ndjson --meta --dry-run".split(' ');
    let run = |words: Vec<&str>| {
        let run = forkpool(words).current_dir(folder.path()).env("PATH", &path);
        run.env("SLURM_JOB_NODELIST", "n[1-2]").env("SLURM_JOB_CPUS_PER_NODE", "1(x2)").end()
    };
    let said = String::from_utf8(run(words.clone().collect()).check_status(0).stdout).unwrap();
    let first = "host      n1: 1 worker, by srun -Q --overlap -N1 -n1 -w n1 forkpool --agent\n";
    assert!(said.starts_with(first), "{said}");
    let ended = run(words.filter(|word| *word != "--dry-run").collect()).check_status(0);
    assert!(records(&ended.stdout).iter().all(|record| record["host"] == record["data"][2]), "{}", ended.text());
    let outside = forkpool("--hosts slurm -- w".split(' ')).end().check_status(2);
    assert!(outside.stderr.contains("this is no Slurm allocation"), "{}", outside.stderr);
}

#[test]
fn a_stream_that_ends_with_status_0_and_without_a_farewell_is_a_loss() {
    let folder = with(&jobs(2, 0, ""));
    // kubectl exec ends so when it loses its connection: here after the agent has said hello.
    let launch =
        "sh -c 'test -e lost && exec forkpool --agent; touch lost; forkpool --agent | head -n 1' {host} --agent";
    let ended = run(folder.path(), launch, "--host a:1 --handler work.py:work -v").check_status(0);
    assert!(ended.stderr.contains("host a is gone: what led there exited with status 0"), "{}", ended.stderr);
}

#[test]
fn hosts_that_cannot_be_meant_are_refused() {
    let folder = with(&jobs(1, 0, ""));
    fs::write(folder.path().join("hosts"), "# none\nnode1\na b\n").unwrap();
    for (words, reason) in [
        ("--host=-oProxyCommand=x -- w", "is no name of a host"),
        ("--host a:0 -- w", "the number of workers must be 1 to 65536"),
        ("--hosts hosts -- w", "hosts: line 3: \"a b\" is no name of a host"),
        ("--hosts nothere -- w", "cannot read --hosts nothere"),
        ("--host a --put nothere -- w", "--put nothere: No such file or directory"),
        ("--host a --put . -- w", "--put .: it is no regular file"),
        ("--host a --env NO_SUCH -- w", "--env NO_SUCH: there is no such variable"),
        ("--put work.py -- w", "--put is for workers on other hosts"),
        ("--host a --launch ssh -- w", "--launch: it does not name {host}"),
    ] {
        let ended = forkpool(words.split_whitespace()).current_dir(folder.path()).end();
        assert_eq!(ended.status, 2, "{words}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{words}: {}", ended.stderr);
    }
}
