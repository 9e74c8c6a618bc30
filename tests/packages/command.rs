//! What is expected of the command, whatever package it is from: the three ways of README.md, its exit statuses, and
//! that no process is left of it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::support::{Run, console, kill, project, shell, side_by_side, wait_until_there};

/// Runs the blocks of "Three ways to use it", with the commands in this folder before all others.
#[track_caller]
pub fn check_the_three_ways(folder: &Path) {
    let readme = std::fs::read_to_string(project("README.md")).expect("it is there");
    let blocks = console::blocks(&readme);
    let ways: Vec<_> = blocks.iter().filter(|block| block.section == "Three ways to use it").collect();
    assert_eq!(ways.len(), 3, "three ways");
    console::check_with("README.md", &ways, &|run| with_path(run, folder));
}

/// `forkpool` is the one of this folder, and that of the tests cannot be found.
fn with_path(run: Run, folder: &Path) -> Run {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&path)));
    run.env("PATH", path.expect("the PATH was one before"))
}

/// Checks the statuses of a command, as a shell writes it: those of forkpool itself, with nothing in between.
#[track_caller]
pub fn check_the_statuses(command: &str) {
    let cases = [
        ("printf 'a\\n' | COMMAND --from lines --protocol lines -- cat", 0),
        ("echo oops | COMMAND -- cat", 1),
        ("COMMAND --no-such-flag", 2),
        ("echo 1 | COMMAND -j 1 -- false", 3),
        ("echo 1 | COMMAND --from lines --protocol lines -- cat > /dev/full", 4),
    ];
    let folder = Path::new("/");
    side_by_side(cases, |(script, status)| {
        let script = script.replace("COMMAND", command);
        let ended = shell(&script, folder).end();
        assert_eq!(ended.status, status, "{script}\n{}", ended.stderr);
    });
    side_by_side([(libc::SIGINT, 130), (libc::SIGTERM, 143)], |(signal, status)| {
        let script = format!("exec {command} --from lines --protocol lines -- cat");
        let (mut running, mut stdin) = shell(&script, folder).start_with_stdin();
        writeln!(stdin, "a").expect("it reads");
        let mut line = String::new();
        let stdout = running.child().stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it answers");
        assert_eq!(line, "a\n");
        kill(running.id(), signal);
        running.end().check_status(status);
    });
    let (mut running, mut stdin) =
        shell(&format!("exec {command} --from lines --protocol lines -- cat"), folder).start_with_stdin();
    drop(running.child().stdout.take());
    writeln!(stdin, "a").expect("it reads");
    running.end().check_status(141);
}

/// Kills the process that the command was started as, with a worker at work. That forkpool and the worker are gone
/// soon after is checked as for any run.
#[track_caller]
pub fn check_that_no_process_is_left(command: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let worker = "sh -c 'read job; touch started; exec sleep 1000'";
    let script = format!("exec {command} --from lines --protocol lines -- {worker}");
    let (running, mut stdin) = shell(&script, folder.path()).start_with_stdin();
    writeln!(stdin, "a").expect("it reads");
    wait_until_there(&folder.path().join("started"));
    kill(running.id(), libc::SIGKILL);
    running.end().check_status(137);
}
