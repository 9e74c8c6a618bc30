//! What must hold at the end of a run.

use std::time::Duration;

use super::Op;
use super::world::World;
use crate::words::outcome::Status;

impl World {
    pub fn judge(&self) {
        let net = self.net.borrow();
        for (at, outcome) in self.received.iter().enumerate() {
            let (number, begun, announced) = (at + 1, net.begun[at], net.announced[at]);
            let (status, attempts) = outcome.expect("all jobs have ended");
            assert!(attempts <= self.scenario.retries + 1, "no more attempts than are allowed: job {number}");
            match status {
                Status::Ok | Status::Died => {
                    assert!(begun <= attempts, "job {number} ({status:?}) has begun more often than it is charged");
                    let words = "charged without having been announced";
                    assert!(announced >= attempts, "job {number} ({status:?}) is {words}");
                }
                Status::NotRun => {
                    assert!(self.stopped_at.is_some(), "only a stop leaves jobs undone");
                    assert_eq!(begun, 0, "not_run means never begun: job {number}");
                }
                _ => panic!("job {number} ended as {status:?}"),
            }
        }
        let faults = |op: &Op| !matches!(op, Op::Pass(_));
        if !self.scenario.ops.iter().any(faults) {
            let is_ok = |outcome: &Option<(Status, u32)>| matches!(outcome, Some((Status::Ok, 1)));
            assert!(self.received.iter().all(is_ok), "where nothing is lost every job is done");
        }
        if let Some(at) = self.stopped_at {
            let passed: u64 = self.scenario.ops.iter().map(|op| if let Op::Pass(ms) = op { *ms } else { 0 }).sum();
            let most = Duration::from_secs(60 + 45) + Duration::from_millis(passed);
            assert!(net.now - at <= most, "a stopped run ends soon");
        }
    }
}
