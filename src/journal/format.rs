//! A journal's lines: a pure codec. Each line is one JSON object with a checksum over all that follows it, so
//! that it proves itself wherever it stands, and `jq` and `tail -f` can read the file.
//!
//! ```text
//! {"sum":"2c…","forkpool_journal":1,"protocol":"json","command":"9f…",…}              the header, first
//! {"sum":"71…","key":"d3…","nth":0,"status":"ok","attempts":1,"worker":3,"ns":41250,"job":7,"data":…}
//! {"sum":"5b…","key":"08…","nth":0,"status":"error","attempts":1,"worker":0,"ns":9917,"job":8,"error":…}
//! ```
//!
//! `key` and `nth` say which job it was, `job` only what its number was in the run that wrote the line. The
//! job's data is not here: the run that resumes has it from its own input.

use std::io::Write;
use std::time::Duration;

use serde_json::value::RawValue;
use twox_hash::XxHash3_64;

use super::identity::JournalHeader;
use crate::words::host::HostId;
use crate::words::job::JobKey;
use crate::words::outcome::{Outcome, Status};

/// What every line begins with; a checksum and `",` follow.
pub const MARK: &[u8] = b"{\"sum\":\"";

/// A checksum is 64 bits in hexadecimal.
const SUM: usize = 16;

/// What the checksums of a journal's outcomes start from: a digest of its header. So the line of an outcome tells which
/// worker and input format it came from, also when the header itself is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal(u64);

/// The seal of a header's own line, which is read before the journal's seal is known.
const HEADER_SEAL: Seal = Seal(0);

impl Seal {
    pub fn of(header: &JournalHeader) -> Seal {
        Seal(XxHash3_64::oneshot(&header.to_json()))
    }
}

/// An outcome as its line tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: JobKey,
    pub status: Status,
    pub attempts: u32,
    pub host: HostId,
    pub worker: Option<u32>,
    pub elapsed: Duration,
    /// The result (`ok`) or the error, byte for byte as it was sent.
    pub payload: &'a [u8],
}

/// What a sound line holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Header(JournalHeader),
    Outcome(Entry<'a>),
}

pub fn write_header(header: &JournalHeader, out: &mut Vec<u8>) {
    let json = header.to_json();
    // The header's opening brace is left out: the line has one already, in the mark.
    write_line(HEADER_SEAL, out, |out| out.extend_from_slice(&json[1..]));
}

pub fn write_outcome(outcome: &Outcome, key: JobKey, seal: Seal, out: &mut Vec<u8>) {
    write_line(seal, out, |out| {
        let value = if outcome.status == Status::Ok { "data" } else { "error" };
        let (digest, nth, status, attempts) = (key.digest, key.occurrence, outcome.status.name(), outcome.attempts);
        // Writing to a Vec cannot fail, here and below.
        let _ = write!(out, "\"key\":\"{digest:032x}\",\"nth\":{nth},\"status\":\"{status}\",\"attempts\":{attempts}");
        if let Some(name) = outcome.host.name() {
            let _ = write!(out, ",\"host\":\"{name}\"");
        }
        if let Some(worker) = outcome.worker {
            let _ = write!(out, ",\"worker\":{worker}");
        }
        let _ = write!(out, ",\"ns\":{},\"job\":{},\"{value}\":", outcome.elapsed.as_nanos(), outcome.job.number);
        out.extend_from_slice(&outcome.payload);
        out.push(b'}');
    });
}

fn write_line(seal: Seal, out: &mut Vec<u8>, rest: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(MARK);
    let sum = out.len();
    out.extend_from_slice(&[b'0'; SUM]);
    out.extend_from_slice(b"\",");
    let start = out.len();
    rest(out);
    let written = format!("{:016x}", XxHash3_64::oneshot_with_seed(seal.0, &out[start..]));
    out[sum..sum + SUM].copy_from_slice(written.as_bytes());
    out.push(b'\n');
}

/// Reads a line without its line end; `None` if it is damaged.
pub fn read(line: &[u8], seal: Seal) -> Option<Line<'_>> {
    let (sum, rest) = line.strip_prefix(MARK)?.split_at_checked(SUM)?;
    // Only lower-case digits are taken, as the writer writes them: if upper-case ones were, a flipped bit in the
    // checksum would go unseen.
    let lower = sum.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok().filter(|_| lower)?;
    let rest = rest.strip_prefix(b"\",")?;
    let is_header = rest.starts_with(b"\"forkpool_journal\":");
    let seal = if is_header { HEADER_SEAL } else { seal };
    if XxHash3_64::oneshot_with_seed(seal.0, rest) != sum {
        return None;
    }
    if is_header {
        JournalHeader::from_json(&[b"{", rest].concat()).map(Line::Header)
    } else {
        entry(rest).map(Line::Outcome)
    }
}

