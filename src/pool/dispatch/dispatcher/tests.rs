//! The rules of the dispatcher one by one, for a reader; that they hold together is shown by the simulation.

use super::*;
use crate::testing::job;

const MS: Duration = Duration::from_millis(1);

/// A pool of slots that wait, and the time.
struct Scene {
    dispatcher: Dispatcher,
    now: Instant,
}

impl Scene {
    /// All slots sleep, in the order given.
    fn asleep(standings: &[Standing]) -> Scene {
        let limits = Limits { window: 100, memory: 1000, queued: 100, slots: standings.len(), leaves_out: false };
        let mut scene = Scene { dispatcher: Dispatcher::new(limits, None, false), now: Instant::now() };
        for (slot, standing) in (0..).zip(standings) {
            assert!(matches!(scene.ask(slot, *standing), Turn::Sleep(_)));
        }
        scene.woken();
        scene
    }

    fn ask(&mut self, slot: u32, standing: Standing) -> Turn {
        self.dispatcher.ask(slot, standing, self.now)
    }

    /// The jobs that a slot is given; none if it is to sleep.
    fn jobs(&mut self, slot: u32, standing: Standing) -> Vec<u64> {
        match self.ask(slot, standing) {
            Turn::Jobs(jobs) => jobs.iter().map(|delivery| delivery.job.number).collect(),
            Turn::Sleep(_) => Vec::new(),
            other => panic!("w{slot} is to do something else: {other:?}"),
        }
    }

    /// The source reads these jobs; returns who is woken.
    fn offer(&mut self, numbers: &[u64]) -> Vec<u32> {
        let jobs: Vec<Job> = numbers.iter().map(|&number| job(number, "{}")).collect();
        assert_eq!(self.dispatcher.admit(&mut jobs.iter().map(|job| job.data.len())), jobs.len());
        assert!(self.dispatcher.offer(jobs, self.now).is_empty());
        self.woken()
    }

    /// A job comes back that must not run before this time; returns who is woken.
    fn give_back(&mut self, number: u64, not_before: Option<Instant>) -> Vec<u32> {
        let delivery = Delivery { not_before, ..Delivery::new(job(number, "{}")) };
        assert!(self.dispatcher.give_back(vec![delivery], self.now).is_empty());
        self.woken()
    }

    fn woken(&mut self) -> Vec<u32> {
        self.dispatcher.take_wakes().slots
    }
}

/// A worker that has answered, with room for one more job.
fn proven(in_flight: usize) -> Standing {
    Standing { room: 1, in_flight, worker: WorkerState::Proven, recycling: Recycling::No }
}

/// A worker that has shown nothing yet and has no job.
fn unproven() -> Standing {
    Standing { worker: WorkerState::Unproven, ..proven(0) }
}

fn absent(start_at: Instant, is_first: bool) -> Standing {
    Standing { room: 0, worker: WorkerState::Absent { start_at, is_first }, ..proven(0) }
}

fn in_turn(in_flight: usize) -> Standing {
    Standing { recycling: Recycling::InTurn, ..proven(in_flight) }
}

// ---- Starts that are held ----

#[test]
fn no_worker_is_started_while_starts_are_held_and_whoever_waits_is_woken_then() {
    let mut scene = Scene::asleep(&[proven(1)]);
    scene.dispatcher.hold_starts(true);
    let slot = absent(scene.now, true);
    assert!(matches!(scene.ask(0, slot), Turn::Sleep(None)));
    scene.woken();
    assert!(scene.offer(&[1]).is_empty(), "a slot that could do nothing for the job is not woken for it");
    scene.dispatcher.hold_starts(false);
    assert_eq!(scene.woken(), [0]);
    assert!(matches!(scene.ask(0, slot), Turn::Start));
}

// ---- Who is woken ----

