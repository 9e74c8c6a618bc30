//! `--protocol node-ipc`: the channel of Node's `child_process.fork`. The message is the job itself, with
//! nothing around it and no id; the reply is `{"status":"ok","data":…}` or `{"status":"error","data":…}`.
//!
//! Node keeps messages for itself whose `cmd` is a string that starts with `NODE_` and is longer than that
//! (nodejs/node lib/internal/child_process.js): such a job would be swallowed without a reply, and such a
//! message from the worker is Node talking to Node.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use super::reply::{Body, Reply};
use crate::text::gather::Put;
use crate::words::job::Job;

pub fn encode(job: &Job, out: &mut impl Put) -> Result<(), String> {
    if is_internal(&job.data) {
        return Err("its \"cmd\" starts with NODE_: Node keeps such messages for itself".to_owned());
    }
    out.payload(&job.data);
    out.text().push(b'\n');
    Ok(())
}

pub fn decode(line: &Bytes) -> Result<Reply, String> {
    let wire = json::parse(line)?;
    let body = match (wire.status.as_deref(), wire.cmd) {
        (_, Some(cmd)) if is_internal_name(cmd) => Body::Noise,
        (Some(status), _) => wire.body(line, status)?,
        (None, _) => return Err("it has no status".to_owned()),
    };
    Ok(Reply { id: None, body })
}

fn is_internal(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        cmd: Option<&'a RawValue>,
    }
    // Without a key that could read "cmd", plainly or by escapes, there is nothing to look at.
    let possible = memchr::memmem::find(data, b"\"cmd\"").is_some() || memchr::memchr(b'\\', data).is_some();
    if data.first() != Some(&b'{') || !possible {
        return false;
    }
    match serde_json::from_slice::<Probe>(data) {
        Ok(probe) => probe.cmd.is_some_and(is_internal_name),
        // Two of them: Node takes the last, but such a job is too odd to risk a hang.
        Err(_) => memchr::memmem::find(data, b"NODE_").is_some(),
    }
}

fn is_internal_name(cmd: &RawValue) -> bool {
    serde_json::from_str::<Cow<str>>(cmd.get()).is_ok_and(|cmd| cmd.starts_with("NODE_") && cmd.len() > "NODE_".len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(data: &'static str) -> Option<String> {
        let job = Job { number: 1, line: 1, data: Bytes::from_static(data.as_bytes()), extra: None };
        let mut out = Vec::new();
        encode(&job, &mut out).ok().map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_message_is_the_job_itself() {
        for data in ["{\"name\":\"Tom\"}", "null", "\"NODE_X\"", "{\"cmd\":\"NODE_\"}", "{\"a\":{\"cmd\":\"NODE_X\"}}"]
        {
            assert_eq!(encoded(data), Some(format!("{data}\n")));
        }
    }

    #[test]
    fn a_job_that_node_would_swallow_is_refused() {
        for data in [
            "{\"cmd\":\"NODE_HANDLE\"}",
            "{ \"x\":1, \"cmd\" : \"NODE_X\"}",
            "{\"c\\u006dd\":\"\\u004eODE_X\"}",
            "{\"cmd\":1,\"cmd\":\"NODE_X\"}",
        ] {
            assert_eq!(encoded(data), None, "{data}");
        }
    }

    #[test]
    fn replies_need_a_status_and_internal_messages_are_noise() {
        let body = |line: &'static str| decode(&Bytes::from_static(line.as_bytes())).map(|reply| reply.body);
        assert_eq!(body(r#"{"status":"ok","data":1}"#), Ok(Body::Ok(Bytes::from_static(b"1"))));
        assert_eq!(body(r#"{"status":"ok"}"#), Ok(Body::Ok(Bytes::from_static(b"null"))));
        assert_eq!(body(r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#), Ok(Body::Noise));
        assert!(matches!(body(r#"{"status":"error","data":"boom"}"#), Ok(Body::Error { .. })));
        for bad in [r#"{"status":"ready"}"#, r#"{"watch:require":[1]}"#, "null", "[]", "x"] {
            assert!(body(bad).is_err(), "{bad}");
        }
    }
}
