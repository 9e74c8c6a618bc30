//! `--junit`: the jobs as test cases, as GitLab, Jenkins and GitHub's actions read them. A CI system shows thousands of
//! cases and chokes on millions, so past a number of jobs only those that failed are listed, and past that number of
//! failed ones no more. The suite's properties have the figures of all jobs.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::report::counters::Figures;
use crate::text::json::field;
use crate::text::people::count;
use crate::words::outcome::{Outcome, Status, error_text};

#[derive(Debug)]
pub struct JUnit {
    /// What ran the jobs: the name of the suite.
    suite: String,
    /// The field of a job that is its own name.
    id: Option<String>,
    cases: Vec<Case>,
    /// Jobs that have ended, listed or not.
    jobs: usize,
    /// How many bytes of long texts of errors may still be kept.
    room: usize,
}

#[derive(Debug)]
struct Case {
    job: u64,
    id: Option<Box<str>>,
    status: Status,
    elapsed: Duration,
    /// `None` for a job that is ok.
    error: Option<Box<JobFailure>>,
}

#[derive(Debug)]
struct JobFailure {
    name: Box<str>,
    message: Box<str>,
    /// The stack, or else the whole message.
    text: Box<str>,
}

/// So many cases are listed.
const CASES: usize = 10_000;
/// Letters of an error's name, of its message and of a job's own name.
const LETTERS: usize = 200;
/// Bytes of the long text of an error, and of all of them together.
const TEXT: usize = 4096;
const TEXTS: usize = 1 << 20;

impl JUnit {
    pub fn new(suite: &str, id: Option<String>) -> JUnit {
        JUnit { suite: suite.to_owned(), id, cases: Vec::new(), jobs: 0, room: TEXTS }
    }

    pub fn ended(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.jobs += 1;
            if self.jobs == CASES + 1 {
                self.cases.retain(|case| case.status.is_failure());
            }
            let is_listed = self.jobs <= CASES || outcome.status.is_failure();
            if is_listed && self.cases.len() < CASES {
                let case = self.case(outcome);
                self.cases.push(case);
            }
        }
    }

    fn case(&mut self, outcome: &Outcome) -> Case {
        let Outcome { job, status, elapsed, .. } = outcome;
        let id = self.id.as_ref().and_then(|name| field(&job.data, name));
        let id = id.map(|raw| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned()));
        let error = (*status != Status::Ok).then(|| Box::new(self.failure(&outcome.payload)));
        let id = id.map(|id: String| cut(&id, LETTERS).into());
        Case { job: job.number, id, status: *status, elapsed: *elapsed, error }
    }

    fn failure(&mut self, error: &[u8]) -> JobFailure {
        let (message, stack) = (error_text(error, "message"), error_text(error, "stack"));
        let text = if stack.is_empty() { &message } else { &stack };
        let mut end = text.len().min(TEXT).min(self.room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.room -= end;
        JobFailure {
            name: cut(&error_text(error, "name"), LETTERS).into(),
            message: cut(message.lines().next().unwrap_or_default(), LETTERS).into(),
            text: text[..end].into(),
        }
    }

    /// The whole file.
    pub fn xml(&mut self, figures: &Figures, elapsed: Duration) -> Vec<u8> {
        self.cases.sort_by_key(|case| case.job);
        let all = figures.all();
        let mut suite = TestSuite::new(&*self.suite);
        suite.set_time(elapsed);
        suite.add_property(("jobs", all.total().to_string().as_str()));
        for status in Status::ALL {
            suite.add_property((status.name(), all.get(status).to_string().as_str()));
        }
        if self.jobs > self.cases.len() {
            let words = format!("{} of {} jobs are listed: those that failed", self.cases.len(), count(all.total()));
            suite.set_system_out(words + if self.cases.len() < CASES { "" } else { ", the first ones" });
        }
        // Dots in the name of a class begin another level in most viewers.
        let class = self.suite.replace('.', "_");
        suite.add_test_cases(self.cases.iter().map(|case| case.test_case(&class)));
        let mut report = Report::new("forkpool");
        report.set_time(elapsed).add_test_suite(suite);
        let xml = report.to_string().expect("a String takes all that is written");
        // Jenkins' schema knows this attribute in the suite only.
        let skipped = format!(" skipped=\"{}\"", report.skipped);
        xml.replacen(&skipped, "", 1).into_bytes()
    }
}

