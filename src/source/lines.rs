//! Plain lines: each one, a blank one too, is a job, a JSON string.

use bytes::Bytes;

use super::by_line::{Form, bad};
use super::frame::{Frame, NOT_UTF8};
use crate::words::job::Extent;

pub const FORM: Form = Form { frame, hint: |_, _| None };

fn frame(line: Bytes, number: u64, keep_raw: bool) -> Option<Frame> {
    let text = line.strip_suffix(b"\r").unwrap_or(&line);
    Some(match std::str::from_utf8(text) {
        Ok(text) => {
            let data = serde_json::to_vec(text).expect("a string always serializes");
            let frame = Frame::job(number, Bytes::from(data));
            if keep_raw { frame.with_raw(line.slice_ref(text.as_bytes()), Extent::Whole) } else { frame }
        }
        Err(error) => {
            bad(text, number, format!("{NOT_UTF8} at byte {}", error.valid_up_to() + 1), Extent::Whole, keep_raw)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_text() {
        let data = |line: &'static [u8]| frame(Bytes::from_static(line), 1, false).unwrap().data;
        assert_eq!(data(b"a \"b\"\r"), Ok(Bytes::from_static(br#""a \"b\"""#)));
        assert_eq!(data(b""), Ok(Bytes::from_static(b"\"\"")));
        assert_eq!(data(b"\0"), Ok(Bytes::from_static(b"\"\\u0000\"")));
        assert_eq!(data(b"ab\xff"), Err("not UTF-8 at byte 3".to_owned()));
    }

    #[test]
    fn the_raw_line_is_kept_when_it_is_wanted() {
        let kept = frame(Bytes::from_static(b"x\r"), 1, true).unwrap();
        assert_eq!(kept.extra.unwrap().raw, Some(Bytes::from_static(b"x")));
    }
}
