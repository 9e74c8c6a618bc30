//! The workers' stderr, line by line, each with its slot in front.

use std::collections::HashMap;

use crate::text::people::escape_bytes;

/// Pieces of lines that have not ended, by slot.
#[derive(Default)]
pub struct Log {
    partial: HashMap<u32, Vec<u8>>,
}

/// A line longer than this is broken: nothing may gather for ever.
const LINE: usize = 8 * 1024;

impl Log {
    /// Appends the lines that `bytes` complete.
    pub fn push(&mut self, slot: u32, bytes: &[u8], out: &mut String) {
        let partial = self.partial.entry(slot).or_default();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            partial.extend_from_slice(piece);
            while partial.len() > LINE {
                let rest = partial.split_off(LINE);
                write_line(slot, partial, out);
                *partial = rest;
            }
            if partial.ends_with(b"\n") {
                write_line(slot, partial, out);
                partial.clear();
            }
        }
    }

    /// The worker has ended: what it left unfinished is its last line.
    pub fn end(&mut self, slot: u32, out: &mut String) {
        if let Some(partial) = self.partial.remove(&slot)
            && !partial.is_empty()
        {
            write_line(slot, &partial, out);
        }
    }
}

fn write_line(slot: u32, line: &[u8], out: &mut String) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    out.push_str(&format!("w{slot}: {}\n", escape_bytes(line)));
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
                log.push(1, piece, &mut out);
                log.push(2, b"", &mut out);
                rest = left;
            }
            log.push(1, rest, &mut out);
            log.end(1, &mut out);
            let expected: String = text.split_terminator('\n').map(|line| format!("w1: {line}\n")).collect();
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn an_endless_line_is_broken() {
        let mut log = Log::default();
        let mut out = String::new();
        log.push(0, &vec![b'x'; 3 * LINE + 1], &mut out);
        assert_eq!(out.lines().count(), 3);
    }
}
