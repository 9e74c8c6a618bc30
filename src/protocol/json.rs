//! `--protocol json`: `{"id":1,"data":…}` to the worker, `{"id":1,"status":"ok","data":…}` back.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::reply::{Body, Reply};
use crate::text::gather::Put;
use crate::words::advice::RetryAdvice;
use crate::words::job::Job;

pub fn encode(job: &Job, attempt: u32, out: &mut impl Put) {
    let mut digits = itoa::Buffer::new();
    let text = out.text();
    text.extend_from_slice(b"{\"id\":");
    text.extend_from_slice(digits.format(job.number).as_bytes());
    if attempt > 1 {
        text.extend_from_slice(b",\"attempt\":");
        text.extend_from_slice(digits.format(attempt).as_bytes());
    }
    text.extend_from_slice(b",\"data\":");
    out.payload(&job.data);
    out.text().extend_from_slice(b"}\n");
}

pub fn decode(line: &Bytes) -> Result<Reply, String> {
    if let Some(reply) = decode_plain_ok(line) {
        return Ok(reply);
    }
    let wire: Wire = parse(line)?;
    let status = wire.status.as_deref().ok_or("it has no status")?;
    let id = match wire.id {
        None => None,
        Some(raw) => Some(raw.get().parse::<u64>().map_err(|_| format!("its id is {}", raw.get()))?),
    };
    let needs_id = matches!(status, "ok" | "error" | "again" | "progress");
    if needs_id && id.is_none() {
        return Err("it has no id".to_owned());
    }
    let body = match status {
        "ready" => Body::Ready,
        "loading" => Body::Loading(wire.data(line).unwrap_or_default()),
        "init" => Body::Initializing(wire.data(line).unwrap_or_default()),
        "async" => Body::Asynchronous,
        "again" => Body::Again,
        "recycle" => Body::Recycle,
        "unstarted" => Body::Unstarted(wire.error_body(line)?.0),
        "fatal" => Body::Fatal(wire.error_body(line)?.0),
        _ => wire.body(line, status)?,
    };
    Ok(Reply { id, body })
}

/// The reply of nearly every job, recognised by its shape: `{"id":7,"status":"ok","data":…}` with nothing
/// else in it. What stands after `"data":` must be exactly one JSON value, or the general way decides.
fn decode_plain_ok(line: &Bytes) -> Option<Reply> {
    let rest = line.strip_prefix(b"{\"id\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Up to 19 digits cannot overflow; a leading zero is no JSON number.
    if digits == 0 || digits > 19 || rest[0] == b'0' {
        return None;
    }
    let id = rest[..digits].iter().fold(0_u64, |id, digit| id * 10 + u64::from(digit - b'0'));
    let data = rest[digits..].strip_prefix(b",\"status\":\"ok\",\"data\":")?.strip_suffix(b"}")?;
    let raw: &RawValue = serde_json::from_slice(data).ok()?;
    Some(Reply { id: Some(id), body: Body::Ok(line.slice_ref(raw.get().as_bytes())) })
}

/// The fields of a reply, in any order; unknown ones are ignored.
#[derive(Deserialize)]
pub(super) struct Wire<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub status: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub cmd: Option<&'a RawValue>,
}

/// A field that is there, `null` included.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

pub(super) fn parse(line: &[u8]) -> Result<Wire<'_>, String> {
    if std::str::from_utf8(line).is_err() {
        return Err("it is not UTF-8".to_owned());
    }
    // An array would be taken for the fields in their order.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is no JSON object".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| format!("it is no reply: {}", plain(&error)))
}

/// serde_json's words without the line, which is always 1.
fn plain(error: &serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at column")
}

impl Wire<'_> {
    /// The body of a message about a job. A missing `data` is `null`: JSON.stringify drops an undefined one.
    pub fn body(&self, line: &Bytes, status: &str) -> Result<Body, String> {
        let data = || self.data(line).unwrap_or(Bytes::from_static(b"null"));
        match status {
            "ok" => Ok(Body::Ok(data())),
            "progress" => Ok(Body::Progress(data())),
            "error" => {
                let (error, advice) = self.error_body(line)?;
                Ok(Body::Error { error, advice })
            }
            other => Err(format!("its status is {}", serde_json::Value::from(other))),
        }
    }

    fn data(&self, line: &Bytes) -> Option<Bytes> {
        self.data.map(|raw| line.slice_ref(raw.get().as_bytes()))
    }

    fn error_body(&self, line: &Bytes) -> Result<(Bytes, RetryAdvice), String> {
        let raw = self.error.or(self.data).ok_or("it is an error reply without an error")?;
        Ok(normal_error(line, raw))
    }
}

