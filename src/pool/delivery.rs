//! A job on its way to a worker, with what is known of the attempts before this one.

use std::time::Instant;

use crate::words::job::Job;
use crate::words::outcome::{JobError, Outcome, Status};

#[derive(Debug)]
pub struct Delivery {
    pub job: Job,
    /// Attempts that the job has been charged so far: its next one has this number and one more.
    pub charged: u32,
    /// The job was one of several in the hands of a worker that ended, or an attempt of it has ended with its worker.
    /// Until the job has its outcome no other job shares its worker, so that there is no doubt who is to blame.
    pub alone: bool,
    /// A worker that was ended, or a batch that failed, may have begun the job, although the job was not charged for it.
    pub doubtful: bool,
    /// The job is not to be given to a worker before this time (a delayed retry).
    pub not_before: Option<Instant>,
    /// How many jobs the call of the handler has or had that this job is part of (`--batch`); 0 for a job that is handed
    /// over by itself, or waits.
    pub batch: u16,
    /// How often the job came back without being charged.
    pub returns: u32,
    /// The outcome of the last attempt, which the job ends in if it is not run again after all.
    pub last_failure: Option<Box<Outcome>>,
}

impl Delivery {
    pub fn new(job: Job) -> Delivery {
        Delivery {
            job,
            charged: 0,
            alone: false,
            doubtful: false,
            not_before: None,
            batch: 0,
            returns: 0,
            last_failure: None,
        }
    }

    /// The attempt that ended in `failure` has failed, and its job is run again, not before that time. The outcome becomes
    /// the job's record if the run is stopped before the next attempt.
    pub fn again(failure: Outcome, not_before: Option<Instant>) -> Delivery {
        let (charged, job) = (failure.attempts, failure.job.clone());
        Delivery { charged, not_before, last_failure: Some(Box::new(failure)), ..Delivery::new(job) }
    }

    /// The job was in a batch that failed, and nobody can tell whether it is to blame: it is run again by itself, and
    /// charged with nothing.
    pub fn suspected(self) -> Delivery {
        Delivery { alone: true, doubtful: true, batch: 0, ..self }
    }

    /// The outcome of a delivery that will not be made, because the run is being stopped for the reason `why`.
    pub fn not_run(self, why: &str) -> Outcome {
        match self.last_failure {
            Some(failure) => *failure,
            None if self.doubtful => {
                let message = format!("it may have been begun already: {why}");
                Outcome::unrun(self.job, Status::Died, &JobError::new("WorkerDied", message))
            }
            None => Outcome::unrun(self.job, Status::NotRun, &JobError::not_run(format!("never begun: {why}"))),
        }
    }
}
