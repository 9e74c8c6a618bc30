//! The accounts of a run: how many jobs, and how many bytes of jobs and results, are between the input and the
//! output. The source may read on only as far as they allow, and slots are given jobs only while the collector
//! keeps up.
//!
//! A job's bytes are in the accounts from its permit to its end, a result's from its end until the collector has
//! written it or put it among those that wait for their turn. Together they stay within `--memory`, but for one
//! job that is always let through, and for the results of jobs that workers already had when the limit was met.

/// What the accounts may hold at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs that have been read and whose outcome the collector has not received.
    pub window: usize,
    /// Bytes of jobs and results in memory.
    pub memory: usize,
    /// How many jobs fill the queues of all workers.
    pub queued: usize,
    pub slots: usize,
    /// A slot whose workers keep failing to start is left out, as long as there are others.
    pub leaves_out: bool,
}

#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    /// How many workers each slot stands for: one, unless it is a host.
    workers: Vec<usize>,
    all_workers: usize,
    /// Jobs read whose outcome has not been received.
    jobs: usize,
    /// Bytes of jobs that have been read and have not ended.
    job_bytes: usize,
    /// Bytes of outcomes that the collector has not dealt with.
    result_bytes: usize,
    /// Bytes of outcomes that wait in memory for the record before them.
    waiting_bytes: usize,
    /// The collector is so far behind that nobody is given a job.
    is_behind: bool,
}

/// Once each worker can have a job and another one to follow, jobs and results under way take no more bytes than this.
/// More would gain nothing: 16 MiB fill 256 pipes of the default capacity.
const AHEAD: usize = 16 << 20;
/// The collector is behind when the outcomes that it has not dealt with take more than this part of `--memory`. The
/// rest is for jobs, and for results that wait for their turn.
const BACKLOG_SHARE: usize = 4;

impl Ledger {
    pub fn new(limits: Limits) -> Ledger {
        Ledger {
            limits,
            workers: vec![1; limits.slots],
            all_workers: limits.slots,
            jobs: 0,
            job_bytes: 0,
            result_bytes: 0,
            waiting_bytes: 0,
            is_behind: false,
        }
    }

    /// The slot is a host, which keeps so many workers.
    pub fn keeps(&mut self, slot: u32, workers: usize) {
        let before = std::mem::replace(&mut self.workers[slot as usize], workers);
        self.all_workers = self.all_workers - before + workers;
    }

    /// Enters a job of `size` bytes that the source would like to read. Returns whether it may.
    pub fn admit(&mut self, size: usize) -> bool {
        let fits = self.jobs < self.limits.window && self.has_memory_for(size);
        if fits {
            self.jobs += 1;
            self.job_bytes += size;
        }
        fits
    }

    fn has_memory_for(&self, size: usize) -> bool {
        let (under_way, all) = (self.under_way(), self.bytes());
        // Until each worker can have a job and another one to follow, all of the memory may be used.
        let is_ahead = self.jobs >= 2 * self.all_workers;
        under_way == 0 || (all + size <= self.limits.memory && (!is_ahead || under_way + size <= AHEAD))
    }

    /// Whether there is room for a job of `size` bytes, and for so many more that it is worth waking the source: it is
    /// to wake once for many jobs.
    pub fn is_low(&self, size: usize) -> bool {
        let Limits { window, memory, queued, .. } = self.limits;
        // A window that is smaller than four times the queues of all workers would let them run empty while it is
        // emptied to half, so there the source is woken for each permit.
        let low = if window >= 4 * queued { window / 2 } else { window - 1 };
        let is_light = self.under_way() <= memory.min(AHEAD) / 2 || self.jobs < 2 * self.all_workers;
        self.jobs <= low && is_light && self.has_memory_for(size)
    }

    /// Jobs of `job_bytes` have ended in outcomes of `result_bytes`, which are on their way to the collector.
    pub fn ended(&mut self, job_bytes: usize, result_bytes: usize) {
        self.job_bytes -= job_bytes;
        self.result_bytes += result_bytes;
        if self.result_bytes > self.limits.memory / BACKLOG_SHARE {
            self.is_behind = true;
        }
    }

    /// The collector has dealt with the outcomes of `jobs` jobs, of `result_bytes`. Of all it has received,
    /// `waiting_bytes` wait in memory for their turn.
    pub fn received(&mut self, jobs: usize, result_bytes: usize, waiting_bytes: usize) {
        self.jobs -= jobs;
        self.result_bytes -= result_bytes;
        self.waiting_bytes = waiting_bytes;
        if self.result_bytes <= self.limits.memory / BACKLOG_SHARE / 2 {
            self.is_behind = false;
        }
    }

    /// Whether the collector must catch up before anybody is given a job.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Bytes of jobs and of outcomes that nobody has dealt with.
    fn under_way(&self) -> usize {
        self.job_bytes + self.result_bytes
    }

    /// All bytes in the accounts.
    pub fn bytes(&self) -> usize {
        self.under_way() + self.waiting_bytes
    }

    /// Jobs read whose outcome has not been received.
    #[cfg(test)]
    pub fn jobs(&self) -> usize {
        self.jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(window: usize, memory: usize) -> Ledger {
        Ledger::new(Limits { window, memory, queued: 8, slots: 4, leaves_out: false })
    }

    /// How many jobs of this size are admitted, of fifty.
    fn admitted(ledger: &mut Ledger, size: usize) -> usize {
        (0..50).take_while(|_| ledger.admit(size)).count()
    }

    #[test]
    fn reading_ahead_is_bounded_and_busy_workers_are_not() {
        let mut ledger = ledger(100, 256 << 20);
        assert_eq!(admitted(&mut ledger, 10 << 20), 8, "two large jobs a worker");
        ledger.ended(80 << 20, 0);
        ledger.received(8, 0, 0);
        assert_eq!(admitted(&mut ledger, 1 << 20), 16, "16 MiB of smaller ones");
    }

    #[test]
    fn the_workers_of_a_host_can_all_have_a_job_and_another_one() {
        let mut ledger = ledger(100, 256 << 20);
        ledger.keeps(0, 8);
        assert_eq!(admitted(&mut ledger, 4 << 20), 2 * (8 + 3), "two large jobs a worker");
        ledger.ended(20 * (4 << 20), 0);
        ledger.received(20, 0, 0);
        assert!(ledger.is_low(4 << 20), "workers would be idle");
        ledger.keeps(0, 1);
        assert_eq!(admitted(&mut ledger, 4 << 20), 6);
    }

    #[test]
    fn a_job_larger_than_the_memory_is_let_through_alone() {
        let mut ledger = ledger(100, 1000);
        assert_eq!(admitted(&mut ledger, 5000), 1);
    }

    #[test]
    fn results_that_wait_take_room_from_jobs() {
        let mut ledger = ledger(100, 1000);
        assert!(ledger.admit(100));
        ledger.ended(100, 700);
        assert!(ledger.is_behind() && !ledger.admit(400) && ledger.admit(200));
        ledger.received(1, 700, 700);
        assert!(!ledger.is_behind() && !ledger.admit(400) && ledger.admit(100));
        ledger.received(0, 0, 0);
        assert!(ledger.admit(400));
    }

    #[test]
    fn the_source_is_woken_once_for_many_jobs() {
        let mut ledger = ledger(100, 1 << 20);
        assert_eq!((0..200).take_while(|_| ledger.admit(1)).count(), 100);
        ledger.ended(49, 49);
        ledger.received(49, 49, 0);
        assert!(!ledger.is_low(1));
        ledger.ended(1, 1);
        ledger.received(1, 1, 0);
        assert!(ledger.is_low(1));
    }
}
