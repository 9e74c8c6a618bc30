//! How the run went: one line for people, one JSON object for machines.

use std::fmt::Write as _;
use std::time::Duration;

use super::counters::Figures;
use crate::text::people::{count, counted, rate, seconds};
use crate::words::outcome::Status;

pub struct Summary {
    pub figures: Figures,
    pub elapsed: Duration,
    /// Why the run was stopped, if it was.
    pub stopped: Option<String>,
    /// All of the input was read.
    pub complete: bool,
    /// Lines of the input that were not read, if anybody knows.
    pub unread: Option<u64>,
    pub exit_status: i32,
}

impl Summary {
    fn per_second(&self) -> f64 {
        // Only jobs that were begun in this run count: the others took no time of it.
        let run = self.figures.ended.total() - self.figures.ended.get(Status::NotRun);
        run as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// `1,219 jobs in 2.31 s (528/s): 1,207 ok, 12 failed (10 error, 2 timeout); 1 restart`
    pub fn line(&self) -> String {
        let figures = &self.figures;
        let all = figures.all();
        let done = all.total();
        let mut line = format!("{} in {}", counted(done, "job"), seconds(self.elapsed.as_secs_f64()));
        if figures.ended.total() > 0 {
            // Writing to a String cannot fail, here and below.
            let _ = write!(line, " ({})", rate(self.per_second()));
        }
        let _ = write!(line, ": {} ok", count(all.get(Status::Ok)));
        let failed = all.failed();
        if failed > 0 {
            let kinds = Status::ALL.into_iter().filter(|&status| status != Status::Ok && all.get(status) > 0);
            let kinds: Vec<String> =
                kinds.map(|status| format!("{} {}", count(all.get(status)), status.name())).collect();
            let _ = write!(line, ", {} failed ({})", count(failed), kinds.join(", "));
        }
        for (number, words) in
            [(figures.restored.total(), " from the journal"), (figures.passed_on_retry, " passed on retry")]
        {
            if number > 0 {
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
        line
    }

    /// A JSON object and a line end.
    pub fn json(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Json<'a> {
            jobs: u64,
            ok: u64,
            failed: u64,
            by_status: serde_json::Map<String, serde_json::Value>,
            seconds: f64,
            jobs_per_second: f64,
            passed_on_retry: u64,
            resumed: u64,
            restarts: u64,
            recycled: u64,
            stopped: Option<&'a str>,
            input_complete: bool,
            lines_not_read: Option<u64>,
            exit_status: i32,
        }
        let figures = &self.figures;
        let all = figures.all();
        let by_status = Status::ALL.into_iter().map(|status| (status.name().to_owned(), all.get(status).into()));
        let json = Json {
            jobs: all.total(),
            ok: all.get(Status::Ok),
            failed: all.failed(),
            by_status: by_status.collect(),
            seconds: self.elapsed.as_secs_f64(),
            jobs_per_second: self.per_second(),
            passed_on_retry: figures.passed_on_retry,
            resumed: figures.restored.total(),
            restarts: figures.restarts,
            recycled: figures.recycled,
            stopped: self.stopped.as_deref(),
            input_complete: self.complete,
            lines_not_read: self.unread,
            exit_status: self.exit_status,
        };
        let mut text = serde_json::to_vec_pretty(&json).expect("numbers and text always serialize");
        text.push(b'\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::counters::Counters;
    use super::super::counters::testing::outcomes;
    use super::*;

    fn line(counters: &Counters, stopped: Option<&str>, complete: bool, unread: Option<u64>) -> String {
        let stopped = stopped.map(str::to_owned);
        let elapsed = Duration::from_secs(2);
        Summary { figures: counters.snapshot(), elapsed, stopped, complete, unread, exit_status: 1 }.line()
    }

    #[test]
    fn the_summary_says_what_happened_and_nothing_else() {
        let counters = Counters::default();
        assert_eq!(line(&counters, None, true, None), "0 jobs in 2.00 s: 0 ok");
        counters.ended(&outcomes(Status::Ok, 1207), Instant::now());
        assert_eq!(line(&counters, None, true, None), "1,207 jobs in 2.00 s (604/s): 1,207 ok");
        counters.ended(&outcomes(Status::Error, 10), Instant::now());
        counters.ended(&outcomes(Status::Timeout, 2), Instant::now());
        counters.restarted();
        (0..3).for_each(|_| counters.passed_on_retry());
        assert_eq!(
            line(&counters, Some("interrupted (SIGINT)"), false, None),
            "1,219 jobs in 2.00 s (610/s): 1,207 ok, 12 failed (10 error, 2 timeout); 3 passed on retry; 1 restart; \
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
}
