//! `--preload`: workers that are forked from a template, which has loaded the handler once.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;

use super::*;
use crate::support::{Run, kill, lines, shell, wait_for, wait_until_there};

/// Runs through preload.* beside this file, in a folder of its own.
struct Preloaded {
    folder: tempfile::TempDir,
    handler: String,
}

impl Preloaded {
    fn new(language: &Language) -> Preloaded {
        let file = project("tests/end_to_end/handlers").join(format!("preload.{}", language.ending));
        Preloaded { folder: folder(), handler: file.to_str().expect("the project's path is text").to_owned() }
    }

    /// A handler with this code.
    fn of(language: &Language, code: &str) -> Preloaded {
        let folder = folder();
        let handler = written(&folder, language, code).to_str().expect("it is text").to_owned();
        Preloaded { folder, handler }
    }

    fn run(&self, options: &str, jobs: &[Value]) -> Run {
        let words = ["--preload", "--handler", &self.handler].into_iter().chain(options.split_whitespace());
        forkpool(words).current_dir(self.folder.path()).stdin(lines(jobs))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The processes that have loaded the handler.
    fn loaded(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path("loaded")).unwrap_or_default();
        text.lines().map(|id| id.parse().expect("it is a process id")).collect()
    }
}

/// Python and Ruby, where they are installed.
fn for_each_that_forks(test: impl Fn(&Language)) {
    for_each_language(|language| {
        if ["py", "rb"].contains(&language.ending) {
            test(language);
        }
    });
}

#[test]
fn workers_are_forked_from_one_load_and_are_like_those_of_their_own() {
    for_each_that_forks(|language| {
        let preloaded = Preloaded::new(language);
        let jobs: Vec<Value> = (0..6).map(|_| json!({})).collect();
        let ended = preloaded.run("-v -j 2 --recycle-jobs 1 --init connect", &jobs).end().check_status(0);
        assert_eq!(preloaded.loaded().len(), 1, "{}", language.ending);
        let data = data(&ended);
        for (field, expected) in
            [("calls", json!(1)), ("is_forked", json!(true)), ("is_own", json!(true)), ("stdin", json!(""))]
        {
            assert!(data.iter().all(|result| result[field] == expected), "{}: {field}: {data:?}", language.ending);
        }
        let mut randoms: Vec<String> = data.iter().map(|result| result["random"].to_string()).collect();
        randoms.sort_unstable();
        randoms.dedup();
        assert_eq!(randoms.len(), jobs.len(), "{}: workers draw the same numbers", language.ending);
        let slots: Vec<&Value> = data.iter().map(|result| &result["slot"]).collect();
        assert!(slots.contains(&&json!("0")) && slots.contains(&&json!("1")), "{slots:?}");
        assert!(ended.stderr.contains("worker w0 started, forked from the template"), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("half a line").count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("template: half a line"), "{}", ended.stderr);
    });
}

#[test]
fn a_forked_worker_that_dies_is_told_as_any_other_and_another_is_forked() {
    for_each_that_forks(|language| {
        let preloaded = Preloaded::new(language);
        let jobs = [json!({}), json!({"kill": "worker"}), json!({"sleep": 60}), json!({})];
        let ended = preloaded.run("-j 1 --timeout 1s --grace 100ms", &jobs).end().check_status(1);
        assert_eq!(ended.statuses(), ["ok", "died", "timeout", "ok"]);
        assert_eq!(ended.records()[1]["error"]["signal"], "SIGKILL");
        assert_eq!(preloaded.loaded().len(), 1);
    });
}

#[test]
fn a_template_that_dies_is_loaded_again_and_costs_no_job() {
    for_each_that_forks(|language| {
        let preloaded = Preloaded::new(language);
        let jobs = [json!({"kill": "template"}), json!({"kill": "worker"}), json!({})];
        let ended = preloaded.run("-j 1", &jobs).end().check_status(1);
        assert_eq!(ended.statuses(), ["ok", "died", "ok"]);
        let words = "forkpool: the template is loaded again: the template was killed by SIGKILL";
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(preloaded.loaded().len(), 2);
    });
}

