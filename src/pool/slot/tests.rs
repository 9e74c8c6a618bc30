//! One slot's thread around a real worker: a shell script that speaks the lines protocol.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use serde_json::Value;

use super::super::session::Session;
use super::*;
use crate::pool::dispatch::{Dispatch, Limits, Wakes};
use crate::pool::settings::PoolSettings;
use crate::report::counters::Counters;
use crate::testing::{HANG, job, pool_settings, wait_until};
use crate::words::cancel::{Cancel, Level};
use crate::words::message::Message;
use crate::words::outcome::{Outcome, Status};

/// A slot at work.
struct Scene {
    dispatch: Arc<Dispatch>,
    clock: Clock,
    jobs: Sender<Vec<crate::words::job::Job>>,
    messages: Receiver<Message>,
    reporter: Reporter,
    counters: Arc<Counters>,
    given: u64,
    thread: Option<JoinHandle<()>>,
}

impl Scene {
    fn start(script: &str) -> Scene {
        Scene::start_with(pool_settings(script))
    }

    fn start_with(settings: PoolSettings) -> Scene {
        let settings = Arc::new(settings);
        let (jobs, fresh) = crossbeam_channel::bounded(1);
        let (outcomes, messages) = crossbeam_channel::unbounded();
        let (bell, clock, reporter) = (Bell::new().unwrap(), Clock::start().unwrap(), Reporter::silent());
        let limits =
            Limits { window: settings.window, memory: settings.memory, queued: 1, slots: 1, leaves_out: false };
        let ringing = bell.clone();
        let ring = move |wakes: &Wakes| wakes.slots.iter().for_each(|_| ringing.ring());
        let dispatch = Arc::new(Dispatch::new(limits, None, false, fresh, ring));
        let (cancel, counters) = (Cancel::new(), Arc::default());
        let (slot_reporter, slot_counters) = (reporter.clone(), Arc::clone(&counters));
        let (slot_dispatch, slot_clock) = (Arc::clone(&dispatch), clock.clone());
        let body = move || {
            let (reporter, counters) = (slot_reporter.clone(), slot_counters);
            let listener = Listener {
                slot: 0,
                forks: false,
                name: "worker w0".to_owned(),
                outcomes,
                cancel,
                reporter,
                counters,
                glances: Arc::default(),
                is_agent: false,
                keeps: None,
            };
            let machine = Machine::new(0, Arc::clone(&settings), None);
            let now = slot_clock.now();
            let session = Box::new(Session::new(0, Arc::clone(&settings), now, 0));
            let seat = Seat::new(0, settings, slot_dispatch, session, machine, listener, now);
            Slot::new(seat, bell, slot_clock, slot_reporter).run();
        };
        let thread = Some(std::thread::spawn(body));
        Scene { dispatch, clock, jobs, messages, reporter, counters, given: 0, thread }
    }

    /// Gives it a job, a line of this text.
    fn give(&mut self, text: &str) {
        self.given += 1;
        let job = job(self.given, &format!("\"{text}\""));
        assert_eq!(self.dispatch.admit(&mut [job.data.len()].into_iter()), 1);
        self.jobs.send(vec![job]).unwrap();
        assert!(self.dispatch.offered(self.clock.now()).is_empty());
    }

    /// Waits for the outcome of one job.
    fn outcome(&self) -> Outcome {
        match self.messages.recv_timeout(HANG).expect("a job ends") {
            Message::Outcomes(mut outcomes) if outcomes.len() == 1 => outcomes.remove(0),
            other => panic!("one outcome is due: {other:?}"),
        }
    }

    /// The error of a job that its worker died of.
    fn death(&self) -> Value {
        let outcome = self.outcome();
        assert_eq!(outcome.status, Status::Died, "{outcome:?}");
        serde_json::from_slice(&outcome.payload).unwrap()
    }

    /// No work is left: the slot ends its worker, and then itself.
    fn end(&mut self) {
        self.dispatch.finish();
        let thread = self.thread.take().unwrap();
        wait_until(|| thread.is_finished());
        thread.join().unwrap();
    }
}

