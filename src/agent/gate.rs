//! Where jobs wait at a host before they begin: a pure state machine.
//!
//! Each job is announced as begun, and is given to the workers when it is known that the announcement was heard. So a
//! job of which the far end has heard nothing has certainly not begun, whatever becomes of the stream; and no more jobs
//! are announced than will soon have a worker, so that nearly all that were announced have begun.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pool::host::ahead::Ahead;
use crate::protocol::stream::SentJob;

pub struct Gate {
    /// Jobs that have not been announced.
    waiting: VecDeque<SentJob>,
    /// Jobs that have been announced, by an announcement that nobody has said to have heard.
    announced: VecDeque<SentJob>,
    /// Jobs that workers have, or that wait for one.
    open: usize,
    ahead: Ahead,
    /// The announcement whose way there and back is being measured: how many jobs must be seen until it is, and since
    /// when.
    measured: Option<(usize, Instant)>,
    /// Workers have shown that they work.
    is_ready: bool,
}

impl Gate {
    pub fn new(ahead: Ahead) -> Gate {
        Gate { waiting: VecDeque::new(), announced: VecDeque::new(), open: 0, ahead, measured: None, is_ready: false }
    }

    /// Jobs may begin from now on.
    pub fn ready(&mut self) {
        self.is_ready = true;
    }

    pub fn arrived(&mut self, job: SentJob) {
        self.waiting.push_back(job);
    }

    /// How many of the jobs that wait are to be announced now: the next ones, in their order.
    pub fn announce(&mut self, now: Instant) -> usize {
        let under_way = self.open + self.announced.len();
        let may = if self.is_ready { self.ahead.most().saturating_sub(under_way) } else { 0 };
        let count = may.min(self.waiting.len());
        self.announced.extend(self.waiting.drain(..count));
        if count > 0 && self.measured.is_none() {
            self.measured = Some((self.announced.len(), now));
        }
        count
    }

    /// So many more of the announced jobs are known to be: they begin. `None` if there are not so many.
    pub fn seen(&mut self, count: usize, now: Instant) -> Option<Vec<SentJob>> {
        if count > self.announced.len() {
            return None;
        }
        self.measured = match self.measured {
            Some((left, since)) if left <= count => {
                self.ahead.round_trip(now.saturating_duration_since(since));
                None
            }
            Some((left, since)) => Some((left - count, since)),
            None => None,
        };
        self.open += count;
        Some(self.announced.drain(..count).collect())
    }

    /// Jobs have ended that took so long.
    pub fn answered(&mut self, times: &[Duration]) {
        self.open -= times.len();
        self.ahead.answered(times.iter().copied());
    }

    /// The run is being stopped: the jobs that have not begun, none of which will.
    pub fn take_unbegun(&mut self) -> Vec<SentJob> {
        self.measured = None;
        self.announced.drain(..).chain(self.waiting.drain(..)).collect()
    }

    /// The numbers of the jobs that were announced last, so many.
    #[cfg(test)]
    pub fn announced_last(&self, count: usize) -> Vec<u64> {
        self.announced.range(self.announced.len() - count..).map(|sent| sent.job.number).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.open == 0 && self.announced.is_empty() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::host::ahead::TO_BEGIN;
    use crate::testing::job;

    fn gate(workers: usize, jobs: u64) -> Gate {
        let mut gate = Gate::new(Ahead::new(workers, 1, TO_BEGIN));
        (1..=jobs).for_each(|number| gate.arrived(SentJob { job: job(number, "1"), attempt: 1, alone: false }));
        gate.ready();
        gate
    }

    #[test]
    fn no_job_begins_before_its_announcement_is_known_to_be_heard() {
        let now = Instant::now();
        let mut gate = gate(2, 5);
        assert_eq!((gate.announce(now), gate.announce(now)), (2, 0), "as many as there are workers");
        assert!(gate.seen(3, now).is_none(), "nobody can have heard of more");
        let begun: Vec<u64> = gate.seen(1, now).unwrap().iter().map(|sent| sent.job.number).collect();
        assert_eq!(begun, [1]);
        assert_eq!(gate.announce(now), 0);
        gate.answered(&[Duration::from_secs(1)]);
        assert_eq!((gate.announce(now), gate.take_unbegun().len(), gate.is_empty()), (1, 4, true));
    }

    #[test]
    fn nothing_is_announced_before_the_workers_work() {
        let now = Instant::now();
        let mut gate = Gate::new(Ahead::new(1, 1, TO_BEGIN));
        gate.arrived(SentJob { job: job(1, "1"), attempt: 1, alone: false });
        assert_eq!(gate.announce(now), 0);
        gate.ready();
        assert_eq!(gate.announce(now), 1);
    }

    #[test]
    fn announcements_run_ahead_by_as_much_as_the_way_there_and_back_is_long() {
        let mut now = Instant::now();
        let ms = Duration::from_millis;
        let mut gate = gate(4, 100);
        let mut announced = 0;
        for _ in 0..20 {
            announced = gate.announce(now);
            now += ms(10);
            let begun = gate.seen(announced, now).unwrap().len();
            gate.answered(&vec![ms(10); begun]);
        }
        assert_eq!(announced, 0, "all have been announced");
        assert_eq!(gate.ahead.most(), 4 + 7, "four jobs end in a round trip, and half of that is to spare");
    }
}
