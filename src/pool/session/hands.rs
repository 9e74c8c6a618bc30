//! The jobs that a worker has been given and has not answered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::delivery::Delivery;
use crate::words::outcome::{JobError, Status, Stay};

/// A job in the hands of a worker.
#[derive(Debug)]
pub struct Open {
    pub delivery: Delivery,
    /// Where the job's bytes begin in all that the worker is sent, counted from its start. In a batch, where the line
    /// begins that tells the worker to call its handler: before that it can have begun none of the batch's jobs.
    pub begins: u64,
    /// Where they end.
    pub ends: u64,
    /// The call of the handler that the job is part of.
    pub call: Call,
    /// Since when the job may be running: it was given to an idle worker, or the one before it was answered.
    pub started: Option<Instant>,
    /// How the job will end, if that is decided and not told yet, because the worker is still being asked where it is
    /// stuck, or must be gone before the job is run again.
    pub fate: Option<Fate>,
}

/// A call of the handler: by itself for each job, or for all jobs of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The number of its first job.
    first: u64,
    /// How many jobs it had when it began; 0 as long as the worker has not been told to begin it.
    pub size: u16,
}

impl Call {
    const FORMING: Call = Call { first: 0, size: 0 };

    fn of_one(job: u64) -> Call {
        Call { first: job, size: 1 }
    }

    /// Whether it cannot be told which of its jobs is to blame for what happens in it.
    pub fn is_shared(self) -> bool {
        self.size > 1
    }
}

/// How an open job will end, decided before its worker is gone.
#[derive(Debug)]
pub struct Fate {
    pub status: Status,
    pub error: JobError,
    pub stay: Stay,
}

impl Open {
    pub fn number(&self) -> u64 {
        self.delivery.job.number
    }

    /// Since when the job has been running, if it is, and for how long.
    pub fn stay(&self, now: Instant) -> Stay {
        Stay { began: self.started, elapsed: self.elapsed(now) }
    }

    /// How long the job has been running, if it is.
    pub fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }
}

/// How a worker takes its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One after the other, in the order given: only the first can be running.
    InOrder,
    /// Up to so many at the same time, as `--concurrency` asks.
    AtOnce(usize),
    /// Several at the same time, although nobody asked the worker to: it has answered out of order.
    OutOfOrder,
}

#[derive(Debug)]
pub struct Hands {
    /// In the order given; the first is the head.
    open: VecDeque<Open>,
    /// How the worker takes its jobs: `OutOfOrder` from the first answer on that shows it.
    pub manner: Manner,
}