#[test]
fn a_job_wakes_one_sleeper_and_two_wake_two() {
    let mut scene = Scene::asleep(&[proven(0); 3]);
    assert_eq!(scene.offer(&[1]), [0]);
    assert_eq!(scene.offer(&[2]), [1]);
    assert_eq!(scene.jobs(0, proven(0)), [1]);
    assert_eq!(scene.woken(), [0; 0], "w1 is on its way to the other job");
    assert_eq!(scene.jobs(1, proven(0)), [2]);
}

#[test]
fn a_job_is_promised_to_the_slot_that_was_woken_for_it() {
    let mut scene = Scene::asleep(&[proven(0), proven(1)]);
    assert_eq!(scene.offer(&[1]), [0]);
    assert_eq!(scene.jobs(1, proven(1)), [0; 0], "a busy slot leaves it alone");
    assert_eq!(scene.jobs(0, proven(0)), [1]);
}

#[test]
fn a_slot_that_declines_its_job_passes_the_promise_on() {
    let mut scene = Scene::asleep(&[proven(0), proven(0)]);
    assert_eq!(scene.offer(&[1]), [0]);
    // Its worker has died meanwhile.
    assert!(matches!(scene.ask(0, absent(scene.now + MS, false)), Turn::Sleep(_)));
    assert_eq!(scene.woken(), [1]);
}

#[test]
fn an_idle_worker_that_has_answered_is_served_first_and_a_busy_one_last() {
    let later = Instant::now() + 1000 * MS;
    let mut scene = Scene::asleep(&[proven(1), unproven(), in_turn(1), proven(0)]);
    assert!(matches!(scene.ask(2, absent(later, false)), Turn::Sleep(Some(at)) if at == later), "w2 is paused");
    assert_eq!(scene.offer(&[1]), [3], "has answered");
    assert_eq!(scene.offer(&[2]), [1], "has shown nothing yet");
    assert_eq!(scene.offer(&[3]), [0], "has a job");
    assert_eq!(scene.offer(&[4]), [0; 0], "nobody is left");
}

#[test]
fn a_worker_that_has_shown_nothing_leaves_the_job_to_one_that_has() {
    let mut scene = Scene::asleep(&[unproven(), proven(0)]);
    assert_eq!(scene.offer(&[1]), [1]);
    assert_eq!(scene.jobs(0, unproven()), [0; 0]);
    assert_eq!(scene.jobs(1, proven(0)), [1]);
}

#[test]
fn a_slot_without_room_is_woken_for_nothing() {
    let mut scene = Scene::asleep(&[Standing { room: 0, ..proven(1) }]);
    assert_eq!(scene.offer(&[1]), [0; 0]);
}

#[test]
fn nothing_is_handed_out_while_the_collector_is_behind() {
    let mut scene = Scene::asleep(&[proven(0)]);
    scene.offer(&[1]);
    assert_eq!(scene.jobs(0, proven(0)), [1]);
    // More than a quarter of the memory.
    scene.dispatcher.ended(2, 400);
    assert_eq!(scene.offer(&[2]), [0; 0]);
    assert_eq!(scene.jobs(0, proven(0)), [0; 0]);
    scene.dispatcher.received(1, 400, 0, scene.now);
    assert_eq!(scene.woken(), [0]);
    assert_eq!(scene.jobs(0, proven(0)), [2]);
}

// ---- Jobs that come back ----

#[test]
fn one_sleeper_keeps_the_time_of_a_retry() {
    let mut scene = Scene::asleep(&[proven(0); 2]);
    let due = scene.now + 1000 * MS;
    assert_eq!(scene.give_back(7, Some(due)), [0], "somebody must learn the time");
    assert!(matches!(scene.ask(0, proven(0)), Turn::Sleep(Some(at)) if at == due));
    assert!(matches!(scene.ask(1, proven(0)), Turn::Sleep(None)), "one is enough");
    scene.now = due;
    assert_eq!(scene.jobs(0, proven(0)), [7]);
}

