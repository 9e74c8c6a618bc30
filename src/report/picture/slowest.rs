//! The jobs that were in their workers the longest.

use std::time::Duration;

use super::excerpt::excerpt;
use crate::words::outcome::{Outcome, Status};
use crate::words::worker::process_name;

/// One of the slowest jobs.
#[derive(Debug, Clone)]
pub struct Slow {
    pub elapsed: Duration,
    pub job: u64,
    /// Where it stands in its input.
    pub line: u64,
    pub status: Status,
    pub attempts: u32,
    /// Who ran it: `w3`, `node1/w3`.
    pub worker: String,
    /// The beginning of the job.
    pub input: String,
}

#[derive(Debug, Clone, Default)]
pub struct Slowest {
    /// The slowest first; of equal ones, the first that came.
    jobs: Vec<Slow>,
}

/// So many are kept: as many as anybody looks at.
const KEPT: usize = 50;

impl Slowest {
    pub fn add(&mut self, outcome: &Outcome, elapsed: Duration, redact: &[String]) {
        if elapsed.is_zero() || self.jobs.len() == KEPT && self.jobs[KEPT - 1].elapsed >= elapsed {
            return;
        }
        let place = self.jobs.partition_point(|job| job.elapsed >= elapsed);
        let Outcome { job, status, attempts, worker, .. } = outcome;
        let (status, attempts, input) = (*status, *attempts, excerpt(outcome, redact));
        let host = outcome.host.name().map_or_else(String::new, |host| format!("{host}/"));
        let worker = worker.map_or_else(String::new, |worker| host + &process_name(worker));
        self.jobs.truncate(KEPT - 1);
        self.jobs.insert(place, Slow { elapsed, job: job.number, line: job.line, status, attempts, worker, input });
    }

    pub fn jobs(&self) -> &[Slow] {
        &self.jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::outcome;

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut slowest = Slowest::default();
        for number in 0..1000_u64 {
            let millis = number * 7 % 1000;
            slowest.add(&outcome(number, Status::Ok), Duration::from_millis(millis), &[]);
        }
        let times: Vec<u128> = slowest.jobs().iter().map(|job| job.elapsed.as_millis()).collect();
        assert_eq!(times, (950..1000).rev().collect::<Vec<u128>>());
        assert!(slowest.jobs().iter().all(|slow| u128::from(slow.job * 7 % 1000) == slow.elapsed.as_millis()));
    }
}
