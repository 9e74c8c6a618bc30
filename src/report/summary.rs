//! How the run went: a few lines for people, one JSON object for machines.

use std::fmt::Write as _;
use std::time::Duration;

use super::counters::{Details, Figures};
use super::errors::{ErrorGroup, ErrorGroups};
use super::times::Percentiles;
use crate::text::people::{count, counted, cut, rate, seconds, short_time};
use crate::words::outcome::Status;

pub struct Summary {
    pub figures: Figures,
    pub details: Details,
    pub elapsed: Duration,
    /// Why the run was stopped, if it was.
    pub stopped: Option<String>,
    /// All of the input was read.
    pub complete: bool,
    /// Lines of the input that were not read, if anybody knows.
    pub unread: Option<u64>,
    pub exit_status: i32,
    pub next: Next,
}

/// What can be done after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// The run is not complete: this command goes on.
    GoOn(Again),
    /// The run is complete: this command runs again what failed.
    RunFailed(Again),
    /// What would have to be added for such a command, in words.
    Hint(&'static str),
}

/// A command for a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    pub command: String,
    /// It reads the same input from stdin.
    pub needs_stdin: bool,
}

/// So many groups of errors are told to people: as many as are read.
const TOLD: usize = 5;
/// So many groups of errors are in the JSON.
const LISTED: usize = 50;
/// Letters of an error that are told; the record has all of them.
const LETTERS: usize = 120;

impl Summary {
    pub fn per_second(&self) -> f64 {
        // Only jobs that were begun in this run count: the others took no time of it.
        let run = self.figures.ended.total() - self.figures.ended.get(Status::NotRun);
        run as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// What is told to people, in lines without their ends.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.line()];
        lines.extend(error_lines(&self.details.errors, TOLD));
        lines.extend(self.next.line());
        lines
    }

    /// `1,219 jobs in 2.31 s (528/s): 1,207 ok, 12 failed (10 error, 2 timeout); 1 restart`
    fn line(&self) -> String {
        let figures = &self.figures;
        let all = figures.all();
        let mut line = format!("{} in {}", counted(all.total(), "job"), seconds(self.elapsed.as_secs_f64()));
        if figures.ended.total() > 0 {
            // Writing to a String cannot fail, here and below.
            let _ = write!(line, " ({})", rate(self.per_second()));
        }
        let _ = write!(line, ": {} ok", count(all.get(Status::Ok)));
        if all.failed() > 0 {
            let kinds = Status::ALL.into_iter().filter(|&status| status.is_failure() && all.get(status) > 0);
            let kinds: Vec<String> =
                kinds.map(|status| format!("{} {}", count(all.get(status)), status.name())).collect();
            let _ = write!(line, ", {} failed ({})", count(all.failed()), kinds.join(", "));
        }
        if all.get(Status::NotRun) > 0 {
            let _ = write!(line, ", {} never begun", count(all.get(Status::NotRun)));
        }
        if let Some(Percentiles { p50, p95, max }) = self.details.times.all().percentiles() {
            let [p50, p95, max] = [p50, p95, max].map(short_time);
            let _ = write!(line, "; a job took {p50} (p50), {p95} (p95), {max} (max)");
        }
        self.add_events(&mut line);
        line
    }

    /// What happened besides jobs.
    fn add_events(&self, line: &mut String) {
        let figures = &self.figures;
        for (number, words) in
            [(figures.restored.total(), " from the journal"), (figures.passed_on_retry, " passed on retry")]
        {
            if number > 0 {
                // Writing to a String cannot fail, here and below.
                let _ = write!(line, "; {}{words}", count(number));
            }
        }
        for (number, noun) in [(figures.restarts, "restart"), (figures.recycled, "recycled worker")] {
            if number > 0 {
                let _ = write!(line, "; {}", counted(number, noun));
            }
        }
        if let Some(why) = &self.stopped {
            let _ = write!(line, "; {why}");
        }
        if !self.complete {
            match self.unread {
                Some(lines) => {
                    let _ = write!(line, "; {} of input not read", counted(lines, "line"));
                }
                None => line.push_str("; the rest of the input was not read"),
            }
        }
    }

