//! The body of the source's thread, with inputs that are framed already and a dispatcher that nobody asks.

use std::collections::VecDeque;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::*;
use crate::journal;
use crate::journal::settings::JournalMode;
use crate::pool::delivery::Delivery;
use crate::pool::dispatch::Limits;
use crate::source::frame::Frames;
use crate::testing::{HANG, journal_settings, wait_until};
use crate::words::cancel::Reason;
use crate::words::format::{Compression, Format};

/// An input whose reads bring these frames. With the last of them it fails, if it is to.
struct Framed {
    reads: VecDeque<Vec<Frame>>,
    error: Option<Error>,
}

impl Frames for Framed {
    fn read(&mut self, frames: &mut Vec<Frame>) -> crate::words::error::Result<More> {
        let Some(read) = self.reads.pop_front() else { return Ok(More::End) };
        frames.extend(read);
        match self.error.take_if(|_| self.reads.is_empty()) {
            Some(error) => Err(error),
            None => Ok(More::Frames),
        }
    }

    fn look(&mut self) -> crate::words::error::Result<()> {
        Ok(())
    }

    fn consumed(&self) -> u64 {
        0
    }
}

/// An input of this name, with a frame on each line that is a job, or says why it is none.
fn input(name: impl AsRef<Path>, lines: &[Result<&str, &str>]) -> Reader {
    let frame = |(line, text): (u64, &Result<&str, &str>)| Frame {
        line,
        data: text.map(|data| Bytes::copy_from_slice(data.as_bytes())).map_err(str::to_owned),
        extra: None,
    };
    let reads = VecDeque::from([(1..).zip(lines).map(frame).collect()]);
    let path = Some(name.as_ref().to_owned());
    let file = InputFile { path, format: Format::Ndjson, compression: Compression::None };
    Reader { file, frames: Box::new(Framed { reads, error: None }) }
}

/// Where the feeder's jobs go.
struct Scene {
    feed: Option<Feed>,
    dispatch: Arc<Dispatch>,
    cancel: Arc<Cancel>,
    messages: Receiver<Message>,
}

impl Scene {
    fn new(window: usize) -> Scene {
        let (jobs, fresh) = crossbeam_channel::bounded(1);
        let (sender, messages) = crossbeam_channel::unbounded();
        let (room, cancel, clock) = (Bell::new().unwrap(), Cancel::new(), Clock::start().unwrap());
        let limits = Limits { window, memory: 1 << 20, queued: 1, slots: 1, leaves_out: false };
        let bell = room.clone();
        let ring = move |wakes: &crate::pool::dispatch::Wakes| {
            if wakes.source {
                bell.ring();
            }
        };
        let dispatch = Arc::new(Dispatch::new(limits, None, false, fresh, ring));
        let feed = Feed {
            jobs,
            messages: sender,
            dispatch: Arc::clone(&dispatch),
            room,
            clock,
            cancel: Arc::clone(&cancel),
            bell: cancel.bell().unwrap(),
            counters: Arc::default(),
            shard: Shard::WHOLE,
            timeout_field: None,
            recall: None,
            keep_jobs: true,
            tell: Box::new(|notice| panic!("an input of frames has nothing to say: {notice}")),
        };
        Scene { feed: Some(feed), dispatch, cancel, messages }
    }

    fn start(&mut self, readers: Vec<Reader>) -> JoinHandle<()> {
        let feed = self.feed.take().unwrap();
        std::thread::spawn(move || feed.run(readers))
    }

    /// Reads these inputs to their end; returns the jobs that wait for a worker.
    fn read(&mut self, readers: Vec<Reader>) -> Vec<Job> {
        let thread = self.start(readers);
        wait_until(|| thread.is_finished());
        thread.join().unwrap();
        let waiting = self.dispatch.stop(Level::Drain, "test");
        waiting.into_iter().map(|delivery: Delivery| delivery.job).collect()
    }

    fn message(&self) -> Message {
        self.messages.recv_timeout(HANG).expect("a message is due")
    }

    fn outcomes(&self) -> Vec<Outcome> {
        match self.message() {
            Message::Outcomes(outcomes) => outcomes,
            other => panic!("no outcomes of this run: {other:?}"),
        }
    }

    fn end(&self) -> InputEnd {
        match self.message() {
            Message::InputEnded(end) => end,
            other => panic!("not the end of the input: {other:?}"),
        }
    }

