//! The state of a run while it goes on, in a dozen lines: what SIGUSR1 asks for. Whoever asks wonders whether the run
//! hangs, so the workers whose jobs have been running the longest come first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::counters::{Details, Figures};
use super::estimate::rate as rate_so_far;
use super::summary::error_lines;
use crate::text::people::{count, counted, rate, seconds, short_time};
use crate::words::doing::{Doing, Queue};
use crate::words::slots::SlotNames;

/// What the workers do, each as its slot has said it last.
#[derive(Debug, Default)]
pub struct Glances(Mutex<BTreeMap<u32, Doing>>);

/// So many workers are told one by one.
const WORKERS: usize = 6;
/// So many groups of errors are told.
const ERRORS: usize = 3;

impl Glances {
    pub fn put(&self, slot: u32, doing: Doing) {
        self.0.lock().expect("no thread panics while it holds this lock").insert(slot, doing);
    }

    /// Takes what has been said since the last time.
    pub fn take(&self) -> BTreeMap<u32, Doing> {
        std::mem::take(&mut *self.0.lock().expect("no thread panics while it holds this lock"))
    }
}

/// The lines, without their ends. `elapsed` is the time since the run began, and `now` on the run's clock.
pub fn lines(
    figures: &Figures,
    details: &Details,
    queue: Queue,
    workers: BTreeMap<u32, Doing>,
    names: &SlotNames,
    elapsed: Duration,
    now: Instant,
) -> Vec<String> {
    let all = figures.all();
    let mut lines = vec![format!(
        "{} ended of {} read in {} ({}), {} failed",
        count(all.total()),
        counted(figures.read, "job"),
        seconds(elapsed.as_secs_f64()),
        rate(rate_so_far(figures, now)),
        count(all.failed())
    )];
    let why = match queue {
        Queue { is_behind: true, .. } => ": the output takes no more",
        Queue { is_held: true, .. } => ": held back (--rate, or an error that asked for a pause)",
        _ => "",
    };
    let more = if figures.input_ended { "all of the input is read" } else { "more may come" };
    lines.push(format!("  {} waiting for a worker{why}; {more}", counted(queue.waiting as u64, "job")));
    if let Some(timing) = figures.timing {
        let ago = now.saturating_duration_since(timing.last_end);
        lines.push(format!("  the last job ended {} ago", short_time(ago)));
    }
    let mut workers: Vec<(u32, Doing)> = workers.into_iter().collect();
    workers.sort_by_key(|(_, doing)| Reverse(urgency(doing)));
    lines
        .extend(workers.iter().take(WORKERS).map(|(slot, doing)| format!("  {}: {}", names.name(*slot), words(doing))));
    if workers.len() > WORKERS {
        let rest = &workers[WORKERS..];
        let busy = rest.iter().filter(|(_, doing)| matches!(doing, Doing::Running { .. })).count();
        lines.push(format!("  {} more, {busy} of them with a job", counted(rest.len() as u64, "worker")));
    }
    lines.extend(error_lines(&details.errors, ERRORS));
    lines
}

/// How much people want to know of this worker, and for how long it has been so.
fn urgency(doing: &Doing) -> (u8, Duration) {
    match doing {
        Doing::Running { since, .. } => (3, *since),
        Doing::Loading(since, _) => (2, *since),
        Doing::Ending => (1, Duration::ZERO),
        Doing::Idle | Doing::Absent => (0, Duration::ZERO),
    }
}

fn words(doing: &Doing) -> String {
    match doing {
        Doing::Absent => "no process".to_owned(),
        Doing::Loading(since, None) => format!("loading for {}", short_time(*since)),
        Doing::Loading(since, Some(step)) => format!("{step} for {}", short_time(*since)),
        Doing::Idle => "idle".to_owned(),
        Doing::Running { job, since, others: 0 } => format!("job {job} for {}", short_time(*since)),
        Doing::Running { job, since, others } => {
            format!("job {job} for {}, and {} more in its hands", short_time(*since), others)
        }
        Doing::Ending => "told to end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::counters::Counters;
    use super::super::counters::testing::outcomes;
    use super::*;
    use crate::words::outcome::Status;

    const SECOND: Duration = Duration::from_secs(1);

    fn said(queue: Queue, workers: Vec<Doing>) -> Vec<String> {
        let counters = Counters::default();
        counters.read(1200, 0);
        counters.ended(&outcomes(Status::Ok, 30), Instant::now());
        counters.ended(&outcomes(Status::Died, 2), Instant::now());
        let workers = (0..).zip(workers).collect();
        let details = counters.copy_of_details();
        lines(&counters.snapshot(), &details, queue, workers, &SlotNames::default(), 12 * SECOND, Instant::now())
    }

    const NONE: Queue = Queue { waiting: 7, is_held: false, is_behind: false };

    #[test]
    fn whoever_has_been_at_it_the_longest_comes_first() {
        let running = |job, seconds, others| Doing::Running { job, since: seconds * SECOND, others };
        let loading = Doing::Loading(SECOND, Some("loading a model".to_owned()));
        let said = said(NONE, vec![Doing::Idle, running(5, 2, 0), loading, running(4, 9, 3), Doing::Absent]);
        assert!(said[0].starts_with("32 ended of 1,200 jobs read in 12 s"), "{said:?}");
        assert!(said[0].ends_with("2 failed"), "{said:?}");
        assert_eq!(said[1], "  7 jobs waiting for a worker; more may come");
        let workers = [
            "  w3: job 4 for 9.00 s, and 3 more in its hands",
            "  w1: job 5 for 2.00 s",
            "  w2: loading a model for 1.00 s",
            "  w0: idle",
            "  w4: no process",
        ];
        assert_eq!(said[2..7], workers);
        assert!(said[7].contains("2 × "), "{said:?}");
    }

    #[test]
    fn many_workers_are_counted_and_what_holds_jobs_back_is_said() {
        let said_of = said(Queue { is_held: true, ..NONE }, vec![Doing::Idle; 64]);
        assert!(said_of[1].contains("held back (--rate"), "{said_of:?}");
        assert!(said_of.contains(&"  58 workers more, 0 of them with a job".to_owned()), "{said_of:?}");
        assert!(said_of.len() <= 12, "{said_of:?}");
        let said_of = said(Queue { is_behind: true, ..NONE }, vec![]);
        assert!(said_of[1].contains("the output takes no more"), "{said_of:?}");
    }
}
