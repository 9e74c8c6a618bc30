//! What bound a run: what its slots spent most of their time with says what would have to be faster.

use crate::report::picture::Spent;
use crate::words::doing::Occupation;

/// What bound the run, in words for people.
#[derive(Debug, PartialEq, Eq)]
pub struct Bound {
    /// `the workers`
    pub who: &'static str,
    /// The figure that it is judged by, in percent of the time of all slots.
    pub percent: u32,
    /// `of their time the workers had jobs`
    pub figure: &'static str,
    /// What would make the run faster.
    pub advice: &'static str,
}

/// What more than so much of the machine's processors do is all that they can do.
const SATURATED: f64 = 0.8;

/// `processors` is how much of all processors' time the run took, in 0..=1. `None` if nothing was done.
pub fn bound(spent: &Spent, processors: f64) -> Option<Bound> {
    let total: f64 = spent.iter().map(|time| time.as_secs_f64()).sum();
    let (index, time) = spent.iter().enumerate().max_by_key(|(index, time)| (**time, usize::MAX - index))?;
    if time.is_zero() {
        return None;
    }
    let percent = (time.as_secs_f64() / total * 100.0).round() as u32;
    let (who, figure, advice) = match Occupation::ALL[index] {
        Occupation::Busy if processors >= SATURATED => (
            "the workers",
            "of their time the workers had jobs, and the processors had no time left",
            "A faster handler or more processors would make it faster; more workers (-j) would not.",
        ),
        Occupation::Busy if percent < 80 => (
            "the workers",
            "of their time the workers had jobs",
            "No single thing held the run up: the bar shows what they waited for in the rest of the time.",
        ),
        Occupation::Busy => (
            "the workers",
            "of their time the workers had jobs",
            "More workers (-j) or, for a handler that waits, --concurrency would make it faster, unless what the jobs wait \
             for is at its limit.",
        ),
        Occupation::Starting => (
            "the start of the workers",
            "of the workers' time went into loading",
            "More jobs for each start would make it pay: fewer workers (-j), fewer recycled ones, or a lighter handler.",
        ),
        Occupation::NoInput => (
            "the input",
            "of their time the workers waited for jobs to be read",
            "Whatever writes the input would have to be faster; more workers would not help.",
        ),
        Occupation::NoOutput => (
            "the output",
            "of their time the workers waited for records to be written",
            "Whatever reads the output, or the disk, would have to be faster; --memory lets more results wait.",
        ),
        Occupation::Held => (
            "the rate",
            "of their time the workers waited because jobs were held back",
            "A higher --rate, or a server that asks for fewer pauses, would make it faster.",
        ),
        Occupation::NothingLeft => (
            "the last jobs",
            "of their time workers had nothing left to do, while others were at the last jobs",
            "Long jobs at the beginning of the input, or fewer workers, would leave fewer idle.",
        ),
        Occupation::Down => (
            "workers that were gone",
            "of the time slots had no worker",
            "The reasons why workers were replaced say what to mend.",
        ),
    };
    Some(Bound { who, percent, figure, advice })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_takes_most_of_the_time_bound_the_run() {
        for (index, who) in
            ["the workers", "the start of the workers", "the input", "the output", "the rate", "the last jobs"]
                .into_iter()
                .enumerate()
        {
            let mut spent = [Duration::from_secs(10); Occupation::ALL.len()];
            spent[index] = Duration::from_secs(60);
            let bound = bound(&spent, 0.5).unwrap();
            assert_eq!((bound.who, bound.percent), (who, 50));
        }
        let mut spent = Spent::default();
        assert_eq!(bound(&spent, 0.5), None);
        spent[Occupation::Busy as usize] = Duration::from_secs(1);
        assert!(bound(&spent, 0.9).unwrap().advice.ends_with("more workers (-j) would not."));
        assert!(bound(&spent, 0.2).unwrap().advice.starts_with("More workers"));
    }
}
