//! Single values as they are typed: what each may be, and the words for what it may not.

use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::journal::settings::SyncPolicy;
use crate::manual::Page;
use crate::pool::settings::Depth;
use crate::report::settings::Progress;
use crate::text::people::duration;
use crate::words::format::Format;
use crate::words::shard::Shard;
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    Json,
    Lines,
    NodeIpc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RetryOn {
    Died,
    Timeout,
    BadReply,
    Error,
}

impl RetryOn {
    pub const ALL: [RetryOn; 4] = [RetryOn::Died, RetryOn::Timeout, RetryOn::BadReply, RetryOn::Error];
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WorkerCount {
    Exactly(usize),
    Percent(f64),
}

/// `--shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardChoice {
    Given(Shard),
    /// The one of the array's task in which this process runs.
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FailureLimit {
    Count(u64),
    Percent(f64),
}

/// A parser that takes the name of one of these formats: `ndjson`, `csv` …
pub fn format<const N: usize>(formats: [Format; N]) -> impl TypedValueParser<Value = Format> {
    named(formats.map(|format| (format.name(), format)))
}

pub fn page() -> impl TypedValueParser<Value = Page> {
    named([("forkpool", Page::Forkpool), ("worker", Page::Worker)])
}

pub fn progress() -> impl TypedValueParser<Value = Progress> {
    named([("auto", Progress::Auto), ("bar", Progress::Bar), ("plain", Progress::Plain), ("off", Progress::Off)])
}

/// A parser that takes one of these names; completions and error messages list them.
pub fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(|(name, _)| name)).map(move |typed| {
        let chosen = values.iter().find(|(name, _)| *name == typed);
        chosen.expect("the parser has refused every other name").1
    })
}

pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than 0".to_owned()),
        some => Ok(some),
    }
}

pub fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_size::parse_size(text).map_err(|_| "expected a size such as 64KiB, 256MiB or 1GB".to_owned())?;
    match usize::try_from(bytes) {
        Ok(0) => Err("must be above 0".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err("is more than this machine can address".to_owned()),
    }
}

pub fn percent(text: &str) -> Option<Result<f64, String>> {
    let number = text.strip_suffix('%')?;
    Some(match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent.is_finite() => Ok(percent),
        _ => Err("expected a percentage above 0, such as 50%".to_owned()),
    })
}

/// More workers than this are a slip of the finger, not a wish: each is a process and a thread.
const MOST_WORKERS: usize = 10_000;

pub fn worker_count(text: &str) -> Result<WorkerCount, String> {
    if let Some(percent) = percent(text) {
        return percent.map(WorkerCount::Percent);
    }
    match text.parse::<usize>() {
        Ok(0) => Err("at least one worker is needed".to_owned()),
        Ok(n) if n <= MOST_WORKERS => Ok(WorkerCount::Exactly(n)),
        Ok(_) => Err(format!("at most {MOST_WORKERS} workers")),
        Err(_) => Err("expected a number such as 8, or a percentage such as 50%".to_owned()),
    }
}

pub fn depth(text: &str) -> Result<Depth, String> {
    match text.parse::<usize>() {
        Ok(n @ 1..=65_536) => Ok(Depth::Fixed(n)),
        _ if text == "auto" => Ok(Depth::Auto),
        _ => Err("expected auto or a number from 1 to 65536".to_owned()),
    }
}

pub fn failure_limit(text: &str) -> Result<FailureLimit, String> {
    if let Some(percent) = percent(text) {
        return percent.map(FailureLimit::Percent);
    }
    match text.parse::<u64>() {
        Ok(n) if n > 0 => Ok(FailureLimit::Count(n)),
        _ => Err("expected a number above 0, or a percentage such as 5%".to_owned()),
    }
}

pub fn shard(text: &str) -> Result<ShardChoice, String> {
    if text == "auto" { Ok(ShardChoice::Auto) } else { text.parse().map(ShardChoice::Given) }
}

pub fn sync(text: &str) -> Result<SyncPolicy, String> {
    match text {
        "always" => Ok(SyncPolicy::Always),
        "never" => Ok(SyncPolicy::Never),
        _ => positive_duration(text)
            .map(SyncPolicy::Every)
            .map_err(|_| "expected always, never or a duration such as 1s".to_owned()),
    }
}

pub fn signal(text: &str) -> Result<i32, String> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    match name {
        "ABRT" => Ok(libc::SIGABRT),
        "HUP" => Ok(libc::SIGHUP),
        "INT" => Ok(libc::SIGINT),
        "QUIT" => Ok(libc::SIGQUIT),
        "USR1" => Ok(libc::SIGUSR1),
        "USR2" => Ok(libc::SIGUSR2),
        _ => Err("expected one of ABRT, HUP, INT, QUIT, USR1, USR2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_or_decimal_as_written() {
        assert_eq!([size("64KiB"), size("1GB"), size("7")], [Ok(65_536), Ok(1_000_000_000), Ok(7)]);
        assert!(positive_duration("0").is_err());
        assert!(size("0").is_err() && size("much").is_err() && size("-1").is_err());
    }

    #[test]
    fn worker_counts_are_numbers_or_percentages() {
        assert_eq!(worker_count("8"), Ok(WorkerCount::Exactly(8)));
        assert_eq!(worker_count("50%"), Ok(WorkerCount::Percent(50.0)));
        for text in ["0", "-1", "0%", "many", "99999999"] {
            assert!(worker_count(text).is_err(), "{text}");
        }
    }
}
