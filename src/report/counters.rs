//! What the bar and the summary count; bumped once per batch by whoever knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::words::outcome::Status;

#[derive(Debug, Default)]
pub struct Counters {
    /// Jobs read, bad ones included.
    pub read: AtomicU64,
    ended: [AtomicU64; Status::ALL.len()],
    /// Jobs that ended ok after a failed attempt.
    pub retried_ok: AtomicU64,
    /// Records that came from the journal.
    pub resumed: AtomicU64,
    /// Workers replaced because they ended unasked, or had to be ended.
    pub restarts: AtomicU64,
    /// Workers replaced as planned.
    pub recycled: AtomicU64,
    /// Bytes of input read, before decompression.
    pub bytes_read: Arc<AtomicU64>,
    /// Bytes of input in all; 0 if nobody knows.
    pub bytes_total: AtomicU64,
    pub input_ended: AtomicBool,
    /// The job whose record is due, and how many results wait behind it.
    pub waiting_for: AtomicU64,
    pub waiting: AtomicU64,
}

impl Counters {
    pub fn ended(&self, status: Status) -> &AtomicU64 {
        &self.ended[status as usize]
    }

    pub fn get(&self, status: Status) -> u64 {
        self.ended(status).load(Ordering::Relaxed)
    }

    /// Jobs that have their outcome.
    pub fn done(&self) -> u64 {
        Status::ALL.into_iter().map(|status| self.get(status)).sum()
    }

    /// Jobs that ended otherwise than ok.
    pub fn failed(&self) -> u64 {
        self.done() - self.get(Status::Ok)
    }

    /// How much of the work is done, in 0..=1, if anybody can know.
    pub fn share(&self) -> Option<f64> {
        let (done, read) = (self.done() as f64, self.read.load(Ordering::Relaxed) as f64);
        let total = self.bytes_total.load(Ordering::Relaxed) as f64;
        if read == 0.0 {
            return None;
        }
        if self.input_ended.load(Ordering::Relaxed) {
            return Some((done / read).min(1.0));
        }
        let bytes = self.bytes_read.load(Ordering::Relaxed) as f64;
        (total > 0.0).then(|| (bytes / total * done / read).clamp(0.0, 1.0))
    }
}
