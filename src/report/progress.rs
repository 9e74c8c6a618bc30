//! How far the run is: a bar on a terminal, a plain line now and then elsewhere. This file decides when the bar or line
//! is due and what it says; `voice` writes it.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::bar::{self, Words};
use super::counters::{Figures, Hosts};
use super::estimate::{Estimate, estimate, rate as rate_so_far};
use super::settings::{Progress, ReportSettings, Verbosity};
use super::terminal;
use crate::text::people::{count, counted, rate, whole_seconds};

#[derive(Debug)]
pub enum Shown {
    Nothing,
    Bar(Schedule, RecentRate),
    Lines(Schedule),
}

/// What is to be shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Text {
    Nothing,
    /// The bar, to be drawn in the place of the one before it.
    Bar(String),
    /// A line to be written below the others, without its line end.
    Line(String),
}

/// The bar is drawn first after this: a run that is over by then needs none.
const FIRST_DRAWN: Duration = Duration::from_millis(300);
/// The time between two drawings of the bar: ten in a second are as many as anybody can see.
const BAR: Duration = Duration::from_millis(100);
/// The time between two lines in a CI run: somebody reads its log while it runs, and some systems end a run that is
/// silent for minutes.
const LINES_CI: Duration = Duration::from_secs(10);
/// The time between two lines elsewhere, where the log is read later, if at all.
const LINES: Duration = Duration::from_secs(60);

/// What is known of the place where progress is shown.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// stderr is a terminal that can move its cursor and erase.
    can_erase: bool,
    is_ci: bool,
    /// Records come onto a terminal, most likely the same one.
    shows_records: bool,
}

impl Shown {
    pub fn new(settings: &ReportSettings, now: Instant) -> Shown {
        let ci = std::env::var_os("CI");
        let place = Place {
            can_erase: terminal::can_erase(),
            is_ci: ci.is_some_and(|value| !value.is_empty() && value != "false" && value != "0"),
            shows_records: settings.records_on_stdout && std::io::stdout().is_terminal(),
        };
        if settings.verbosity == Verbosity::Quiet { Shown::Nothing } else { Shown::at(place, settings.progress, now) }
    }

    fn at(place: Place, wanted: Progress, now: Instant) -> Shown {
        let bar = || Shown::Bar(Schedule::new(now + FIRST_DRAWN, BAR), RecentRate::default());
        let lines = |every| Shown::Lines(Schedule::new(now + every, every));
        match wanted {
            Progress::Off => Shown::Nothing,
            Progress::Plain => lines(LINES_CI),
            // Whoever asks for a bar has somebody who shows it, such as a CI system that passes on escapes.
            Progress::Bar => bar(),
            Progress::Auto if place.is_ci => lines(LINES_CI),
            Progress::Auto if !place.can_erase => lines(LINES),
            // Records that scroll on the terminal would mix with a bar.
            Progress::Auto if place.shows_records => Shown::Nothing,
            Progress::Auto => bar(),
        }
    }

    /// When something is due next; `None` if nothing ever is.
    pub fn next(&self) -> Option<Instant> {
        match self {
            Shown::Nothing => None,
            Shown::Bar(schedule, _) | Shown::Lines(schedule) => Some(schedule.next),
        }
    }

    /// Whether something is due. If so, it counts as shown, and is due again later.
    pub fn is_due(&mut self, now: Instant) -> bool {
        match self {
            Shown::Nothing => false,
            Shown::Bar(schedule, _) | Shown::Lines(schedule) => schedule.is_due(now),
        }
    }

    /// What is shown. `now` is the time on the run's clock, as in the figures, and `message` what a worker said last of
    /// its job.
    pub fn text(&mut self, figures: &Figures, message: &str, now: Instant) -> Text {
        match self {
            Shown::Nothing => Text::Nothing,
            Shown::Bar(_, recent) => {
                let estimate = estimate(figures, now);
                let words = words(figures, estimate, recent.update(figures.ended.total(), now), message);
                Text::Bar(bar::line(&words, estimate.map(|estimate| estimate.share), terminal::columns()))
            }
            Shown::Lines(_) => Text::Line(plain_line(figures, now)),
        }
    }
}

/// When something is due that is done every so often, whatever else is done meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    next: Instant,
    every: Duration,
}

