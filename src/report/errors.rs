//! What went wrong, in groups: errors of one name whose messages differ in nothing but their numbers are one group.
//!
//! The groups are bounded, however many different messages there are. When there is no room for another one, those
//! with the fewest jobs make room, and their jobs are counted as "other"; so a group that grows is found also after
//! thousands of messages that come once, and its count is too small by no more than what was dropped of it.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::picture::excerpt;
use crate::words::outcome::{Outcome, Status, error_text};

/// Jobs that failed for what is most likely one reason, as they are told, also in the summary's JSON.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ErrorGroup {
    #[serde(serialize_with = "by_name")]
    pub status: Status,
    pub name: String,
    /// The first line of the message. Where the messages of the jobs differ, each number in it is `#`.
    pub message: String,
    pub jobs: u64,
    /// The number of the first of these jobs in the input.
    pub first_job: u64,
    /// The number of the last of these jobs in the input.
    #[serde(skip)]
    pub last_job: u64,
    /// Some of these jobs, where they are wanted.
    #[serde(skip)]
    pub examples: Vec<Example>,
    /// What the error of the first job that came gives as its `hint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A job that failed, with the beginning of its message and of the job itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub job: u64,
    pub message: String,
    pub input: String,
}

#[derive(Debug, Clone, Default)]
pub struct ErrorGroups {
    /// Examples are wanted, with these fields of the jobs blanked out.
    pub examples: Option<Vec<String>>,
    groups: HashMap<String, Group>,
    /// Jobs of groups that have been dropped.
    other: u64,
    /// The key that is looked up, kept so that its memory is.
    key: String,
}

#[derive(Debug, Clone)]
struct Group {
    /// As it is told where all messages are the same: that of the first job that came.
    group: ErrorGroup,
    /// The messages differ in their numbers.
    varies: bool,
}

/// So many groups are kept: far more than anybody looks at, and a few hundred KiB at most.
const GROUPS: usize = 200;
/// Letters of a message that count, and letters of a name: an error may hold a megabyte.
const LETTERS: usize = 200;
/// So many examples of a group are kept.
const EXAMPLES: usize = 3;

impl ErrorGroups {
    /// Adds what failed of these. A job that was never begun has not failed.
    pub fn add(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes.iter().filter(|outcome| outcome.status.is_failure()) {
            self.add_one(outcome);
        }
    }

    fn add_one(&mut self, outcome: &Outcome) {
        let (name, message) = (text(outcome, "name"), text(outcome, "message"));
        let number = outcome.job.number;
        self.key.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.key, "{}\n{name}\n", outcome.status.name());
        push_without_numbers(&message, &mut self.key);
        if let Some(Group { group, varies }) = self.groups.get_mut(&self.key) {
            group.jobs += 1;
            group.first_job = group.first_job.min(number);
            group.last_job = group.last_job.max(number);
            *varies |= group.message != message;
            if let Some(redact) = self.examples.as_ref().filter(|_| group.examples.len() < EXAMPLES) {
                group.examples.push(Example { job: number, message, input: excerpt(outcome, redact) });
            }
            return;
        }
        if self.groups.len() >= GROUPS {
            self.make_room();
        }
        let (status, first_job, last_job) = (outcome.status, number, number);
        let example =
            |redact: &Vec<String>| Example { job: number, message: message.clone(), input: excerpt(outcome, redact) };
        let examples = self.examples.as_ref().map(example).into_iter().collect();
        let hint = Some(text(outcome, "hint")).filter(|hint| !hint.is_empty());
        let group = ErrorGroup { status, name, message, jobs: 1, first_job, last_job, examples, hint };
        self.groups.insert(self.key.clone(), Group { group, varies: false });
    }

    /// Drops the groups with the fewest jobs.
    fn make_room(&mut self) {
        let fewest = self.groups.values().map(Group::jobs).min().unwrap_or(0);
        let before = self.jobs();
        self.groups.retain(|_, group| group.jobs() > fewest);
        self.other += before - self.jobs();
    }

    fn jobs(&self) -> u64 {
        self.groups.values().map(Group::jobs).sum()
    }

    /// The commonest groups, so many at most, and how many failed jobs are in none of them.
    pub fn commonest(&self, most: usize) -> (Vec<ErrorGroup>, u64) {
        let mut groups: Vec<ErrorGroup> = self.groups.values().map(Group::shown).collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.jobs), group.first_job));
        groups.truncate(most);
        let shown: u64 = groups.iter().map(|group| group.jobs).sum();
        (groups, self.jobs() + self.other - shown)
    }
}

impl Group {
    fn jobs(&self) -> u64 {
        self.group.jobs
    }

    fn shown(&self) -> ErrorGroup {
        let mut shown = self.group.clone();
        if self.varies {
            shown.message.clear();
            push_without_numbers(&self.group.message, &mut shown.message);
        }
        shown
    }
}

fn by_name<S: serde::Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.name())
}

/// The first line of a text field of the error, cut; empty if there is none.
fn text(outcome: &Outcome, name: &str) -> String {
    let text = error_text(&outcome.payload, name);
    text.trim_start().lines().next().unwrap_or_default().chars().take(LETTERS).collect()
}

