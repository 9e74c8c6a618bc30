//! The line of the bar, made to fit the terminal.
//!
//! What does not fit is given up in this order: the message of a worker, the bar's own columns, how much came from the
//! journal, the hosts, the rate. How much is done, how long the rest takes and how many jobs failed are what people look for.

use std::io;
use std::sync::{Arc, Mutex};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The parts of the line.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// `500/2,000`, `500 (25%)` or `500`.
    pub done: String,
    pub rate: String,
    pub left: Option<String>,
    pub failed: Option<String>,
    /// `3/4 hosts, 24 workers`, if the workers are not here.
    pub hosts: Option<String>,
    pub restored: Option<String>,
    /// What some worker said last of its job; empty if none has said anything.
    pub message: String,
}

/// The columns of the bar between its brackets: a twentieth is as little as anybody sees move.
const BAR: usize = 20;
/// A bar of fewer columns would say nothing, and is left out.
const SHORTEST_BAR: usize = 5;
/// A message is left out where fewer columns are left: the job's number and a few letters are to be seen.
const SHORTEST_MESSAGE: usize = 12;
/// What stands between the parts of the line.
const GAP: &str = "  ";

/// The line for a terminal of so many columns. `share` is how much is done, in 0..=1, if it is known.
pub fn line(words: &Words, share: Option<f64>, columns: usize) -> String {
    // Many terminals break a line that fills the last column.
    let room = columns.saturating_sub(1);
    let text = cut(&text(words, room), room);
    let mut rest = room - text.width();
    let mut line = String::new();
    if let Some(share) = share {
        // Three columns are for the brackets and a blank.
        let size = BAR.min(rest.saturating_sub(3));
        if size >= SHORTEST_BAR {
            line.push_str(&format!("[{}] ", bar(share, size)));
            rest -= size + 3;
        }
    }
    line.push_str(&text);
    if !words.message.is_empty() && rest >= GAP.len() + SHORTEST_MESSAGE {
        line.push_str(GAP);
        line.push_str(&cut(&words.message, rest - GAP.len()));
    }
    line
}

/// The text of the line: as many of its parts as fit, the less important ones left out first.
fn text(words: &Words, room: usize) -> String {
    let (done, rate) = (Some(words.done.as_str()), Some(words.rate.as_str()));
    let (left, failed, hosts) = (words.left.as_deref(), words.failed.as_deref(), words.hosts.as_deref());
    let choices = [
        [done, rate, left, failed, hosts, words.restored.as_deref()],
        [done, rate, left, failed, hosts, None],
        [done, rate, left, failed, None, None],
        [done, None, left, failed, None, None],
    ];
    let [all, fewer, few, fewest] = choices.map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join(GAP));
    [all, fewer, few].into_iter().find(|text| text.width() <= room).unwrap_or(fewest)
}

/// The bar itself, without brackets, of so many columns.
fn bar(share: f64, size: usize) -> String {
    /// Finer steps than any bar has columns.
    const STEPS: u64 = 10_000;
    let canvas = Canvas::default();
    // The bar is drawn once and must be, so no limit of how often it is drawn may hold that back.
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(canvas.clone()), u8::MAX);
    let style =
        ProgressStyle::with_template(&format!("{{bar:{size}}}")).expect("the template names a bar and its columns");
    let bar = ProgressBar::with_draw_target(Some(STEPS), target).with_style(style.progress_chars("=> "));
    bar.set_position((share * STEPS as f64) as u64);
    bar.abandon();
    let drawn = canvas.take();
    format!("{:size$}", drawn.trim_end())
}

/// What indicatif draws on instead of the terminal, where `screen` puts the whole line.
#[derive(Debug, Clone, Default)]
struct Canvas(Arc<Mutex<String>>);

impl Canvas {
    fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().expect("no thread panics while it holds this lock"))
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        u16::try_from(BAR).expect("a bar is a few columns")
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().expect("no thread panics while it holds this lock").push_str(text);
        Ok(())
    }

    /// A line that is cleared is drawn again from its beginning.
    fn clear_line(&self) -> io::Result<()> {
        self.take();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The beginning of a text that fits into so many columns.
fn cut(text: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= columns
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words {
            done: "12,345 (62%)".to_owned(),
            rate: "1,234/s".to_owned(),
            left: Some("ETA 3 min 5 s".to_owned()),
            failed: Some("12 failed".to_owned()),
            hosts: None,
            restored: Some("900 from the journal".to_owned()),
            message: "job 7: loading".to_owned(),
        }
    }

    #[track_caller]
    fn check(columns: usize, expected: &str) {
        assert_eq!(line(&words(), Some(0.62), columns), expected);
        assert!(expected.width() < columns);
    }

    #[test]
    fn a_narrow_terminal_loses_the_bar_before_the_time_and_the_failures() {
        let long = "12,345 (62%)  1,234/s  ETA 3 min 5 s  12 failed  900 from the journal";
        check(120, &format!("[============>       ] {long}  job 7: loading"));
        check(100, &format!("[============>       ] {long}"));
        check(80, &format!("[====>  ] {long}"));
        check(72, long);
        check(60, "[=====>   ] 12,345 (62%)  1,234/s  ETA 3 min 5 s  12 failed");
        check(40, "12,345 (62%)  ETA 3 min 5 s  12 failed");
        check(20, "12,345 (62%)  ETA 3");
    }

    #[test]
    fn the_hosts_are_given_up_before_the_rate() {
        let words = Words { hosts: Some("3/4 hosts, 24 workers".to_owned()), message: String::new(), ..words() };
        let long = "12,345 (62%)  1,234/s  ETA 3 min 5 s  12 failed  3/4 hosts, 24 workers  900 from the journal";
        assert_eq!(line(&words, None, 100), long);
        assert_eq!(line(&words, None, 80), "12,345 (62%)  1,234/s  ETA 3 min 5 s  12 failed  3/4 hosts, 24 workers");
        assert_eq!(line(&words, None, 60), "12,345 (62%)  1,234/s  ETA 3 min 5 s  12 failed");
    }

    #[test]
    fn a_wide_letter_takes_two_columns() {
        let words = Words { done: "1".to_owned(), message: "job 1: 猫猫猫猫".to_owned(), ..Words::default() };
        assert_eq!(line(&words, None, 19), "1    job 1: 猫猫猫");
        assert_eq!(line(&words, None, 1), "");
    }

    #[test]
    fn the_bar_is_full_only_at_the_end() {
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| bar(share, 5)), ["     ", "==>  ", "====>", "====="]);
    }
}
