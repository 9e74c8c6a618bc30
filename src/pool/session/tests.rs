//! Rules of a session that stand on their own; what follows from all of them is shown by the simulation.

use std::sync::Arc;

use super::*;
use crate::pool::dispatch::Failure;
use crate::pool::exited::How;
use crate::pool::settings::{Depth, PoolSettings};
use crate::protocol::Protocol;
use crate::testing::{job, pool_settings};

const MS: Duration = Duration::from_millis(1);

/// A session whose worker has just been started; depth 4.
struct Scene {
    session: Session,
    now: Instant,
}

impl Scene {
    fn new(change: impl FnOnce(&mut PoolSettings)) -> Scene {
        let mut settings = pool_settings("w");
        (settings.protocol, settings.depth) = (Protocol::Json, Depth::Fixed(4));
        change(&mut settings);
        let now = Instant::now();
        let mut session = Session::new(0, Arc::new(settings), now, 0);
        session.spawned(Luggage::default(), now);
        Scene { session, now }
    }

    /// How many more jobs the worker would take.
    fn room(&self) -> usize {
        self.session.standing(false, self.now).unwrap().room
    }

    /// Gives the worker a job, which it reads.
    fn give(&mut self, number: u64) {
        self.session.give(Delivery::new(job(number, "{}")), self.now);
        while !self.session.pending_input().is_empty() {
            self.session.written(self.session.pending_input().len());
        }
    }

    fn says(&mut self, line: &str) {
        let buffer = self.session.output_buffer().unwrap();
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
        self.session.received(self.now);
    }

