//! Hosts on which forkpool is not installed.

use std::fs;
use std::path::Path;

use super::{run, with};
use crate::support::forkpool;

/// Runs a command as a host would that has nothing but what every system has.
const LAUNCH: &str = "sh host.sh {host}";

fn scene() -> tempfile::TempDir {
    let folder = with(&super::jobs(4, 0, ""));
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let script = format!("shift\nPATH=/usr/bin:/bin HOME='{}' exec \"$@\"\n", home.display());
    fs::write(folder.path().join("host.sh"), script).unwrap();
    folder
}

/// The files in the cache of the hosts.
fn cached(folder: &Path) -> Vec<fs::DirEntry> {
    let cache = folder.join("home/.cache/forkpool");
    fs::read_dir(cache).into_iter().flatten().map(Result::unwrap).collect()
}

#[test]
fn forkpool_is_brought_to_a_host_that_has_none_and_once_only() {
    let folder = scene();
    let first = run(folder.path(), LAUNCH, "--host a:1 --handler work.py").check_status(0);
    assert_eq!(first.statuses(), ["ok"; 4]);
    assert!(first.stderr.contains("host a has no forkpool: this one is sent into its cache"), "{}", first.stderr);
    let files = cached(folder.path());
    assert_eq!(files.len(), 1, "nothing but the program: {files:?}");
    assert!(fs::read(files[0].path()).unwrap() == fs::read(env!("CARGO_BIN_EXE_forkpool")).unwrap(), "it is this one");
    let again = run(folder.path(), LAUNCH, "--host a:1 --handler work.py").check_status(0);
    assert_eq!((again.statuses(), again.stderr.contains("is sent")), (first.statuses(), false), "{}", again.stderr);
    assert!(!again.stderr.contains("not found"), "nothing is wrong: {}", again.stderr);
    let words = ["--check", "--host", "a:1", "--launch", LAUNCH, "--handler", "work.py"];
    let checked = forkpool(words).current_dir(folder.path()).end().check_status(0);
    assert!(checked.text().contains("by this forkpool, since it has none"), "{}", checked.text());
}

#[test]
fn a_program_that_did_not_arrive_whole_is_not_in_the_cache() {
    let folder = scene();
    // The way there ends after some pieces.
    let script = fs::read_to_string(folder.path().join("host.sh")).unwrap();
    let cut = "case $2 in sh) dd bs=65536 count=4 2>/dev/null | sh \"$0\" \"$1\" /bin/sh; exit;; esac\n";
    fs::write(folder.path().join("host.sh"), format!("{cut}{script}")).unwrap();
    let ended = run(folder.path(), LAUNCH, "--host a:1 --handler work.py").check_status(3);
    assert!(ended.stderr.contains("forkpool cannot be put into"), "{}", ended.stderr);
    assert!(cached(folder.path()).is_empty());
}

#[test]
fn a_host_whose_forkpool_is_named_gets_no_other() {
    let folder = scene();
    let launch = format!("{LAUNCH} forkpool --agent");
    let ended = run(folder.path(), &launch, "--host a:1 --handler work.py").check_status(3);
    assert!(ended.stderr.contains("hint: forkpool must be in the PATH of a command"), "{}", ended.stderr);
    assert!(cached(folder.path()).is_empty());
}
