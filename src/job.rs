//! The words of the program: what a job is, what becomes of it, and how its record is written.
//!
//! Nothing here reads, waits or decides. A job's data and a reply's data stay the bytes they arrived as
//! (slices of the read buffer), so numbers, key order and duplicate keys are never touched.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::gather::Put;

/// One unit of input.
#[derive(Debug, Clone)]
pub struct Job {
    /// Counts the input from 1, over all input files.
    pub number: u64,
    /// The line of its input file where the job begins, from 1.
    pub line: u64,
    /// One JSON text without surrounding blanks and without line breaks.
    pub data: Bytes,
    /// What most jobs do not have; boxed, so that a job stays small.
    pub extra: Option<Box<Extra>>,
}

/// The rare parts of a job.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// The input's own bytes (a CSV row, a plain line) without the line end, kept for `--rejects` where
    /// they differ from `data`.
    pub raw: Option<Bytes>,
    /// The job's own time limit, from `--timeout-field`.
    pub timeout: Option<Duration>,
    /// Identity of the job in a journal.
    pub key: Option<JobKey>,
}

/// What a journal knows a job by: a digest of its content (or of its `--key` field) and how many equal ones
/// came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobKey {
    pub digest: u128,
    pub occurrence: u32,
}

impl Job {
    pub fn timeout(&self) -> Option<Duration> {
        self.extra.as_ref().and_then(|extra| extra.timeout)
    }

    /// The bytes to write into a rejects file: the input's own where they were kept, else the data.
    pub fn raw(&self) -> &Bytes {
        self.extra.as_ref().and_then(|extra| extra.raw.as_ref()).unwrap_or(&self.data)
    }

    pub fn key(&self) -> Option<JobKey> {
        self.extra.as_ref().and_then(|extra| extra.key)
    }
}

/// How a job ended. The order is that of the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Ok,
    Error,
    Timeout,
    Died,
    BadReply,
    BadInput,
    NotRun,
}

impl Status {
    pub const ALL: [Status; 7] =
        [Status::Ok, Status::Error, Status::Timeout, Status::Died, Status::BadReply, Status::BadInput, Status::NotRun];

    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Error => "error",
            Status::Timeout => "timeout",
            Status::Died => "died",
            Status::BadReply => "bad_reply",
            Status::BadInput => "bad_input",
            Status::NotRun => "not_run",
        }
    }

    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What a job ended in; the collector makes the record from it.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub job: Job,
    pub status: Status,
    /// The result (`ok`) or the error (all others), as JSON text on one line.
    pub payload: Bytes,
    /// Deliveries to a worker; 0 when the job never reached one.
    pub attempts: u32,
    /// The slot that ran the last attempt.
    pub worker: Option<u32>,
    /// Time in the worker, of the last attempt.
    pub elapsed: Duration,
}

impl Outcome {
    /// Bytes that it keeps in memory, about.
    pub fn size(&self) -> usize {
        self.payload.len() + self.job.data.len()
    }

    /// An outcome of a job that no worker has begun.
    pub fn unrun(job: Job, status: Status, error: &JobError) -> Outcome {
        Outcome { job, status, payload: error.to_json(), attempts: 0, worker: None, elapsed: Duration::ZERO }
    }
}

/// An error that forkpool itself reports for a job; a handler's own errors stay the JSON they were sent as.
#[derive(Debug, Clone)]
pub struct JobError {
    name: &'static str,
    message: String,
    fields: serde_json::Map<String, serde_json::Value>,
}

impl JobError {
    pub fn new(name: &'static str, message: impl Into<String>) -> JobError {
        JobError { name, message: message.into(), fields: serde_json::Map::new() }
    }

    pub fn bad_input(message: impl Into<String>) -> JobError {
        JobError::new("BadInput", message)
    }

    pub fn not_run(message: impl Into<String>) -> JobError {
        JobError::new("NotRun", message)
    }

    pub fn with(mut self, field: &str, value: impl Into<serde_json::Value>) -> JobError {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// `{"name":…,"message":…,…}`
    pub fn to_json(&self) -> Bytes {
        #[derive(serde::Serialize)]
        struct Wire<'a> {
            name: &'a str,
            message: &'a str,
            #[serde(flatten)]
            fields: &'a serde_json::Map<String, serde_json::Value>,
        }
        let wire = Wire { name: self.name, message: &self.message, fields: &self.fields };
        Bytes::from(serde_json::to_vec(&wire).expect("strings and JSON values always serialize"))
    }
}

/// Which optional parts a record has.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordStyle {
    /// `attempts`, `worker`, `ms` and `line`.
    pub meta: bool,
    /// The job itself, as `input`.
    pub echo: bool,
}

