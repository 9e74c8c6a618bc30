//! The workers' stderr: whole lines out of pieces, and each line with its slot in front.

use std::collections::HashMap;

use bytes::Bytes;

use crate::text::people::escape_bytes;

/// Pieces of lines that have not ended, by slot.
#[derive(Debug, Default)]
pub struct Log {
    partial: HashMap<u32, Vec<u8>>,
}

/// A line longer than this is broken, so that a worker that never ends its line fills no memory.
const LINE: usize = 8 * 1024;

impl Log {
    /// The lines that `bytes` complete, with their line ends; empty if there is none.
    pub fn push(&mut self, slot: u32, bytes: Bytes) -> Bytes {
        let partial = self.partial.entry(slot).or_default();
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |last| last + 1);
        let mut lines = bytes.slice(..whole);
        if whole > 0 && !partial.is_empty() {
            partial.extend_from_slice(&lines);
            lines = Bytes::from(std::mem::take(partial));
        }
        partial.extend_from_slice(&bytes[whole..]);
        if partial.len() <= LINE {
            return lines;
        }
        let mut more = lines.to_vec();
        more.append(partial);
        more.push(b'\n');
        Bytes::from(more)
    }

    /// The line that a worker that has ended left unfinished; empty if there is none.
    pub fn end(&mut self, slot: u32) -> Bytes {
        let mut partial = self.partial.remove(&slot).unwrap_or_default();
        if !partial.is_empty() {
            partial.push(b'\n');
        }
        Bytes::from(partial)
    }
}

/// Appends whole lines to `out`, made harmless, each with its slot in front.
pub fn show(slot: u32, lines: &[u8], out: &mut String) {
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        out.push_str(&format!("w{slot}: {}\n", escape_bytes(line)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::testing::random())]

        #[test]
        fn any_pieces_make_the_same_lines(text in "[a-c\n]{0,60}", cuts in prop::collection::vec(0..9_usize, 0..20)) {
            let mut log = Log::default();
            let mut out = String::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                show(1, &log.push(1, Bytes::copy_from_slice(piece)), &mut out);
                show(2, &log.push(2, Bytes::new()), &mut out);
                rest = left;
            }
            show(1, &log.push(1, Bytes::copy_from_slice(rest)), &mut out);
            show(1, &log.end(1), &mut out);
            let expected: String = text.split_terminator('\n').map(|line| format!("w1: {line}\n")).collect();
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn an_endless_line_is_broken() {
        let mut log = Log::default();
        let lines: Vec<Bytes> = (0..3).map(|_| log.push(0, Bytes::from(vec![b'x'; LINE + 1]))).collect();
        assert!(lines.iter().all(|lines| lines.len() == LINE + 2 && lines.ends_with(b"\n")));
        assert!(log.end(0).is_empty());
    }
}
