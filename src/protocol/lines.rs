//! `--protocol lines`: a line in, a line out, by position. Any unbuffered line filter is a worker.

use std::borrow::Cow;

use bytes::Bytes;

use super::reply::{Body, Reply};
use crate::words::job::Job;

/// A JSON string is sent as its text, any other value as compact JSON.
pub fn encode(job: &Job, out: &mut Vec<u8>) -> Result<(), String> {
    if job.data.first() != Some(&b'"') {
        compact(&job.data, out);
    } else {
        let text: Cow<str> = match serde_json::from_slice::<String>(&job.data) {
            Ok(text) => Cow::Owned(text),
            // The source has validated the text, so this is an escape that stands for no character.
            Err(_) => {
                return Err("the text holds an unpaired surrogate, which the lines protocol cannot send".to_owned());
            }
        };
        if memchr::memchr(b'\n', text.as_bytes()).is_some() {
            return Err("the text holds a line break, which the lines protocol cannot send".to_owned());
        }
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'\n');
    Ok(())
}

/// Leaves out the blanks between tokens; nothing else changes.
fn compact(json: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

pub fn decode(line: &Bytes) -> Result<Reply, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let json = serde_json::to_vec(text).expect("a string always serializes");
    Ok(Reply { id: None, body: Body::Ok(Bytes::from(json)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &'static str, expected: Result<&str, &str>) {
        let job = Job { number: 1, line: 1, data: Bytes::from_static(data.as_bytes()), extra: None };
        let mut out = Vec::new();
        match (encode(&job, &mut out), expected) {
            (Ok(()), Ok(line)) => assert_eq!(String::from_utf8(out).unwrap(), line),
            (Err(reason), Err(words)) => {
                assert!(reason.contains(words), "{reason}");
                assert!(out.is_empty(), "nothing may be sent of a refused job");
            }
            (got, _) => panic!("{data}: {got:?}"),
        }
    }

    #[test]
    fn a_string_is_its_text_and_the_rest_is_compact_json() {
        check(r#""a \u00e9 \"b\"""#, Ok("a é \"b\"\n"));
        check(r#"{ "a b" : [1,  2.0], "q\" }" : "\\" }"#, Ok("{\"a b\":[1,2.0],\"q\\\" }\":\"\\\\\"}\n"));
        check("12345678901234567890", Ok("12345678901234567890\n"));
        check(r#""a\nb""#, Err("line break"));
        check(r#""\ud800""#, Err("surrogate"));
    }

    #[test]
    fn a_reply_is_a_json_string() {
        let body = |line: &'static [u8]| decode(&Bytes::from_static(line)).map(|reply| reply.body);
        assert_eq!(body(b"say \"hi\"\r"), Ok(Body::Ok(Bytes::from_static(br#""say \"hi\"""#))));
        assert_eq!(body(b""), Ok(Body::Ok(Bytes::from_static(b"\"\""))));
        assert_eq!(body(b"\xff"), Err("it is not UTF-8".to_owned()));
    }
}
