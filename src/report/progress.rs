//! How far the run is: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::counters::Figures;
use super::estimate::{Estimate, estimate, rate as usual_rate};
use crate::report::settings::{Progress, ReportSettings, Verbosity};
use crate::text::people::{count, rate, whole_seconds};

pub enum Shown {
    Nothing,
    Bar(Bar),
    Plain(Plain),
}

pub struct Bar {
    bar: ProgressBar,
    pace: Pace,
    start: Instant,
    visible: bool,
}

pub struct Plain {
    every: Duration,
    next: Instant,
}

/// A run that is over by then needs no bar.
const FIRST_DRAWN: Duration = Duration::from_millis(300);
/// Somebody reads the log of a CI run while it runs, and some systems end one that is silent.
const PLAIN_CI: Duration = Duration::from_secs(10);
/// Elsewhere the log is read later, if at all.
const PLAIN: Duration = Duration::from_secs(60);

impl Shown {
    pub fn new(settings: &ReportSettings) -> Shown {
        let now = Instant::now();
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
        let plain = |every| Shown::Plain(Plain { every, next: now + every });
        match settings.progress {
            _ if settings.verbosity == Verbosity::Quiet => Shown::Nothing,
            Progress::Off => Shown::Nothing,
            Progress::Plain => plain(PLAIN_CI),
            Progress::Bar => Shown::Bar(Bar::new(now)),
            // Records that scroll on the terminal would mix with a bar.
            Progress::Auto if std::io::stderr().is_terminal() && !ci => {
                if std::io::stdout().is_terminal() && settings.records_on_stdout {
                    Shown::Nothing
                } else {
                    Shown::Bar(Bar::new(now))
                }
            }
            Progress::Auto => plain(if ci { PLAIN_CI } else { PLAIN }),
        }
    }

    /// When `tick` is due next.
    pub fn next(&self, now: Instant) -> Instant {
        match self {
            Shown::Nothing => now + Duration::from_secs(3600),
            // Ten times a second is as often as anybody can look.
            Shown::Bar(_) => now + Duration::from_millis(100),
            Shown::Plain(plain) => plain.next,
        }
    }

    /// Draws the bar, or returns the plain line that is due.
    pub fn tick(&mut self, figures: &Figures, message: &str, now: Instant) -> Option<String> {
        match self {
            Shown::Nothing => None,
            Shown::Bar(bar) => {
                bar.draw(figures, message, now);
                None
            }
            Shown::Plain(plain) if plain.next <= now => {
                plain.next = now + plain.every;
                Some(plain_line(figures, now))
            }
            Shown::Plain(_) => None,
        }
    }

    /// Runs `write` while no bar is on the screen.
    pub fn aside(&self, write: impl FnOnce()) {
        match self {
            Shown::Bar(bar) if bar.visible => bar.bar.suspend(write),
            _ => write(),
        }
    }

    pub fn end(&mut self) {
        if let Shown::Bar(bar) = self {
            bar.bar.finish_and_clear();
            bar.visible = false;
        }
    }
}

impl Bar {
    fn new(now: Instant) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::hidden());
        Bar { bar, pace: Pace::default(), start: now, visible: false }
    }

    fn draw(&mut self, figures: &Figures, message: &str, now: Instant) {
        let elapsed = now.duration_since(self.start);
        if elapsed < FIRST_DRAWN {
            return;
        }
        let estimate = estimate(figures, now);
        if !self.visible {
            self.visible = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let template = if estimate.is_some() { "[{bar:20}] {wide_msg}" } else { "{wide_msg}" };
        let style = ProgressStyle::with_template(template).expect("the template is right").progress_chars("=> ");
        self.bar.set_style(style);
        self.bar.set_position((estimate.map_or(0.0, |estimate| estimate.share) * 1000.0) as u64);
        let per_second = self.pace.update(figures.ended.total(), elapsed.as_secs_f64());
        let mut text = progress_text(figures, estimate, per_second);
        if !message.is_empty() {
            text.push_str("  ");
            text.push_str(message);
        }
        self.bar.set_message(text);
    }
}

