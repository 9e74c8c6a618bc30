//! Text for people: foreign bytes made harmless, numbers with separators, seconds in words.

use std::borrow::Cow;
use std::time::Duration;

/// Control characters, and those that reorder text, shown as escapes (CWE-150); tab and line feed stay.
pub fn escape(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !(c.is_control() || is_bidi(c)) || c == '\t' || c == '\n';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            _ if harmless(c) => escaped.push(c),
            '\0'..='\x7f' => escaped.push_str(&format!("\\x{:02x}", c as u32)),
            _ => escaped.push_str(&format!("\\u{{{:x}}}", c as u32)),
        }
    }
    Cow::Owned(escaped)
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Like `escape`, for bytes: those that are not UTF-8 are shown as one escape each.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        escaped.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            escaped.push_str(&format!("\\x{byte:02x}"));
        }
    }
    escaped
}

/// So many letters of a text at most, with `…` where there are more.
pub fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `1,234,567`
pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// `1,219 jobs`, `1 job`
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A time in the unit that fits: `0.31 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 9.95 { format!("{seconds:.2} s") } else { whole_seconds(seconds) }
}

/// Like `seconds`, but in whole seconds and at least one, for a time that is only an estimate: `3 s`.
pub fn whole_seconds(seconds: f64) -> String {
    let whole = seconds.round().max(1.0) as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A time that may be very short, in the unit that fits: `40 µs`, `1.2 ms`, `85 ms`, `2.31 s`, `3 min 5 s`.
pub fn short_time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..9950 => format!("{:.1} ms", micros as f64 / 1e3),
        9950..999_500 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => seconds(time.as_secs_f64()),
    }
}

/// Jobs per second, with a digit after the point while there are few.
pub fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}/s") } else { format!("{}/s", count(per_second.round() as u64)) }
}

/// `500ms`, `30s`, `2m`, `1h30m`; a bare number, also with a fraction, is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unclear = || "expected a duration such as 500ms, 30s or 2m; a bare number is seconds".to_owned();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| unclear());
    }
    humantime::parse_duration(text).map_err(|_| unclear())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_harmless() {
        assert_eq!(escape("a\tb é ✓"), "a\tb é ✓");
        assert_eq!(escape("\x1b[31m\r\0\u{9b}\u{202e}"), "\\x1b[31m\\x0d\\x00\\u{9b}\\u{202e}");
        assert_eq!(escape_bytes(b"a\xffb\x1b"), "a\\xffb\\x1b");
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.314, 12.4, 185.0, 7800.0].map(seconds), ["0.31 s", "12 s", "3 min 5 s", "2 h 10 min"]);
        let times = [0, 999, 1250, 9_949, 9_950, 999_499, 999_500, 12_000_000].map(Duration::from_micros);
        let expected = ["0 µs", "999 µs", "1.2 ms", "9.9 ms", "10 ms", "999 ms", "1.00 s", "12 s"];
        assert_eq!(times.map(short_time), expected);
        assert_eq!([0.5, 9.99, 10.2, 12_345.6].map(rate), ["0.5/s", "10.0/s", "10/s", "12,346/s"]);
        assert_eq!((counted(1, "job"), counted(2, "job")), ("1 job".to_owned(), "2 jobs".to_owned()));
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        let good =
            [("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h30m", 5_400_000), ("0.25", 250), ("3", 3_000)];
        for (text, ms) in good {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "-1", "nan", "inf", "soon", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
