//! Journals that were harmed: what is sound is kept, and the rest is set aside and run again.

use std::fs;

use super::{LINES, Place, check_refused, numbered};

/// Damages the journal of 40 jobs, and resumes. Returns how many jobs were run again.
#[track_caller]
fn check_damage(harm: impl FnOnce(&mut Vec<u8>)) -> usize {
    let place = Place::new();
    place.write("in", numbered(40));
    place.echo(LINES).end().check_status(0);
    let out = place.read("out");
    place.take_ran();
    let mut journal = fs::read(place.path("journal")).unwrap();
    harm(&mut journal);
    fs::write(place.path("journal"), &journal).unwrap();

    let ended = place.echo(&format!("{LINES} --resume")).end().check_status(0);
    assert_eq!(place.read("out"), out);
    let ran = place.take_ran();
    let kept = 40 - ran.len();
    assert!(ended.stderr.contains(&format!("moved to journal.damaged, {kept} outcome")), "{}", ended.stderr);
    assert!(!fs::read(place.path("journal.damaged")).unwrap().is_empty());
    assert_eq!(place.journaled().len(), 40);

    let again = place.echo(&format!("{LINES} --resume")).end().check_status(0);
    assert!(!again.stderr.contains("damaged"), "it is whole again: {}", again.stderr);
    assert_eq!(place.take_ran(), Vec::<String>::new());
    assert_eq!(place.read("out"), out);
    ran.len()
}

/// Where the journal's line `number` begins, from 0; the header is 0.
fn line_start(journal: &[u8], number: usize) -> usize {
    journal.split_inclusive(|&byte| byte == b'\n').take(number).map(<[u8]>::len).sum()
}

#[test]
fn a_half_written_last_line_costs_its_job() {
    assert_eq!(check_damage(|journal| journal.truncate(journal.len() - 1)), 1);
    assert_eq!(check_damage(|journal| journal.truncate(line_start(journal, 40) + 1)), 1);
}

#[test]
fn zeroes_after_a_power_cut_cost_what_they_cover() {
    assert_eq!(check_damage(|journal| journal.extend([0; 10_000])), 0);
    assert_eq!(
        check_damage(|journal| {
            journal.truncate(line_start(journal, 38) + 20);
            journal.extend([0; 4096]);
        }),
        3
    );
}

#[test]
fn damage_in_the_middle_costs_what_it_touches() {
    let flip = |journal: &mut Vec<u8>| {
        let at = line_start(journal, 7) + 30;
        journal[at] ^= 4;
    };
    assert_eq!(check_damage(flip), 1);
    let zeroes = |journal: &mut Vec<u8>| {
        let range = line_start(journal, 7)..line_start(journal, 12);
        journal[range].fill(0);
    };
    assert_eq!(check_damage(zeroes), 5);
    let lost_line_end = |journal: &mut Vec<u8>| {
        journal.remove(line_start(journal, 8) - 1);
    };
    assert_eq!(check_damage(lost_line_end), 1);
}

#[test]
fn outcomes_prove_whose_they_are_without_the_header() {
    assert_eq!(check_damage(|journal| journal[20] ^= 1), 0);

    let place = Place::new();
    place.write("in", numbered(5));
    place.echo(LINES).end().check_status(0);
    let journal = place.read("journal");
    let (header, outcomes) = journal.split_at(line_start(journal.as_bytes(), 1));
    place.write("journal", outcomes);
    place.take_ran();
    place.write("in", numbered(6));
    place.echo(&format!("{LINES} --resume")).end().check_status(0);
    assert_eq!(place.take_ran(), ["line 6"]);
    let journal = place.read("journal");
    assert!(journal.starts_with(&format!("{outcomes}{header}")), "it has a header again: {journal}");
}

#[test]
fn outcomes_of_another_worker_without_a_header_are_refused() {
    let place = Place::new();
    place.write("in", numbered(5));
    place.echo(LINES).end().check_status(0);
    place.take_ran();
    let mut journal = fs::read(place.path("journal")).unwrap();
    journal[20] ^= 1;
    fs::write(place.path("journal"), &journal).unwrap();
    check_refused(&place, LINES, &["sed", "-u", ""], "its first line cannot be read");
}

#[test]
fn the_beginning_of_a_header_is_started_anew() {
    for content in [b"{\"sum\":\"0123".as_slice(), &[0; 512], b"{\"sum\":\"0123\0\0\0"] {
        let place = Place::new();
        place.write("in", numbered(3));
        place.write("journal", content);
        place.echo(&format!("{LINES} --resume")).end().check_status(0);
        assert_eq!(place.journaled().len(), 3);
        assert!(place.read("journal").starts_with("{\"sum\""));
    }
}