/// Reads what may be a sound line at the end of a damaged one. A worker's result could be made to look like a line, but
/// it lies within another line, whose closing brace follows it and makes it no JSON.
pub fn read_within(line: &[u8], seal: Seal) -> Option<Line<'_>> {
    let found = read(line, seal)?;
    serde_json::from_slice::<&RawValue>(line).ok().map(|_| found)
}

fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut rest = Rest(line);
    rest.skip("\"key\":\"")?;
    let digest = u128::from_str_radix(rest.until(b'"')?, 16).ok()?;
    rest.skip(",\"nth\":")?;
    let occurrence = rest.number()?;
    rest.skip(",\"status\":\"")?;
    let status = Status::from_name(rest.until(b'"')?)?;
    rest.skip(",\"attempts\":")?;
    let attempts = rest.number()?;
    let host = match rest.skip(",\"host\":\"") {
        Some(()) => HostId::of(rest.until(b'"')?),
        None => HostId::HERE,
    };
    let worker = match rest.skip(",\"worker\":") {
        Some(()) => Some(rest.number()?),
        None => None,
    };
    rest.skip(",\"ns\":")?;
    let elapsed = Duration::from_nanos(rest.number()?);
    rest.skip(",\"job\":")?;
    let _: u64 = rest.number()?;
    rest.skip(if status == Status::Ok { ",\"data\":" } else { ",\"error\":" })?;
    let payload = rest.0.strip_suffix(b"}")?;
    Some(Entry { key: JobKey { digest, occurrence }, status, attempts, host, worker, elapsed, payload })
}

/// What is left of a line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, words: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(words.as_bytes())?;
        Some(())
    }

    /// The text before the byte `end`, which is skipped as well.
    fn until(&mut self, end: u8) -> Option<&'a str> {
        let at = memchr::memchr(end, self.0)?;
        let text = std::str::from_utf8(&self.0[..at]).ok()?;
        self.0 = &self.0[at + 1..];
        Some(text)
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(digits);
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::journal::testing::header;
    use crate::words::job::Job;

    fn outcome(status: Status, payload: &'static str, worker: Option<u32>) -> Outcome {
        Outcome {
            job: Job { number: 7, line: 9, data: Bytes::from_static(b"{}"), extra: None },
            status,
            payload: Bytes::from_static(payload.as_bytes()),
            attempts: 2,
            host: crate::words::host::HostId::HERE,
            worker,
            batch: 0,
            began: None,
            elapsed: Duration::from_nanos(1_500_001),
        }
    }

    #[test]
    fn an_outcome_comes_back_byte_for_byte() {
        let seal = Seal::of(&header());
        let key = JobKey { digest: 0x00ab << 100, occurrence: 3 };
        for status in Status::ALL {
            for (payload, worker) in
                [("{\"n\":1e400,\"n\":1.0}", Some(3)), ("\"\\ud800\"", None), ("[ 1,\r2 ]", Some(0))]
            {
                let outcome = outcome(status, payload, worker);
                let mut line = Vec::new();
                write_outcome(&outcome, key, seal, &mut line);
                assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
                serde_json::from_slice::<&RawValue>(&line).expect("each line is JSON");
                let expected = Entry {
                    key,
                    status,
                    attempts: 2,
                    host: outcome.host,
                    worker,
                    elapsed: outcome.elapsed,
                    payload: payload.as_bytes(),
                };
                let text = line.strip_suffix(b"\n").unwrap();
                assert_eq!(read(text, seal), Some(Line::Outcome(expected)));
                assert_eq!(read(text, Seal(1)), None, "a line of another journal is not taken");
            }
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let (header, mut lines) = (header(), [Vec::new(), Vec::new()]);
        let seal = Seal::of(&header);
        write_header(&header, &mut lines[0]);
        let key = JobKey { digest: 0xab << 100, occurrence: 0 };
        write_outcome(&outcome(Status::Ok, "{\"a\":[1,null]}", Some(1)), key, seal, &mut lines[1]);
        for mut line in lines {
            line.pop();
            assert!(read(&line, seal).is_some());
            for at in 0..line.len() {
                for bit in 0..8 {
                    line[at] ^= 1 << bit;
                    assert_eq!(read(&line, seal), None, "{}", String::from_utf8_lossy(&line));
                    line[at] ^= 1 << bit;
                }
                assert_eq!(read(&line[..at], seal), None);
            }
        }
    }

    #[test]
    fn a_result_that_looks_like_a_line_is_none() {
        let seal = Seal::of(&header());
        // What a worker that knew the seal would have to send, with the brace that closes the line around it: the
        // checksum is right, and the JSON is not.
        let mut forged = Vec::new();
        let key = JobKey { digest: 5, occurrence: 0 };
        write_outcome(&outcome(Status::Ok, "1}", None), key, seal, &mut forged);
        assert!(read(forged.trim_ascii_end(), seal).is_some());
        assert_eq!(read_within(forged.trim_ascii_end(), seal), None);
    }
}
