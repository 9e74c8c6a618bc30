//! How many jobs a worker is given ahead of its answers.
//!
//! A queue in front of a worker saves it the wait for its next job, which is most of the time when jobs take
//! microseconds. But whoever stands behind a slow job waits for it while other workers may be idle, so the
//! queue is bounded by time, not by a count: about a millisecond of work.

use std::time::{Duration, Instant};

use crate::pool::settings::{AUTO_DEPTH_MAX, Depth};

#[derive(Debug)]
pub struct Pace {
    depth: usize,
    auto: bool,
    /// The depth that the queue always has.
    least: usize,
    /// When the last answers were read, or the worker got its first job after it had none.
    busy_since: Instant,
    /// How long one job took, by the last answers.
    per_job: Duration,
    /// How many bytes one answer had, by the last answers.
    per_answer: usize,
}

/// How much work may be queued behind the head at automatic depth: short for whoever stands behind a slow job, long
/// beside the microseconds that a quick one takes.
const QUEUED: Duration = Duration::from_millis(1);

impl Pace {
    /// `workers` is how many the pool has.
    pub fn new(depth: Depth, workers: usize, now: Instant) -> Pace {
        // A job that stands behind the head of the only worker loses nothing, since no other worker could take it. And
        // that worker need not wait while a large answer is read and a large job is written.
        let least = if workers == 1 { 2 } else { 1 };
        let (depth, auto, least) = match depth {
            Depth::Auto => (least, true, least),
            Depth::Fixed(depth) => (depth, false, depth),
        };
        Pace { depth, auto, least, busy_since: now, per_job: Duration::MAX, per_answer: 0 }
    }

    /// The worker had no job until now.
    pub fn begin(&mut self, now: Instant) {
        self.busy_since = now;
    }

    /// So many jobs have been answered by so many bytes, all of them read now.
    pub fn answered(&mut self, jobs: usize, bytes: usize, now: Instant) {
        let busy = now.saturating_duration_since(self.busy_since);
        self.busy_since = now;
        self.per_job = busy / u32::try_from(jobs).unwrap_or(u32::MAX).max(1);
        self.per_answer = bytes / jobs.max(1);
        if self.auto {
            let fits = QUEUED.as_nanos() / self.per_job.as_nanos().max(1);
            let fits = usize::try_from(fits).unwrap_or(AUTO_DEPTH_MAX);
            // The depth doubles at most, so that one lucky sample does not queue a lot, and falls at once.
            self.depth = fits.clamp(self.least, AUTO_DEPTH_MAX).min(self.depth * 2);
        }
    }

    /// How many more jobs to give to a worker that has `open` of them.
    pub fn room(&self, open: usize, now: Instant) -> usize {
        // A deep queue is filled again when half of it is answered, so that many jobs share one write.
        if open >= self.depth || (self.depth >= 8 && open > self.depth / 2) {
            return 0;
        }
        // The head has turned out slow: nothing more is queued behind it.
        if self.auto && open >= self.least && now.saturating_duration_since(self.busy_since) > QUEUED {
            return 0;
        }
        self.depth - open
    }

    /// How long to leave the worker's answers alone while `open` jobs are queued: until about half of them
    /// are answered, or its pipe is half full. Zero unless the queue is deep and moves fast.
    pub fn nap(&self, open: usize) -> Duration {
        /// Half of a pipe of the default size.
        const HALF_PIPE: usize = 32 * 1024;
        // A nap pays only where it saves several reads: with some jobs queued, each of them short.
        if !self.auto || open < 16 || self.per_job > QUEUED {
            return Duration::ZERO;
        }
        let jobs = (open / 2).min(HALF_PIPE / self.per_answer.max(1));
        (self.per_job * u32::try_from(jobs).unwrap_or(u32::MAX)).min(QUEUED / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers `jobs` jobs in `micros` each; returns the depth after that.
    fn answer(pace: &mut Pace, now: &mut Instant, jobs: usize, micros: u64) -> usize {
        *now += Duration::from_micros(micros * jobs as u64);
        pace.answered(jobs, 40 * jobs, *now);
        pace.depth
    }

    #[test]
    fn depth_doubles_while_jobs_are_quick_and_falls_at_once() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Depth::Auto, 8, now);
        let grown: Vec<usize> = (0..10).map(|_| answer(&mut pace, &mut now, 1, 1)).collect();
        assert_eq!(grown, [2, 4, 8, 16, 32, 64, 128, 256, 512, 512]);
        assert_eq!(answer(&mut pace, &mut now, 1, 3), 333, "a millisecond of work");
        assert_eq!(answer(&mut pace, &mut now, 1, 100), 10);
        assert_eq!(answer(&mut pace, &mut now, 1, 5_000), 1);
    }

    #[test]
    fn nothing_is_queued_behind_a_head_that_turns_out_slow() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Depth::Auto, 8, now);
        for _ in 0..8 {
            answer(&mut pace, &mut now, 1, 3);
        }
        assert_eq!(pace.room(100, now), 156);
        assert_eq!(pace.room(200, now), 0, "half of the queue first");
        assert_eq!(pace.room(100, now + Duration::from_millis(2)), 0);
    }

    #[test]
    fn the_only_worker_always_has_its_next_job() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Depth::Auto, 1, now);
        assert_eq!((pace.room(0, now), pace.room(1, now)), (2, 1));
        assert_eq!(answer(&mut pace, &mut now, 1, 50_000), 2);
        now += Duration::from_secs(1);
        assert_eq!((pace.room(1, now), pace.room(2, now)), (1, 0));
    }

    #[test]
    fn a_fixed_depth_stays() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Depth::Fixed(4), 8, now);
        assert_eq!(answer(&mut pace, &mut now, 1, 50_000), 4);
        assert_eq!((pace.room(0, now), pace.room(3, now), pace.room(4, now)), (4, 1, 0));
        assert_eq!(pace.nap(4), Duration::ZERO);
    }

    #[test]
    fn a_nap_ends_before_the_queue_or_the_pipe_does() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Depth::Auto, 8, now);
        answer(&mut pace, &mut now, 10, 2);
        assert_eq!(pace.nap(100), Duration::from_micros(100));
        assert_eq!(pace.nap(8), Duration::ZERO);
        pace.answered(1, 16 * 1024, now + Duration::from_micros(10));
        assert_eq!(pace.nap(100), Duration::from_micros(20), "two answers of 16 KiB fill half a pipe");
    }
}
