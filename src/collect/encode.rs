//! Outcomes as compact bytes, for those that have to wait: a waiting result must not keep a whole read buffer
//! alive, and may have to go to disk. Numbers are LEB128 varints.

use std::time::Duration;

use bytes::Bytes;

use crate::words::host::HostId;
use crate::words::job::{Extent, Extra, Job};
use crate::words::outcome::{Outcome, Status};

/// Appends one outcome. The job's own time limit and its key are not kept: it has run, and is in the journal. Nor is when
/// it began, which whoever wants to know was told when the outcome came.
pub fn encode(outcome: &Outcome, out: &mut Vec<u8>) {
    let job = &outcome.job;
    put(job.number, out);
    put(job.line, out);
    out.push(outcome.status as u8);
    put(u64::from(outcome.attempts), out);
    put(u64::from(outcome.host.number()), out);
    put(outcome.worker.map_or(0, |worker| u64::from(worker) + 1), out);
    put(u64::from(outcome.batch), out);
    put(u64::try_from(outcome.elapsed.as_nanos()).unwrap_or(u64::MAX), out);
    put_bytes(&outcome.payload, out);
    put_bytes(&job.data, out);
    let raw = job.extra.as_ref().and_then(|extra| extra.raw.as_ref());
    out.push(u8::from(raw.is_some()) + 2 * job.extent() as u8);
    if let Some(raw) = raw {
        put_bytes(raw, out);
    }
}

/// Reads one outcome from the beginning of `bytes`; `None` if it is cut off or none.
pub fn decode(bytes: &[u8]) -> Option<Outcome> {
    let mut rest = bytes;
    let rest = &mut rest;
    let number = get(rest)?;
    let line = get(rest)?;
    let status = *Status::ALL.get(usize::from(take(1, rest)?[0]))?;
    let attempts = u32::try_from(get(rest)?).ok()?;
    let host = HostId::of_number(u16::try_from(get(rest)?).ok()?);
    let worker = get(rest)?.checked_sub(1).and_then(|worker| u32::try_from(worker).ok());
    let batch = u16::try_from(get(rest)?).ok()?;
    let elapsed = Duration::from_nanos(get(rest)?);
    let payload = get_bytes(rest)?;
    let data = get_bytes(rest)?;
    let kind = take(1, rest)?[0];
    let extent = [Extent::Whole, Extent::Open, Extent::Behind, Extent::Cut].into_iter().nth(usize::from(kind >> 1))?;
    let raw = if kind & 1 != 0 { Some(get_bytes(rest)?) } else { None };
    let extra = raw.map(|raw| Box::new(Extra { raw: Some(raw), extent, ..Extra::default() }));
    Some(Outcome {
        job: Job { number, line, data, extra },
        status,
        payload,
        attempts,
        host,
        worker,
        batch,
        elapsed,
        began: None,
    })
}

pub fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn get(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(1, rest)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn get_bytes(rest: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(get(rest)?).ok()?;
    take(length, rest).map(Bytes::copy_from_slice)
}

fn take<'a>(length: usize, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}