/// Any JSON value may be thrown: an object with a string `message` stays as it is (a missing name becomes
/// `Error`), everything else is wrapped as a `NonError`.
fn normal_error(line: &Bytes, raw: &RawValue) -> (Bytes, RetryAdvice) {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow, default)]
        name: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        message: Option<Cow<'a, str>>,
        #[serde(borrow, default, deserialize_with = "present")]
        retryable: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        retry_after: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        pause: Option<&'a RawValue>,
    }
    let text = raw.get();
    // The probe would also take an array for its fields.
    let probe = if text.starts_with('{') { serde_json::from_str::<Probe>(text).ok() } else { None };
    let Some(probe) = probe.filter(|probe| probe.message.is_some()) else {
        return (non_error(raw), RetryAdvice::default());
    };
    let advice = RetryAdvice {
        retryable: probe.retryable.and_then(|raw| raw.get().parse().ok()),
        retry_after: probe
            .retry_after
            .and_then(|raw| raw.get().parse().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        pause: probe.pause.is_some_and(|raw| raw.get() == "true"),
    };
    if probe.name.is_some() {
        return (line.slice_ref(text.as_bytes()), advice);
    }
    let mut named = b"{\"name\":\"Error\",".to_vec();
    named.extend_from_slice(&text.as_bytes()[1..]);
    (Bytes::from(named), advice)
}

/// What an error, as it stands in an outcome, says of being run again.
pub fn advice(error: &Bytes) -> RetryAdvice {
    serde_json::from_slice(error).map_or(RetryAdvice::default(), |raw| normal_error(error, raw).1)
}

