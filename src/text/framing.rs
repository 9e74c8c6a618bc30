//! Lines out of bytes: of the input, and of what workers write.

use bytes::Bytes;

/// The lines of what `LineQueue::take_lines` has returned, without their line ends. They share its bytes.
pub fn lines(whole: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', whole).map(move |end| whole.slice(std::mem::replace(&mut start, end + 1)..end))
}

/// Bytes that arrive in pieces of any size and leave as whole lines.
#[derive(Debug, Default)]
pub struct LineQueue {
    buffer: Vec<u8>,
    /// No line ends before this place, so no byte is searched twice: a long line must not cost O(n²).
    searched: usize,
    /// How long the last long line was (one that took several reads): the next one may be as long.
    long: usize,
}

/// The room for one read, as much as a pipe of the default capacity on Linux holds. It is made anew when a quarter of
/// it is left.
const READ: usize = 64 * 1024;

impl LineQueue {
    /// The buffer to read into, at its end, with room for one read.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        // A long line doubles the buffer each time, so its bytes are moved a constant number of times; the next
        // long one gets at once what the last one needed.
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            let expected = self.long.saturating_sub(self.buffer.len());
            self.buffer.reserve(if expected > 0 { expected + READ / 4 } else { self.buffer.len().max(READ) });
        }
        &mut self.buffer
    }

    /// Bytes of a line that has not ended.
    pub fn partial(&self) -> usize {
        self.buffer.len()
    }

    pub fn partial_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets the bytes of a line that has not ended.
    pub fn discard(&mut self) {
        self.buffer = Vec::new();
        self.searched = 0;
    }

    /// All whole lines, with their line ends; the rest stays.
    pub fn take_lines(&mut self) -> Bytes {
        let Some(last) = memchr::memrchr(b'\n', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return Bytes::new();
        };
        let end = self.searched + last + 1;
        // Each read of short lines halves the expected length: nobody is to reserve a gigabyte because of one line long
        // ago.
        self.long = if self.searched > 0 { end } else { self.long / 2 };
        self.searched = 0;
        // A few short lines are copied, so that a result that waits does not hold a whole read buffer.
        if end < self.buffer.capacity() / 4 {
            let lines = Bytes::copy_from_slice(&self.buffer[..end]);
            self.buffer.copy_within(end.., 0);
            self.buffer.truncate(self.buffer.len() - end);
            self.searched = self.buffer.len();
            return lines;
        }
        let rest = self.buffer[end..].to_vec();
        let mut lines = std::mem::replace(&mut self.buffer, rest);
        self.searched = self.buffer.len();
        lines.truncate(end);
        Bytes::from(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut LineQueue, bytes: &[u8]) -> Vec<u8> {
        queue.buffer().extend_from_slice(bytes);
        queue.take_lines().to_vec()
    }

    #[test]
    fn lines_come_out_whole_whatever_the_pieces() {
        let mut queue = LineQueue::default();
        assert_eq!(push(&mut queue, b"ab"), b"");
        assert_eq!(push(&mut queue, b"c\nd\ne"), b"abc\nd\n");
        assert_eq!(push(&mut queue, b"\n"), b"e\n");
        assert_eq!(queue.partial(), 0);
        let long = vec![b'x'; 300_000];
        assert_eq!(push(&mut queue, &long), b"");
        assert_eq!(push(&mut queue, b"\nrest").len(), 300_001);
        assert_eq!(queue.partial_bytes(), b"rest");
    }
}
