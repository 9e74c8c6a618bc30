//! A whole collector, fed by hand: what it is told lies in its channel before it begins, and its sink is a notebook.

use std::sync::Mutex;

use bytes::Bytes;
use crossbeam_channel::Sender;

use super::*;
use crate::journal::settings::JournalMode;
use crate::pool::account;
use crate::pool::dispatch::Limits;
use crate::testing::{in_time, journal_settings, outcome};
use crate::words::job::JobKey;

/// What a sink was asked to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Write(u64),
    Flush,
    Finish,
}

use Asked::{Finish, Flush, Write};

type Probe = Box<dyn FnMut(&Outcome) -> Result<(), SinkError> + Send>;

/// A sink that notes what it is asked.
struct Notebook {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Called at each write.
    probe: Probe,
    /// What arrives while the collector waits, a piece after each flush.
    to_come: Vec<Message>,
    sender: Sender<Message>,
}

impl Sink for Notebook {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        (self.probe)(outcome)?;
        self.asked.lock().unwrap().push(Write(outcome.job.number));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.asked.lock().unwrap().push(Flush);
        if !self.to_come.is_empty() {
            self.sender.send(self.to_come.remove(0)).unwrap();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.asked.lock().unwrap().push(Finish);
        Ok(())
    }
}

/// A collector that is told `messages`, and after each time that it waits one of `to_come`.
struct Scene {
    messages: Vec<Message>,
    to_come: Vec<Message>,
    order: Order,
    stop: StopPolicy,
    probe: Probe,
    reorder: Reorder,
    journal: Option<journal::Writer>,
    cancel: Arc<Cancel>,
}

/// What came of it.
struct Seen {
    collected: Collected,
    asked: Vec<Asked>,
    reason: Option<Reason>,
    said: Vec<String>,
    /// Jobs whose outcome the dispatcher still waits for.
    open: usize,
}

impl Scene {
    fn new(messages: Vec<Message>) -> Scene {
        Scene {
            messages,
            to_come: Vec::new(),
            order: Order::Input,
            stop: StopPolicy::Never,
            probe: Box::new(|_| Ok(())),
            reorder: Reorder::new(0, crate::words::shard::Shard::WHOLE),
            journal: None,
            cancel: Cancel::new(),
        }
    }

    fn run(self) -> Seen {
        in_time(|| self.run_here())
    }

    fn run_here(self) -> Seen {
        let (sender, messages) = crossbeam_channel::unbounded();
        let limits = Limits { window: 1024, memory: 1 << 20, queued: 1, slots: 1, leaves_out: false };
        let dispatch = Arc::new(Dispatch::new(limits, None, false, crossbeam_channel::never(), |_| {}));
        for mut message in self.messages {
            enter(&dispatch, &mut message);
            sender.send(message).unwrap();
        }
        let mut to_come = self.to_come;
        to_come.iter_mut().for_each(|message| enter(&dispatch, message));
        let asked = Arc::default();
        let sink = Notebook { asked: Arc::clone(&asked), probe: self.probe, to_come, sender };
        let reporter = Reporter::silent();
        let collector = Collector {
            outputs: Outputs {
                sink: Box::new(sink),
                sink_name: "out".to_owned(),
                rejects: None,
                reorder: self.reorder,
                order: self.order,
                tell_failures: true,
            },
            journal: self.journal,
            messages,
            dispatch: Arc::clone(&dispatch),
            clock: Clock::start().unwrap(),
            cancel: Arc::clone(&self.cancel),
            counters: Arc::default(),
            reporter: reporter.clone(),
            stop: self.stop,
            files: crate::report::files::JobFiles::default(),
        };
        let collected = collector.run();
        let asked = asked.lock().unwrap().clone();
        let open = dispatch.look(|dispatcher| dispatcher.ledger().jobs());
        Seen { collected, asked, reason: self.cancel.reason(), said: reporter.said(), open }
    }
}

/// Enters the jobs of a message into the accounts, as the source and the slots do before it is sent.
fn enter(dispatch: &Dispatch, message: &mut Message) {
    if let Message::Outcomes(outcomes) | Message::Restored(outcomes) = message {
        let sizes: Vec<usize> = outcomes.iter().map(|outcome| outcome.job.data.len()).collect();
        assert_eq!(dispatch.admit(&mut sizes.into_iter()), outcomes.len());
        account(dispatch, outcomes, true);
    }
}