impl Drop for Scene {
    /// A test that fails leaves no worker behind.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.dispatch.stop(Level::Abort, "the test is over");
            self.dispatch.finish();
            // It has panicked, perhaps; then so has the test.
            let _ = thread.join();
        }
    }
}

fn text(outcome: &Outcome) -> (Status, &str) {
    (outcome.status, std::str::from_utf8(&outcome.payload).unwrap())
}

// ---- Answers ----

#[test]
fn an_answer_ends_its_job_and_the_next_has_the_same_worker() {
    let mut scene = Scene::start("while read -r line; do echo \"$$ $line\"; done");
    let mut answers = Vec::new();
    for word in ["a", "b"] {
        scene.give(word);
        let outcome = scene.outcome();
        assert_eq!((outcome.status, outcome.attempts, outcome.worker), (Status::Ok, 1, Some(0)));
        answers.push(serde_json::from_slice::<String>(&outcome.payload).unwrap());
    }
    scene.end();
    let (first, second) = (answers[0].strip_suffix(" a").unwrap(), answers[1].strip_suffix(" b").unwrap());
    assert_eq!(first, second);
}

#[test]
fn an_answer_that_is_in_the_pipe_when_its_worker_is_gone_counts() {
    let mut scene = Scene::start("read -r line || exit; echo \"$line\"; exit 3");
    for word in ["a", "b"] {
        scene.give(word);
        assert_eq!(text(&scene.outcome()), (Status::Ok, format!("\"{word}\"").as_str()));
    }
    scene.end();
}

#[test]
fn a_large_job_and_a_large_answer_pass_through_pipes_that_are_smaller() {
    let mut scene = Scene::start("exec cat");
    let large = "x".repeat(900_000);
    scene.give(&large);
    assert_eq!(text(&scene.outcome()), (Status::Ok, format!("\"{large}\"").as_str()));
    scene.end();
}

// ---- Ends ----

#[test]
fn an_exit_with_a_job_in_hand_is_a_death_with_its_status_and_last_words() {
    let mut scene = Scene::start("read -r line || exit; echo \"cannot do $line\" >&2; exit 3");
    scene.give("a");
    let error = scene.death();
    assert_eq!((&error["exit_code"], &error["stderr"]), (&3.into(), &"cannot do a\n".into()));
    assert!(scene.reporter.said().contains(&"w0: cannot do a\n".to_owned()), "it is passed on as well");
    scene.end();
}

#[test]
fn of_a_long_log_the_tail_is_in_the_record() {
    let mut scene = Scene::start("read -r line || exit; seq 100000 >&2; exit 3");
    scene.give("a");
    let error = scene.death();
    let tail = error["stderr"].as_str().unwrap();
    assert!(tail.starts_with('…') && tail.ends_with("\n99999\n100000\n") && tail.len() < 8192, "{tail}");
    scene.end();
}

#[test]
fn a_signal_that_killed_the_worker_is_named() {
    let mut scene = Scene::start("read -r line || exit; kill -SEGV $$");
    scene.give("a");
    let error = scene.death();
    assert_eq!((&error["signal"], &error["sent_by"]), (&"SIGSEGV".into(), &"unknown".into()));
    scene.end();
}

/// A script that leaves a grandchild behind, in a session of its own, which holds the worker's output until `folder`
/// is gone.
fn with_daemon(folder: &Path, script: &str) -> String {
    let wait = format!("while [ -e {} ]; do sleep 0.1; done", folder.display());
    format!("read -r line || exit; setsid sh -c '{wait}' 2> /dev/null & {script}")
}

#[test]
fn an_exit_is_judged_although_a_grandchild_holds_the_output_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(&with_daemon(folder.path(), "exit 3"));
    scene.give("a");
    assert_eq!(scene.death()["exit_code"], 3);
    scene.end();
}

