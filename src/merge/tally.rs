//! What a merge has found: which jobs are there, which are missing, and which are there twice.

use crate::text::people::{count, counted};
use crate::words::exit::Exit;

#[derive(Debug, Default)]
pub struct Tally {
    /// The last job that was found.
    last: u64,
    found: u64,
    failed: u64,
    /// Jobs that are missing; only the first of them.
    gaps: Vec<Gap>,
    /// There are more of them than are told.
    is_full: bool,
    missing: u64,
    /// Jobs that were there again, with the same record.
    same: u64,
    /// Those whose record was another one: the job and the two files; only the first of them.
    conflicts: Vec<(u64, String, String)>,
    conflicting: u64,
    /// A file is cut, so that jobs are missing which nobody could tell if they were the last ones.
    is_cut: bool,
}

/// Jobs that are missing, one after the other, or as far apart as those of a shard that is missing as a whole.
#[derive(Debug)]
struct Gap {
    first: u64,
    last: u64,
    step: u64,
}

/// So many gaps and conflicts are told.
const TOLD: usize = 50;

impl Tally {
    /// The next job is here. Returns the jobs before it that are missing.
    pub fn found(&mut self, job: u64, is_ok: bool) -> std::ops::Range<u64> {
        let missing = self.last + 1..job;
        self.lacks(missing.clone());
        self.last = job;
        self.found += 1;
        self.failed += u64::from(!is_ok);
        missing
    }

    /// A job is here once more.
    pub fn again(&mut self, is_same: bool, files: [&str; 2]) {
        if is_same {
            self.same += 1;
            return;
        }
        self.conflicting += 1;
        if self.conflicts.len() < TOLD {
            self.conflicts.push((self.last, files[0].to_owned(), files[1].to_owned()));
        }
    }

    pub fn is_cut(&mut self) {
        self.is_cut = true;
    }

    /// No job follows. `all` is how many there are, if anybody knows. Returns those behind the last one that are
    /// missing.
    pub fn end(&mut self, all: Option<u64>) -> std::ops::Range<u64> {
        let missing = self.last + 1..all.unwrap_or(self.last) + 1;
        self.lacks(missing.clone());
        missing
    }

    fn lacks(&mut self, jobs: std::ops::Range<u64>) {
        if jobs.is_empty() {
            return;
        }
        self.missing += jobs.end - jobs.start;
        let gap = Gap { first: jobs.start, last: jobs.end - 1, step: 1 };
        let is_told = self.gaps.last_mut().is_some_and(|last| !self.is_full && last.takes(&gap));
        if !is_told && self.gaps.len() == TOLD {
            self.is_full = true;
        }
        if !is_told && !self.is_full {
            self.gaps.push(gap);
        }
    }

    pub fn exit(&self, all: Option<u64>) -> Exit {
        let is_more = all.is_some_and(|all| self.last > all);
        match self.failed {
            _ if self.missing > 0 || self.conflicting > 0 || is_more => Exit::Stopped,
            _ if self.is_cut && all.is_none() => Exit::Stopped,
            0 => Exit::Ok,
            _ => Exit::JobsFailed,
        }
    }

    /// What is wrong, a line each.
    pub fn faults(&self, all: Option<u64>) -> Vec<String> {
        let mut lines = Vec::new();
        if self.missing > 0 {
            let told: Vec<String> = self.gaps.iter().map(Gap::words).collect();
            let told_jobs: u64 = self.gaps.iter().map(Gap::jobs).sum();
            let more = match self.missing - told_jobs {
                0 => String::new(),
                more => format!(" and {} more", count(more)),
            };
            lines.push(format!("{} missing: {}{more}", counted(self.missing, "job"), told.join(", ")));
        }
        for (job, first, second) in &self.conflicts {
            lines.push(format!("job {job} has another record in {second} than in {first}, which was taken"));
        }
        match self.conflicting - self.conflicts.len() as u64 {
            0 => {}
            more => lines.push(format!("and so have {} more", counted(more, "job"))),
        }
        if let Some(all) = all.filter(|all| *all < self.last) {
            lines.push(format!("job {} is there, but the input has only {}", self.last, counted(all, "job")));
        }
        lines
    }

