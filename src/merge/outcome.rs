//! Records in NDJSON as the outcomes that they were made of, to be written in another format.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::words::host::HostId;
use crate::words::job::Job;
use crate::words::outcome::{Outcome, Status};

/// A record, as far as other formats have room for it.
#[derive(Deserialize)]
struct Record<'a> {
    job: u64,
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(default)]
    attempts: u32,
    #[serde(borrow)]
    host: Option<std::borrow::Cow<'a, str>>,
    worker: Option<u32>,
    ms: Option<f64>,
    #[serde(default)]
    batch: u16,
    #[serde(default)]
    line: u64,
}

/// The outcome of this record; `None` if it is none. Without `--echo` its job is not known, and is nothing.
pub fn of(line: &Bytes) -> Option<Outcome> {
    let record: Record = serde_json::from_slice(line).ok()?;
    let status = Status::from_name(&record.status)?;
    let slice = |value: Option<&RawValue>| value.map(|value| line.slice_ref(value.get().as_bytes()));
    // A value that is null is the same as none to serde.
    let null = || Bytes::from_static(b"null");
    let payload = slice(if status == Status::Ok { record.data } else { record.error }).unwrap_or_else(null);
    // The text of a line that could not be read as a job is no job.
    let is_text = |input: &&RawValue| status == Status::BadInput && input.get().starts_with('"');
    let data = slice(record.input.filter(|input| !is_text(input))).unwrap_or_default();
    Some(Outcome {
        job: Job { number: record.job, line: record.line, data, extra: None },
        status,
        payload,
        attempts: record.attempts,
        host: record.host.map_or(HostId::HERE, |name| HostId::of(&name)),
        worker: record.worker,
        batch: record.batch,
        elapsed: Duration::from_secs_f64((record.ms.unwrap_or_default() / 1000.0).clamp(0.0, 1e15)),
        began: None,
    })
}

/// Whether a record was written with `--meta`, and whether with `--echo`.
pub fn style(line: &[u8]) -> (bool, bool) {
    let has = |name| crate::text::json::field(line, name).is_some();
    (has("attempts"), has("input"))
}
