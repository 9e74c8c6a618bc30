use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::report::counters::Counters;
use crate::testing::outcome;
use crate::words::doing::Spell;
use crate::words::outcome::Outcome;

const SECOND: Duration = Duration::from_secs(1);

fn facts() -> Facts {
    let settings = vec![("Workers", "2".to_owned())];
    let (worker, command) = ("pet.py".to_owned(), "forkpool --handler pet.py".to_owned());
    Facts {
        worker,
        command,
        settings,
        processors: Some(0.5),
        errors: Vec::new(),
        names: SlotNames::default(),
        paused: Duration::ZERO,
    }
}

/// The page of a run of these outcomes, each of which comes a millisecond after the one before.
fn drawn(workers: u32, outcomes: impl Iterator<Item = Outcome>) -> String {
    let counters = Counters::default();
    let start = Instant::now();
    counters.draw(start, &[]);
    let mut now = start;
    for outcome in outcomes {
        now += Duration::from_millis(1);
        counters.ended(&[outcome], now);
    }
    for slot in 0..workers {
        // Lanes that change all the time, and each at other times.
        let mut from = start;
        for turn in 0..800_u64 {
            let to = from + Duration::from_millis(1 + (turn * 7 + u64::from(slot)) % 13);
            let occupation = Occupation::ALL[(turn as usize + slot as usize) % Occupation::ALL.len()];
            counters.spent(&Spell { slot, occupation, from, to });
            from = to;
        }
    }
    let picture = counters.take_picture().unwrap();
    let summary = Summary {
        figures: counters.snapshot(),
        details: counters.copy_of_details(),
        elapsed: 2 * SECOND,
        stopped: None,
        complete: true,
        unread: None,
        exit_status: 1,
        next: Next::Nothing,
    };
    String::from_utf8(page(&summary, &picture, &facts())).unwrap()
}

fn failing(number: u64, error: serde_json::Value, input: &str) -> Outcome {
    let mut failed = outcome(number, Status::Error);
    failed.payload = Bytes::from(error.to_string());
    failed.job.data = Bytes::copy_from_slice(input.as_bytes());
    failed.elapsed = Duration::from_micros(number);
    failed
}

#[test]
fn the_page_is_small_whatever_the_run() {
    let error = |number: u64| {
        let letters: String = number.to_string().chars().map(|digit| char::from(digit as u8 + 49)).collect();
        serde_json::json!({"name": letters.repeat(200), "message": "<&\"'>".repeat(1 << 14), "hint": "&".repeat(1000)})
    };
    let jobs = (1..=60).flat_map(|group| (0..3).map(move |_| group));
    let page = drawn(64, jobs.map(|number| failing(number, error(number), &"<".repeat(1 << 14))));
    assert!(page.len() <= 200_000, "{}", page.len());
    let usual =
        drawn(64, (1..=2_000).map(|number| failing(number, serde_json::json!({"name": "E", "message": "sad"}), "{}")));
    assert!(usual.len() <= 200_000, "{}", usual.len());
}

#[test]
fn nothing_from_outside_is_markup() {
    let evil = "</code><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}";
    let error = serde_json::json!({"name": evil, "message": evil, "hint": evil});
    let page = drawn(1, std::iter::once(failing(1, error, evil)));
    assert_eq!(page.matches("<script>").count(), 1, "the page's own");
    assert!(!page.contains("<img") && !page.contains('\u{202e}'));
    assert!(page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn the_verdict_says_what_happened() {
    let verdict = |ok: usize, failed: usize, unbegun: usize| {
        let counters = Counters::default();
        for (status, jobs) in [(Status::Ok, ok), (Status::Error, failed), (Status::NotRun, unbegun)] {
            counters.ended(&crate::report::counters::testing::outcomes(status, jobs), Instant::now());
        }
        let (figures, details) = (counters.snapshot(), counters.copy_of_details());
        let (elapsed, next) = (SECOND, Next::Nothing);
        super::verdict(&Summary {
            figures,
            details,
            elapsed,
            stopped: None,
            complete: true,
            unread: None,
            exit_status: 0,
            next,
        })
    };
    assert_eq!(verdict(0, 0, 0), "There were no jobs.");
    assert_eq!(verdict(1, 0, 0), "The job is ok.");
    assert_eq!(verdict(1200, 0, 0), "All 1,200 jobs are ok.");
    assert_eq!(verdict(3, 2, 0), "2 of 5 jobs failed.");
    assert_eq!(verdict(0, 2, 0), "All 2 jobs failed.");
    assert_eq!(verdict(3, 0, 2), "3 of 5 jobs are ok. 2 were never begun.");
    assert_eq!(verdict(0, 0, 2), "None of 2 jobs was begun.");
}