    /// How the merge went, in a line.
    pub fn summary(&self, files: usize) -> String {
        let mut line = format!("{} of {}", counted(self.found, "job"), counted(files as u64, "file"));
        if self.failed > 0 {
            line += &format!(", {} not ok", count(self.failed));
        }
        if self.same > 0 {
            line += &format!(", {} there twice with the same record", count(self.same));
        }
        line
    }
}

impl Gap {
    /// Takes the next gap in, if both are jobs of one shard.
    fn takes(&mut self, next: &Gap) -> bool {
        let distance = next.first - self.last;
        let fits = self.jobs() == 1 || (self.step > 1 && distance == self.step);
        if next.jobs() == 1 && fits {
            self.step = distance;
            self.last = next.last;
            return true;
        }
        false
    }

    fn jobs(&self) -> u64 {
        (self.last - self.first) / self.step + 1
    }

    fn words(&self) -> String {
        let Gap { first, last, step } = self;
        match (self.jobs(), step) {
            (1, _) => first.to_string(),
            (_, 1) => format!("{first}-{last}"),
            (2, _) => format!("{first}, {last}"),
            _ => format!("{first}-{last} in steps of {step}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_in_ranges() {
        let mut tally = Tally::default();
        for job in [2, 3, 7] {
            tally.found(job, true);
        }
        assert_eq!(tally.end(Some(9)), 8..10);
        assert_eq!(tally.faults(Some(9)), ["6 jobs missing: 1, 4-6, 8-9"]);
        assert_eq!(tally.exit(Some(9)), Exit::Stopped);
    }

    #[test]
    fn a_shard_that_is_missing_as_a_whole_is_one_gap() {
        let missing = |jobs: &[u64]| {
            let mut tally = Tally::default();
            for job in (1..=10).filter(|job| !jobs.contains(job)) {
                tally.found(job, true);
            }
            tally.end(Some(10));
            tally.faults(None)[0].clone()
        };
        assert_eq!(missing(&[2, 5, 8]), "3 jobs missing: 2-8 in steps of 3");
        assert_eq!(missing(&[2, 5, 8, 10]), "4 jobs missing: 2-8 in steps of 3, 10");
        assert_eq!(missing(&[2, 9]), "2 jobs missing: 2, 9");
        assert_eq!(missing(&[1, 3, 4, 5]), "4 jobs missing: 1, 3-5");
    }

    #[test]
    fn many_gaps_are_counted_and_only_the_first_are_told() {
        let mut tally = Tally::default();
        for job in 1..=100 {
            tally.found(3 * job, true);
        }
        let faults = tally.faults(None);
        let is_cut = faults[0].ends_with("148-149 and 100 more");
        assert!(faults[0].starts_with("200 jobs missing: 1-2, 4-5, 7-8") && is_cut, "{faults:?}");
    }

    #[test]
    fn the_exit_status_says_whether_all_is_there_and_ok() {
        let tally = |jobs: &[(u64, bool)]| {
            let mut tally = Tally::default();
            for &(job, is_ok) in jobs {
                tally.found(job, is_ok);
            }
            tally
        };
        assert_eq!(tally(&[(1, true), (2, true)]).exit(None), Exit::Ok);
        assert_eq!(tally(&[(1, true), (2, false)]).exit(None), Exit::JobsFailed);
        assert_eq!(tally(&[(1, true), (3, false)]).exit(None), Exit::Stopped);
        assert_eq!(tally(&[(1, true), (2, true)]).exit(Some(1)), Exit::Stopped, "the input is another one");
        for (is_same, expected) in [(true, Exit::Ok), (false, Exit::Stopped)] {
            let mut tally = tally(&[(1, true)]);
            tally.again(is_same, ["a", "b"]);
            assert_eq!(tally.exit(None), expected);
        }
    }
}
