//! Words for what a worker did that is no reply, and hints at what is probably wrong with it.

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
pub fn bad_reply(worker: &str, reason: &str, line: &[u8]) -> JobError {
    let message = format!("worker {worker} {}", broken(reason, line));
    let error = JobError::new("BadReply", message).with("output", shown(line));
    if line.trim_ascii_start().starts_with(b"{") {
        error
    } else {
        error.with("hint", "stdout is for replies only: print to stderr, or use --handler, which keeps them apart")
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
    fn what_is_no_json_object_was_meant_for_people() {
        let hint =
            |line: &[u8]| String::from_utf8_lossy(&bad_reply("w3", "it is no JSON", line).to_json()).contains("hint");
        assert!(hint(b"loading model ..."));
        assert!(!hint(b" {\"id\":1,\"status\":\"fine\"}"));
    }
}