#[test]
fn a_keeper_that_gets_other_work_hands_the_time_on() {
    let mut scene = Scene::asleep(&[proven(0); 2]);
    let due = scene.now + 1000 * MS;
    scene.give_back(7, Some(due));
    scene.ask(0, proven(0));
    assert_eq!(scene.offer(&[8]), [0]);
    assert_eq!(scene.jobs(0, proven(0)), [8]);
    assert_eq!(scene.woken(), [1]);
    assert!(matches!(scene.ask(1, proven(0)), Turn::Sleep(Some(at)) if at == due));
}

#[test]
fn an_earlier_retry_finds_a_new_keeper_and_a_later_one_needs_none() {
    let mut scene = Scene::asleep(&[proven(0); 2]);
    let due = scene.now + 1000 * MS;
    scene.give_back(7, Some(due));
    scene.ask(0, proven(0));
    assert_eq!(scene.give_back(8, Some(due + MS)), [0; 0]);
    assert_eq!(scene.give_back(9, Some(due - MS)).len(), 1);
}

// ---- Workers that start and are replaced ----

#[test]
fn the_first_worker_of_a_slot_is_started_at_once_and_others_where_there_may_be_work() {
    let mut scene = Scene::asleep(&[]);
    let is_started = |scene: &mut Scene, is_first| matches!(scene.ask(0, absent(scene.now, is_first)), Turn::Start);
    scene.dispatcher =
        Dispatcher::new(Limits { window: 9, memory: 9, queued: 1, slots: 1, leaves_out: false }, None, false);
    assert!(is_started(&mut scene, true) && is_started(&mut scene, false), "the input may bring more");
    scene.dispatcher.source_ended();
    assert!(is_started(&mut scene, true));
    assert!(!is_started(&mut scene, false), "no job waits, and none will come");
    assert_eq!(scene.give_back(1, None), [0]);
    assert!(is_started(&mut scene, false));
}

#[test]
fn a_worker_is_not_started_for_a_job_that_another_will_take() {
    let mut scene = Scene::asleep(&[proven(0), proven(0)]);
    scene.dispatcher.source_ended();
    assert!(matches!(scene.ask(1, absent(scene.now, false)), Turn::Sleep(None)));
    assert_eq!(scene.give_back(1, None), [0], "an idle worker, and no new one");
    assert!(matches!(scene.ask(1, absent(scene.now, false)), Turn::Sleep(None)));
}

#[test]
fn workers_are_replaced_one_after_the_other() {
    let mut scene = Scene::asleep(&[proven(1), proven(1)]);
    scene.dispatcher.started(0);
    scene.dispatcher.started(1);
    assert!(matches!(scene.ask(0, in_turn(0)), Turn::Recycle));
    assert!(matches!(scene.ask(1, in_turn(0)), Turn::Sleep(_)), "it is not its turn");
    assert_eq!(scene.offer(&[1]), [1], "and it works on until then");
    assert_eq!(scene.jobs(1, in_turn(0)), [1]);
    assert!(matches!(scene.ask(1, in_turn(0)), Turn::Sleep(_)));
    scene.dispatcher.buried(0, scene.now);
    assert_eq!(scene.woken(), [1]);
    assert!(matches!(scene.ask(1, in_turn(0)), Turn::Recycle));
}

#[test]
fn a_worker_takes_no_job_into_its_turn() {
    let mut scene = Scene::asleep(&[in_turn(1)]);
    assert_eq!(scene.offer(&[1]), [0; 0], "it runs empty: the turn is free");
    assert!(matches!(scene.ask(0, in_turn(0)), Turn::Recycle));
}

#[test]
fn a_worker_that_may_take_no_other_job_waits_for_no_turn() {
    let mut scene = Scene::asleep(&[proven(1), proven(1)]);
    assert!(matches!(scene.ask(0, in_turn(0)), Turn::Recycle));
    let at_once = Standing { recycling: Recycling::AtOnce, room: 0, ..proven(0) };
    assert!(matches!(scene.ask(1, at_once), Turn::Recycle));
}

