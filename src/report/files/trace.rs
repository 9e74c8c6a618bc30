//! `--trace`: each attempt of each job as a slice on its worker's track, in Chrome's trace event format (the array form,
//! whose end may be missing, so that the file of a run that is killed can be opened, too). Perfetto and chrome://tracing
//! show it.
//!
//! Slices of one track must not overlap. A worker that runs several jobs at once has as many tracks as it has needed; a
//! slice goes to the first that is free at its begin.
//!
//! Viewers load a trace as a whole, so the file has a limit. Half of what is left of it is filled with every job, then
//! half of the rest with every second one, and so on. Failed jobs are left out last.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::digits::{decimal, integer};
use super::stream::Stream;
use crate::report::times::Share;
use crate::text::people::count;
use crate::words::doing::{Occupation, Spell};
use crate::words::error::Error;
use crate::words::host::HostId;
use crate::words::outcome::{Outcome, Status, error_text};
use crate::words::slots::SlotNames;
use crate::words::worker::process_name;

#[derive(Debug)]
pub struct Trace {
    file: Stream,
    /// Time 0 of the trace, on the run's clock.
    start: Instant,
    /// The tracks of each worker, by the number of its host and its own: their numbers, and when their last slices end.
    tracks: BTreeMap<(u16, u32), Vec<(usize, Duration)>>,
    names: SlotNames,
    /// How many tracks there are.
    count: usize,
    sampling: Sampling,
}

/// What may still be written, and which slices are.
#[derive(Debug)]
struct Sampling {
    /// Bytes that may be written before the end of the file.
    limit: usize,
    /// When so much is written, slices become rarer.
    next: usize,
    /// Of the slices of jobs that are ok, each one of so many is written.
    every: u64,
    seen: u64,
    shown: u64,
}

/// Perfetto takes larger files, chrome://tracing becomes slow.
const LIMIT: usize = 64 << 20;
/// Room that is kept for the end of the file.
const END: usize = 4096;
/// Failed jobs are shown all as long as each one of so many of the others is.
const FAILED: u64 = 256;
/// Letters of an error that are shown.
const LETTERS: usize = 200;

impl Trace {
    pub fn new(file: Stream, start: Instant, names: SlotNames) -> Trace {
        Trace::with_limit(file, start, names, LIMIT)
    }

    fn with_limit(file: Stream, start: Instant, names: SlotNames, limit: usize) -> Trace {
        let sampling = Sampling { limit: limit - END, next: (limit - END) / 2, every: 1, seen: 0, shown: 0 };
        let mut trace = Trace { file, start, tracks: BTreeMap::new(), names, count: 0, sampling };
        trace.file.text().extend_from_slice(
            b"[\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":1,\"tid\":0,\"args\":{\"name\":\"forkpool\"}}",
        );
        trace.file.wrote();
        trace
    }

    /// Jobs have ended in this run, or attempts of them, which have taken these shares of their workers' time.
    pub fn ended(&mut self, shares: &[Share]) {
        for share in shares {
            let (Some(slot), Some(began)) = (share.outcome.worker, share.began) else { continue };
            if !self.sampling.takes(share.outcome.status, self.file.length()) {
                continue;
            }
            let begin = began.saturating_duration_since(self.start);
            let host = share.outcome.host;
            let track = self.track((host.number(), slot), begin, begin + share.elapsed);
            self.slice(share.outcome.status.name(), track, begin, share.elapsed);
            let text = self.file.text();
            text.extend_from_slice(b"job ");
            integer(share.outcome.job.number, text);
            text.push(b'"');
            let Outcome { status, attempts, payload, .. } = share.outcome;
            // The first attempt of a job that is ok has nothing more to say, and is what most slices are.
            if *attempts > 1 || *status != Status::Ok {
                // Writing to a Vec cannot fail, here and below.
                let _ = write!(text, ",\"args\":{{\"attempt\":{attempts}");
                if *status != Status::Ok {
                    let error = format!("{}: {}", error_text(payload, "name"), error_text(payload, "message"));
                    let error: String = error.chars().take(LETTERS).collect();
                    let _ = write!(text, ",\"error\":{}", serde_json::Value::from(error));
                }
                let end = if *status == Status::Ok { "}" } else { "},\"cname\":\"terrible\"" };
                text.extend_from_slice(end.as_bytes());
            }
            text.push(b'}');
            self.file.wrote();
            self.thin_out(begin + share.elapsed);
        }
    }