/// Outcomes of these jobs, all ok.
fn ok(numbers: &[u64]) -> Message {
    Message::Outcomes(numbers.iter().map(|&number| outcome(number, Status::Ok)).collect())
}

/// Outcomes of these jobs, all errors.
fn errors(numbers: impl IntoIterator<Item = u64>) -> Vec<Outcome> {
    numbers.into_iter().map(|number| outcome(number, Status::Error)).collect()
}

fn ended(jobs: u64) -> Message {
    Message::InputEnded(InputEnd { jobs, complete: true, unread: Some(0), error: None })
}

fn ended_by(jobs: u64, error: Error) -> Message {
    Message::InputEnded(InputEnd { jobs, complete: false, unread: None, error: Some(error) })
}

fn written(seen: &Seen) -> Vec<u64> {
    let number = |asked: &Asked| if let Write(number) = asked { Some(*number) } else { None };
    seen.asked.iter().filter_map(number).collect()
}

// ---- Order and time ----

#[test]
fn records_are_in_the_order_of_their_jobs_unless_none_is_asked_for() {
    let told = || vec![ok(&[3, 1]), ok(&[4]), ok(&[2]), ended(4)];
    assert_eq!(written(&Scene::new(told()).run()), [1, 2, 3, 4]);
    assert_eq!(written(&Scene { order: Order::Completion, ..Scene::new(told()) }.run()), [3, 1, 4, 2]);
}

#[test]
fn what_is_written_goes_out_before_anybody_waits() {
    let seen = Scene { to_come: vec![ok(&[2]), ended(2)], ..Scene::new(vec![ok(&[1])]) }.run();
    assert_eq!(seen.asked, [Write(1), Flush, Write(2), Flush, Finish]);
}

#[test]
fn what_has_arrived_together_goes_out_together() {
    let seen = Scene::new(vec![ok(&[1, 2]), ok(&[3]), ended(3)]).run();
    assert_eq!(seen.asked, [Write(1), Write(2), Write(3), Finish]);
}

#[test]
fn the_end_of_the_input_is_not_the_end_of_the_jobs() {
    let seen = Scene::new(vec![ended(2), ok(&[2]), ok(&[1])]).run();
    assert_eq!(seen.asked, [Write(1), Write(2), Finish]);
    assert!(seen.collected.complete && seen.reason.is_none());
}

// ---- The journal ----

fn with_key(number: u64, status: Status) -> Outcome {
    let mut outcome = outcome(number, status);
    let key = JobKey { digest: number.into(), occurrence: 0 };
    outcome.job.extra.get_or_insert_default().key = Some(key);
    outcome
}

#[test]
fn an_outcome_is_in_the_journal_before_its_record_and_a_restored_one_is_not_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let settings = journal_settings(&path, JournalMode::New);
    let journal = journal::lock(&settings).unwrap().read(&settings).unwrap().begin().unwrap();
    // How many lines the journal has at each write.
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (noted, watched) = (Arc::clone(&lines), path.clone());
    let probe = move |outcome: &Outcome| {
        let count = std::fs::read_to_string(&watched).unwrap().lines().count();
        noted.lock().unwrap().push((outcome.job.number, count));
        Ok(())
    };
    let told = vec![
        Message::Restored(vec![with_key(1, Status::Ok)]),
        Message::Outcomes(vec![with_key(2, Status::Ok)]),
        Message::Outcomes(vec![with_key(3, Status::Died)]),
        ended(3),
    ];
    Scene { journal: Some(journal.writer), probe: Box::new(probe), ..Scene::new(told) }.run();
    // The header, and both outcomes of this run: those that have arrived together share one write.
    assert_eq!(*lines.lock().unwrap(), [(1, 0), (2, 3), (3, 3)]);
}

// ---- When a run has failed enough ----