#[test]
fn by_order_a_turn_lasts_until_the_new_worker_would_take_a_job() {
    let mut scene = Scene::asleep(&[proven(1), proven(1)]);
    scene.dispatcher.started(0);
    scene.dispatcher.started(1);
    assert_eq!(scene.dispatcher.renew(), 2);
    assert_eq!(scene.woken(), [0, 1]);
    assert!(matches!(scene.ask(0, in_turn(0)), Turn::Recycle));
    assert!(scene.dispatcher.buried(0, scene.now), "the slot is to tell of its new worker");
    scene.dispatcher.started(0);
    assert!(matches!(scene.ask(1, in_turn(0)), Turn::Sleep(_)), "the new worker is still loading");
    assert_eq!(scene.dispatcher.arrived(0, scene.now), None);
    assert_eq!(scene.woken(), [1]);
    assert!(matches!(scene.ask(1, in_turn(0)), Turn::Recycle));
    assert!(scene.dispatcher.buried(1, scene.now));
    assert_eq!(scene.dispatcher.arrived(1, scene.now), Some(2));
    assert!(!scene.dispatcher.buried(0, scene.now), "what ends after that is no part of it");
}

#[test]
fn a_run_that_ends_replaces_nobody() {
    let mut scene = Scene::asleep(&[proven(1)]);
    assert_eq!(scene.dispatcher.renew(), 0, "there is no worker");
    scene.dispatcher.started(0);
    scene.dispatcher.stop(Level::Drain, "SIGTERM");
    assert_eq!(scene.dispatcher.renew(), 0);
}

// ---- The rate ----

#[test]
fn a_job_that_the_rate_holds_back_goes_to_the_first_slot_that_wakes_when_it_is_due() {
    let mut scene = Scene::asleep(&[proven(0), proven(0)]);
    scene.dispatcher.throttle = Throttle::new(Some(Rate { interval: 10 * MS, slack: Duration::ZERO }));
    assert_eq!(scene.offer(&[1, 2]), [0], "only one may go");
    assert_eq!(scene.jobs(0, proven(0)), [1]);
    assert_eq!(scene.woken(), [1], "it is to keep the time");
    let due = scene.now + 10 * MS;
    assert!(matches!(scene.ask(1, proven(0)), Turn::Sleep(Some(at)) if at == due));
    scene.now = due;
    assert_eq!(scene.jobs(1, proven(0)), [2]);
}

#[test]
fn while_the_pool_is_held_back_no_job_is_given_out() {
    let mut scene = Scene::asleep(&[proven(0)]);
    assert!(scene.dispatcher.hold_back(10 * MS, scene.now));
    let due = scene.now + 10 * MS;
    assert_eq!(scene.offer(&[1]), [0], "it is to keep the time");
    assert!(matches!(scene.ask(0, proven(0)), Turn::Sleep(Some(at)) if at == due));
    scene.now = due;
    assert_eq!(scene.jobs(0, proven(0)), [1]);
}

// ---- The budget of failed starts ----

#[test]
fn a_successor_may_fail_to_start_while_others_work() {
    let mut scene = Scene::asleep(&[proven(1), proven(1)]);
    for slot in [0, 1] {
        scene.dispatcher.started(slot);
        scene.dispatcher.proven(slot);
    }
    assert!(!scene.dispatcher.may_fail(0));
    scene.dispatcher.renew();
    assert!(scene.dispatcher.may_fail(0), "it may have been loading");
    scene.dispatcher.buried(0, scene.now);
    assert_eq!(verdicts(&mut scene.dispatcher, Failure::AtStart, 9), [2000; 9]);
    scene.dispatcher.started(0);
    scene.dispatcher.buried(1, scene.now);
    scene.dispatcher.started(1);
    assert!(!scene.dispatcher.may_fail(0) && !scene.dispatcher.may_fail(1), "none of the two works");
    assert_eq!(verdicts(&mut scene.dispatcher, Failure::AtStart, 7).last(), Some(&-1));
}