/// Jobs per second, over about the last three seconds.
#[derive(Default)]
struct Pace {
    done: u64,
    at: f64,
    rate: f64,
}

impl Pace {
    fn update(&mut self, done: u64, at: f64) -> f64 {
        let passed = at - self.at;
        if passed > 0.0 {
            let now = (done - self.done) as f64 / passed;
            let weight = if self.at == 0.0 { 1.0 } else { 1.0 - (-passed / 3.0).exp() };
            self.rate += (now - self.rate) * weight;
            (self.done, self.at) = (done, at);
        }
        self.rate
    }
}

/// `500/2,000  50/s  ETA 30 s  10 failed  900 from the journal`
fn progress_text(figures: &Figures, estimate: Option<Estimate>, per_second: f64) -> String {
    let ended = figures.ended.total();
    let mut text = match estimate {
        _ if figures.input_ended => format!("{}/{}", count(ended), count(figures.read - figures.restored.total())),
        Some(estimate) => format!("{} ({:.0}%)", count(ended), estimate.share * 100.0),
        None => count(ended),
    };
    text.push_str(&format!("  {}", rate(per_second)));
    if let Some(left) = estimate.and_then(|estimate| estimate.left) {
        text.push_str(&format!("  ETA {}", whole_seconds(left.as_secs_f64())));
    }
    if figures.ended.failed() > 0 {
        text.push_str(&format!("  {} failed", count(figures.ended.failed())));
    }
    if figures.restored.total() > 0 {
        text.push_str(&format!("  {} from the journal", count(figures.restored.total())));
    }
    text
}

/// `1,200 done, 10 failed, 900 from the journal, 30%, 120/s, about 23 s left`
fn plain_line(figures: &Figures, now: Instant) -> String {
    let mut text = format!("{} done", count(figures.ended.total()));
    if figures.ended.failed() > 0 {
        text.push_str(&format!(", {} failed", count(figures.ended.failed())));
    }
    if figures.restored.total() > 0 {
        text.push_str(&format!(", {} from the journal", count(figures.restored.total())));
    }
    let estimate = estimate(figures, now);
    if let Some(estimate) = estimate {
        text.push_str(&format!(", {:.0}%", estimate.share * 100.0));
    }
    text.push_str(&format!(", {}", rate(usual_rate(figures, now))));
    if let Some(left) = estimate.and_then(|estimate| estimate.left) {
        text.push_str(&format!(", about {} left", whole_seconds(left.as_secs_f64())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::counters::testing::outcomes;
    use super::super::counters::{ByStatus, Counters};
    use super::*;
    use crate::words::outcome::Status;

    /// Ten seconds after the first job was begun.
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

    #[test]
    fn a_plain_line_says_what_is_known() {
        let now = Instant::now();
        let mut some = figures(2000, 1190, 10, now);
        assert_eq!(plain_line(&some, now), "1,200 done, 10 failed, 120/s");
        some.input_bytes = Some(4000);
        assert_eq!(plain_line(&some, now), "1,200 done, 10 failed, 30%, 120/s, about 23 s left");
        assert_eq!(plain_line(&Figures::default(), now), "0 done, 0.0/s");
    }

    #[test]
    fn what_came_from_the_journal_is_said_apart() {
        let now = Instant::now();
        let mut some = figures(1000, 50, 0, now);
        (some.restored, some.input_ended) = (ByStatus::of(&outcomes(Status::Ok, 900)), true);
        assert_eq!(plain_line(&some, now), "50 done, 900 from the journal, 50%, 5.0/s, about 10 s left");
        assert_eq!(progress_text(&some, estimate(&some, now), 5.0), "50/100  5.0/s  ETA 10 s  900 from the journal");
    }

    #[test]
    fn the_total_is_known_once_the_input_has_ended() {
        let now = Instant::now();
        let mut some = figures(2000, 500, 0, now);
        assert_eq!(progress_text(&some, estimate(&some, now), 50.0), "500  50/s");
        some.input_ended = true;
        assert_eq!(progress_text(&some, estimate(&some, now), 50.0), "500/2,000  50/s  ETA 30 s");
    }
}
