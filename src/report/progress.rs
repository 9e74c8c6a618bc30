//! How far the run is: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::counters::Figures;
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
    start: Instant,
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
        let plain = |every| Shown::Plain(Plain { every, next: now + every, start: now });
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
                Some(plain_line(figures, now.duration_since(plain.start).as_secs_f64()))
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
        let share = figures.share();
        if !self.visible {
            self.visible = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let template = if share.is_some() { "[{bar:20}] {wide_msg}" } else { "{wide_msg}" };
        let style = ProgressStyle::with_template(template).expect("the template is right").progress_chars("=> ");
        self.bar.set_style(style);
        self.bar.set_position((share.unwrap_or(0.0) * 1000.0) as u64);
        let per_second = self.pace.update(figures.all().total(), elapsed.as_secs_f64());
        let mut text = progress_text(figures, share, per_second, elapsed.as_secs_f64());
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

fn progress_text(figures: &Figures, share: Option<f64>, per_second: f64, elapsed: f64) -> String {
    let done = figures.all().total();
    let read = figures.read;
    let ended = figures.input_ended;
    let mut text = match share {
        _ if ended => format!("{}/{}", count(done), count(read)),
        Some(share) => format!("{} ({:.0}%)", count(done), share * 100.0),
        None => count(done),
    };
    text.push_str(&format!("  {}", rate(per_second)));
    if let Some(share) = share.filter(|&share| share > 0.0 && share < 1.0) {
        text.push_str(&format!("  ETA {}", whole_seconds(elapsed * (1.0 - share) / share)));
    }
    let failed = figures.all().failed();
    if failed > 0 {
        text.push_str(&format!("  {} failed", count(failed)));
    }
    text
}

fn plain_line(figures: &Figures, elapsed: f64) -> String {
    let mut text = format!("{} done", count(figures.all().total()));
    if figures.all().failed() > 0 {
        text.push_str(&format!(", {} failed", count(figures.all().failed())));
    }
    let share = figures.share();
    if let Some(share) = share {
        text.push_str(&format!(", {:.0}%", share * 100.0));
    }
    text.push_str(&format!(", {}", rate(figures.all().total() as f64 / elapsed.max(0.001))));
    if let Some(share) = share.filter(|&share| share > 0.0 && share < 1.0) {
        text.push_str(&format!(", about {} left", whole_seconds(elapsed * (1.0 - share) / share)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::counters::Counters;
    use super::super::counters::testing::outcomes;
    use super::*;
    use crate::words::outcome::Status;

    fn figures(read: u64, ok: usize, failed: usize) -> Figures {
        let counters = Counters::default();
        counters.read(read);
        counters.ended(&outcomes(Status::Ok, ok));
        counters.ended(&outcomes(Status::Error, failed));
        counters.snapshot()
    }

    #[test]
    fn a_plain_line_says_what_is_known() {
        let mut some = figures(2000, 1190, 10);
        assert_eq!(plain_line(&some, 10.0), "1,200 done, 10 failed, 120/s");
        some.bytes_total = Some(1000);
        some.bytes_read = 500;
        assert_eq!(plain_line(&some, 10.0), "1,200 done, 10 failed, 30%, 120/s, about 23 s left");
        assert_eq!(plain_line(&figures(0, 0, 0), 10.0), "0 done, 0.0/s");
    }

    #[test]
    fn the_total_is_known_once_the_input_has_ended() {
        let mut some = figures(2000, 500, 0);
        assert_eq!(progress_text(&some, some.share(), 50.0, 10.0), "500  50/s");
        some.input_ended = true;
        assert_eq!(progress_text(&some, some.share(), 50.0, 10.0), "500/2,000  50/s  ETA 30 s");
    }
}
