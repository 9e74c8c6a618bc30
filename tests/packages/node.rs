//! The packages of npm, installed by name from a registry that has only them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::command;
use crate::made::packages;
use crate::offline;
use crate::support::{console, installed, project, shell};

/// `$1` is the folder, `$2` the registry, `$3` the folder of its packages; what follows are words for npm.
const INSTALL: &str = "
    cd \"$1\"; registry=$2; packages=$3; shift 3
    echo '{\"private\":true,\"type\":\"module\"}' > package.json
    set -- --no-fund --no-audit --cache cache --ignore-scripts \"$@\"
    node \"$registry\" \"$packages\" npm install \"$@\" forkpool";

/// `npm install forkpool` with these words more, in a new folder.
fn npm_install(words: &[&str]) -> Option<TempDir> {
    let made = packages()?;
    if !installed("npm") {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let registry = project("tests/packages/registry.mjs");
    let places = [folder.path(), &registry, &made.out].map(Path::as_os_str);
    let arguments = places.into_iter().chain(words.iter().map(OsStr::new));
    offline::run(offline::script(INSTALL, arguments));
    Some(folder)
}

#[test]
fn in_a_project_the_command_is_the_binary_itself() {
    let Some(folder) = npm_install(&[]) else { return };
    let bin = folder.path().join("node_modules/.bin");
    let begin = fs::read(bin.join("forkpool")).unwrap()[..4].to_vec();
    assert_eq!(begin, b"\x7fELF", "it is no script");
    command::check_the_three_ways(&bin);
    command::check_the_statuses(bin.join("forkpool").to_str().unwrap());
    command::check_that_no_process_is_left(bin.join("forkpool").to_str().unwrap());
}

#[test]
fn a_command_that_was_installed_globally_becomes_the_binary() {
    let Some(folder) = npm_install(&["--global", "--prefix", "."]) else { return };
    let bin = folder.path().join("bin");
    command::check_the_three_ways(&bin);
    command::check_the_statuses(bin.join("forkpool").to_str().unwrap());
    command::check_that_no_process_is_left(bin.join("forkpool").to_str().unwrap());
    assert!(folder.path().join("share/man/man1/forkpool.1").exists(), "the manual is installed too");
}

#[test]
fn a_command_without_its_binary_says_what_is_missing() {
    let Some(folder) = npm_install(&["--omit=optional"]) else { return };
    let ended = shell("exec node_modules/.bin/forkpool --version", folder.path()).end().check_status(2);
    assert!(ended.stderr.starts_with("forkpool: the package @forkpool/linux-"), "{}", ended.stderr);
    assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
}

#[test]
fn the_client_of_npm_finds_the_binary() {
    let Some(folder) = npm_install(&[]) else { return };
    let samples = console::copy_of_the_samples();
    let program = fs::read_to_string(project("samples/clients/pets.mjs")).unwrap();
    let imported = program.replace("'../../src/clients/node/index.js'", "'forkpool'");
    assert_ne!(program, imported, "it imports the package");
    fs::write(folder.path().join("pets.mjs"), imported).unwrap();
    let node = offline::run(offline::script("command -v node", [""; 0]));
    let script = format!("exec {} {}/pets.mjs", node.trim(), folder.path().display());
    let from_npm = shell(&script, samples.path()).env("PATH", "/usr/bin:/bin").end().check_status(0);
    let from_the_sources = shell("exec node samples/clients/pets.mjs", samples.path()).end();
    assert_eq!(from_npm.text(), from_the_sources.text());
    assert_eq!(from_npm.stderr, "");
}