#[test]
fn failures_of_earlier_runs_do_not_stop_this_one() {
    let stops = |restored: u64, failed: u64, policy: StopPolicy| {
        let told = vec![
            Message::Restored(errors(1..=restored)),
            Message::Outcomes(errors(restored + 1..=restored + failed)),
            ended(restored + failed),
        ];
        let scene = Scene { stop: policy, ..Scene::new(told) };
        let cancel = Arc::clone(&scene.cancel);
        let seen = scene.run();
        assert_eq!(seen.collected.failed, restored + failed, "but they are failures");
        (cancel.level(), seen.reason.map(|reason| reason.to_string()))
    };
    assert_eq!(stops(5, 1, StopPolicy::Count(2)), (Level::Run, None));
    let words = "stopped after 2 failed jobs (--max-failures)".to_owned();
    assert_eq!(stops(5, 2, StopPolicy::Count(2)), (Level::Drain, Some(words)));
    assert_eq!(stops(5, 0, StopPolicy::FailFast), (Level::Run, None));
    let words = "stopped at the first failed job (--fail-fast)".to_owned();
    assert_eq!(stops(5, 1, StopPolicy::FailFast), (Level::Abort, Some(words)));
}

#[test]
fn a_share_of_failures_is_counted_after_a_job_that_is_ok_too() {
    let oks: Vec<u64> = (11..=100).collect();
    let told = vec![Message::Outcomes(errors(1..=10)), ok(&oks), ended(100)];
    let seen = Scene { stop: StopPolicy::Percent(9.0), ..Scene::new(told) }.run();
    let words = "stopped after 10 failed jobs (--max-failures)";
    assert_eq!(seen.reason.map(|reason| reason.to_string()).as_deref(), Some(words));
}

#[test]
fn what_ends_because_the_run_is_stopped_is_no_further_reason_to_stop_it() {
    let check = |status: Status, gave_up_jobs: bool| {
        let told = vec![Message::Outcomes(vec![outcome(1, status)]), ended(1)];
        let scene = Scene { stop: StopPolicy::FailFast, ..Scene::new(told) };
        scene.cancel.raise(Level::Drain, Reason::Signal(libc::SIGTERM));
        let cancel = Arc::clone(&scene.cancel);
        let collected = scene.run().collected;
        assert_eq!((cancel.level(), collected.gave_up_jobs), (Level::Drain, gave_up_jobs), "{status:?}");
    };
    check(Status::NotRun, true);
    check(Status::Died, true);
    check(Status::Error, false);
}

// ---- Outputs that fail ----

/// A run of five jobs whose sink takes only the first.
fn failing_at_two(error: fn() -> SinkError) -> Seen {
    let probe = move |outcome: &Outcome| if outcome.job.number == 2 { Err(error()) } else { Ok(()) };
    Scene { probe: Box::new(probe), ..Scene::new(vec![ok(&[1, 2]), ok(&[5, 4]), ok(&[3]), ended(5)]) }.run()
}

#[test]
fn an_output_that_fails_ends_the_run_but_everything_is_received() {
    let seen = failing_at_two(|| io::Error::from(io::ErrorKind::StorageFull).into());
    assert_eq!((seen.asked, seen.open), (vec![Write(1)], 0));
    let reason = seen.reason.unwrap();
    assert_eq!(reason.exit(), Exit::IoFailed);
    assert_eq!(reason.to_string(), "cannot write to out: no storage space");
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let seen = failing_at_two(|| io::Error::from(io::ErrorKind::BrokenPipe).into());
    assert_eq!((seen.asked, seen.open), (vec![Write(1)], 0));
    assert!(matches!(seen.reason, Some(Reason::ReaderGone)));
}

#[test]
fn without_a_temporary_directory_the_run_ends_and_what_was_read_is_written() {
    // The sink has kept job 2, although it says that it must be the last.
    let seen = failing_at_two(|| SinkError::Temporary(temporary::failure("rows", &io::ErrorKind::NotFound.into())));
    assert_eq!((seen.asked, seen.open), (vec![Write(1), Write(3), Write(4), Write(5), Finish], 0));
    assert_eq!(seen.reason.unwrap().exit(), Exit::IoFailed);
}

#[test]
fn results_that_cannot_wait_on_disk_end_the_run_and_are_written_all_the_same() {
    let mut reorder = Reorder::new(0, crate::words::shard::Shard::WHOLE);
    reorder.fill_disk();
    let large = |number| Outcome { payload: Bytes::from(vec![b'7'; 100_000]), ..outcome(number, Status::Ok) };
    let told = vec![Message::Outcomes(vec![large(3), large(2)]), ok(&[1]), ended(3)];
    let scene = Scene { reorder, ..Scene::new(told) };
    let cancel = Arc::clone(&scene.cancel);
    let seen = scene.run();
    assert_eq!((written(&seen), cancel.level()), (vec![1, 2, 3], Level::Abort));
    let errors = cancel.failures();
    assert_eq!(errors.len(), 1, "it is told once");
    assert!(errors[0].message.starts_with("cannot keep waiting results in the temporary directory"));
}

