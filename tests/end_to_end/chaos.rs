//! Chaos, end to end: thousands of jobs with random faults, and every one of them has the record it must have.
//!
//! The faults come from a seed, which is printed with a failure; `FORKPOOL_CHAOS_SEED=N` repeats it.

use std::collections::HashMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::chaotic;

/// Random numbers that are the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

fn seed() -> u64 {
    match std::env::var("FORKPOOL_CHAOS_SEED") {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_nanos() as u64,
    }
}

/// How a run is set up.
#[derive(Clone, Copy)]
struct Setup {
    depth: u64,
    retries: u64,
    jobs: u64,
}

/// A job's script, and how it must end.
struct Planned {
    job: Value,
    status: &'static str,
    attempts: u64,
}

fn plan(dice: &mut Dice, setup: Setup) -> Planned {
    let fine = |job: Value| Planned { job, status: "ok", attempts: 1 };
    if dice.roll(100) < 90 {
        return fine(match dice.roll(40) {
            0 => json!({"do": "slow", "n": dice.roll(20)}),
            1 => json!({"do": "crumbs"}),
            2 => json!({"do": "progress", "n": 3}),
            3 => json!({"do": ["say", "recycle"], "text": "purr"}),
            4 => json!({"ballast": "x".repeat(200_000)}),
            5 => json!({"do": "deep", "n": 100}),
            // The worker ends after its answer, and has read no other job, which would be blamed for that.
            6 => json!({"do": ["answer", "exit"], "n": dice.roll(3)}),
            7 => json!({"do": ["answer", "crash"]}),
            _ => json!({}),
        });
    }
    let (mut job, status) = match dice.roll(60) {
        0..15 => (json!({"do": "crash"}), "died"),
        15..20 => (json!({"do": "crash", "signal": "SEGV"}), "died"),
        20..25 => (json!({"do": "abort"}), "died"),
        25..33 => (json!({"do": ["say", "exit"], "n": dice.roll(5)}), "died"),
        33..38 => (json!({"do": ["half", "exit"]}), "died"),
        38..40 => (json!({"do": ["close_stdout", "hang"]}), "died"),
        40..46 => (json!({"do": "garbage"}), "bad_reply"),
        46..48 => (json!({"do": "not_utf8"}), "bad_reply"),
        48..51 => (json!({"do": "stranger"}), "bad_reply"),
        51..58 => (json!({"do": "error"}), "error"),
        58 => (json!({"do": "hang", "limit": 1.0}), "timeout"),
        _ => (json!({"do": "asked", "limit": 1.0}), "timeout"),
    };
    if status == "error" {
        return Planned { job, status, attempts: 1 };
    }
    if setup.depth > 1 && status != "died" {
        // The job hangs at last: a worker that is being ended would else go on to the next job, which would then run a
        // second time elsewhere.
        job["do"] = json!([job["do"], "hang"]);
    }
    // From this attempt on the job is answered.
    let until = 2 + dice.roll(3);
    job["until"] = json!(until);
    if until <= setup.retries + 1 {
        Planned { job, status: "ok", attempts: until }
    } else {
        Planned { job, status, attempts: setup.retries + 1 }
    }
}

fn check(setup: Setup) {
    let seed = seed();
    let Setup { depth, retries, jobs } = setup;
    let mut dice = Dice(seed ^ (depth << 32) ^ retries);
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let mut planned: Vec<Planned> = (0..jobs).map(|_| plan(&mut dice, setup)).collect();
    let mut input = String::new();
    for planned in &mut planned {
        planned.job["count"] = json!(count);
        input.push_str(&planned.job.to_string());
        input.push('\n');
    }
    let words = format!(
        "-j 8 --depth {depth} --retries {retries} --retry-delay 1ms --timeout 60s --timeout-field limit --grace 300ms \
         --meta -- --ready --read-one"
    );
    let ended = chaotic(&words).stdin(input).end();
    let place = format!("FORKPOOL_CHAOS_SEED={seed}, depth {depth}, {retries} retries");
    let stderr = || ended.stderr.lines().rev().take(20).collect::<Vec<_>>().join("\n");
    assert_eq!(ended.status, 1, "{place}: {}", stderr());

    let records = ended.records();
    assert_eq!(records.len(), planned.len(), "{place}: one record for each job: {}", stderr());
    let mut runs: HashMap<u64, u64> = HashMap::new();
    for line in fs::read_to_string(count).unwrap().lines() {
        *runs.entry(line.parse().unwrap()).or_default() += 1;
    }
    for ((record, planned), number) in records.iter().zip(&planned).zip(1..) {
        let place = format!("{place}, job {number}: {}\n{record}", planned.job);
        assert_eq!(record["status"], planned.status, "{place}");
        assert_eq!(record["attempts"], planned.attempts, "{place}");
        if planned.status == "ok" && planned.job["do"] != "deep" {
            assert_eq!(record["data"], planned.job, "{place}");
        }
        assert_eq!(runs.get(&number), Some(&planned.attempts), "{place}: it was begun as often as it was charged");
    }
}

#[test]
fn every_job_has_its_record_without_retries() {
    check(Setup { depth: 1, retries: 0, jobs: 1500 });
}

#[test]
fn every_job_has_its_record_with_retries() {
    check(Setup { depth: 1, retries: 2, jobs: 1000 });
}

#[test]
fn every_job_has_its_record_at_depth() {
    check(Setup { depth: 4, retries: 0, jobs: 1500 });
}

#[test]
fn every_job_has_its_record_at_depth_with_retries() {
    check(Setup { depth: 4, retries: 2, jobs: 1000 });
}
