//! The workers' stderr: whole lines out of pieces, each shown with its slot in front.
//!
//! A progress bar such as tqdm's draws over itself with carriage returns, so of a line only what stands after its last
//! carriage return is shown. Colours are shown where they are wanted. Every other control character is shown as an
//! escape, so that no worker can move the cursor or change the terminal (CWE-150).

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use crate::text::people::escape_bytes;
use crate::words::slots::SlotNames;

/// Pieces of lines that have not ended, by slot.
#[derive(Debug, Default)]
pub struct Log {
    partial: HashMap<u32, Vec<u8>>,
}

/// A line of more bytes than this is broken into several, so that a worker that never ends its line fills no memory.
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
        if partial.len() > LINE {
            forget_overwritten(partial);
        }
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

/// What becomes of the sequences that colour text, or make it bold, underlined and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    Shown,
    /// The sequences are left out, and not shown as escapes: they are not what the line says.
    Removed,
}

/// Appends whole lines to `out`, each with its slot in front.
pub fn show(slot: u32, names: &SlotNames, lines: &[u8], colours: Colours, out: &mut String) {
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (mark, line) = names.mark(slot, &line[visible(line)]);
        out.push_str(&mark);
        show_line(line, colours, out);
        out.push('\n');
    }
}

/// The part of a line that a terminal shows in the end: what stands after the last carriage return. A carriage return
/// that ends a line hides nothing.
fn visible(line: &[u8]) -> Range<usize> {
    let end = line.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1);
    let start = memchr::memrchr(b'\r', &line[..end]).map_or(0, |last| last + 1);
    start..end
}

/// Forgets what has been drawn over of a line that has not ended.
fn forget_overwritten(line: &mut Vec<u8>) {
    line.drain(..visible(line).start);
}

fn show_line(line: &[u8], colours: Colours, out: &mut String) {
    const ESCAPE: u8 = 0x1b;
    let mut rest = line;
    let mut is_coloured = false;
    while let Some(at) = memchr::memchr(ESCAPE, rest) {
        let Some(sequence) = colour_sequence(&rest[at..]) else {
            out.push_str(&escape_bytes(&rest[..=at]));
            rest = &rest[at + 1..];
            continue;
        };
        out.push_str(&escape_bytes(&rest[..at]));
        rest = &rest[at + sequence.len()..];
        if colours == Colours::Shown {
            out.push_str(sequence);
            is_coloured = !matches!(sequence, "\x1b[m" | "\x1b[0m");
        }
    }
    out.push_str(&escape_bytes(rest));
    if is_coloured {
        // The colour is ended with the line: the next line may be another worker's.
        out.push_str("\x1b[0m");
    }
}

/// The sequence that colours text (ECMA-48, SGR), if one stands at the beginning: ESC, `[`, parameters, `m`.
fn colour_sequence(bytes: &[u8]) -> Option<&str> {
    let parameters = bytes.strip_prefix(b"\x1b[")?;
    let length = parameters.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'))?;
    if parameters[length] != b'm' {
        return None;
    }
    std::str::from_utf8(&bytes[..length + 3]).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::words::worker::TEMPLATE;

    proptest! {
        #![proptest_config(crate::testing::random())]

        #[test]
        fn any_pieces_make_the_same_lines(text in "[a-c\n]{0,60}", cuts in prop::collection::vec(0..9_usize, 0..20)) {
            let mut log = Log::default();
            let mut out = String::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                show(1, &SlotNames::default(), &log.push(1, Bytes::copy_from_slice(piece)), Colours::Shown, &mut out);
                show(2, &SlotNames::default(), &log.push(2, Bytes::new()), Colours::Shown, &mut out);
                rest = left;
            }
            show(1, &SlotNames::default(), &log.push(1, Bytes::copy_from_slice(rest)), Colours::Shown, &mut out);
            show(1, &SlotNames::default(), &log.end(1), Colours::Shown, &mut out);
            let expected: String = text.split_terminator('\n').map(|line| format!("w1: {line}\n")).collect();
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_the_template_writes_is_told_from_what_a_worker_does() {
        let mut out = String::new();
        [3, TEMPLATE]
            .into_iter()
            .for_each(|slot| show(slot, &SlotNames::default(), b"hello\n", Colours::Shown, &mut out));
        assert_eq!(out, "w3: hello\ntemplate: hello\n");
    }

    #[test]
    fn an_endless_line_is_broken() {
        let mut log = Log::default();
        let lines: Vec<Bytes> = (0..3).map(|_| log.push(0, Bytes::from(vec![b'x'; LINE + 1]))).collect();
        assert!(lines.iter().all(|lines| lines.len() == LINE + 2 && lines.ends_with(b"\n")));
        assert!(log.end(0).is_empty());
    }

    #[track_caller]
    fn check(lines: &str, shown: &str, removed: &str) {
        for (colours, expected) in [(Colours::Shown, shown), (Colours::Removed, removed)] {
            let mut out = String::new();
            show(0, &SlotNames::default(), lines.as_bytes(), colours, &mut out);
            assert_eq!(out, expected, "{colours:?}");
        }
    }

    #[test]
    fn colours_are_shown_or_left_out_and_end_with_the_line() {
        check("\x1b[1;31mred\x1b[0m\n", "w0: \x1b[1;31mred\x1b[0m\n", "w0: red\n");
        check("\x1b[38:5:9mred\nplain\n", "w0: \x1b[38:5:9mred\x1b[0m\nw0: plain\n", "w0: red\nw0: plain\n");
    }

    #[test]
    fn other_control_characters_are_escapes_also_around_a_colour() {
        let clear = "w0: a\\x1b[2Jb\\x07\n";
        check("a\x1b[2Jb\x07\n", clear, clear);
        check("\x1b\x1b[m[2J\n", "w0: \\x1b\x1b[m[2J\n", "w0: \\x1b[2J\n");
        let open = "w0: \\x1b[31\n";
        check("\x1b[31\n", open, open);
        let csi = "w0: \\u{9b}31m\n";
        check("\u{9b}31m\n", csi, csi);
    }

    #[test]
    fn a_carriage_return_begins_the_line_anew() {
        let last = "w0: 100%\n";
        check(" 10%\r 50%\r100%\n", last, last);
        check("\r 10%\r100%\r\n", last, last);
        check("100%\r\r\n", last, last);
        check("\r\n\n", "w0: \nw0: \n", "w0: \nw0: \n");
    }

    #[test]
    fn a_bar_that_never_ends_its_line_is_no_line_and_takes_no_memory() {
        let mut log = Log::default();
        for percent in 0..100_000 {
            assert!(log.push(0, Bytes::from(format!("\r{percent} of 100000"))).is_empty());
            assert!(log.partial[&0].len() <= LINE + 20);
        }
        let mut out = String::new();
        show(0, &SlotNames::default(), &log.push(0, Bytes::from_static(b"\rdone\n")), Colours::Removed, &mut out);
        assert_eq!(out, "w0: done\n");
    }
}
