//! One of the parts that the jobs of an input are divided into, to be run apart: on other machines, or one after the
//! other. Jobs are dealt out like cards, by their numbers, so that nobody needs to know how many there are, and neither
//! a slow stretch of the input nor its end falls to one shard alone.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1 to `count`.
    number: u64,
    count: u64,
}

/// More shards than this are a slip of the finger: no batch system has arrays as large.
const MOST: u64 = 10_000_000;

impl Shard {
    /// All jobs.
    pub const WHOLE: Shard = Shard { number: 1, count: 1 };

    /// `None` unless `number` is one of 1 to `count`.
    pub fn new(number: u64, count: u64) -> Option<Shard> {
        let is_one = (1..=count).contains(&number) && count <= MOST;
        is_one.then_some(Shard { number, count })
    }

    pub fn has(self, job: u64) -> bool {
        (job - 1) % self.count == self.number - 1
    }

    /// How many of the first `jobs` jobs are the shard's.
    pub fn up_to(self, jobs: u64) -> u64 {
        (jobs + self.count - self.number) / self.count
    }

    /// The number of the shard's first job.
    pub fn first(self) -> u64 {
        self.number
    }

    /// From the number of one of the shard's jobs to that of the next; also how many shards there are.
    pub fn step(self) -> u64 {
        self.count
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let (number, count) = text.split_once('/').ok_or("expected K/N such as 3/8, or auto")?;
        let read = |digits: &str| digits.parse::<u64>().map_err(|_| "expected K/N such as 3/8, or auto".to_owned());
        let (number, count) = (read(number)?, read(count)?);
        Shard::new(number, count).ok_or_else(|| match count {
            1..=MOST => format!("the shards of {count} are 1/{count} to {count}/{count}"),
            _ => format!("expected K/N with 1 to {MOST} shards"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_in_exactly_one_shard() {
        for count in 1..=7 {
            let shards: Vec<Shard> = (1..=count).map(|number| Shard::new(number, count).unwrap()).collect();
            for job in 1..=50 {
                let owners: Vec<u64> =
                    shards.iter().filter(|shard| shard.has(job)).map(|shard| shard.first()).collect();
                assert_eq!(owners, [(job - 1) % count + 1], "job {job} of {count} shards");
            }
            for jobs in 0..=50 {
                assert_eq!(shards.iter().map(|shard| shard.up_to(jobs)).sum::<u64>(), jobs);
            }
        }
    }

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!("3/8".parse(), Ok(Shard { number: 3, count: 8 }));
        assert_eq!(Shard { number: 3, count: 8 }.to_string(), "3/8");
        for text in ["", "3", "0/8", "9/8", "1/0", "-1/8", "1/8/2", "a/b", "1/99999999999"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
