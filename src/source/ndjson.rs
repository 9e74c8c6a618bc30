//! NDJSON: one JSON text a line. It is validated and passed on byte for byte; blank lines are skipped.

use bytes::Bytes;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::by_line::{Form, bad};
use super::frame::Frame;
use super::json::{one_line, trim, words};
use crate::words::job::Extent;

pub const FORM: Form = Form { frame, hint };

fn frame(line: Bytes, number: u64, keep_raw: bool) -> Option<Frame> {
    let text = trim(&line);
    if text.is_empty() {
        return None;
    }
    // Only the frame of the value is found, by a loop: neither depth nor size of numbers matters.
    match serde_json::from_slice::<&RawValue>(text) {
        Ok(_) => {
            // A CR between two tokens is legal, and would end the line for many a worker.
            let has_cr = memchr::memchr(b'\r', text).is_some();
            let data = if has_cr { Bytes::from(one_line(text)) } else { line.slice_ref(text) };
            Some(Frame::job(number, data))
        }
        Err(error) => {
            let raw = line.strip_suffix(b"\r").unwrap_or(&line);
            Some(bad(raw, number, words(&error, text, number), Extent::Whole, keep_raw))
        }
    }
}

/// What to say of an input of which this is the first line that is not blank: an array, or values over several lines.
fn hint(line: &[u8], is_only: bool) -> Option<&'static str> {
    let text = trim(line);
    if !text.starts_with(b"[") && !text.starts_with(b"{") {
        let is_json = serde_json::from_slice::<&RawValue>(text).is_ok();
        return if is_json || str::from_utf8(text).is_err() { None } else { Some(hint_at_format(text)) };
    }
    match serde_json::from_slice::<&RawValue>(text) {
        Ok(_) if is_only && text.starts_with(b"[") && trim(&text[1..]).starts_with(b"{") => {
            Some("the input is one array, and so one job; hint: --from json takes its elements")
        }
        Err(error) if error.classify() == Category::Eof => {
            Some("the input looks like JSON printed over several lines; hint: --from json")
        }
        Err(error) if error.to_string().starts_with("trailing characters") => {
            Some("the input looks like JSON values without line breaks between them; hint: --from json")
        }
        _ => None,
    }
}

/// What to say of an input whose first line is no JSON at all.
fn hint_at_format(line: &[u8]) -> &'static str {
    let has = |byte| memchr::memchr(byte, line).is_some();
    if has(b'\t') {
        "the first line is no JSON; hint: --from tsv for a table with tabs"
    } else if has(b';') && !has(b',') {
        "the first line is no JSON; hint: --from csv --delimiter ';' for a table with semicolons, --from lines for text"
    } else if has(b',') {
        "the first line is no JSON; hint: --from csv for a table, --from lines for text"
    } else {
        "the first line is no JSON; hint: --from lines if each line is a job, --from csv if it is a table"
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::by_line::ByLine;
    use super::super::frame::{Frames, More};
    use super::super::input::Input;
    use super::*;
    use crate::source::settings::InputSettings;

    fn settings(max_job_bytes: usize) -> InputSettings {
        InputSettings { max_job_bytes, ..InputSettings::for_tests() }
    }

    fn read(pieces: Vec<Vec<u8>>, max_job_bytes: usize) -> Vec<(u64, Result<String, String>)> {
        let mut reader = ByLine::new(Input::of(pieces), &settings(max_job_bytes), FORM, Arc::default());
        let mut all = Vec::new();
        let mut frames = Vec::new();
        while reader.read(&mut frames).unwrap() == More::Frames {
            let text = |data: Bytes| String::from_utf8(data.to_vec()).unwrap();
            all.extend(frames.drain(..).map(|frame| (frame.line, frame.data.map(text))));
        }
        all
    }

    fn check(input: &[u8], expected: &[(u64, Result<&str, &str>)]) {
        let got = read(vec![input.to_vec()], 1 << 20);
        assert_eq!(got.len(), expected.len(), "{got:?}");
        for ((line, data), (expected_line, expected)) in got.iter().zip(expected) {
            assert_eq!(line, expected_line);
            match (data, expected) {
                (Ok(data), Ok(expected)) => assert_eq!(data, expected),
                (Err(reason), Err(words)) => assert!(reason.contains(words), "{reason}"),
                _ => panic!("{data:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn lines_are_jobs_byte_for_byte() {
        check(b"{\"a\":1.10}\n\n  \r\n[1, 2]\r\nnull", &[(1, Ok("{\"a\":1.10}")), (4, Ok("[1, 2]")), (5, Ok("null"))]);
        check(b"\xef\xbb\xbf{}\n", &[(1, Ok("{}"))]);
        check(
            b"12345678901234567890\n1e400\n\"\\ud800\"\n{\"a\":1,\"a\":2}\n",
            &[(1, Ok("12345678901234567890")), (2, Ok("1e400")), (3, Ok("\"\\ud800\"")), (4, Ok("{\"a\":1,\"a\":2}"))],
        );
        check(b"[1,\r2]\n", &[(1, Ok("[1, 2]"))]);
        check(b"", &[]);
        check(b"\n\n", &[]);
    }

    #[test]
    fn what_is_no_json_is_said_in_its_place() {
        check(b"{\"a\":}\n{}\n", &[(1, Err("expected value at column 6")), (2, Ok("{}"))]);
        check(b"{} {}\n", &[(1, Err("trailing characters at column 4"))]);
        check(b"[1,]\nNaN\n{\"a\"", &[(1, Err("column")), (2, Err("column")), (3, Err("EOF"))]);
        check(b"\"\xff\"\n\"\xed\xa0\x80\"\n", &[(1, Err("not UTF-8 at byte 2")), (2, Err("not UTF-8"))]);
        check(b"\"\x00\"\n", &[(1, Err("control character"))]);
    }

    #[test]
    fn deep_nesting_is_no_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(deep.as_bytes(), &[(1, Ok(&deep))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_bad_frame_and_the_next_is_a_job() {
        let long = format!("[{}1]\n{{}}", "1,".repeat(200_000));
        for size in [100, 70_000, 1 << 20] {
            let pieces = long.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            let got = read(pieces, 1000);
            assert_eq!(got.len(), 2, "{got:?}");
            assert!(got[0].1.as_ref().is_err_and(|reason| reason.contains("--max-job-bytes")));
            assert_eq!(got[1], (2, Ok("{}".to_owned())));
        }
    }

    proptest! {
        #![proptest_config(crate::testing::random())]

        #[test]
        fn any_pieces_make_the_same_frames(
            input in "(\\{\\}|\\[1, 2\\]|nul|\"é\"|x| |\r|\n|\n|\n){0,40}",
            cuts in prop::collection::vec(1..8_usize, 0..40),
        ) {
            let whole = read(vec![input.clone().into_bytes()], 20);
            let mut pieces = Vec::new();
            let mut rest = input.as_bytes();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = left;
            }
            pieces.push(rest.to_vec());
            prop_assert_eq!(read(pieces, 20), whole);
        }
    }
}