    /// Waits until the source sleeps for want of room; returns how many jobs have been read and not received.
    fn read_until_full(&self) -> usize {
        wait_until(|| self.dispatch.look(|dispatcher| dispatcher.source_waits()));
        self.dispatch.look(|dispatcher| dispatcher.ledger().jobs())
    }
}

fn words(outcome: &Outcome) -> String {
    crate::words::outcome::error_words(&outcome.payload)
}

// ---- Numbers and places ----

#[test]
fn jobs_are_numbered_over_all_inputs_and_lines_in_each() {
    let mut scene = Scene::new(100);
    let jobs = scene.read(vec![input("a", &[Ok("1"), Ok("2")]), input("b", &[]), input("c", &[Ok("3")])]);
    let places: Vec<(u64, u64)> = jobs.iter().map(|job| (job.number, job.line)).collect();
    assert_eq!(places, [(1, 1), (2, 2), (3, 1)]);
    let end = scene.end();
    assert_eq!((end.jobs, end.complete, end.unread), (3, true, Some(0)));
}

#[test]
fn more_jobs_than_travel_in_one_piece_keep_their_order() {
    let mut scene = Scene::new(1000);
    let jobs = scene.read(vec![input("a", &[Ok("1"); 3 * PIECE + 1])]);
    assert!(jobs.iter().map(|job| job.number).eq(1..=3 * PIECE as u64 + 1));
}

#[test]
fn what_is_no_job_is_bad_input_in_its_place() {
    let check = |readers: Vec<Reader>, number: u64, expected: &str| {
        let mut scene = Scene::new(100);
        let jobs = scene.read(readers);
        let bad = scene.outcomes();
        assert_eq!((bad.len(), bad[0].job.number, bad[0].status), (1, number, Status::BadInput));
        assert_eq!(words(&bad[0]), expected);
        assert!(jobs.iter().all(|job| job.number != number));
        assert_eq!(scene.end().jobs as usize, jobs.len() + 1);
    };
    check(vec![input("a", &[Ok("1"), Err("no JSON"), Ok("3")])], 2, "BadInput: line 2: no JSON");
    let two = vec![input("a", &[Ok("1")]), input("b", &[Err("no JSON")])];
    check(two, 2, "BadInput: b: line 1: no JSON");
}

#[test]
fn what_came_before_a_read_error_is_read_all_the_same() {
    let mut scene = Scene::new(100);
    let mut reader = input("a", &[Ok("1"), Ok("2")]);
    let reads = VecDeque::from([vec![Frame { line: 1, data: Ok(Bytes::from_static(b"1")), extra: None }]]);
    reader.frames = Box::new(Framed { reads, error: Some(Error::io("cannot read a: it is gone")) });
    let jobs = scene.read(vec![reader, input("b", &[Ok("3")])]);
    let end = scene.end();
    assert_eq!((jobs.len(), end.jobs, end.complete, end.unread), (1, 1, false, None));
    assert_eq!(end.error.unwrap().message, "cannot read a: it is gone");
}

// ---- Permits ----

#[test]
fn the_source_waits_while_there_is_no_room_and_goes_on_when_there_is() {
    let mut scene = Scene::new(2);
    let thread = scene.start(vec![input("a", &[Ok("1"); 5])]);
    for received in 0..3 {
        assert_eq!(scene.read_until_full(), 2, "a window, after {received} were received");
        scene.dispatch.ended(1, 1);
        scene.dispatch.received(1, 1, 0, Instant::now());
    }
    let end = scene.end();
    assert_eq!((end.jobs, end.complete), (5, true));
    thread.join().unwrap();
}

#[test]
fn a_run_that_is_being_stopped_reads_no_more() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "1\n1\n1\n1\n1").unwrap();
    let mut scene = Scene::new(2);
    let thread = scene.start(vec![input(file.path(), &[Ok("1"); 5]), input(file.path(), &[Ok("1"); 5])]);
    scene.read_until_full();
    scene.cancel.raise(Level::Drain, Reason::Signal(libc::SIGTERM));
    let end = scene.end();
    assert_eq!((end.jobs, end.complete, end.unread), (2, false, Some(8)));
    thread.join().unwrap();
}

#[test]
fn a_run_that_was_stopped_before_reads_nothing_although_there_is_room() {
    let mut scene = Scene::new(100);
    scene.cancel.raise(Level::Drain, Reason::Signal(libc::SIGTERM));
    assert!(scene.read(vec![input("absent", &[Ok("1")])]).is_empty());
    let end = scene.end();
    assert_eq!((end.jobs, end.complete, end.unread), (0, false, None), "nobody knows how long an absent file is");
}