/// The verdicts of failures in a row in a pool of two: pauses in milliseconds, and the end as -1.
fn verdicts(dispatcher: &mut Dispatcher, failure: Failure, count: usize) -> Vec<i64> {
    let verdict = |_| match dispatcher.failed_start(0, failure) {
        Consequence::Pause(pause) => pause.as_millis().try_into().unwrap(),
        Consequence::LeaveOut(_) => -2,
        Consequence::GiveUp(_) => -1,
    };
    (0..count).map(verdict).collect()
}

fn pool_of_two(has_worked: bool) -> Dispatcher {
    Dispatcher::new(Limits { window: 9, memory: 9, queued: 2, slots: 2, leaves_out: false }, None, has_worked)
}

#[test]
fn pauses_between_failed_starts_double_to_two_seconds_and_after_5_and_n_the_pool_gives_up() {
    let mut dispatcher = pool_of_two(true);
    assert_eq!(verdicts(&mut dispatcher, Failure::AtStart, 7), [100, 200, 400, 800, 1600, 2000, -1]);
}

#[test]
fn a_reply_or_ready_forgets_the_failed_starts_before_it() {
    for forget in [|dispatcher: &mut Dispatcher| dispatcher.proven(0), Dispatcher::answered] {
        let mut dispatcher = pool_of_two(false);
        assert_eq!(verdicts(&mut dispatcher, Failure::AtStart, 6).last(), Some(&2000));
        forget(&mut dispatcher);
        assert_eq!(verdicts(&mut dispatcher, Failure::AtStart, 2), [100, 200]);
    }
}

#[test]
fn a_job_that_kills_its_worker_is_to_blame_once_the_program_has_worked() {
    assert_eq!(verdicts(&mut pool_of_two(true), Failure::InFirstJob, 9), [0; 9]);
    assert_eq!(verdicts(&mut pool_of_two(false), Failure::InFirstJob, 7).last(), Some(&-1));
    let mut dispatcher = pool_of_two(false);
    dispatcher.proven(0);
    assert_eq!(verdicts(&mut dispatcher, Failure::InFirstJob, 2), [100, 200], "ready is no answer");
    dispatcher.answered();
    assert_eq!(verdicts(&mut dispatcher, Failure::InFirstJob, 9), [0; 9]);
    assert_eq!(verdicts(&mut pool_of_two(false), Failure::InRetriedJob, 9), [0; 9], "it was counted before");
}

#[test]
fn want_of_processes_ends_the_run_only_where_none_is_left() {
    let mut dispatcher = pool_of_two(true);
    dispatcher.started(0);
    assert_eq!(verdicts(&mut dispatcher, Failure::Starved, 9), [2000; 9]);
    dispatcher.buried(0, Instant::now());
    assert_eq!(verdicts(&mut dispatcher, Failure::Starved, 7).last(), Some(&-1));
}

// ---- Orders ----

#[test]
fn a_stop_returns_what_waits_refuses_what_comes_and_wakes_everybody() {
    let mut scene = Scene::asleep(&[proven(1); 3]);
    scene.offer(&[1, 2]);
    scene.give_back(3, Some(scene.now + MS));
    let numbers = |jobs: Vec<Delivery>| jobs.iter().map(|delivery| delivery.job.number).collect::<Vec<_>>();
    assert_eq!(numbers(scene.dispatcher.stop(Level::Drain, "SIGTERM")), [3, 1, 2]);
    assert_eq!(scene.woken(), [0, 1, 2]);
    assert_eq!(numbers(scene.dispatcher.offer(vec![job(4, "{}")], scene.now)), [4]);
    assert_eq!(numbers(scene.dispatcher.give_back(vec![Delivery::new(job(5, "{}"))], scene.now)), [5]);
    assert_eq!(scene.jobs(0, proven(0)), [0; 0]);
    assert!(matches!(scene.ask(1, absent(scene.now, false)), Turn::Sleep(_)), "no worker is started");
}