fn non_error(raw: &RawValue) -> Bytes {
    /// Enough to recognise a value by; the whole of it is in `value`.
    const SHOWN: usize = 200;
    #[derive(serde::Serialize)]
    struct NonError<'a> {
        name: &'a str,
        message: String,
        value: &'a RawValue,
    }
    let text: Cow<str> = serde_json::from_str(raw.get()).map_or(Cow::Borrowed(raw.get()), Cow::Owned);
    let mut message = format!("Non-error value: {}", text.chars().take(SHOWN).collect::<String>());
    if text.chars().nth(SHOWN).is_some() {
        message.push('…');
    }
    let error = NonError { name: "NonError", message, value: raw };
    Bytes::from(serde_json::to_vec(&error).expect("strings and raw JSON always serialize"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(data: &'static str) -> Job {
        Job { number: 7, line: 1, data: Bytes::from_static(data.as_bytes()), extra: None }
    }

    fn line(attempt: u32) -> String {
        let mut out = Vec::new();
        encode(&job("{\"a\":1.10}"), attempt, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_job_is_wrapped_byte_for_byte_and_a_retry_says_so() {
        assert_eq!(line(1), "{\"id\":7,\"data\":{\"a\":1.10}}\n");
        assert_eq!(line(2), "{\"id\":7,\"attempt\":2,\"data\":{\"a\":1.10}}\n");
    }

    fn check(text: &'static str, expected: Result<(Option<u64>, Body), &str>) {
        let got = decode(&Bytes::from_static(text.as_bytes()));
        match (got, expected) {
            (Ok(reply), Ok((id, body))) => assert_eq!((reply.id, reply.body), (id, body), "{text}"),
            (Err(reason), Err(words)) => assert!(reason.contains(words), "{text}: {reason}"),
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
    }

    fn ok(data: &'static str) -> Body {
        Body::Ok(Bytes::from_static(data.as_bytes()))
    }

    fn error(error: &'static str) -> Body {
        Body::Error { error: Bytes::from_static(error.as_bytes()), advice: RetryAdvice::default() }
    }

    #[test]
    fn replies_are_read_in_any_shape() {
        check(r#"{"id":7,"status":"ok","data":{"n":1e400}}"#, Ok((Some(7), ok(r#"{"n":1e400}"#))));
        check(r#" {"data" : [1, 2] ,"x":{}, "status":"\u006fk","id": 7 } "#, Ok((Some(7), ok("[1, 2]"))));
        check(r#"{"id":7,"status":"ok","data":null}"#, Ok((Some(7), ok("null"))));
        check(r#"{"id":7,"status":"ok"}"#, Ok((Some(7), ok("null"))));
        check(r#"{"status":"ready"}"#, Ok((None, Body::Ready)));
        check(r#"{"id":7,"status":"again"}"#, Ok((Some(7), Body::Again)));
        check(r#"{"status":"loading","data":"x"}"#, Ok((None, Body::Loading(Bytes::from_static(b"\"x\"")))));
        check(r#"{"status":"init","data":"x"}"#, Ok((None, Body::Initializing(Bytes::from_static(b"\"x\"")))));
        let unstarted = Body::Unstarted(Bytes::from_static(br#"{"name":"E","message":"m"}"#));
        check(r#"{"status":"unstarted","error":{"name":"E","message":"m"}}"#, Ok((None, unstarted)));
        check(r#"{"id":7,"status":"progress","data":3}"#, Ok((Some(7), Body::Progress(Bytes::from_static(b"3")))));
        check("{\"id\":7,\"status\":\"ok\",\"data\":1}\r", Ok((Some(7), ok("1"))));
    }

    #[test]
    fn what_is_no_reply_is_said_why() {
        check("hello", Err("no JSON object"));
        check("{hello}", Err("no reply: key must be a string at column 2"));
        check(r#"[1,"ok",5]"#, Err("no JSON object"));
        check("42", Err("no JSON object"));
        check("[]", Err("no JSON object"));
        check("", Err("no JSON object"));
        check(r#"{"id":7,"status":"ok","data":1,"data":2}"#, Err("duplicate field"));
        check(r#"{"id":7,"status":"ok","data":{}} x"#, Err("trailing"));
        check(r#"{"id":7,"status":"OK","data":1}"#, Err(r#"its status is "OK""#));
        check(r#"{"status":"ok","data":1}"#, Err("no id"));
        check(r#"{"status":"again"}"#, Err("no id"));
        check(r#"{"id":"7","status":"ok","data":1}"#, Err(r#"its id is "7""#));
        check(r#"{"id":-1,"status":"ok","data":1}"#, Err("its id is -1"));
        check(r#"{"id":7.0,"status":"ok","data":1}"#, Err("its id is 7.0"));
        check(r#"{"id":7}"#, Err("no status"));
        check(r#"{"id":7,"status":"error"}"#, Err("without an error"));
        assert_eq!(decode(&Bytes::from_static(b"\"\xff\"")).unwrap_err(), "it is not UTF-8");
    }

    #[test]
    fn anything_may_be_thrown() {
        let thrown = |error: &str| {
            let line = format!("{{\"id\":7,\"status\":\"error\",\"error\":{error}}}");
            match decode(&Bytes::from(line)).unwrap().body {
                Body::Error { error, .. } => String::from_utf8(error.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(thrown(r#"{"name":"E","message":"m","code":5}"#), r#"{"name":"E","message":"m","code":5}"#);
        assert_eq!(thrown(r#"{"message":"m"}"#), r#"{"name":"Error","message":"m"}"#);
        assert_eq!(thrown(r#""boom""#), r#"{"name":"NonError","message":"Non-error value: boom","value":"boom"}"#);
        assert_eq!(thrown("null"), r#"{"name":"NonError","message":"Non-error value: null","value":null}"#);
        assert_eq!(thrown("[1,2]"), r#"{"name":"NonError","message":"Non-error value: [1,2]","value":[1,2]}"#);
        assert!(thrown(r#"{"message":5}"#).starts_with(r#"{"name":"NonError""#));
        check(
            r#"{"id":7,"status":"error","data":{"name":"E","message":"m"}}"#,
            Ok((Some(7), error(r#"{"name":"E","message":"m"}"#))),
        );
    }

    #[test]
    fn an_error_carries_advice_on_retries() {
        let line = r#"{"id":7,"status":"error","error":{"name":"E","message":"m","retryable":false,"retry_after":2.5,"pause":true}}"#;
        let Body::Error { advice, .. } = decode(&Bytes::from_static(line.as_bytes())).unwrap().body else { panic!() };
        let retry_after = Some(Duration::from_millis(2500));
        let expected = RetryAdvice { retryable: Some(false), retry_after, pause: true };
        assert_eq!(advice, expected);
    }

    #[test]
    fn deep_nesting_is_no_recursion() {
        let deep = format!("{{\"id\":7,\"status\":\"ok\",\"data\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(decode(&Bytes::from(deep)).is_ok());
    }
}
