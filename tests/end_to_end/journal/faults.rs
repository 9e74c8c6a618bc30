//! Runs that were cut short: by a full disk, a signal, a reader that leaves, and SIGKILL again and again.

use std::fs;

use super::{LINES, Place, numbered, results};
use crate::support::{self, Ended, HANG, Run, forkpool, kill, shell, wait_for};

#[test]
fn a_full_disk_stops_the_run_and_leaves_a_journal_that_resumes() {
    let place = Place::new();
    place.write("in", numbered(400));
    let flags = "-j 2 --from lines --protocol lines --to ndjson";
    // The limit is in blocks of 512 bytes, and of all files that the run writes only the journal becomes so large.
    let script = format!("ulimit -f 20; exec forkpool --journal journal {flags} -- sed -u '' < in > out");
    let ended = shell(&script, place.folder.path()).end().check_status(4);
    assert!(ended.stderr.contains("cannot write to the journal journal: File too large"), "{}", ended.stderr);
    let (out, journaled) = (support::records(place.read("out").as_bytes()).len(), place.journaled().len());
    assert!(journaled > 10 && out <= journaled, "{out} records, {journaled} outcomes");

    let ended = place.run(&format!("{flags} --resume -i in"), &["sed", "-u", ""]).end().check_status(0);
    assert!(!ended.stderr.contains("damaged"), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("; {journaled} from the journal")), "{}", ended.stderr);
    assert_eq!(ended.records().len(), 400);
    assert_eq!(place.journaled().len(), 400);
}

#[test]
fn a_journal_that_cannot_be_made_is_refused_before_any_job() {
    let place = Place::new();
    place.write("in", numbered(3));
    let ended = forkpool(["--journal", "no/where", "-i", "in", "--protocol", "lines", "--", "cat"]);
    let ended = ended.current_dir(place.folder.path()).end().check_status(2);
    assert!(ended.stderr.contains("cannot use the journal no/where"), "{}", ended.stderr);
}

#[test]
fn a_reader_that_leaves_and_a_signal_lose_nothing() {
    let place = Place::new();
    let jobs = numbered(5000);
    place.write("in", &jobs);
    let flags = "-j 2 -i in --from lines --protocol lines";
    let script = format!("forkpool --journal journal --resume {flags} -- sed -u '' | head -n 1");
    assert_eq!(shell(&script, place.folder.path()).end().check_status(0).text(), "line 1\n");
    for _ in 0..3 {
        let mut run = place.run(&format!("{flags} --resume"), &["sed", "-u", ""]).start();
        let before = fs::metadata(place.path("journal")).unwrap().len();
        let id = run.id();
        wait_for(HANG, || {
            let grown = fs::metadata(place.path("journal")).unwrap().len() > before;
            Some(()).filter(|()| grown || run.child().try_wait().unwrap().is_some())
        });
        kill(id, libc::SIGTERM);
        let ended = run.end();
        assert!([0, 143].contains(&ended.status), "{}", ended.stderr);
    }
    let ended = place.run(&format!("{flags} --resume"), &["sed", "-u", ""]).end().check_status(0);
    assert_eq!(ended.text(), jobs);
    let ok = place.journaled().into_iter().filter(|status| status == "ok").count();
    assert_eq!(ok, 5000, "a job that ended ok is not run again");
}

#[test]
fn a_loop_in_the_shell_goes_on_for_as_long_as_runs_are_killed() {
    let place = Place::new();
    place.write("in", numbered(30));
    // A worker that kills the run that it works for, once at each of these lines.
    place.write(
        "worker.sh",
        r#"while IFS= read -r line; do
            case $line in *7|*23) [ -e "$line" ] || { touch "$line"; kill -KILL $PPID; } ;; esac
            printf '%s\n' "$line"
        done"#,
    );
    let script = "
        until forkpool --journal journal --resume -j 1 -i in --from lines --protocol lines -o out -- sh worker.sh
        do  status=$?
            echo $status
            [ $status -ge 129 ] || break
        done";
    let ended = shell(script, place.folder.path()).end().check_status(0);
    assert_eq!(ended.text(), "137\n137\n137\n137\n");
    assert_eq!(place.read("out"), numbered(30));
}

/// Random numbers that are the same in every run of the test (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Kills a run when its journal has grown by so many bytes, unless it ends before.
fn kill_in_the_middle(place: &Place, run: Run, growth: u64) -> Ended {
    let length = || fs::metadata(place.path("journal")).map_or(0, |file| file.len());
    let before = length();
    let mut running = run.start();
    let id = running.id();
    // The journal is looked at without a pause, so that the kill comes in the middle of whatever the run does next.
    while length() < before + growth && running.child().try_wait().unwrap().is_none() {}
    kill(id, libc::SIGKILL);
    running.end_leaving_processes()
}

#[test]
fn killed_hundreds_of_times_a_run_ends_with_the_output_of_an_undisturbed_one() {
    const JOBS: usize = 1000;
    const WINDOW: usize = 8;
    let jobs: String = (1..=JOBS).map(|number| format!("{{\"n\":{number},\"same\":[1.0,1e400]}}\n")).collect();
    let flags = format!("-j 2 -i in --protocol lines --to ndjson -o out --window {WINDOW} --resume");
    let whole = Place::new();
    whole.write("in", &jobs);
    whole.echo(&flags).end().check_status(0);

    let mut dice = Dice(0x5eed);
    let mut kills = 0;
    while kills < 200 {
        let place = Place::new();
        place.write("in", &jobs);
        let kills_before = kills;
        loop {
            // Now and then the kill comes at once, while the journal is being read or mended.
            let growth = if dice.below(4) == 0 { 0 } else { dice.below(2000) };
            let ended = kill_in_the_middle(&place, place.echo(&flags), growth);
            match ended.status {
                137 => kills += 1,
                status => {
                    assert_eq!(status, 0, "{}", ended.stderr);
                    break;
                }
            }
        }
        assert_eq!(place.read("out"), whole.read("out"));
        let ran = place.lines("ran").len();
        let most = JOBS + (kills - kills_before) * WINDOW;
        assert!(
            (JOBS..=most).contains(&ran),
            "{ran} jobs were run: only those in flight are run again, {most} at most"
        );
    }
}

#[test]
fn killed_between_damages_a_run_still_ends_with_the_same_output() {
    let jobs = numbered(300);
    let mut dice = Dice(0xbad5eed);
    let place = Place::new();
    place.write("in", &jobs);
    let flags = format!("{LINES} --resume");
    for _ in 0..60 {
        let growth = dice.below(3000);
        let ended = kill_in_the_middle(&place, place.echo(&flags), growth);
        match ended.status {
            0 | 137 => {}
            // No sound line of the journal is left, nor the beginning of the first one: it cannot be told from another
            // file.
            2 => fs::remove_file(place.path("journal")).unwrap(),
            _ => panic!("{}", ended.stderr),
        }
        // The journal may not have been made yet.
        let mut journal = fs::read(place.path("journal")).unwrap_or_default();
        if journal.is_empty() {
            continue;
        }
        let at = dice.below(journal.len() as u64) as usize;
        match dice.below(3) {
            0 => journal.truncate(at.max(60)),
            1 => journal[at] ^= 1 << dice.below(8),
            _ => {
                let end = (at + 200).min(journal.len());
                journal[at.max(60).min(end)..end].fill(0);
            }
        }
        fs::write(place.path("journal"), journal).unwrap();
    }
    place.echo(&flags).end().check_status(0);
    assert_eq!(results(&place), jobs.lines().collect::<Vec<_>>());
}