impl Hands {
    pub fn new(concurrency: usize) -> Hands {
        let manner = if concurrency > 1 { Manner::AtOnce(concurrency) } else { Manner::InOrder };
        Hands { open: VecDeque::new(), manner }
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn head(&self) -> Option<&Open> {
        self.open.front()
    }

    /// The job that has been running the longest, and for how long.
    pub fn longest_running(&self, now: Instant) -> Option<(u64, Duration)> {
        self.open.iter().map(|open| (open.number(), open.elapsed(now))).max_by_key(|(_, elapsed)| *elapsed)
    }

    pub fn head_mut(&mut self) -> Option<&mut Open> {
        self.open.front_mut()
    }

    /// Whether several of the jobs may be running at the same time.
    pub fn run_at_once(&self) -> bool {
        self.manner != Manner::InOrder
    }

    /// Whether a job is among them that shares its worker with no other.
    pub fn hold_one_alone(&self) -> bool {
        self.open.iter().any(|open| open.delivery.alone)
    }

    /// Adds a job whose bytes stand at these places of the worker's input.
    pub fn push(&mut self, delivery: Delivery, begins: u64, ends: u64, now: Instant) {
        let runs = self.open.is_empty() || matches!(self.manner, Manner::AtOnce(_));
        let call = Call::of_one(delivery.job.number);
        self.open.push_back(Open { delivery, begins, ends, call, started: runs.then_some(now), fate: None });
    }

    /// Adds a job to the batch that is being put together. The worker has certainly not begun it, wherever its bytes are,
    /// so that they count as not sent.
    pub fn push_forming(&mut self, delivery: Delivery) {
        let (begins, ends) = (u64::MAX, u64::MAX);
        self.open.push_back(Open { delivery, begins, ends, call: Call::FORMING, started: None, fate: None });
    }

    /// How many jobs are in the batch that is being put together.
    pub fn forming(&self) -> usize {
        self.open.len() - self.open.partition_point(|open| open.call != Call::FORMING)
    }

    /// How many jobs of the call that runs, or is the next to do so, have no answer.
    pub fn running(&self) -> usize {
        match self.open.front().map(|head| head.call) {
            None | Some(Call::FORMING) => 0,
            // Nearly always: a job at a time, for which nothing has to be searched.
            Some(call) if !call.is_shared() => 1,
            Some(call) => self.open.partition_point(|open| open.call == call),
        }
    }

    /// The batch that has been put together is one call from now on. The line that tells the worker to begin it stands
    /// at these places of its input.
    pub fn close_batch(&mut self, begins: u64, ends: u64, now: Instant) {
        let from = self.open.len() - self.forming();
        let Some(first) = self.open.get(from).map(Open::number) else { return };
        let size = u16::try_from(self.open.len() - from).unwrap_or(u16::MAX);
        let started = (from == 0).then_some(now);
        for open in self.open.range_mut(from..) {
            (open.begins, open.ends, open.call, open.started) = (begins, ends, Call { first, size }, started);
            open.delivery.batch = size;
        }
    }

    /// The index of the job with this number, or of the head where the protocol has no numbers.
    pub fn find(&self, id: Option<u64>) -> Option<usize> {
        match id {
            None => (!self.open.is_empty()).then_some(0),
            Some(id) => self.open.iter().position(|open| open.number() == id),
        }
    }

    pub fn get(&self, index: usize) -> &Open {
        &self.open[index]
    }

    /// Takes the job at `index`. The call that is at the head after that runs from now on.
    pub fn take(&mut self, index: usize, now: Instant) -> Open {
        let open = self.open.remove(index).expect("the index was found among the open jobs");
        if self.open.front().is_some_and(|head| head.started.is_none()) {
            let running = self.running();
            self.open.range_mut(..running).for_each(|open| open.started = Some(now));
        }
        open
    }

    /// Takes the first job whose fate is decided and of which `is_over` says that it need not wait for its worker's
    /// end.
    pub fn take_fated(&mut self, is_over: impl Fn(&Open, &Fate) -> bool) -> Option<(Delivery, Fate)> {
        let index = self.open.iter().position(|open| open.fate.as_ref().is_some_and(|fate| is_over(open, fate)))?;
        let open = self.open.remove(index)?;
        Some((open.delivery, open.fate?))
    }

    /// Decides how the job at `index` will end.
    pub fn seal(&mut self, index: usize, fate: Fate) {
        self.open[index].fate = Some(fate);
    }

    pub fn take_all(&mut self) -> VecDeque<Open> {
        std::mem::take(&mut self.open)
    }

    /// Takes the jobs that are not wholly within the first `accepted` bytes of the input.
    pub fn take_unsent(&mut self, accepted: u64) -> Vec<Delivery> {
        self.take_behind(self.open.partition_point(|open| open.ends <= accepted))
    }

    /// Takes the jobs that stand wholly behind the first `read` bytes of the input.
    pub fn take_unread(&mut self, read: u64) -> Vec<Delivery> {
        self.take_behind(self.open.partition_point(|open| open.begins < read))
    }

    /// Takes the jobs from `index` on, but for those whose fate is decided: they end with the worker.
    fn take_behind(&mut self, index: usize) -> Vec<Delivery> {
        let (taken, kept): (Vec<Open>, Vec<Open>) = self.open.drain(index..).partition(|open| open.fate.is_none());
        self.open.extend(kept);
        taken.into_iter().map(|open| open.delivery).collect()
    }

    /// Of the jobs that are running, the one whose time is up first, and when. `default` is the time limit of a job
    /// that brings none along, `loading` what is added to all of them.
    pub fn next_timeout(&self, default: Option<Duration>, loading: Duration) -> Option<(usize, Instant)> {
        let running = if self.run_at_once() { self.open.len() } else { self.running() };
        let due = |(index, open): (usize, &Open)| {
            let limit = open.delivery.job.timeout().or(default).filter(|_| open.fate.is_none())?;
            Some((index, open.started?.checked_add(limit)?.checked_add(loading)?))
        };
        self.open.iter().take(running).enumerate().filter_map(due).min_by_key(|&(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job;
    use crate::words::job::Extra;

    const SECOND: Duration = Duration::from_secs(1);

    /// Jobs 1, 2, 3 …, ten bytes each, given a second after each other.
    fn hands(concurrency: usize, jobs: u64, start: Instant) -> Hands {
        let mut hands = Hands::new(concurrency);
        for number in 1..=jobs {
            let place = (number - 1) * 10;
            let delivery = Delivery::new(job(number, "{}"));
            hands.push(delivery, place, place + 10, start + SECOND * (number as u32 - 1));
        }
        hands
    }

    fn numbers(deliveries: &[Delivery]) -> Vec<u64> {
        deliveries.iter().map(|delivery| delivery.job.number).collect()
    }

    fn fate() -> Fate {
        Fate {
            status: Status::Timeout,
            error: JobError::new("TimeoutError", "late"),
            stay: Stay { began: None, elapsed: SECOND },
        }
    }

    #[test]
    fn the_clock_of_a_job_starts_when_it_becomes_the_head() {
        let start = Instant::now();
        let mut hands = hands(1, 3, start);
        let elapsed =
            |hands: &Hands, at| (0..hands.len()).map(|index| hands.get(index).elapsed(at)).collect::<Vec<_>>();
        assert_eq!(elapsed(&hands, start + 9 * SECOND), [9 * SECOND, Duration::ZERO, Duration::ZERO]);
        hands.take(0, start + 5 * SECOND);
        assert_eq!(elapsed(&hands, start + 9 * SECOND), [4 * SECOND, Duration::ZERO]);
        hands.take(1, start + 6 * SECOND);
        assert_eq!(elapsed(&hands, start + 9 * SECOND), [4 * SECOND], "the head runs since it is the head");
    }

    #[test]
    fn at_once_each_clock_starts_when_its_job_is_given() {
        let start = Instant::now();
        let hands = hands(3, 3, start);
        let started: Vec<_> = (0..3).map(|index| hands.get(index).started.unwrap() - start).collect();
        assert_eq!(started, [Duration::ZERO, SECOND, 2 * SECOND]);
    }

    #[test]
    fn a_job_is_found_by_its_number_or_as_the_head() {
        let hands = hands(1, 2, Instant::now());
        assert_eq!([hands.find(Some(2)), hands.find(Some(3)), hands.find(None)], [Some(1), None, Some(0)]);
        assert_eq!(Hands::new(1).find(None), None);
    }

    #[test]
    fn only_what_runs_can_time_out_and_the_first_to_do_so_is_next() {
        let start = Instant::now();
        let next =
            |hands: &Hands, default| hands.next_timeout(default, 7 * SECOND).map(|(index, at)| (index, at - start));
        let mut serial = hands(1, 3, start);
        assert_eq!(next(&serial, Some(SECOND)), Some((0, 8 * SECOND)), "the time to load is added");
        assert_eq!(next(&serial, None), None);
        serial.seal(0, fate());
        assert_eq!(next(&serial, Some(SECOND)), None, "its end is decided");
        let mut at_once = hands(3, 3, start);
        let extra = Extra { timeout: Some(SECOND), ..Extra::default() };
        at_once.open[2].delivery.job.extra = Some(Box::new(extra));
        assert_eq!(next(&at_once, Some(9 * SECOND)), Some((2, 10 * SECOND)), "its own limit is shorter");
        assert_eq!(next(&at_once, None), Some((2, 10 * SECOND)));
    }

    #[test]
    fn what_the_worker_cannot_have_read_is_taken_back() {
        let all = || hands(1, 4, Instant::now());
        for (accepted, unsent) in
            [(40, vec![]), (39, vec![4]), (30, vec![4]), (5, vec![1, 2, 3, 4]), (0, vec![1, 2, 3, 4])]
        {
            assert_eq!(numbers(&all().take_unsent(accepted)), unsent, "{accepted} bytes are in the pipe");
        }
        for (read, unread) in
            [(0, vec![1, 2, 3, 4]), (1, vec![2, 3, 4]), (10, vec![2, 3, 4]), (11, vec![3, 4]), (31, vec![])]
        {
            assert_eq!(numbers(&all().take_unread(read)), unread, "{read} bytes were read");
        }
    }

    #[test]
    fn a_job_whose_end_is_decided_stays_until_it_is_told() {
        let mut hands = hands(1, 3, Instant::now());
        hands.seal(1, fate());
        assert_eq!(numbers(&hands.take_unread(0)), [1, 3]);
        assert!(hands.take_fated(|_, _| false).is_none());
        let (delivery, fate) =
            hands.take_fated(|open, fate| open.number() == 2 && fate.status == Status::Timeout).unwrap();
        assert_eq!((delivery.job.number, fate.stay.elapsed, hands.is_empty()), (2, SECOND, true));
    }

    #[test]
    fn one_job_that_must_be_alone_is_seen_among_others() {
        let mut hands = hands(1, 1, Instant::now());
        assert!(!hands.hold_one_alone());
        let delivery = Delivery { alone: true, ..Delivery::new(job(2, "{}")) };
        hands.push(delivery, 10, 20, Instant::now());
        assert!(hands.hold_one_alone());
    }
}
