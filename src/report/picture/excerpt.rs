//! The beginning of a job, as it may be shown.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::text::redact::redact;
use crate::words::outcome::Outcome;

/// Letters of a job that are shown.
const LETTERS: usize = 120;

/// The beginning of the job, with these fields blanked out. Empty if its data was not kept.
pub fn excerpt(outcome: &Outcome, fields: &[String]) -> String {
    let data = &outcome.job.data;
    if fields.is_empty() {
        return beginning(data);
    }
    // What is no JSON has no fields that could be found.
    match serde_json::from_slice::<&RawValue>(data) {
        Ok(_) => beginning(&redact(data, fields)),
        Err(_) if data.is_empty() => String::new(),
        Err(_) => "(not shown: --redact finds no fields in what is no JSON)".to_owned(),
    }
}

fn beginning(data: &Bytes) -> String {
    // A letter has four bytes at most, and one that is cut is dropped.
    let start = &data[..data.len().min(LETTERS * 4)];
    let text = String::from_utf8_lossy(start);
    let mut cut: String = text.chars().take(LETTERS).collect();
    if cut.len() < data.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::outcome;
    use crate::words::outcome::Status;

    #[test]
    fn a_job_is_cut_and_its_secrets_are_not_shown() {
        let of = |data: &str, fields: &[&str]| {
            let mut outcome = outcome(1, Status::Ok);
            outcome.job.data = Bytes::copy_from_slice(data.as_bytes());
            excerpt(&outcome, &fields.iter().map(|field| field.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(of("{\"a\":1}", &[]), "{\"a\":1}");
        assert_eq!(of("{\"a\":1,\"b\":2}", &["A"]), "{\"a\":\"[redacted]\",\"b\":2}");
        assert!(!of("{\"a\":1", &["a"]).contains('1'), "the job is no JSON");
        assert_eq!(of("", &["a"]), "");
        let long = of(&"é".repeat(1 << 20), &[]);
        assert_eq!((long.chars().count(), long.ends_with("é…")), (LETTERS + 1, true));
    }
}