    /// A JSON object and a line end.
    pub fn json(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Json<'a> {
            jobs: u64,
            ok: u64,
            failed: u64,
            not_run: u64,
            by_status: serde_json::Map<String, serde_json::Value>,
            seconds: f64,
            jobs_per_second: f64,
            ms: Option<Percentiles>,
            errors: Vec<ErrorGroup>,
            other_errors: u64,
            passed_on_retry: u64,
            resumed: u64,
            restarts: u64,
            recycled: u64,
            stopped: Option<&'a str>,
            input_complete: bool,
            lines_not_read: Option<u64>,
            exit_status: i32,
            next_command: Option<&'a str>,
        }
        let figures = &self.figures;
        let all = figures.all();
        let (errors, other) = self.details.errors.commonest(LISTED);
        let by_status = Status::ALL.into_iter().map(|status| (status.name().to_owned(), all.get(status).into()));
        let json = Json {
            jobs: all.total(),
            ok: all.get(Status::Ok),
            failed: all.failed(),
            not_run: all.get(Status::NotRun),
            by_status: by_status.collect(),
            seconds: self.elapsed.as_secs_f64(),
            jobs_per_second: self.per_second(),
            ms: self.details.times.all().percentiles(),
            errors,
            other_errors: other,
            passed_on_retry: figures.passed_on_retry,
            resumed: figures.restored.total(),
            restarts: figures.restarts,
            recycled: figures.recycled,
            stopped: self.stopped.as_deref(),
            input_complete: self.complete,
            lines_not_read: self.unread,
            exit_status: self.exit_status,
            next_command: self.next.command(),
        };
        let mut text = serde_json::to_vec_pretty(&json).expect("numbers and text always serialize");
        text.push(b'\n');
        text
    }
}

/// `   10 × KittenBites: Felix bites (first: job 7)`, with the number in `width` columns.
/// The commonest groups of errors, so many at most, and how many jobs have others.
pub fn error_lines(errors: &ErrorGroups, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (errors, other) = errors.commonest(most);
    let widest = errors.first().map_or(0, |group| count(group.jobs).len());
    for group in &errors {
        lines.push(error_line(group, widest));
        lines.extend(group.hint.as_ref().map(|hint| format!("  {:>widest$}   hint: {hint}", "")));
    }
    if other > 0 {
        lines.push(format!("  {:>widest$} with other errors", count(other)));
    }
    lines
}

fn error_line(group: &ErrorGroup, width: usize) -> String {
    let words = format!("{}: {}", group.name, group.message);
    let cut = cut(&words, LETTERS);
    let first = if group.jobs == 1 { "" } else { "first: " };
    format!("  {:>width$} × {cut} ({first}job {})", count(group.jobs), group.first_job)
}

impl Next {
    fn line(&self) -> Option<String> {
        let (words, again) = match self {
            Next::Nothing => return None,
            Next::Hint(words) => return Some(format!("hint: {words}")),
            Next::GoOn(again) => ("to go on", again),
            Next::RunFailed(again) => ("to run again what failed", again),
        };
        let stdin = if again.needs_stdin { ", with the same input on stdin" } else { "" };
        Some(format!("{words}{stdin}: {}", again.command))
    }

