//! A worker's pipes as byte queues: what still has to be written into its stdin, and the tail of its stderr.
//! Its stdout is a `LineQueue`.

use crate::text::gather::Gather;

/// Bytes on their way into the worker's stdin. Positions count from the first byte that the worker was sent, so that
/// those of a job can be compared with how much the worker has read of its pipe.
#[derive(Debug, Default)]
pub struct InputQueue {
    bytes: Gather,
    /// How many bytes the pipe has taken since the worker was started.
    accepted: u64,
    /// The worker takes no more: nothing can be written.
    broken: bool,
}

impl InputQueue {
    /// The bytes that are to be written next: if they are none, nothing is queued, but they need not be all that is.
    pub fn pending(&self) -> &[u8] {
        self.bytes.first()
    }

    /// Where the bytes of a job are appended.
    pub fn bytes(&mut self) -> &mut Gather {
        &mut self.bytes
    }

    /// Where the next byte appended will stand.
    pub fn end(&self) -> u64 {
        self.accepted + self.bytes.len() as u64
    }

    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn written(&mut self, bytes: usize) {
        self.accepted += bytes as u64;
        self.bytes.advance(bytes);
    }

    pub fn break_off(&mut self) {
        self.broken = true;
        self.bytes = Gather::default();
    }
}

/// The last bytes of a worker's stderr.
#[derive(Debug, Default)]
pub struct Tail {
    bytes: Vec<u8>,
    /// Something stood before these bytes.
    cut: bool,
}

/// What is kept of stderr for the record of a worker that dies: a stack trace or two.
const TAIL: usize = 4096;

impl Tail {
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = if bytes.len() > TAIL {
            self.cut = true;
            &bytes[bytes.len() - TAIL..]
        } else {
            bytes
        };
        self.bytes.extend_from_slice(bytes);
        // The tail is cut when it has twice its size, so that each byte is moved once at most.
        if self.bytes.len() > 2 * TAIL {
            self.cut = true;
            self.bytes.drain(..self.bytes.len() - TAIL);
        }
    }

    /// The tail as text; it says so when something stood before it.
    pub fn text(&self) -> String {
        let from = self.bytes.len().saturating_sub(TAIL);
        let text = String::from_utf8_lossy(&self.bytes[from..]);
        if self.cut || from > 0 { format!("…{text}") } else { text.into_owned() }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::gather::Put;

    #[test]
    fn positions_count_from_the_first_byte() {
        let mut queue = InputQueue::default();
        queue.bytes().text().extend_from_slice(b"hello");
        queue.written(2);
        assert_eq!((queue.pending(), queue.accepted(), queue.end()), (&b"llo"[..], 2, 5));
        queue.written(3);
        queue.bytes().text().extend_from_slice(b"!");
        assert_eq!((queue.pending(), queue.end()), (&b"!"[..], 6));
    }

    #[test]
    fn the_tail_is_the_end_and_says_when_it_was_cut() {
        let mut tail = Tail::default();
        tail.push(b"first\n");
        assert_eq!(tail.text(), "first\n");
        for _ in 0..100 {
            tail.push(&[b'x'; 1000]);
        }
        tail.push(b"last");
        assert!(tail.text().starts_with("…x") && tail.text().ends_with("xlast"));
        assert!(tail.text().len() <= TAIL + 3);
    }
}
