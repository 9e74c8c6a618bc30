//! The command line: what is refused, what is shown, what the exit status says.

mod support;

use support::forkpool;

#[test]
fn every_job_has_its_record_in_input_order() {
    let names: String = (1..=1000).map(|number| format!("{{\"n\":{number}}}\n")).collect();
    let ended = forkpool(["-j", "2", "--protocol", "lines", "--to", "ndjson", "--", "sed", "-u", "s/n/m/"]);
    let ended = ended.stdin(names).end().check_status(0);
    let records = ended.records();
    assert_eq!(records.len(), 1000);
    assert_eq!(records[999]["data"], "{\"m\":1000}");
}

#[test]
fn a_quiet_run_still_says_why_a_line_has_no_result() {
    let ended = forkpool(["-q", "--protocol", "lines", "--", "cat"]).stdin("\"a\\nb\"\n").end().check_status(1);
    assert_eq!(ended.text(), "\n");
    assert!(ended.stderr.contains("job 1 (line 1) bad_input"), "{}", ended.stderr);
}