impl Case {
    fn test_case(&self, class: &str) -> TestCase {
        let kind = match self.status {
            Status::Ok => None,
            Status::NotRun => Some(TestCaseStatus::skipped()),
            // The handler has judged the job; everything else is something that went wrong with its run.
            Status::Error => Some(TestCaseStatus::non_success(NonSuccessKind::Failure)),
            _ => Some(TestCaseStatus::non_success(NonSuccessKind::Error)),
        };
        let mut status = kind.unwrap_or_else(TestCaseStatus::success);
        if let Some(error) = &self.error {
            status.set_type(&*error.name).set_message(&*error.message).set_description(&*error.text);
        }
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(": {id}"));
        let mut case = TestCase::new(format!("job {}{id}", self.job), status);
        case.set_classname(class).set_time(self.elapsed);
        case
    }
}

fn cut(text: &str, letters: usize) -> String {
    text.chars().take(letters).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::testing::outcome;

    fn xml(outcomes: &[Outcome]) -> String {
        let mut junit = JUnit::new("pet.py", None);
        junit.ended(outcomes);
        String::from_utf8(junit.xml(&Figures::default(), Duration::from_secs(2))).unwrap()
    }

    #[test]
    fn past_ten_thousand_jobs_only_those_that_failed_are_listed_and_no_more_than_that() {
        let run = |failed: &dyn Fn(u64) -> bool| {
            let status = |number| if failed(number) { Status::Error } else { Status::Ok };
            let outcomes: Vec<Outcome> = (1..=30_000).map(|number| outcome(number, status(number))).collect();
            let xml = xml(&outcomes);
            (xml.matches("<testcase ").count(), xml.matches("<failure ").count(), xml)
        };
        let (cases, failures, xml) = run(&|number| number % 5000 == 0);
        assert_eq!((cases, failures), (6, 6));
        assert!(xml.contains("6 of 0 jobs are listed: those that failed<"), "{}", &xml[..600]);
        let (cases, failures, _) = run(&|_| true);
        assert_eq!((cases, failures), (CASES, CASES));
        let all: Vec<Outcome> = (1..=CASES as u64).map(|number| outcome(number, Status::Ok)).collect();
        assert_eq!(super::tests::xml(&all).matches("<testcase ").count(), CASES);
    }

    #[test]
    fn whatever_an_error_says_is_text() {
        let error = serde_json::json!({"name": "<E>", "message": "a\u{0}b\u{1b}[31m ]]> & \"c\"", "stack": "x".repeat(1 << 21)});
        let odd = Outcome { payload: Bytes::from(error.to_string()), ..outcome(1, Status::Error) };
        let xml = xml(&vec![odd; 500]);
        assert!(xml.contains("message=\"ab ]]&gt; &amp; &quot;c&quot;\" type=\"&lt;E&gt;\""), "{}", &xml[..900]);
        assert!(xml.len() < TEXTS + 500 * 500, "{}", xml.len());
    }

    #[test]
    fn each_kind_of_end_has_its_own_element() {
        let all: Vec<Outcome> = (1..).zip(Status::ALL).map(|(number, status)| outcome(number, status)).collect();
        let xml = xml(&all);
        let count = |words: &str| xml.matches(words).count();
        assert_eq!([count("<failure "), count("<error "), count("<skipped "), count("<testcase ")], [1, 4, 1, 7]);
        assert!(xml.contains("<testsuites name=\"forkpool\" tests=\"7\" failures=\"1\" errors=\"4\" time=\"2.000\">"));
        assert!(xml.contains("classname=\"pet_py\""), "{xml}");
    }
}