    /// A slot has spent a time with something else than jobs.
    pub fn spent(&mut self, spell: &Spell) {
        if !matches!(spell.occupation, Occupation::Starting | Occupation::Down)
            || !self.sampling.has_room(self.file.length())
        {
            return;
        }
        let begin = spell.from.saturating_duration_since(self.start);
        let lasts = spell.to.saturating_duration_since(spell.from);
        let track = self.track((0, spell.slot), begin, begin + lasts);
        self.slice("worker", track, begin, lasts);
        let _ = write!(self.file.text(), "{}\"}}", spell.occupation.name());
        self.file.wrote();
    }

    /// Ends the file, and says what went wrong with it.
    pub fn finish(&mut self) -> Option<Error> {
        self.file.text().extend_from_slice(b"\n]\n");
        self.file.finish()
    }

    /// What people should know of the file.
    pub fn notice(&self) -> Option<String> {
        let Sampling { seen, shown, limit, .. } = self.sampling;
        let most = (limit + END) >> 20;
        let words =
            || format!("the trace shows {} of {} attempts, to stay below {most} MiB", count(shown), count(seen));
        (shown < seen).then(words)
    }

    /// The track of a slot for a slice of this time. One that is new is given its name.
    fn track(&mut self, (host, slot): (u16, u32), begin: Duration, end: Duration) -> usize {
        let tracks = self.tracks.entry((host, slot)).or_default();
        if let Some((track, last)) = tracks.iter_mut().find(|(_, last)| *last <= begin) {
            *last = end;
            return *track;
        }
        self.count += 1;
        let (track, place) = (self.count, tracks.len());
        tracks.push((track, end));
        // Without a host it is a slot of the pool, which may be a whole host.
        let name = match HostId::of_number(host).name() {
            Some(host) => format!("{host}/{}", process_name(slot)),
            None => self.names.name(slot),
        };
        let name = if place == 0 { name } else { format!("{name} ({})", place + 1) };
        let name = serde_json::Value::from(name);
        let order = (usize::from(host) * 1000 + slot as usize) * 1000 + place;
        let _ = write!(
            self.file.text(),
            ",\n{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":{track},\"args\":{{\"name\":{name}}}}},\n\
             {{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":1,\"tid\":{track},\"args\":{{\"sort_index\":{order}}}}}"
        );
        track
    }

    /// The beginning of a slice, up to its name.
    fn slice(&mut self, category: &str, track: usize, begin: Duration, lasts: Duration) {
        let text = self.file.text();
        text.extend_from_slice(b",\n{\"ph\":\"X\",\"cat\":\"");
        text.extend_from_slice(category.as_bytes());
        text.extend_from_slice(b"\",\"pid\":1,\"tid\":");
        integer(track as u64, text);
        text.extend_from_slice(b",\"ts\":");
        micros(begin, text);
        text.extend_from_slice(b",\"dur\":");
        micros(lasts, text);
        text.extend_from_slice(b",\"name\":\"");
    }

    /// Shows fewer slices from now on, if so much is written that it is time, and says so in the trace.
    fn thin_out(&mut self, now: Duration) {
        if self.sampling.thin_out(self.file.length()) {
            let text = self.file.text();
            let _ = write!(
                text,
                ",\n{{\"ph\":\"i\",\"s\":\"g\",\"name\":\"from here on 1 of {} jobs that are ok is shown\",\"pid\":1,\
                 \"tid\":0,\"ts\":",
                self.sampling.every
            );
            micros(now, text);
            text.push(b'}');
            self.file.wrote();
        }
    }
}

impl Sampling {
    /// Whether the next attempt, which ended so, is shown in a file with so many bytes.
    fn takes(&mut self, status: Status, written: usize) -> bool {
        let every = if status == Status::Ok { self.every } else { self.every.div_ceil(FAILED) };
        let takes = self.seen.is_multiple_of(every) && self.has_room(written);
        self.seen += 1;
        self.shown += u64::from(takes);
        takes
    }

    fn has_room(&self, written: usize) -> bool {
        written < self.limit
    }

    fn thin_out(&mut self, written: usize) -> bool {
        let is_due = written > self.next;
        if is_due {
            self.every = self.every.saturating_mul(2);
            self.next += (self.limit - self.next) / 2;
        }
        is_due
    }
}

