//! How many jobs a host is given ahead of its answers.
//!
//! Each of its workers is to have the next job when it has answered one, although an answer and the job after it take a
//! round trip. By Little's law as many jobs end during a round trip as there are workers, times the round trip, divided
//! by the time of a job: so many wait at the host. With jobs that take a second that is none or one, and nearly all jobs
//! at a host have begun; with jobs of microseconds it is thousands, bounded by [`PER_WORKER`].
//!
//! The agent uses the same reckoning for the jobs that it has announced and not yet been told to begin.

use std::time::Duration;

/// A job is at the host a round trip after the answer that it follows, and may begin another round trip later, when it
/// is known to be announced. Twice that, since jobs do not end evenly; they are charged with nothing if the host is lost.
pub const TO_HOST: f64 = 4.0;
/// An announcement is heard of after a round trip. Jobs that are announced are charged if the host is lost, so there are
/// only few more than must be.
pub const TO_BEGIN: f64 = 1.5;
/// How many jobs there are at a host for each worker, at most.
const PER_WORKER: usize = 1024;
/// What is added to the round trip: the time that both ends take to handle a piece of answers, and threads to wake.
const SLACK: Duration = Duration::from_millis(1);
/// A worker may be idle for this share of its time rather than that a job waits at the host.
const IDLE: f64 = 0.02;

#[derive(Debug)]
pub struct Ahead {
    /// How many jobs the workers of the host have in their hands, at most, where nothing is queued.
    hands: usize,
    workers: usize,
    /// How many round trips the jobs that wait are to last.
    trips: f64,
    round_trip: Duration,
    /// How long a job takes in its worker, as a moving average, in seconds.
    per_job: Option<f64>,
    /// How many jobs there may be at the host.
    most: usize,
}

impl Ahead {
    /// `per_worker` is how many jobs a worker has in its hands, at most, and `trips` how many round trips the jobs that
    /// wait are to last.
    pub fn new(workers: usize, per_worker: usize, trips: f64) -> Ahead {
        let hands = (workers * per_worker).max(1);
        Ahead { hands, workers: workers.max(1), trips, round_trip: Duration::ZERO, per_job: None, most: hands }
    }

    /// A message and its answer took so long.
    pub fn round_trip(&mut self, took: Duration) {
        // A way that is slow now and then (srun holds back what is small for 40 ms) must not leave workers idle: a long one
        // counts for half at once, and is forgotten slowly.
        self.round_trip = if self.round_trip.is_zero() {
            took
        } else if took > self.round_trip {
            self.round_trip + (took - self.round_trip) / 2
        } else {
            self.round_trip - (self.round_trip - took) / 16
        };
    }

    /// Jobs have been answered that took so long in their workers, one by one.
    pub fn answered(&mut self, times: impl Iterator<Item = Duration>) {
        for took in times {
            let took = took.as_secs_f64();
            self.per_job = Some(self.per_job.map_or(took, |mean| mean + (took - mean) / 16.0));
        }
        let Some(per_job) = self.per_job else { return };
        let wait = self.round_trip.as_secs_f64();
        // Less than a microsecond is less than the clocks of both ends tell apart.
        let per_job = per_job.max(1e-6);
        let waiting = if wait / per_job < IDLE {
            0.0
        } else {
            (self.hands as f64 * (self.trips * wait + SLACK.as_secs_f64()) / per_job).ceil()
        };
        let wanted = self.hands + waiting as usize;
        // The number doubles at most, so that one lucky sample does not send off a lot.
        self.most = wanted.min(2 * self.most).min(self.hands.max(self.workers * PER_WORKER));
    }

    /// How many jobs there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many more jobs to give, if there are `open` of them. Where there are many they are given in large pieces.
    pub fn room(&self, open: usize) -> usize {
        let is_deep = self.most >= 16 * self.hands;
        if is_deep && open > self.most / 4 * 3 { 0 } else { self.most.saturating_sub(open) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many jobs a host of 64 workers may have when jobs and round trips take so long.
    fn settled(job: Duration, round_trip: Duration) -> usize {
        let mut ahead = Ahead::new(64, 1, TO_BEGIN);
        ahead.round_trip(round_trip);
        (0..40).for_each(|_| ahead.answered(std::iter::repeat_n(job, 64)));
        ahead.most()
    }

    #[test]
    fn what_waits_at_a_host_covers_the_round_trip() {
        let ms = Duration::from_millis;
        assert_eq!(settled(ms(1000), ms(1)), 64, "no job waits where the round trip is nothing beside it");
        assert_eq!(settled(ms(1000), ms(100)), 64 + 10);
        assert_eq!(settled(ms(5), ms(1)), 64 + 32);
        assert_eq!(settled(Duration::ZERO, ms(1)), 64 * PER_WORKER);
    }

    #[test]
    fn the_number_doubles_at_most_and_begins_with_what_is_in_hands() {
        let mut ahead = Ahead::new(2, 4, TO_BEGIN);
        assert_eq!((ahead.most(), ahead.room(3), ahead.room(9)), (8, 5, 0));
        ahead.round_trip(Duration::from_millis(10));
        for expected in [16, 32, 64, 128, 256, 512, 1024, 2048, 2048] {
            ahead.answered(std::iter::once(Duration::from_micros(1)));
            assert_eq!(ahead.most(), expected);
        }
        assert_eq!((ahead.room(2000), ahead.room(1000)), (0, 1048), "many jobs share one write");
    }

    #[test]
    fn a_long_round_trip_counts_soon_and_is_forgotten_slowly() {
        let mut ahead = Ahead::new(1, 1, TO_BEGIN);
        let mut after = |ms| {
            ahead.round_trip(Duration::from_millis(ms));
            ahead.round_trip.as_millis()
        };
        assert_eq!([after(8), after(48), after(12), after(12)], [8, 28, 27, 26]);
    }
}
