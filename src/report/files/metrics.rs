//! `--metrics`: the figures of a run in the text format of Prometheus, for node_exporter's textfile collector. The file
//! is replaced as a whole every few seconds and at the end, so that a run that hangs or is killed shows, too.
//!
//! Every sample has the file's name as a label: the collector takes all files of its folder together, and two runs of
//! one machine would else have the same series. What a failed run must not hide, when a run succeeded last, is taken over
//! from the file that is there.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::report::WholeFile;
use crate::report::counters::{Counters, Details, Figures};
use crate::words::outcome::Status;

/// The time between two writes: node_exporter is asked every 15 s or so.
pub const REFRESH: Duration = Duration::from_secs(10);
/// The time until the first one: a run that has begun soon shows, and one that is refused at once does not.
const FIRST: Duration = Duration::from_secs(1);

pub struct Metrics {
    shared: Arc<Shared>,
    /// Dropped to end the refreshing.
    end: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    file: WholeFile,
    counters: Arc<Counters>,
    /// The label of each sample: `{run="nightly"`.
    label: String,
    start: Instant,
    /// Seconds since 1970.
    began: f64,
    /// When a run succeeded last, as the old file says it.
    last_success: Option<String>,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Ended { exit_status: i32 },
}

impl Metrics {
    /// Begins to refresh the file, so often.
    pub fn start(
        path: &Path,
        file: WholeFile,
        counters: Arc<Counters>,
        start: Instant,
        every: Duration,
    ) -> io::Result<Metrics> {
        let began = since_1970() - start.elapsed().as_secs_f64();
        let label = label(path);
        let shared = Arc::new(Shared { file, counters, label, start, began, last_success: last_success(path) });
        let (end, ended) = bounded(0);
        let of_thread = Arc::clone(&shared);
        let refresh = move || {
            let mut wait = FIRST.min(every);
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                // What fails now is tried again, and told if it fails at the end of the run.
                let _ = of_thread.write(Phase::Running);
                wait = every;
            }
        };
        // What is written in place, such as a pipe, is written once.
        let thread = if shared.file.is_replaced() {
            Some(std::thread::Builder::new().name("metrics".to_owned()).spawn(refresh)?)
        } else {
            None
        };
        Ok(Metrics { shared, end, thread })
    }

    /// Writes the file for the last time.
    pub fn finish(self, exit_status: i32) -> io::Result<()> {
        drop(self.end);
        if let Some(thread) = self.thread {
            // A thread that has panicked writes no more, which is all that is waited for.
            let _ = thread.join();
        }
        self.shared.write(Phase::Ended { exit_status })
    }
}

impl Shared {
    fn write(&self, phase: Phase) -> io::Result<()> {
        let (figures, details) = (self.counters.snapshot(), self.counters.copy_of_details());
        self.file.write(self.text(&figures, &details, phase).as_bytes())
    }

    fn text(&self, figures: &Figures, details: &Details, phase: Phase) -> String {
        let now = since_1970();
        let mut page = Page { label: &self.label, text: String::new() };
        let all = figures.all();
        page.family("jobs", "gauge", "Jobs that have ended, by status.");
        for status in Status::ALL {
            page.sample("jobs", &format!(",status=\"{}\"", status.name()), all.get(status));
        }
        for (name, help, value) in [
            ("jobs_read", "Jobs read from the input.", figures.read),
            ("jobs_restored", "Jobs whose outcome came from the journal.", figures.restored.total()),
            ("jobs_passed_on_retry", "Jobs that ended ok after a failed attempt.", figures.passed_on_retry),
            ("worker_restarts", "Workers replaced because they ended unasked or were ended.", figures.restarts),
            ("workers_recycled", "Workers replaced as planned.", figures.recycled),
            ("running", "1 while the run goes on.", u64::from(phase == Phase::Running)),
        ] {
            page.gauge(name, help, value);
        }
        page.family("job_seconds", "summary", "How long the jobs of this run were in their workers.");
        let times = details.times.all();
        for (quantile, time) in [0.5, 0.95, 0.99].map(|quantile| (quantile, times.at(quantile))) {
            if let Some(time) = time {
                page.sample("job_seconds", &format!(",quantile=\"{quantile}\""), time.as_secs_f64());
            }
        }
        page.sample("job_seconds_sum", "", times.sum().as_secs_f64());
        page.sample("job_seconds_count", "", times.jobs());
        page.gauge("run_duration_seconds", "How long the run has taken.", self.start.elapsed().as_secs_f64());
        page.gauge("run_start_timestamp_seconds", "When the run began, since 1970.", self.began);
        let success = matches!(phase, Phase::Ended { exit_status: 0 }).then(|| now.to_string());
        if let Phase::Ended { exit_status } = phase {
            page.gauge("run_end_timestamp_seconds", "When the run ended, since 1970.", now);
            page.gauge("run_exit_status", "The exit status, as in the manual.", exit_status);
        }
        if let Some(when) = success.or_else(|| self.last_success.clone()) {
            page.gauge("last_success_timestamp_seconds", "When a run ended with status 0 last, since 1970.", when);
        }
        page.text
    }
}

/// The text while it is being made. Prometheus' text format, version 0.0.4.
struct Page<'a> {
    label: &'a str,
    text: String,
}

impl Page<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP forkpool_{name} {help}\n# TYPE forkpool_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "forkpool_{name}{}{labels}}} {value}", self.label);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }
}

/// The label that every sample begins with: the file's name without its ending.
fn label(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{{run=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// When a run succeeded last, as a file of an earlier run says it.
fn last_success(path: &Path) -> Option<String> {
    /// A file of ours is far smaller; a pipe or a device is not read at all.
    const LONGEST: u64 = 64 * 1024;
    if !std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LONGEST) {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with("forkpool_last_success_timestamp_seconds{"))?;
    let (_, value) = line.rsplit_once(' ')?;
    value.parse::<f64>().ok().filter(|value| value.is_finite()).map(|_| value.to_owned())
}

fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::super::counters::testing::outcomes;
    use super::*;
    use crate::testing::wait_until;

    fn start(path: &Path, every: Duration) -> (Metrics, Arc<Counters>) {
        let counters: Arc<Counters> = Arc::default();
        let file = WholeFile::look(path).unwrap();
        let metrics = Metrics::start(path, file, Arc::clone(&counters), Instant::now(), every).unwrap();
        (metrics, counters)
    }

    #[test]
    fn the_file_is_refreshed_while_the_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("night\"ly.prom");
        let text = || std::fs::read_to_string(&path).unwrap_or_default();
        let (metrics, counters) = start(&path, Duration::from_millis(2));
        counters.ended(&outcomes(Status::Ok, 3), Instant::now());
        wait_until(|| text().contains("forkpool_jobs{run=\"night\\\"ly\",status=\"ok\"} 3\n"));
        assert!(text().contains("forkpool_running{run=\"night\\\"ly\"} 1\n") && !text().contains("exit_status"));
        metrics.finish(1).unwrap();
        assert!(text().contains("forkpool_run_exit_status{run=\"night\\\"ly\"} 1\n"), "{}", text());
        assert!(text().contains("forkpool_running{run=\"night\\\"ly\"} 0\n"));
        assert!(!text().contains("last_success"));
    }

    #[test]
    fn a_run_that_fails_does_not_hide_the_last_one_that_succeeded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nightly.prom");
        let success = || last_success(&path);
        start(&path, REFRESH).0.finish(0).unwrap();
        let first = success();
        assert!(first.is_some());
        start(&path, REFRESH).0.finish(3).unwrap();
        assert_eq!(success(), first);
    }
}