#[test]
fn an_output_that_is_closed_while_the_worker_lives_on_is_its_end() {
    let mut scene = Scene::start("read -r line || exit; exec 1>&-; exec cat > /dev/null");
    scene.give("a");
    let error = scene.death();
    assert_eq!(error["message"], "worker w0 closed its output without an answer");
    assert_eq!(error["sent_by"], "forkpool");
    scene.end();
}

#[test]
fn a_job_that_takes_too_long_ends_as_timeout_and_so_does_its_worker() {
    let mut settings = pool_settings("read -r line || exit; echo first; while read -r line; do :; done");
    settings.timeout = Some(Duration::from_millis(50));
    let mut scene = Scene::start_with(settings);
    scene.give("a");
    assert_eq!(scene.outcome().status, Status::Ok);
    scene.give("b");
    assert_eq!(scene.outcome().status, Status::Timeout);
    wait_until(|| scene.counters.snapshot().restarts == 1);
    scene.end();
}

#[test]
fn at_the_end_of_all_work_the_worker_sees_the_end_of_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let ended = folder.path().join("ended");
    let mut scene = Scene::start(&format!("cat; echo in peace > {}", ended.display()));
    scene.give("a");
    assert_eq!(text(&scene.outcome()), (Status::Ok, "\"a\""));
    scene.end();
    assert_eq!(std::fs::read_to_string(ended).unwrap(), "in peace\n");
    assert_eq!(scene.counters.snapshot().restarts, 0);
}

#[test]
fn a_worker_that_dies_without_a_job_costs_none() {
    let folder = tempfile::tempdir().unwrap();
    let died = folder.path().join("died");
    let mut scene = Scene::start(&format!("[ -e {0} ] || {{ touch {0}; exit 3; }}; exec cat", died.display()));
    wait_until(|| died.exists());
    scene.give("a");
    assert_eq!(text(&scene.outcome()), (Status::Ok, "\"a\""));
    scene.end();
}

// ---- A terminal that stops workers ----

/// Tells the slot again and again that a child may have been stopped, until a job ends.
fn rouse_until_it_ends(scene: &Scene) {
    wait_until(|| {
        scene.dispatch.rouse();
        !scene.messages.is_empty()
    });
}

#[test]
fn a_worker_that_its_terminal_has_stopped_is_killed() {
    let mut scene = Scene::start("read -r line || exit; kill -TTIN $$; echo \"$line\"");
    scene.give("a");
    rouse_until_it_ends(&scene);
    let error = scene.death();
    let words = "worker w0 was stopped by SIGTTIN and ended: a worker cannot use the terminal";
    assert_eq!((&error["message"], &error["signal"]), (&words.into(), &"SIGKILL".into()));
    scene.end();
}

#[test]
fn a_worker_that_ignores_its_terminal_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.01; done", go.display());
    let mut scene =
        Scene::start(&format!("trap '' TTIN; read -r line || exit; kill -TTIN $$; {wait}; echo \"$line\"; cat"));
    scene.give("a");
    (0..100).for_each(|_| scene.dispatch.rouse());
    std::fs::write(go, "").unwrap();
    rouse_until_it_ends(&scene);
    assert_eq!(text(&scene.outcome()), (Status::Ok, "\"a\""));
    scene.end();
}

#[test]
fn a_run_that_stands_still_stops_its_worker_and_lets_it_go_on() {
    let mut scene = Scene::start("echo $$ >&2; exec cat");
    let mut said = String::new();
    wait_until(|| {
        said.extend(scene.reporter.said().iter().filter_map(|line| line.strip_prefix("w0: ")).map(str::to_owned));
        said.ends_with('\n')
    });
    let stat = format!("/proc/{}/stat", said.trim());
    let is_stopped = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
    scene.dispatch.pause();
    wait_until(is_stopped);
    scene.dispatch.resume();
    wait_until(|| !is_stopped());
    scene.give("a");
    assert_eq!(scene.outcome().status, Status::Ok);
    scene.end();
}