impl Schedule {
    fn new(next: Instant, every: Duration) -> Schedule {
        Schedule { next, every }
    }

    /// Whether it is due. If so, it counts as done, and is due again later.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + self.every;
        }
        is_due
    }
}

/// Jobs per second, over about the last three seconds.
#[derive(Debug, Default)]
pub struct RecentRate {
    /// When the rate was asked for last, and how many jobs had ended by then.
    last: Option<(Instant, u64)>,
    rate: f64,
}

impl RecentRate {
    fn update(&mut self, ended: u64, now: Instant) -> f64 {
        /// The weight of what has been falls to 1/e, about a third, in this many seconds.
        const SECONDS: f64 = 3.0;
        let Some((at, before)) = self.last.replace((now, ended)) else { return 0.0 };
        let passed = now.saturating_duration_since(at).as_secs_f64();
        if passed > 0.0 {
            let rate = (ended - before) as f64 / passed;
            let weight = if self.rate == 0.0 { 1.0 } else { 1.0 - (-passed / SECONDS).exp() };
            self.rate += (rate - self.rate) * weight;
        }
        self.rate
    }
}

fn words(figures: &Figures, estimate: Option<Estimate>, per_second: f64, message: &str) -> Words {
    let ended = figures.ended.total();
    let some = |number: u64, words: &str| (number > 0).then(|| format!("{} {words}", count(number)));
    Words {
        done: match estimate {
            _ if figures.input_ended => format!("{}/{}", count(ended), count(figures.read - figures.restored.total())),
            Some(estimate) => format!("{} ({:.0}%)", count(ended), estimate.share * 100.0),
            None => count(ended),
        },
        rate: rate_words(figures, per_second),
        left: time_left(estimate).map(|left| format!("ETA {left}")),
        failed: some(figures.ended.failed(), "failed"),
        hosts: figures.hosts.map(hosts_words),
        restored: some(figures.restored.total(), "from the journal"),
        message: message.to_owned(),
    }
}

/// `1,200 done, 10 failed, 900 from the journal, 30%, 120/s, about 23 s left`
fn plain_line(figures: &Figures, now: Instant) -> String {
    let estimate = estimate(figures, now);
    let mut parts = vec![format!("{} done", count(figures.ended.total()))];
    for (number, words) in [(figures.ended.failed(), "failed"), (figures.restored.total(), "from the journal")] {
        if number > 0 {
            parts.push(format!("{} {words}", count(number)));
        }
    }
    parts.extend(estimate.map(|estimate| format!("{:.0}%", estimate.share * 100.0)));
    parts.push(rate_words(figures, rate_so_far(figures, now)));
    parts.extend(time_left(estimate).map(|left| format!("about {left} left")));
    parts.extend(figures.hosts.map(hosts_words));
    parts.join(", ")
}

/// `120/s`, and whether it is `--rate` that makes it no more.
fn rate_words(figures: &Figures, per_second: f64) -> String {
    let is_bound = figures.rate.is_some_and(|rate| rate.binds(per_second));
    format!("{}{}", rate(per_second), if is_bound { " (--rate)" } else { "" })
}

/// `4 hosts, 32 workers`, or `3/4 hosts, 24 workers` if one is not ready.
fn hosts_words(hosts: Hosts) -> String {
    let ready = if hosts.ready == hosts.named { String::new() } else { format!("{}/", count(hosts.ready as u64)) };
    format!("{ready}{}, {}", counted(hosts.named as u64, "host"), counted(hosts.workers as u64, "worker"))
}