/// Microseconds with the nanoseconds behind the point, so that nothing is rounded.
fn micros(time: Duration, out: &mut Vec<u8>) {
    let whole = time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into());
    decimal(whole, time.subsec_nanos() % 1000, out);
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use serde_json::Value;

    use super::*;
    use crate::report::times::shares;
    use crate::testing::outcome;
    use crate::text::destination::{Destination, Old};

    /// What is in the file after these have ended.
    fn traced(limit: usize, act: impl FnOnce(&mut Trace, Instant)) -> (Vec<Value>, Option<String>, usize) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let destination = Destination::new(OwnedFd::from(file.reopen().unwrap()), Old::Replaced);
        let start = Instant::now();
        let mut trace = Trace::with_limit(Stream::new("t".to_owned(), destination), start, SlotNames::default(), limit);
        act(&mut trace, start);
        assert!(trace.finish().is_none());
        let text = std::fs::read_to_string(file.path()).unwrap();
        (serde_json::from_str(&text).expect("the trace is JSON"), trace.notice(), text.len())
    }

    fn attempt(number: u64, slot: u32, began: Instant, micros: u64) -> Outcome {
        let elapsed = Duration::from_micros(micros);
        Outcome { began: Some(began), elapsed, worker: Some(slot), ..outcome(number, Status::Ok) }
    }

    /// The slices as track, begin and end in nanoseconds.
    fn slices(events: &[Value]) -> Vec<(u64, u64, u64)> {
        let nanos = |value: &Value| (value.as_f64().unwrap() * 1000.0).round() as u64;
        let slice = |event: &Value| {
            (event["tid"].as_u64().unwrap(), nanos(&event["ts"]), nanos(&event["ts"]) + nanos(&event["dur"]))
        };
        events.iter().filter(|event| event["ph"] == "X").map(slice).collect()
    }

    #[test]
    fn slices_of_one_track_never_overlap() {
        let (events, ..) = traced(LIMIT, |trace, start| {
            let mut random = fastrand::Rng::with_seed(7);
            for number in 0..500 {
                let end = start + Duration::from_micros(number * 10 + 1000);
                let lasts = random.u64(0..1000);
                let began = end.checked_sub(Duration::from_micros(lasts)).unwrap();
                trace.ended(&shares(&[attempt(number, random.u32(0..3), began, lasts)]));
            }
            let spell =
                Spell { slot: 1, occupation: Occupation::Down, from: start, to: start + Duration::from_secs(1) };
            trace.spent(&spell);
        });
        let mut slices = slices(&events);
        assert_eq!(slices.len(), 501);
        slices.sort_unstable();
        assert!(slices.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1), "{slices:?}");
    }

    #[test]
    fn answers_that_came_together_share_their_time() {
        let (events, ..) = traced(LIMIT, |trace, start| {
            let late = start + Duration::from_micros(90);
            trace.ended(&shares(&[attempt(1, 0, start, 90), attempt(2, 0, late, 0), attempt(3, 0, late, 0)]));
        });
        assert_eq!(slices(&events), [(1, 0, 30_000), (1, 30_000, 60_000), (1, 60_000, 90_000)]);
    }

    #[test]
    fn a_trace_stays_below_its_limit_and_says_that_it_is_sampled() {
        let limit = 1 << 20;
        let (events, notice, length) = traced(limit, |trace, start| {
            for number in 0..100_000 {
                trace.ended(&shares(&[attempt(number, 0, start + Duration::from_micros(number), 1)]));
            }
        });
        assert!(length < limit, "{length}");
        assert!(events.iter().any(|event| event["name"] == "from here on 1 of 2 jobs that are ok is shown"));
        assert!(notice.unwrap().contains("of 100,000 attempts"));
        let last = events
            .iter()
            .filter_map(|event| event["name"].as_str()?.strip_prefix("job ")?.parse::<u64>().ok())
            .max()
            .unwrap();
        assert!(last > 30_000, "the later jobs are there, too: {last}");
    }

    #[test]
    fn what_an_error_says_stays_text() {
        let (events, ..) = traced(LIMIT, |trace, start| {
            let payload = serde_json::json!({"name": "E\"\u{2028}", "message": "\u{0}</script>".repeat(1000)});
            let failed = attempt(1, 0, start, 5);
            let failed = Outcome { payload: payload.to_string().into(), status: Status::Error, ..failed };
            trace.ended(&shares(&[failed]));
        });
        let error = events.last().unwrap()["args"]["error"].as_str().unwrap();
        assert!(error.starts_with("E\"\u{2028}: \u{0}</script>") && error.chars().count() == LETTERS, "{error}");
    }
}
