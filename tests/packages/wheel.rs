//! The Python wheel, in an empty virtual environment.

use std::path::Path;

use tempfile::TempDir;

use crate::command;
use crate::made::packages;
use crate::offline;
use crate::support::{console, installed, project, shell};

const INSTALL: &str = "
    python3 -m venv --without-pip \"$1\"
    python3 -m pip --quiet --python \"$1/bin/python\" install --no-index --no-cache-dir \"$2\"";

fn environment() -> Option<TempDir> {
    let made = packages()?;
    if !installed("python3") {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    offline::run(offline::script(INSTALL, [folder.path(), &made.package("forkpool-", ".whl")]));
    Some(folder)
}

#[test]
fn a_wheel_is_installed_with_the_command_and_its_manual() {
    let Some(folder) = environment() else { return };
    let bin = folder.path().join("bin");
    command::check_the_three_ways(&bin);
    command::check_the_statuses(bin.join("forkpool").to_str().unwrap());
    command::check_that_no_process_is_left(bin.join("forkpool").to_str().unwrap());
    assert!(folder.path().join("share/man/man1/forkpool.1").is_file());
}

#[test]
fn the_module_of_a_wheel_is_the_command_too() {
    let Some(folder) = environment() else { return };
    let command = format!("{}/bin/python -m forkpool", folder.path().display());
    command::check_the_statuses(&command);
    command::check_that_no_process_is_left(&command);
}

/// The interpreter is called by its path, as in a crontab, so nothing of the environment is on the PATH.
#[test]
fn the_client_of_a_wheel_finds_the_binary_beside_it() {
    let Some(folder) = environment() else { return };
    check_the_client(folder.path());
}

fn check_the_client(environment: &Path) {
    let samples = console::copy_of_the_samples();
    let script = format!("exec {}/bin/python samples/clients/pets.py", environment.display());
    let from_the_wheel = shell(&script, samples.path()).env("PATH", "/usr/bin:/bin").end().check_status(0);
    let script = "exec python3 samples/clients/pets.py";
    let from_the_sources = shell(script, samples.path()).env("PYTHONPATH", project("src/clients/python")).end();
    assert_eq!(from_the_wheel.text(), from_the_sources.text());
    assert_eq!(from_the_wheel.stderr, "");
}