fn time_left(estimate: Option<Estimate>) -> Option<String> {
    Some(whole_seconds(estimate?.left?.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::super::counters::testing::outcomes;
    use super::super::counters::{ByStatus, Counters};
    use super::*;
    use crate::words::outcome::Status;

    /// The figures of a run whose first job was begun ten seconds ago.
    fn figures(read: u64, ok: usize, failed: usize, now: Instant) -> Figures {
        let counters = Counters::default();
        counters.read(read, read);
        let mut ended = outcomes(Status::Ok, ok);
        ended.extend(outcomes(Status::Error, failed));
        for outcome in &mut ended {
            (outcome.attempts, outcome.elapsed) = (1, Duration::from_secs(10));
        }
        counters.ended(&ended, now);
        counters.snapshot()
    }

    fn line(figures: &Figures, per_second: f64, now: Instant) -> String {
        bar::line(&words(figures, estimate(figures, now), per_second, ""), None, 100)
    }

    #[test]
    fn a_plain_line_says_what_is_known() {
        let now = Instant::now();
        let mut some = figures(2000, 1190, 10, now);
        assert_eq!(plain_line(&some, now), "1,200 done, 10 failed, 120/s");
        some.input_bytes = Some(4000);
        assert_eq!(plain_line(&some, now), "1,200 done, 10 failed, 30%, 120/s, about 23 s left");
        assert_eq!(plain_line(&Figures::default(), now), "0 done, 0.0/s");
        let on = |named, ready, workers| Figures { hosts: Some(Hosts { named, ready, workers }), ..some };
        let check_hosts = |figures: &Figures, expected: &str| {
            assert!(plain_line(figures, now).ends_with(expected), "{}", plain_line(figures, now));
        };
        check_hosts(&on(4, 4, 32), ", 4 hosts, 32 workers");
        check_hosts(&on(4, 3, 24), ", 3/4 hosts, 24 workers");
        check_hosts(&on(1, 1, 1), ", 1 host, 1 worker");
        let bound = |rate: &str| Figures { rate: rate.parse().ok(), ..some };
        assert!(plain_line(&bound("130/s"), now).contains("120/s (--rate)"), "{}", plain_line(&bound("130/s"), now));
        assert!(!plain_line(&bound("150/s"), now).contains("(--rate)"));
    }

    #[test]
    fn what_came_from_the_journal_is_said_apart() {
        let now = Instant::now();
        let mut some = figures(1000, 50, 0, now);
        (some.restored, some.input_ended) = (ByStatus::of(&outcomes(Status::Ok, 900)), true);
        assert_eq!(plain_line(&some, now), "50 done, 900 from the journal, 50%, 5.0/s, about 10 s left");
        assert_eq!(line(&some, 5.0, now), "50/100  5.0/s  ETA 10 s  900 from the journal");
    }

    #[test]
    fn there_is_a_bar_where_one_can_be_drawn_and_lines_elsewhere() {
        let check = |wanted, can_erase, is_ci, shows_records, expected| {
            let now = Instant::now();
            let shown = Shown::at(Place { can_erase, is_ci, shows_records }, wanted, now);
            let seconds = shown.next().map(|next| (next - now).as_secs());
            let got = if matches!(shown, Shown::Bar(..)) { "bar".to_owned() } else { format!("{seconds:?}") };
            assert_eq!(got, expected, "{wanted:?}, {can_erase}, {is_ci}, {shows_records}");
        };
        check(Progress::Bar, true, true, true, "bar");
        check(Progress::Bar, false, false, false, "bar");
        check(Progress::Plain, true, false, false, "Some(10)");
        check(Progress::Off, true, false, false, "None");
        check(Progress::Auto, true, false, false, "bar");
        check(Progress::Auto, true, false, true, "None");
        check(Progress::Auto, true, true, false, "Some(10)");
        check(Progress::Auto, false, false, true, "Some(60)");
    }

    #[test]
    fn the_total_is_known_once_the_input_has_ended() {
        let now = Instant::now();
        let mut some = figures(2000, 500, 0, now);
        assert_eq!(line(&some, 50.0, now), "500  50/s");
        some.input_ended = true;
        assert_eq!(line(&some, 50.0, now), "500/2,000  50/s  ETA 30 s");
    }

    /// What is asked for every so often is due in time, however often something else comes in between.
    #[test]
    fn a_flood_of_notes_puts_nothing_off() {
        let start = Instant::now();
        let bar = Shown::Bar(Schedule::new(start + FIRST_DRAWN, BAR), RecentRate::default());
        let lines = Shown::Lines(Schedule::new(start + LINES_CI, LINES_CI));
        for (mut shown, expected) in [(bar, 600), (lines, 6)] {
            // A note comes each 7 ms, for a minute.
            let moments = (0..60_000 / 7).map(|number| start + Duration::from_millis(7 * number));
            let drawn = moments.filter(|&now| shown.is_due(now)).count();
            assert!((expected * 9 / 10..=expected).contains(&drawn), "{drawn}, expected about {expected}");
        }
    }
}