#[test]
fn the_first_reason_for_a_stop_stays_and_its_level_only_rises() {
    let mut dispatcher = pool_of_two(true);
    for (level, why, expected) in [
        (Level::Drain, "--max-failures", Level::Drain),
        (Level::Abort, "SIGINT", Level::Abort),
        (Level::Drain, "late", Level::Abort),
    ] {
        dispatcher.stop(level, why);
        assert_eq!((dispatcher.orders().level, dispatcher.orders().why.as_str()), (expected, "--max-failures"));
    }
    assert_eq!(dispatcher.edition(), 2, "what changes nothing is no news");
}

#[test]
fn who_is_waited_for_and_hints_are_told_once() {
    let mut dispatcher = pool_of_two(true);
    dispatcher.asked_to_end(1);
    assert_eq!((dispatcher.lingering(), dispatcher.lingering()), (vec![1], vec![]));
    assert_eq!((dispatcher.take_hint(), dispatcher.take_hint()), (true, false));
    assert_eq!((dispatcher.not_serial(), dispatcher.not_serial()), (true, false));
}

#[test]
fn there_is_work_for_as_many_slots_as_there_have_been_jobs() {
    let mut scene = Scene::asleep(&[]);
    assert_eq!(scene.dispatcher.has_work_for(1), None, "the source has not said anything yet");
    scene.dispatcher.offer(vec![job(1, "{}"), job(2, "{}")], scene.now);
    assert_eq!([1, 2, 3].map(|slots| scene.dispatcher.has_work_for(slots)), [Some(true), Some(true), None]);
    scene.dispatcher.source_ended();
    assert_eq!([2, 3].map(|slots| scene.dispatcher.has_work_for(slots)), [Some(true), Some(false)]);
    scene.dispatcher.stop(Level::Drain, "enough");
    assert_eq!(scene.dispatcher.has_work_for(1), Some(false));
}

#[test]
fn people_are_told_once_of_all_that_are_loading() {
    let mut scene = Scene::asleep(&[]);
    (0..4).for_each(|slot| scene.dispatcher.started(slot));
    scene.dispatcher.proven(1);
    scene.dispatcher.buried(2, scene.now);
    assert_eq!(scene.dispatcher.loading(), [0, 3]);
    assert!(scene.dispatcher.loading().is_empty());
}

/// Two slots that are hosts.
fn two_hosts() -> Dispatcher {
    Dispatcher::new(Limits { window: 9, memory: 9, queued: 2, slots: 2, leaves_out: true }, None, false)
}

#[test]
fn a_host_that_keeps_failing_is_left_out_and_never_the_last() {
    let mut dispatcher = two_hosts();
    assert_eq!(verdicts(&mut dispatcher, Failure::AtStart, 4), [100, 200, 400, -2]);
    let last = |dispatcher: &mut Dispatcher| dispatcher.failed_start(1, Failure::AtStart);
    let verdicts: Vec<Consequence> = (0..7).map(|_| last(&mut dispatcher)).collect();
    assert!(verdicts[..6].iter().all(|verdict| matches!(verdict, Consequence::Pause(_))), "{verdicts:?}");
    assert_eq!(verdicts[6], Consequence::GiveUp(7), "nobody is left");
}

#[test]
fn a_host_whose_agent_has_given_up_is_left_out_at_once() {
    let mut dispatcher = two_hosts();
    assert_eq!(verdicts(&mut dispatcher, Failure::OfHost, 1), [-2]);
    assert_eq!(dispatcher.failed_start(1, Failure::OfHost), Consequence::GiveUp(1), "nobody is left");
}

#[test]
fn a_host_that_has_worked_meanwhile_begins_anew() {
    let mut dispatcher = two_hosts();
    assert_eq!(verdicts(&mut dispatcher, Failure::AtStart, 3), [100, 200, 400]);
    dispatcher.proven(0);
    assert_eq!(verdicts(&mut dispatcher, Failure::AtStart, 4), [100, 200, 400, -2]);
}