    fn answers(&mut self, number: u64) {
        self.says(&format!(r#"{{"id":{number},"status":"ok","data":1}}"#));
    }

    /// The worker ends with this many bytes of its input unread. Returns the pause before the next start.
    fn dies(&mut self, unread: u64) -> Duration {
        let exited = Exited { how: How::Code(1), unread: Some(unread), out_of_memory: false };
        self.session.exited(exited, self.now);
        self.session.output_ended(self.now);
        let Some(Standing { worker: WorkerState::Absent { start_at, .. }, .. }) =
            self.session.standing(false, self.now)
        else {
            panic!("the worker is gone")
        };
        start_at - self.now
    }

    /// The failed starts that have been reported.
    fn failed_starts(&mut self) -> Vec<Failure> {
        let failure = |report| if let Report::FailedStart(failure, ..) = report { Some(failure) } else { None };
        std::mem::take(&mut self.session.out.reports).into_iter().filter_map(failure).collect()
    }
}

// ---- How many jobs a worker is given ----

#[test]
fn a_handlers_worker_gets_no_job_before_it_is_ready() {
    let mut scene = Scene::new(|settings| settings.supplied = true);
    assert_eq!(scene.room(), 0);
    scene.says(r#"{"status":"ready"}"#);
    assert_eq!(scene.room(), 4);
}

#[test]
fn any_other_worker_gets_one_job_at_once_and_no_more_before_its_first_answer() {
    let mut scene = Scene::new(|_| {});
    assert_eq!(scene.room(), 1);
    scene.give(1);
    assert_eq!(scene.room(), 0);
    scene.says(r#"{"id":1,"status":"progress","data":0.5}"#);
    assert_eq!(scene.room(), 0, "progress is no answer");
    scene.answers(1);
    assert_eq!(scene.room(), 4);
}

#[test]
fn with_concurrency_the_first_answer_is_waited_for_as_well() {
    let mut scene = Scene::new(|settings| settings.concurrency = 3);
    assert_eq!(scene.room(), 1);
    scene.give(1);
    assert_eq!(scene.room(), 0);
    scene.says(r#"{"status":"ready"}"#);
    assert_eq!(scene.room(), 2);
}

// ---- The time of a job ----

#[test]
fn a_worker_that_may_be_loading_has_the_start_timeout_on_top() {
    let timeout = |seconds| Duration::from_secs(seconds);
    let scene = || {
        Scene::new(|settings| {
            (settings.timeout, settings.start_timeout) = (Some(timeout(2)), timeout(3));
        })
    };
    let mut unproven = scene();
    unproven.give(1);
    assert_eq!(unproven.session.deadline(unproven.now), Some(unproven.now + timeout(5)));
    let mut proven = scene();
    proven.says(r#"{"status":"ready"}"#);
    proven.give(1);
    assert_eq!(proven.session.deadline(proven.now), Some(proven.now + timeout(2)));
}

#[test]
fn a_start_is_told_when_it_takes_long_and_dumped_when_it_takes_too_long() {
    let mut scene = Scene::new(|settings| {
        settings.supplied = true;
        (settings.start_timeout, settings.dump) = (Duration::from_secs(7), Some(libc::SIGUSR1));
    });
    scene.says(r#"{"status":"loading","data":"a model"}"#);
    let begun = scene.now;
    let mut at = |seconds: u64| {
        scene.session.tick(begun + Duration::from_secs(seconds));
        let is_told = scene.session.out.reports.drain(..).any(|report| matches!(report, Report::Silent(_)));
        let signals: Vec<i32> = scene.session.out.actions.drain(..).filter_map(signal).collect();
        (is_told, signals)
    };
    assert_eq!(at(4), (false, vec![]));
    assert_eq!(at(5), (true, vec![]));
    assert_eq!(at(7), (false, vec![libc::SIGUSR1]));
    assert_eq!(at(8), (false, vec![libc::SIGTERM]), "it has had its time to print");
}

fn signal(action: Action) -> Option<i32> {
    if let Action::Signal(signal) = action { Some(signal) } else { None }
}

// ---- Ends of workers, and the pauses after them ----

#[test]
fn a_worker_that_read_nothing_failed_at_its_start() {
    let mut scene = Scene::new(|_| {});
    scene.give(1);
    let all = "{\"id\":1,\"data\":{}}\n".len() as u64;
    // The pause is the pool's to decide.
    assert_eq!(scene.dies(all), Duration::ZERO);
    assert_eq!(scene.failed_starts(), [Failure::AtStart]);
    assert_eq!(scene.session.out.returned.len(), 1, "its job is not charged");
}

#[test]
fn an_error_of_the_init_function_is_a_failed_start_with_its_words() {
    let mut scene = Scene::new(|settings| settings.supplied = true);
    scene.says(r#"{"status":"init","data":"connect"}"#);
    assert_eq!(scene.room(), 0);
    scene.says(r#"{"status":"unstarted","error":{"name":"E","message":"refused"}}"#);
    scene.dies(0);
    let reports = std::mem::take(&mut scene.session.out.reports);
    let [Report::FailedStart(Failure::AtStart, words, None)] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(words, "worker w0 failed in the init function connect: E: refused");
}

#[test]
fn a_worker_that_read_its_first_job_may_have_died_of_it() {
    let mut scene = Scene::new(|_| {});
    scene.give(1);
    scene.dies(0);
    assert_eq!(scene.failed_starts(), [Failure::InFirstJob]);
    assert_eq!(scene.session.out.outcomes.len(), 1, "its job is charged");
}

#[test]
fn deaths_after_a_reply_or_ready_pause_their_slot_and_are_no_failed_starts() {
    let mut scene = Scene::new(|_| {});
    scene.answers_and_dies_idle();
    let pauses: Vec<Duration> = (0..7)
        .map(|_| {
            scene.session.spawned(Luggage::default(), scene.now);
            scene.says(r#"{"status":"ready"}"#);
            scene.dies(0)
        })
        .collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000].map(|ms| ms * MS));
    assert_eq!(scene.failed_starts(), []);
}

#[test]
fn an_answer_forgets_the_deaths_before_it() {
    let mut scene = Scene::new(|_| {});
    assert_eq!(scene.answers_and_dies_idle(), Duration::ZERO, "the first death costs no pause");
    for _ in 0..3 {
        scene.session.spawned(Luggage::default(), scene.now);
        assert_eq!(scene.answers_and_dies_idle(), Duration::ZERO);
    }
}

// ---- Batches ----

/// A session of two workers' pool whose worker is ready; up to 4 jobs a batch.
fn batches() -> Scene {
    let mut scene = Scene::new(|settings| {
        (settings.supplied, settings.batch, settings.workers) = (true, Some(4), 2);
        (settings.timeout, settings.depth) = (Some(Duration::from_secs(9)), Depth::Auto);
    });
    scene.says(r#"{"status":"ready"}"#);
    scene
}

impl Scene {
    /// Gives the worker these jobs, and no more for now. It reads them.
    fn hand(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        numbers.for_each(|number| self.give(number));
        self.begin_batch();
    }

    fn begin_batch(&mut self) {
        if self.session.begin_batch(self.now) {
            let bytes = self.session.pending_input();
            assert_eq!(bytes, b"\n", "an empty line tells it to begin");
            self.session.written(1);
        }
    }

    /// The size of the batch of each job that ended.
    fn sizes(&mut self) -> Vec<u16> {
        self.session.out.outcomes.drain(..).map(|outcome| outcome.batch).collect()
    }

    /// The jobs that came back: their numbers, and whether each must be alone. None is charged.
    fn returned(&mut self) -> Vec<(u64, bool)> {
        let told = |delivery: Delivery| {
            assert_eq!(delivery.charged, 0, "job {}", delivery.job.number);
            (delivery.job.number, delivery.alone)
        };
        self.session.out.returned.drain(..).map(told).collect()
    }
}

#[test]
fn an_idle_worker_begins_with_the_jobs_that_are_there_and_a_busy_one_has_them_gathered() {
    let mut scene = batches();
    assert_eq!(scene.room(), 4);
    scene.hand(1..=2);
    assert_eq!(scene.room(), 0, "nobody knows yet how long a call takes");
    (1..=2).for_each(|number| scene.answers(number));
    assert_eq!((scene.sizes(), scene.room()), (vec![2, 2], 4));
    scene.hand(3..=6);
    assert_eq!(scene.room(), 4, "the call before was quick");
    scene.hand(7..=8);
    assert_eq!(scene.room(), 2, "one that is not full waits for the call before it");
    (3..=6).for_each(|number| scene.answers(number));
    scene.hand(9..=9);
    (7..=9).for_each(|number| scene.answers(number));
    assert_eq!(scene.sizes(), [4, 4, 4, 4, 3, 3, 3]);
}

#[test]
fn a_batch_that_has_not_begun_cannot_be_answered() {
    let mut scene = batches();
    scene.give(1);
    scene.answers(1);
    assert!(scene.session.out.outcomes.iter().all(|outcome| outcome.status == Status::BadReply));
}

#[test]
fn the_jobs_of_a_call_that_failed_are_run_by_themselves_and_not_charged() {
    let mut scene = batches();
    scene.hand(1..=2);
    (1..=2).for_each(|number| scene.says(&format!(r#"{{"id":{number},"status":"again"}}"#)));
    assert_eq!(scene.returned(), [(1, true), (2, true)]);
    scene.hand(3..=3);
    scene.says(r#"{"id":3,"status":"again"}"#);
    let ended: Vec<Status> = scene.session.out.outcomes.drain(..).map(|outcome| outcome.status).collect();
    assert_eq!(ended, [Status::BadReply], "a job that was alone is answered");
}

#[test]
fn a_death_charges_no_job_of_a_batch_and_those_behind_it_are_not_even_suspected() {
    let mut scene = batches();
    scene.session.live_mut().unwrap().calls.as_mut().unwrap().answered(MS);
    scene.hand(1..=4);
    scene.hand(5..=6);
    scene.answers(1);
    scene.dies(0);
    assert_eq!(scene.returned(), [(2, true), (3, true), (4, true), (5, false), (6, false)]);
    assert_eq!(scene.sizes(), [4]);
}

#[test]
fn the_last_job_of_a_batch_that_has_no_answer_is_not_known_to_be_the_culprit() {
    let mut scene = batches();
    scene.hand(1..=2);
    scene.answers(1);
    scene.dies(0);
    assert_eq!(scene.returned(), [(2, true)]);
}

#[test]
fn a_death_charges_a_job_that_was_alone_in_its_batch() {
    let mut scene = batches();
    scene.hand(1..=1);
    scene.dies(0);
    assert_eq!((scene.returned(), scene.sizes()), (vec![], vec![1]));
}

#[test]
fn the_time_of_a_batch_is_that_of_its_call_and_charges_none_of_its_jobs() {
    let mut scene = batches();
    scene.session.live_mut().unwrap().calls.as_mut().unwrap().answered(MS);
    let (begun, limit) = (scene.now, Duration::from_secs(9));
    scene.hand(1..=4);
    scene.hand(5..=8);
    assert_eq!(scene.session.deadline(begun), Some(begun + limit));
    scene.now += MS;
    (1..=4).for_each(|number| scene.answers(number));
    assert_eq!(scene.session.deadline(scene.now), Some(begun + MS + limit), "the next call begins");
    scene.session.tick(begun + MS + limit);
    scene.dies(0);
    assert_eq!(scene.returned(), [(5, true), (6, true), (7, true), (8, true)]);
}

#[test]
fn junk_charges_no_job_of_a_batch() {
    let mut scene = batches();
    scene.hand(1..=2);
    scene.says("hello");
    scene.dies(0);
    assert_eq!((scene.returned(), scene.sizes()), (vec![(1, true), (2, true)], vec![]));
}

impl Scene {
    fn answers_and_dies_idle(&mut self) -> Duration {
        self.give(1);
        self.answers(1);
        self.dies(0)
    }
}