/// Appends a text to `out`, with `#` for each number: digits, also with a point or a comma between them, and what is
/// written in hexadecimal: `0x7f3a`, a UUID, a digest.
pub fn push_without_numbers(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let number = number_at(rest, &rest[..word]);
        if number > 0 {
            out.push('#');
            rest = &rest[number..];
        } else if word == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            // A word may end in digits, as in `job7`; what stands before them is text.
            let letters = rest[..word].find(|c: char| c.is_ascii_digit()).unwrap_or(word);
            out.push_str(&rest[..letters]);
            rest = &rest[letters..];
        }
    }
}

/// How many bytes the number takes that stands at the beginning of `text`, whose first word is `word`; 0 if none does.
fn number_at(text: &str, word: &str) -> usize {
    /// Fewer hexadecimal digits may be a word, such as "bad" or "face".
    const HEXADECIMAL: usize = 8;
    let is_digit = |c: char| c.is_ascii_digit();
    let hexadecimal = word.strip_prefix("0x").unwrap_or(word);
    let is_marked = hexadecimal.len() < word.len();
    let is_hexadecimal = !hexadecimal.is_empty() && hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hexadecimal && (is_marked || word.len() >= HEXADECIMAL && word.contains(is_digit)) {
        // The parts of a UUID are joined by hyphens.
        let more = |c: char| !(c.is_ascii_hexdigit() || c == '-');
        let end = word.len() + text[word.len()..].find(more).unwrap_or(text.len() - word.len());
        return text[..end].trim_end_matches('-').len();
    }
    if !word.starts_with(is_digit) {
        return 0;
    }
    let end = text.find(|c: char| !(is_digit(c) || c == '.' || c == ',')).unwrap_or(text.len());
    text[..end].trim_end_matches(['.', ',']).len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::counters::testing::outcomes;
    use super::*;

    fn failed(job: u64, name: &str, message: &str) -> Outcome {
        let mut outcome = outcomes(Status::Error, 1).remove(0);
        outcome.job.number = job;
        outcome.payload = Bytes::from(serde_json::json!({ "name": name, "message": message }).to_string());
        outcome
    }

    fn shown(groups: &ErrorGroups, most: usize) -> Vec<String> {
        let (groups, _) = groups.commonest(most);
        let words =
            |group: ErrorGroup| format!("{} {}: {} ({})", group.jobs, group.name, group.message, group.first_job);
        groups.into_iter().map(words).collect()
    }

    #[test]
    fn a_message_is_known_without_its_numbers() {
        let check = |message: &str, expected: &str| {
            let mut out = String::new();
            push_without_numbers(message, &mut out);
            assert_eq!(out, expected, "{message}");
        };
        check("no row 17 in table 3.", "no row # in table #.");
        check("1,234.5 ms, then 2", "# ms, then #");
        check("at 0x7f3a9c: job7 of v2", "at #: job# of v#");
        check("id 1b4e28ba-2fa1-11d2-883f-0016d3cca427 is bad", "id # is bad");
        check("digest 9f86d081884c7d65 of a facade", "digest # of a facade");
        check("é7ü – nothing", "é#ü – nothing");
        check("", "");
    }

    #[test]
    fn the_commonest_come_first_and_each_says_its_first_job() {
        let mut groups = ErrorGroups::default();
        groups.add(&[
            failed(9, "KeyError", "'name'"),
            failed(5, "Timeout", "row 5\nand more"),
            failed(3, "KeyError", "'name'"),
        ]);
        groups.add(&[failed(6, "Timeout", "row 6"), failed(7, "Timeout", "row 7"), failed(2, "Other", "row 2")]);
        groups.add(&outcomes(Status::Ok, 3));
        groups.add(&outcomes(Status::NotRun, 3));
        let all = ["3 Timeout: row # (5)", "2 KeyError: 'name' (3)", "1 Other: row 2 (2)"];
        assert_eq!(shown(&groups, 5), all);
        assert_eq!(groups.commonest(1).1, 3);
    }

    #[test]
    fn a_common_error_is_found_among_thousands_of_others_and_no_job_is_forgotten() {
        let letters =
            |number: u64| number.to_string().chars().map(|digit| char::from(digit as u8 + 49)).collect::<String>();
        let mut groups = ErrorGroups::default();
        for number in 0..10_000 {
            groups.add(&[failed(number, "Rare", &letters(number))]);
            if number % 10 == 0 {
                groups.add(&[failed(number, "Common", "again")]);
            }
        }
        assert!(groups.groups.len() <= GROUPS);
        let (commonest, other) = groups.commonest(1);
        assert_eq!(commonest[0].name, "Common");
        assert_eq!(commonest[0].jobs + other, 11_000);
        assert!(commonest[0].jobs > 900);
    }

    #[test]
    fn an_error_of_any_size_or_shape_takes_little_room() {
        let mut groups = ErrorGroups::default();
        let mut odd = failed(1, "", "");
        odd.payload = Bytes::from_static(b"{\"message\":7}");
        groups.add(&[failed(1, &"n".repeat(1 << 20), &"m".repeat(1 << 20)), odd]);
        assert!(groups.groups.keys().all(|key| key.len() <= 2 * LETTERS + 20));
    }
}