/// Appends the record of an outcome as one line of JSON, line end included:
/// `{"job":1,"status":"ok","data":…}`.
pub fn write_record(outcome: &Outcome, style: RecordStyle, out: &mut impl Put) {
    let text = out.text();
    text.extend_from_slice(b"{\"job\":");
    text.extend_from_slice(itoa::Buffer::new().format(outcome.job.number).as_bytes());
    text.extend_from_slice(b",\"status\":\"");
    text.extend_from_slice(outcome.status.name().as_bytes());
    text.extend_from_slice(if outcome.status == Status::Ok { b"\",\"data\":" } else { b"\",\"error\":" });
    out.payload(&outcome.payload);
    let text = out.text();
    if style.meta {
        let mut meta = format!(",\"attempts\":{}", outcome.attempts);
        if let Some(worker) = outcome.worker {
            let ms = outcome.elapsed.as_secs_f64() * 1000.0;
            // Writing to a String cannot fail.
            let _ = write!(meta, ",\"worker\":{worker},\"ms\":{ms:.3}");
        }
        let _ = write!(meta, ",\"line\":{}", outcome.job.line);
        text.extend_from_slice(meta.as_bytes());
    }
    if style.echo {
        text.extend_from_slice(b",\"input\":");
        // The line of a bad_input is no JSON: it is shown as a string.
        if serde_json::from_slice::<&RawValue>(&outcome.job.data).is_ok() {
            out.payload(&outcome.job.data);
        } else {
            let text = String::from_utf8_lossy(outcome.job.raw());
            out.text().extend_from_slice(&serde_json::to_vec(&text).expect("a string always serializes"));
        }
    }
    out.text().extend_from_slice(b"}\n");
}

/// The value of a field of a JSON object, as it is written; the last one where there are several. `None` if
/// there is none, or `json` is no object.
pub fn field<'a>(json: &'a [u8], name: &str) -> Option<&'a RawValue> {
    struct Find<'n>(&'n str);
    impl<'de> serde::de::Visitor<'de> for Find<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                let value: &RawValue = map.next_value()?;
                if key == self.0 {
                    found = Some(value);
                }
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde::Deserializer::deserialize_map(&mut deserializer, Find(name)).ok().flatten()
}

/// `KittenBites: Felix bites`: the words of an error as an outcome has it.
pub fn error_words(error: &[u8]) -> String {
    let text = |name| field(error, name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    format!("{}: {}", text("name").unwrap_or_default(), text("message").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_as_it_is_written() {
        let found = |json: &'static str| field(json.as_bytes(), "a").map(RawValue::get);
        assert_eq!(found(r#"{"b":[{"a":1}],"\u0061":1.0}"#), Some("1.0"));
        assert_eq!(found(r#"{"a":1,"a":2}"#), Some("2"));
        assert_eq!([found("{}"), found("[1]"), found("null"), found("\"a\"")], [None; 4]);
    }

    fn outcome(status: Status, payload: &str) -> Outcome {
        let job = Job { number: 7, line: 9, data: Bytes::from_static(b"{\"b\":1e400,\"a\":2}"), extra: None };
        Outcome {
            job,
            status,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            attempts: 1,
            worker: Some(3),
            elapsed: Duration::from_micros(1500),
        }
    }

    fn record(outcome: &Outcome, style: RecordStyle) -> String {
        let mut out = Vec::new();
        write_record(outcome, style, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn data_is_passed_through_untouched() {
        let text = record(&outcome(Status::Ok, "{\"n\":12345678901234567890,\"n\":1.0}"), RecordStyle::default());
        assert_eq!(text, "{\"job\":7,\"status\":\"ok\",\"data\":{\"n\":12345678901234567890,\"n\":1.0}}\n");
    }

    #[test]
    fn meta_and_echo_follow_the_error() {
        let error = JobError::bad_input("line 9: no").with("line", 9).to_json();
        let mut outcome = outcome(Status::BadInput, std::str::from_utf8(&error).unwrap());
        let text = record(&outcome, RecordStyle { meta: true, echo: true });
        assert_eq!(
            text,
            "{\"job\":7,\"status\":\"bad_input\",\"error\":{\"name\":\"BadInput\",\"message\":\"line 9: no\",\"line\":9},\
             \"attempts\":1,\"worker\":3,\"ms\":1.500,\"line\":9,\"input\":{\"b\":1e400,\"a\":2}}\n"
        );
        outcome.job.data = Bytes::from_static(b"{not json");
        let text = record(&outcome, RecordStyle { meta: false, echo: true });
        assert!(text.ends_with(",\"input\":\"{not json\"}\n"), "{text}");
    }
}
