//! `--rate`: how many jobs may be begun in a time.

use std::str::FromStr;
use std::time::Duration;

/// Jobs are given out no faster than one each `interval`, and those that could have been given out before, up to
/// `slack` ago, may follow at once. In any window of time there are no more than `window / interval` jobs, and
/// `slack / interval + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub interval: Duration,
    pub slack: Duration,
}

/// What may be made up for unless a burst is asked for: longer than a thread takes to wake, so that the rate is kept
/// also where jobs are closer together than that.
const LATENESS: Duration = Duration::from_millis(10);

impl Rate {
    /// Whether a run that begins so many jobs in a second is bound by this rate: they are nine tenths of it, or more.
    pub fn binds(&self, per_second: f64) -> bool {
        per_second * self.interval.as_secs_f64() >= 0.9
    }
}

impl FromStr for Rate {
    type Err = String;

    /// `100/s`, `90/m`, `1000/h`, and a burst behind a colon: `100/s:20`. A bare number is per second.
    fn from_str(text: &str) -> Result<Rate, String> {
        let expected = || "expected a rate such as 100/s, 90/m, 1000/h or, with a burst, 100/s:20".to_owned();
        let (rate, burst) = match text.split_once(':') {
            Some((rate, burst)) => (rate, Some(burst.parse::<u32>().map_err(|_| expected())?)),
            None => (text, None),
        };
        let (jobs, unit) = rate.split_once('/').unwrap_or((rate, "s"));
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1.0,
            "m" | "min" | "minute" => 60.0,
            "h" | "hour" => 3600.0,
            _ => return Err(expected()),
        };
        let jobs: f64 = jobs.trim().parse().map_err(|_| expected())?;
        let interval = Duration::try_from_secs_f64(seconds / jobs).ok().filter(|interval| !interval.is_zero());
        let interval = interval.ok_or("it must be more than nothing, and less than a billion a second")?;
        match burst {
            Some(0) => Err("a burst is of one job at least".to_owned()),
            Some(burst) => Ok(Rate { interval, slack: interval.saturating_mul(burst - 1) }),
            None => Ok(Rate { interval, slack: LATENESS }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_jobs_in_a_second_a_minute_or_an_hour() {
        let check = |text: &str, interval_ms: u64, slack_ms: u64| {
            let [interval, slack] = [interval_ms, slack_ms].map(Duration::from_millis);
            assert_eq!(text.parse(), Ok(Rate { interval, slack }), "{text}");
        };
        check("100/s", 10, 10);
        check("100", 10, 10);
        check("0.5/s", 2000, 10);
        check("120/m", 500, 10);
        check("3600/h:1", 1000, 0);
        check("10/s:5", 100, 400);
        let rate: Rate = "10/s".parse().unwrap();
        assert!(rate.binds(9.5) && !rate.binds(8.5));
        for bad in ["", "x", "10/d", "10/s:", "10/s:0", "10/s:x", "0/s", "-1/s", "inf/s", "nan", "1e12/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