    fn command(&self) -> Option<&str> {
        match self {
            Next::Nothing | Next::Hint(_) => None,
            Next::GoOn(again) | Next::RunFailed(again) => Some(&again.command),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::counters::Counters;
    use super::super::counters::testing::outcomes;
    use super::*;

    fn summary(counters: &Counters) -> Summary {
        let (figures, details) = (counters.snapshot(), counters.copy_of_details());
        let (elapsed, next) = (Duration::from_secs(2), Next::Nothing);
        Summary { figures, details, elapsed, stopped: None, complete: true, unread: None, exit_status: 1, next }
    }

    fn line(counters: &Counters, stopped: Option<&str>, complete: bool, unread: Option<u64>) -> String {
        let stopped = stopped.map(str::to_owned);
        Summary { stopped, complete, unread, ..summary(counters) }.line()
    }

    #[test]
    fn the_summary_says_what_happened_and_nothing_else() {
        let counters = Counters::default();
        assert_eq!(line(&counters, None, true, None), "0 jobs in 2.00 s: 0 ok");
        counters.ended(&outcomes(Status::Ok, 1207), Instant::now());
        assert_eq!(line(&counters, None, true, None), "1,207 jobs in 2.00 s (604/s): 1,207 ok");
        counters.ended(&outcomes(Status::Error, 10), Instant::now());
        counters.ended(&outcomes(Status::Timeout, 2), Instant::now());
        counters.ended(&outcomes(Status::NotRun, 1000), Instant::now());
        counters.restarted("it ended");
        (0..3).for_each(|_| counters.passed_on_retry());
        assert_eq!(
            line(&counters, Some("interrupted (SIGINT)"), false, None),
            "2,219 jobs in 2.00 s (610/s): 1,207 ok, 12 failed (10 error, 2 timeout), 1,000 never begun; \
             3 passed on retry; 1 restart; \
             interrupted (SIGINT); the rest of the input was not read"
        );
        assert!(line(&counters, None, false, Some(1)).ends_with("; 1 line of input not read"));
    }

    #[test]
    fn the_rate_is_of_the_jobs_of_this_run() {
        let counters = Counters::default();
        counters.restored(&outcomes(Status::Ok, 900));
        assert_eq!(line(&counters, None, true, None), "900 jobs in 2.00 s: 900 ok; 900 from the journal");
        counters.ended(&outcomes(Status::Ok, 100), Instant::now());
        assert_eq!(line(&counters, None, true, None), "1,000 jobs in 2.00 s (50/s): 1,000 ok; 900 from the journal");
    }

    #[test]
    fn errors_are_told_in_groups_and_then_what_can_be_done() {
        let counters = Counters::default();
        let mut bitten = outcomes(Status::Error, 12);
        bitten[11].payload = crate::words::outcome::JobError::bad_input("x".repeat(150)).to_json();
        for outcome in &mut bitten {
            (outcome.attempts, outcome.elapsed) = (1, Duration::from_millis(2));
        }
        counters.ended(&bitten, Instant::now());
        let again = Again { command: "forkpool --resume w".to_owned(), needs_stdin: false };
        let mut summary = Summary { next: Next::GoOn(again.clone()), ..summary(&counters) };
        let lines = summary.lines();
        assert!(lines[0].ends_with("12 failed (12 error); a job took 2.0 ms (p50), 2.0 ms (p95), 2.0 ms (max)"));
        assert_eq!(lines[1], "  11 × BadInput:  (first: job 1)");
        assert_eq!(lines[2], format!("   1 × BadInput: {}… (job 1)", "x".repeat(LETTERS - 10)));
        assert_eq!(lines[3..], ["to go on: forkpool --resume w"]);
        summary.next = Next::RunFailed(Again { needs_stdin: true, ..again });
        let last = "to run again what failed, with the same input on stdin: forkpool --resume w";
        assert_eq!(summary.lines()[3], last);
        summary.next = Next::Hint("--journal FILE");
        assert_eq!(summary.lines()[3], "hint: --journal FILE");
    }

    #[test]
    fn the_file_has_all_of_it() {
        let counters = Counters::default();
        counters.ended(&outcomes(Status::Error, 2), Instant::now());
        counters.ended(&outcomes(Status::NotRun, 3), Instant::now());
        let json: serde_json::Value = serde_json::from_slice(&summary(&counters).json()).unwrap();
        assert_eq!((&json["failed"], &json["not_run"], &json["ms"]), (&2.into(), &3.into(), &serde_json::Value::Null));
        let group =
            serde_json::json!({"status": "error", "name": "BadInput", "message": "", "jobs": 2, "first_job": 1});
        assert_eq!((&json["errors"], &json["other_errors"]), (&serde_json::json!([group]), &0.into()));
        assert_eq!(json["next_command"], serde_json::Value::Null);
    }
}