#[test]
fn a_template_that_cannot_load_the_handler_ends_the_run_with_its_words() {
    for_each_that_forks(|language| {
        for (code, words) in
            [(language.throws, "no database"), (language.nonsense, "SyntaxError"), (language.two, "one, two")]
        {
            let ended = Preloaded::of(language, code).run("-j 2", &[json!(1)]).end().check_status(3);
            assert!(ended.text().is_empty() && ended.stderr.contains(words), "{}", ended.stderr);
        }
    });
}

#[test]
fn a_template_that_dies_at_its_start_is_a_failed_start() {
    let code = "import os\n\
                if not os.path.exists('once'):\n    open('once', 'w').close(); print('oh no', flush=True); os._exit(3)\n\
                def handler(job): return job";
    let preloaded = Preloaded::of(&LANGUAGES[1], code);
    let ended = preloaded.run("-v -j 1", &[json!(7)]).end().check_status(0);
    assert_eq!(data(&ended), [json!(7)]);
    assert!(ended.stderr.contains("the template exited with status 3; its last words:"), "{}", ended.stderr);
    let ended = Preloaded::of(&LANGUAGES[1], "import time\ntime.sleep(60)")
        .run("--check --start-timeout 2s", &[])
        .end()
        .check_status(3);
    let words = "not ready within --start-timeout (2s); it was still loading the file of the handler";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[test]
fn threads_that_a_fork_would_lose_are_refused_by_name() {
    let python = "import threading, time\n\
                  threading.Thread(target=time.sleep, args=(60,), name='poller', daemon=True).start()\n\
                  def handler(job): return job";
    let ruby = "thread = Thread.new { sleep }\nthread.name = 'poller'\ndef handler(job) = job";
    for_each_that_forks(|language| {
        let code = if language.ending == "py" { python } else { ruby };
        let ended = Preloaded::of(language, code).run("-j 1", &[json!(1)]).end().check_status(3);
        let words = "--preload cannot fork a process that has threads, and the file has started: poller. ";
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    });
}

#[test]
fn a_child_that_the_file_forks_is_no_template() {
    for_each_that_forks(|language| {
        let (fork, handler) = match language.ending {
            "py" => ("import os\nos.fork()", "def handler(job): return job"),
            _ => ("fork", "def handler(job) = job"),
        };
        let preloaded = Preloaded::of(language, &format!("{fork}\n{handler}"));
        let ended = preloaded.run("-j 2 --recycle-jobs 1", &[json!(1), json!(2), json!(3)]).end().check_status(0);
        assert_eq!(data(&ended), [json!(1), json!(2), json!(3)], "{}", language.ending);
    });
}

#[test]
fn batches_and_coroutines_run_in_forked_workers() {
    let code = "async def handler(job): return job";
    let jobs = [json!(1), json!(2), json!(3)];
    let preloaded = Preloaded::of(&LANGUAGES[1], code);
    assert_eq!(data(&preloaded.run("-j 1 --concurrency 2", &jobs).end().check_status(0)), jobs);
    for_each_that_forks(|language| {
        let preloaded = Preloaded::of(language, language.plain);
        assert_eq!(data(&preloaded.run("-j 1 --batch 2", &jobs).end().check_status(0)), jobs);
    });
}

#[test]
fn ctrl_c_while_the_template_loads_ends_the_run() {
    let preloaded = Preloaded::of(&LANGUAGES[1], "import time\nopen('there', 'w').close()\ntime.sleep(60)");
    let running = preloaded.run("-j 2", &[json!(1)]).start();
    wait_until_there(&preloaded.path("there"));
    kill(running.id(), libc::SIGINT);
    let ended = running.end().check_status(130);
    assert!(ended.statuses().iter().all(|status| status == "not_run"), "{}", ended.text());
}

#[test]
fn kill_9_of_forkpool_leaves_neither_template_nor_worker() {
    for_each_that_forks(|language| {
        // Without the watcher, too: workers die by their parent-death signal, also when they are busy.
        for is_watched in [true, false] {
            let preloaded = Preloaded::new(language);
            let running = preloaded.run("-j 2", &[json!({"touch": "there", "sleep": 60})]).start();
            wait_until_there(&preloaded.path("there"));
            if !is_watched {
                kill(running.watcher(), libc::SIGKILL);
            }
            kill(running.id(), libc::SIGKILL);
            // `end` checks that no process of the run is left.
            running.end().check_status(137);
        }
    });
}

#[test]
fn sigusr2_takes_over_an_edited_file_and_a_broken_one_replaces_nobody() {
    for_each_that_forks(|language| {
        let says = |what: &str| match language.ending {
            "py" => format!("def handler(job): return {what:?}"),
            _ => format!("def handler(job) = {what:?}"),
        };
        let preloaded = Preloaded::of(language, &says("old"));
        let words = ["-j", "1", "--preload", "--handler", &preloaded.handler];
        let (mut running, mut stdin) = forkpool(words).current_dir(preloaded.folder.path()).start_with_stdin();
        let mut records = BufReader::new(running.child().stdout.take().expect("it is piped"));
        let mut ask = || {
            stdin.write_all(b"1\n").expect("forkpool reads");
            let mut record = String::new();
            records.read_line(&mut record).expect("a pipe can be read");
            record
        };
        assert!(ask().contains("old"));
        for (code, words, answer) in [
            (
                language.nonsense.to_owned(),
                "no worker is replaced, all go on as they are: the handler cannot be",
                "old",
            ),
            (says("new"), "1 worker replaced", "new"),
        ] {
            fs::write(&preloaded.handler, code).expect("it can be written");
            kill(running.id(), libc::SIGUSR2);
            running.wait_until_it_says(words);
            assert!(ask().contains(answer), "{}", language.ending);
        }
        drop(stdin);
        running.child().stdout = Some(records.into_inner());
        running.end().check_status(0);
    });
}

#[test]
fn a_run_that_is_stopped_by_ctrl_z_stops_its_template_too() {
    let preloaded = Preloaded::new(&LANGUAGES[1]);
    let words = ["-v", "-j", "1", "--preload", "--handler", &preloaded.handler];
    let mut run = forkpool(words).current_dir(preloaded.folder.path());
    // The run has a process group of its own: in an orphaned one, SIGTSTP does nothing.
    run.command().process_group(0);
    let (mut running, stdin) = run.start_with_stdin();
    running.wait_until_it_says("worker w0 started");
    let template = preloaded.loaded()[0];
    let is_stopped = |id: i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    kill(running.id(), libc::SIGTSTP);
    let both = [running.id(), template];
    wait_for(HANG, || both.into_iter().all(is_stopped).then_some(())).expect("both are stopped");
    kill(running.id(), libc::SIGCONT);
    wait_for(HANG, || (!both.into_iter().any(is_stopped)).then_some(())).expect("both go on");
    drop(stdin);
    running.end().check_status(0);
}

#[test]
fn what_cannot_be_preloaded_is_refused() {
    let preloaded = Preloaded::of(&LANGUAGES[1], LANGUAGES[1].plain);
    let refused = |words: &str, why: &str| {
        let ended = shell(&format!("forkpool --preload {words}"), preloaded.folder.path()).end().check_status(2);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    };
    fs::write(preloaded.path("a.mjs"), "").unwrap();
    refused("--handler a.mjs", "--preload is for Python and Ruby, whose processes can fork; a.mjs is for node");
    refused("--wrap nice --handler kitten.py", "--wrap and --preload exclude each other");
    refused("-- cat", "--preload is for handlers");
}
