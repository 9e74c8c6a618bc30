//! `--joblog`: a line for each job that has ended, with the columns of GNU parallel's `--joblog`, so that what reads that
//! reads this. Jobs that were never begun are not in it, and those from a journal are in the log of the run that ran them.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::digits::{decimal, integer};
use super::stream::Stream;
use crate::text::json::field;
use crate::words::error::Error;
use crate::words::outcome::{Outcome, Status, error_text};

#[derive(Debug)]
pub struct JobLog {
    file: Stream,
    /// How the line of a job ends that is ok: its exit value and signal, and the last column.
    ok: Vec<u8>,
    /// What stands in the last column.
    command: String,
    /// The field of a job that is its own name, and follows the command.
    id: Option<String>,
}

/// The width of the column JobRuntime.
const RUNTIME: usize = 10;
const HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

impl JobLog {
    pub fn new(mut file: Stream, command: &str, id: Option<String>) -> JobLog {
        file.text().extend_from_slice(HEADER.as_bytes());
        let command = one_line(command);
        JobLog { file, ok: format!("\t0\t0\t{command}").into_bytes(), command, id }
    }

    pub fn ended(&mut self, outcomes: &[Outcome], now: Instant) {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for outcome in outcomes.iter().filter(|outcome| outcome.status != Status::NotRun) {
            let ago = outcome.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default();
            self.write(outcome, clock.saturating_sub(ago));
        }
    }

    /// `began` is the time since 1970.
    fn write(&mut self, outcome: &Outcome, began: Duration) {
        let Outcome { job, payload, elapsed, .. } = outcome;
        let line = self.file.text();
        integer(job.number, line);
        match outcome.host.name() {
            None => line.extend_from_slice(b"\t:\t"),
            // Writing to a Vec cannot fail, here and below.
            Some(name) => drop(write!(line, "\t{}\t", one_line(&name))),
        }
        decimal(began.as_secs(), began.subsec_millis(), line);
        line.push(b'\t');
        // Three digits and the point are behind the whole seconds.
        let digits = elapsed.as_secs().checked_ilog10().map_or(1, |digits| digits as usize + 1);
        line.extend_from_slice(&b"          "[..(RUNTIME - 4).saturating_sub(digits)]);
        decimal(elapsed.as_secs(), elapsed.subsec_millis(), line);
        for bytes in [job.data.len(), payload.len()] {
            line.push(b'\t');
            integer(bytes as u64, line);
        }
        match exit_of(outcome) {
            (0, 0) => line.extend_from_slice(&self.ok),
            (exit, signal) => drop(write!(line, "\t{exit}\t{signal}\t{}", self.command)),
        }
        if let Some(id) = self.id.as_ref().and_then(|name| field(&job.data, name)) {
            drop(write!(line, " {}", one_line(id.get())));
        }
        line.push(b'\n');
        self.file.wrote();
    }

    /// See [`Stream::show`].
    pub fn show(&mut self, now: Instant) -> Option<Instant> {
        self.file.show(now)
    }

    pub fn finish(&mut self) -> Option<Error> {
        self.file.finish()
    }
}

/// What the columns Exitval and Signal say of a job. GNU parallel writes -1 for one that took too long.
fn exit_of(outcome: &Outcome) -> (i32, i32) {
    match outcome.status {
        Status::Ok => (0, 0),
        Status::Timeout => (-1, 0),
        Status::Died => match signal_of(&error_text(&outcome.payload, "signal")) {
            Some(signal) => (0, signal),
            None => (1, 0),
        },
        _ => (1, 0),
    }
}

/// The number of a signal that the error of a worker's death names.
fn signal_of(name: &str) -> Option<i32> {
    // Linux has 64 signals, other systems have fewer. Those without a name are `signal 42`.
    const LAST: i32 = 64;
    let number = name.strip_prefix("signal ").and_then(|number| number.parse().ok());
    number.or_else(|| (1..=LAST).find(|&number| signal_hook::low_level::signal_name(number) == Some(name)))
}

/// A tab or a line end within the text would begin another column or line.
fn one_line(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::testing::outcome;
    use crate::text::destination::{Destination, Old};

    /// The lines of a log of these outcomes, split into columns.
    fn log(outcomes: &[Outcome], id: Option<&str>) -> Vec<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let destination = Destination::new(OwnedFd::from(file.reopen().unwrap()), Old::Replaced);
        let mut log = JobLog::new(Stream::new("log".to_owned(), destination), "sh -c 'a\tb'", id.map(str::to_owned));
        log.ended(outcomes, Instant::now());
        assert!(log.finish().is_none());
        let text = std::fs::read_to_string(file.path()).unwrap();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_line_has_the_columns_of_gnu_parallel() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let began = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        let job = Outcome { began: Some(began), elapsed: Duration::from_millis(1250), ..outcome(7, Status::Ok) };
        let lines = log(&[job, outcome(8, Status::NotRun)], None);
        assert_eq!(lines.len(), 2, "a job that was never begun has no line");
        assert_eq!(lines[0].join("\t") + "\n", HEADER);
        let started: f64 = lines[1][2].parse().unwrap();
        assert!((started - (now - 5.0)).abs() < 1.0, "{started} {now}");
        let rest: Vec<&str> = lines[1].iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, cell)| &**cell).collect();
        assert_eq!(rest, ["7", ":", "     1.250", "2", "2", "0", "0", "sh -c 'a b'"]);
    }

    #[test]
    fn exit_value_and_signal_say_how_a_job_ended() {
        let died = |signal: &str| {
            let payload = Bytes::from(serde_json::json!({ "signal": signal }).to_string());
            exit_of(&Outcome { payload, ..outcome(1, Status::Died) })
        };
        assert_eq!([died("SIGSEGV"), died("signal 42"), died("")], [(0, 11), (0, 42), (1, 0)]);
        let exit = |status| exit_of(&outcome(1, status));
        assert_eq!([exit(Status::Ok), exit(Status::Error), exit(Status::Timeout)], [(0, 0), (1, 0), (-1, 0)]);
    }

    #[test]
    fn a_jobs_own_name_follows_the_command() {
        let mut job = outcome(1, Status::Ok);
        job.job.data = Bytes::from_static(b"{\"name\":\"Tom\\tCat\"}");
        assert_eq!(log(&[job], Some("name"))[1][8], "sh -c 'a b' \"Tom\\tCat\"");
    }
}
