//! The record of a job as one line of JSON.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use super::settings::RecordStyle;
use crate::text::gather::Put;
use crate::text::json::field;
use crate::words::outcome::{Outcome, Status};

/// Appends the record of an outcome as one line of JSON, line end included:
/// `{"job":1,"status":"ok","data":…}`.
pub fn write_record(outcome: &Outcome, style: &RecordStyle, out: &mut impl Put) {
    let text = out.text();
    text.extend_from_slice(b"{\"job\":");
    text.extend_from_slice(itoa::Buffer::new().format(outcome.job.number).as_bytes());
    if let Some(id) = style.id.as_ref().and_then(|name| field(&outcome.job.data, name)) {
        text.extend_from_slice(b",\"id\":");
        text.extend_from_slice(id.get().as_bytes());
    }
    text.extend_from_slice(b",\"status\":\"");
    text.extend_from_slice(outcome.status.name().as_bytes());
    text.extend_from_slice(if outcome.status == Status::Ok { b"\",\"data\":" } else { b"\",\"error\":" });
    out.payload(&outcome.payload);
    let text = out.text();
    if style.meta {
        let mut meta = format!(",\"attempts\":{}", outcome.attempts);
        if let Some(host) = outcome.host.name() {
            // Writing to a String cannot fail, here and below.
            let _ = write!(meta, ",\"host\":{}", serde_json::Value::from(host));
        }
        if let Some(worker) = outcome.worker {
            let ms = outcome.elapsed.as_secs_f64() * 1000.0;
            let _ = write!(meta, ",\"worker\":{worker},\"ms\":{ms:.3}");
        }
        if outcome.batch > 0 {
            let _ = write!(meta, ",\"batch\":{}", outcome.batch);
        }
        let _ = write!(meta, ",\"line\":{}", outcome.job.line);
        text.extend_from_slice(meta.as_bytes());
    }
    if style.echo {
        text.extend_from_slice(b",\"input\":");
        // The line of a `bad_input` may be no JSON, and is a string in its record then.
        if serde_json::from_slice::<&RawValue>(&outcome.job.data).is_ok() {
            out.payload(&outcome.job.data);
        } else {
            let text = String::from_utf8_lossy(outcome.job.raw());
            out.text().extend_from_slice(&serde_json::to_vec(&text).expect("a string always serializes"));
        }
    }
    out.text().extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::words::job::Job;
    use crate::words::outcome::JobError;

    fn outcome(status: Status, payload: &str) -> Outcome {
        let job = Job { number: 7, line: 9, data: Bytes::from_static(b"{\"b\":1e400,\"a\":2}"), extra: None };
        Outcome {
            job,
            status,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            attempts: 1,
            host: crate::words::host::HostId::HERE,
            worker: Some(3),
            batch: 0,
            began: None,
            elapsed: Duration::from_micros(1500),
        }
    }

    fn record(outcome: &Outcome, style: RecordStyle) -> String {
        let mut out = Vec::new();
        write_record(outcome, &style, &mut out);
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
        let text = record(&outcome, RecordStyle { meta: true, echo: true, id: None });
        assert_eq!(
            text,
            "{\"job\":7,\"status\":\"bad_input\",\"error\":{\"name\":\"BadInput\",\"message\":\"line 9: no\",\"line\":9},\
             \"attempts\":1,\"worker\":3,\"ms\":1.500,\"line\":9,\"input\":{\"b\":1e400,\"a\":2}}\n"
        );
        outcome.batch = 64;
        let text = record(&outcome, RecordStyle { meta: true, ..RecordStyle::default() });
        assert!(text.ends_with(",\"ms\":1.500,\"batch\":64,\"line\":9}\n"), "{text}");
        outcome.job.data = Bytes::from_static(b"{not json");
        let text = record(&outcome, RecordStyle { echo: true, ..RecordStyle::default() });
        assert!(text.ends_with(",\"input\":\"{not json\"}\n"), "{text}");
    }

    #[test]
    fn a_job_may_bring_its_own_name() {
        let named = |name: &str| RecordStyle { id: Some(name.to_owned()), ..RecordStyle::default() };
        let mut outcome = outcome(Status::Ok, "1");
        let with_id = "{\"job\":7,\"id\":1e400,\"status\":\"ok\",\"data\":1}\n";
        assert_eq!(record(&outcome, named("b")), with_id, "the field is passed through as it is written");
        let without = "{\"job\":7,\"status\":\"ok\",\"data\":1}\n";
        assert_eq!(record(&outcome, named("c")), without);
        outcome.job.data = Bytes::from_static(b"{not json");
        assert_eq!(record(&outcome, named("not")), without);
    }
}