// ---- Runs that come to nothing ----

#[test]
fn a_run_that_is_refused_before_any_job_touches_no_output() {
    let seen = Scene::new(vec![ended_by(0, Error::refused("b.csv: its header differs"))]).run();
    assert!(seen.collected.came_to_nothing);
    // The flush of an output into which nothing was written does nothing.
    assert_eq!(seen.asked.iter().filter(|asked| **asked != Flush).count(), 0);
}

#[test]
fn a_pool_that_fails_before_any_job_touches_no_output() {
    let check = |error: Error, expected: bool| {
        let scene = Scene::new(vec![ended(0)]);
        scene.cancel.raise(Level::Abort, Reason::Failed(error));
        let seen = scene.run();
        assert_eq!((seen.collected.came_to_nothing, seen.asked.contains(&Finish)), (expected, !expected));
    };
    check(Error::pool("no worker can be started"), true);
    check(Error::io("the disk is full"), false);
}

#[test]
fn jobs_of_a_failed_pool_that_were_never_begun_are_written_only_beside_others() {
    let never = |numbers: &[u64]| {
        Message::Outcomes(numbers.iter().map(|&number| outcome(number, Status::NotRun)).collect::<Vec<_>>())
    };
    let check = |order: Order, messages: Vec<Message>, reason: Reason, expected: &[u64]| {
        let scene = Scene { order, ..Scene::new(messages) };
        scene.cancel.raise(Level::Abort, reason);
        let seen = scene.run();
        assert_eq!((written(&seen).as_slice(), seen.open), (expected, 0));
        assert_eq!((seen.collected.came_to_nothing, seen.collected.failed), (expected.is_empty(), 3));
        assert_eq!(seen.asked.contains(&Finish), !expected.is_empty());
    };
    let pool = || Reason::Failed(Error::pool("no worker can be started"));
    let disk = || Reason::Failed(Error::io("the disk is full"));
    for order in [Order::Input, Order::Completion] {
        check(order, vec![never(&[1, 2]), never(&[3]), ended(3)], pool(), &[]);
        check(order, vec![never(&[1, 2, 3]), ended(3)], disk(), &[1, 2, 3]);
        let died = || Message::Outcomes(vec![outcome(3, Status::Died)]);
        check(order, vec![never(&[1, 2]), died(), ended(3)], pool(), &[1, 2, 3]);
    }
    let died = || Message::Outcomes(vec![outcome(1, Status::Died)]);
    check(Order::Completion, vec![never(&[2]), died(), never(&[3]), ended(3)], pool(), &[2, 1, 3]);
    check(Order::Input, vec![never(&[2]), died(), never(&[3]), ended(3)], pool(), &[1, 2, 3]);
}

#[test]
fn a_refusal_after_the_first_job_is_a_failure_of_the_input() {
    let seen = Scene::new(vec![ok(&[1]), ended_by(1, Error::refused("b.csv: its header differs"))]).run();
    assert_eq!(seen.asked, [Write(1), Finish]);
    assert!(!seen.collected.came_to_nothing);
    assert_eq!(seen.collected.input_error.unwrap().exit, Exit::IoFailed);
}

#[test]
fn a_thread_that_has_panicked_ends_the_run_instead_of_hanging_it() {
    let seen = Scene::new(vec![ok(&[1]), Message::Panicked("w3".to_owned())]).run();
    assert_eq!(seen.reason.unwrap().to_string(), "a bug in forkpool: thread w3 has panicked");
}

// ---- Failures that the output has no place for ----

#[test]
fn a_job_that_was_begun_and_failed_is_told_on_stderr() {
    let told = vec![Message::Outcomes(vec![outcome(1, Status::Error), outcome(2, Status::NotRun)]), ended(2)];
    let seen = Scene::new(told).run();
    assert_eq!(seen.said, ["forkpool: job 1 (line 1) error: Error: sad"]);
}
