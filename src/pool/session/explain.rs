//! Words for what a worker did that is no reply, and hints at what is probably wrong with it.

use crate::protocol::Protocol;
use crate::text::json::field;
use crate::words::outcome::JobError;

/// How many bytes of what a worker wrote are shown: enough to recognise it.
pub const SHOWN: usize = 200;

/// The cure for the commonest reason why a worker seems to hang.
pub const BUFFERED: &str = "the worker answered once its input was closed, so it holds its output back in a buffer: \
    flush after each line (python -u, sed -u, jq --unbuffered, stdbuf -oL, fflush)";

/// Words for what a worker did that wrote a line that is no reply.
pub fn broken(reason: &str, line: &[u8]) -> String {
    format!("broke the protocol: {reason}; it wrote: {}", shown(line))
}

/// The error of a job whose worker wrote something that is no reply.
pub fn bad_reply(worker: &str, reason: &str, line: &[u8], hint: Option<&'static str>) -> JobError {
    let message = format!("worker {worker} {}", broken(reason, line));
    let error = JobError::new("BadReply", message).with("output", shown(line));
    match hint {
        Some(hint) => error.with("hint", hint),
        None => error,
    }
}

/// What is probably wrong with a worker that wrote this instead of a reply.
pub fn bad_reply_hint(protocol: Protocol, line: &[u8]) -> Option<&'static str> {
    // A line filter passes on what it was given, perhaps changed a little.
    let is_echo = line.starts_with(b"{\"id\":") && memchr::memmem::find(line, b"\"data\":").is_some();
    let is_json = line.trim_ascii_start().starts_with(b"{");
    match protocol {
        Protocol::Json if is_echo && field(line, "status").is_none() => {
            Some("a line filter, such as cat, sed or jq, needs --protocol lines")
        }
        Protocol::Json if !is_json => Some(
            "stdout is for replies only: print to stderr, or use --handler, which keeps them apart; \
             a line filter, such as sed or jq, needs --protocol lines",
        ),
        _ if !is_json => Some("stdout is for replies only: print to stderr, or use --handler, which keeps them apart"),
        _ => None,
    }
}

/// The beginning of foreign bytes, as text where they are text.
pub fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(SHOWN)];
    let mut text = String::from_utf8_lossy(start).into_owned();
    if bytes.len() > SHOWN {
        text.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_junk_the_beginning_is_shown_with_its_length() {
        assert_eq!(shown(b"oops \xff"), "oops \u{fffd}");
        let long = shown(&[b'x'; SHOWN + 1]);
        assert_eq!(long, format!("{}… ({} bytes)", "x".repeat(SHOWN), SHOWN + 1));
    }

    #[test]
    fn what_was_written_shows_what_is_wrong() {
        let check = |line: &str, expected: Option<&str>| {
            let hint = bad_reply_hint(Protocol::Json, line.as_bytes());
            assert_eq!(hint.is_some(), expected.is_some(), "{line}");
            assert!(hint.unwrap_or_default().contains(expected.unwrap_or_default()), "{line}: {hint:?}");
            let error = bad_reply("w3", "it is no JSON", line.as_bytes(), hint).to_json();
            assert_eq!(memchr::memmem::find(&error, b"\"hint\"").is_some(), expected.is_some(), "{line}");
        };
        check("loading model ...", Some("print to stderr"));
        check(r#"{"id":1,"data":{"name":"Tom"}}"#, Some("--protocol lines"));
        check(r#"{"id":1,"attempt":2,"data":7}"#, Some("--protocol lines"));
        check(r#" {"id":1,"status":"fine"}"#, None);
        check(r#"{"id":1,"data":{"status":"fine"},"status":"fine"}"#, None);
        let lines = bad_reply_hint(Protocol::Lines, b"junk").unwrap_or_default();
        assert!(lines.contains("stderr") && !lines.contains("--protocol"));
    }
}