#[test]
fn what_was_read_when_the_run_is_stopped_is_not_run() {
    let mut scene = Scene::new(100);
    // The stop comes between the permits and the hand-over: the pool has heard of it, the source has not.
    scene.dispatch.stop(Level::Drain, "stopped by SIGTERM");
    assert!(scene.read(vec![input("a", &[Ok("1"), Ok("2")])]).is_empty());
    let unrun = scene.outcomes();
    assert_eq!(unrun.iter().map(|outcome| outcome.status).collect::<Vec<_>>(), [Status::NotRun; 2]);
    assert_eq!(words(&unrun[0]), "NotRun: never begun: stopped by SIGTERM");
    assert_eq!(scene.end().jobs, 2, "each of them was read, and has its record");
}

// ---- Their own time limits ----

#[test]
fn a_time_limit_is_a_number_of_seconds_or_a_text() {
    let check = |data: &str, expected: Result<Option<Duration>, &str>| {
        let found = own_timeout(data.as_bytes(), Some("t"));
        assert_eq!(found, expected.map_err(str::to_owned), "{data}");
    };
    let ms = |ms| Ok(Some(Duration::from_millis(ms)));
    check(r#"{"t":2}"#, ms(2000));
    check(r#"{"t":0.5}"#, ms(500));
    check(r#"{"t":"500ms"}"#, ms(500));
    check(r#"{"t":"3"}"#, ms(3000));
    for none in ["{}", "7", r#"{"t":null}"#, r#"{"t":""}"#, r#"{"T":2}"#] {
        check(none, Ok(None));
    }
    check(r#"{"t":0}"#, Err("its t is no time limit: 0"));
    check(r#"{"t":-1}"#, Err("its t is no time limit: -1"));
    check(r#"{"t":"soon"}"#, Err("its t is no time limit: \"soon\""));
    check(r#"{"t":[1]}"#, Err("its t is no time limit: [1]"));
}

#[test]
fn a_job_brings_its_time_limit_along_and_one_that_is_none_is_bad_input() {
    let mut scene = Scene::new(100);
    scene.feed.as_mut().unwrap().timeout_field = Some("t".to_owned());
    let jobs = scene.read(vec![input("a", &[Ok(r#"{"t":2}"#), Ok(r#"{"t":"soon"}"#), Ok("{}")])]);
    let limits: Vec<_> = jobs.iter().map(|job| (job.number, job.timeout())).collect();
    assert_eq!(limits, [(1, Some(Duration::from_secs(2))), (3, None)]);
    let bad = scene.outcomes();
    assert_eq!(words(&bad[0]), "BadInput: line 2: its t is no time limit: \"soon\"");
    assert_eq!(bad[0].job.data, r#"{"t":"soon"}"#, "it can be written to the rejects");
}

// ---- What earlier runs have done ----

#[test]
fn a_job_that_was_done_before_goes_to_no_worker() {
    let folder = tempfile::tempdir().unwrap();
    let open = |mode| {
        let settings = journal_settings(&folder.path().join("journal"), mode);
        journal::lock(&settings).unwrap().read(&settings).unwrap().begin().unwrap()
    };
    let mut before = open(JournalMode::New);
    for (data, status) in [("2", Status::Ok), ("3", Status::Died)] {
        let Recalled::ToRun(job) = before.recall.recall(crate::testing::job(1, data)) else {
            panic!("an empty journal knows nothing");
        };
        let outcome = Outcome { job, ..crate::testing::outcome(1, status) };
        before.writer.append([&outcome].into_iter()).unwrap();
    }
    drop(before);
    let mut scene = Scene::new(100);
    scene.feed.as_mut().unwrap().recall = Some(open(JournalMode::Resume).recall);

    let jobs = scene.read(vec![input("a", &[Ok("1"), Ok("2"), Ok("3")])]);

    assert_eq!(jobs.iter().map(|job| job.number).collect::<Vec<_>>(), [1, 3]);
    assert!(jobs.iter().all(|job| job.key().is_some()), "what they come to is to be journalled");
    let Message::Restored(restored) = scene.message() else { panic!("what is done is restored") };
    assert_eq!((restored[0].job.number, restored[0].status, restored.len()), (2, Status::Ok, 1));
}
