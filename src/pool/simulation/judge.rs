//! What must hold of the outcomes of a simulated run.

use std::collections::{BTreeMap, BTreeSet};

use super::Scenario;
use super::worker::{Deed, Habit};
use crate::words::outcome::{Outcome, Status};

/// What was seen of a run from outside of the pool.
#[derive(Default)]
pub struct Observed {
    /// In the order in which their records were written.
    pub outcomes: Vec<Outcome>,
    /// How often each job was begun by a worker.
    pub begun: BTreeMap<u64, u32>,
    /// Jobs whose whole answer was written by a worker that nobody had asked to end.
    pub answered: BTreeSet<u64>,
    pub was_stopped: bool,
    /// A worker was found to answer out of order.
    pub out_of_order: bool,
}

impl Observed {
    pub fn judge(&self, scenario: &Scenario, deed: impl Fn(u64) -> Deed) {
        let may_blame_neighbours = scenario.jobs.iter().any(|deed| match deed {
            Deed::Double => true,
            // A worker that reads ahead has read its next job when it ends, and that job is blamed.
            Deed::AnswerCrash => scenario.habit != Habit::Serial,
            _ => false,
        });
        assert!(
            !self.out_of_order || scenario.habit == Habit::Unruly,
            "a serial worker is not taken for an unruly one"
        );
        for (outcome, number) in self.outcomes.iter().zip(1..) {
            assert_eq!(outcome.job.number, number, "records are in the order of their jobs");
            assert!(outcome.attempts <= scenario.retries + 1, "no more attempts than are allowed: job {number}");
            if scenario.habit.is_serial() {
                self.judge_serial(outcome, deed(number), scenario, may_blame_neighbours);
            } else {
                self.judge_shared(outcome, deed(number), scenario, may_blame_neighbours);
            }
        }
    }

    /// Judges the outcome of a serial worker's job: the blame is exact.
    fn judge_serial(&self, outcome: &Outcome, deed: Deed, scenario: &Scenario, may_blame_neighbours: bool) {
        let number = outcome.job.number;
        let begun = self.begun.get(&number).copied().unwrap_or(0);
        if outcome.status == Status::NotRun {
            assert!(self.was_stopped, "only a stop leaves jobs undone");
            // Also where a worker reads ahead: the jobs behind its head have been read, and not begun.
            assert_eq!(begun, 0, "not_run means never begun: job {number}");
            return;
        }
        if may_blame_neighbours {
            return;
        }
        let as_it_should = deed.ends().contains(&outcome.status);
        if self.answered.contains(&number) && !deed.hangs() {
            assert!(as_it_should, "an answer in time counts: job {number} ({deed:?}) ended as {:?}", outcome.status);
        }
        if self.was_stopped {
            let ended = outcome.status == Status::Died;
            // A hanging worker that is asked to end because the run is stopped, not because its job's time is up, may
            // still answer.
            let late = deed == Deed::HangLate && outcome.status == Status::Ok;
            assert!(as_it_should || ended || late, "job {number} ({deed:?}) was stopped as {:?}", outcome.status);
            return;
        }
        assert!(as_it_should, "job {number} ({deed:?}) ended as {:?}", outcome.status);
        if deed.is_harmless() || outcome.status == Status::Ok {
            assert_eq!(outcome.attempts, 1, "the innocent are never charged: job {number} ({deed:?})");
            // In batches it may have run with a culprit before.
            let may_run_again = scenario.habit == Habit::Batches;
            assert!(begun == 1 || may_run_again, "an innocent job runs once: job {number} ({deed:?})");
        } else {
            assert_eq!(outcome.attempts, scenario.retries + 1, "job {number} ({deed:?})");
        }
        if outcome.status == Status::Timeout && scenario.dump {
            let shown = memchr::memmem::find(&outcome.payload, b"stack of the worker").is_some();
            assert!(shown, "what --dump brought is in the record");
        }
    }

    /// Judges an outcome where jobs that share a worker share its fate. A job that is run again has a worker of its
    /// own.
    fn judge_shared(&self, outcome: &Outcome, deed: Deed, scenario: &Scenario, may_blame_neighbours: bool) {
        let number = outcome.job.number;
        if outcome.status == Status::NotRun {
            assert!(self.was_stopped, "only a stop leaves jobs undone");
            return;
        }
        let as_it_should = deed.ends().contains(&outcome.status);
        let all_harmless = scenario.jobs.iter().all(|deed| deed.is_harmless());
        if self.was_stopped || may_blame_neighbours {
            return;
        }
        let at_once = scenario.habit == Habit::AtOnce;
        if at_once {
            let begun = self.begun.get(&number).copied().unwrap_or(0);
            assert!(begun <= outcome.attempts, "all that were running are charged: job {number} ({deed:?})");
        }
        // Nobody knows for which job a line was written that is no reply: the job that was given first is charged with
        // it.
        let charged = matches!(outcome.status, Status::Died | Status::BadReply);
        if all_harmless {
            assert!(as_it_should, "job {number} ({deed:?}) ended as {:?}", outcome.status);
            assert_eq!(outcome.attempts, 1, "nobody is charged where nothing happens: job {number}");
        } else if at_once && deed.is_harmless() {
            let shared_fate = charged && scenario.retries == 0;
            assert!(as_it_should || shared_fate, "job {number} ({deed:?}) ended as {:?}", outcome.status);
        } else if at_once {
            assert!(as_it_should || charged, "job {number} ({deed:?}) ended as {:?}", outcome.status);
        }
        if outcome.status == Status::Timeout {
            assert!(deed.hangs() || !at_once, "an answer in time is no timeout: job {number} ({deed:?})");
        }
        if !self.out_of_order && scenario.habit == Habit::Unruly && all_harmless {
            assert_eq!(self.begun.get(&number), Some(&1), "job {number} runs once");
        }
    }
}
