//! samples/README.md tells the truth: each command in it runs and shows what it says.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::support::console::{self, Block};
use crate::support::{kill, project, shell, wait_for};

const DOCUMENT: &str = "samples/README.md";

fn document() -> String {
    fs::read_to_string(project(DOCUMENT)).expect("the samples have a README")
}

/// Runs all blocks of a section.
#[track_caller]
fn check(section: &str) {
    let blocks = console::blocks(&document());
    let blocks: Vec<&Block> = blocks.iter().filter(|block| block.section == section).collect();
    console::check(DOCUMENT, &blocks);
}

// One test for each section, so that they run side by side.

const SECTIONS: [&str; 10] = [
    "Pipes and files",
    "A worker written for `child_process.fork()`",
    "Handlers: a plain function, no worker to write",
    "Workers without a handler, in any language",
    "Cron and CI",
    "Slots and names",
    "A service",
    "A server that has limits",
    "More than one machine",
    "From a program",
];

#[test]
fn pipes_and_files_show_what_the_document_says() {
    check(SECTIONS[0]);
}

#[test]
fn a_worker_written_for_fork_shows_what_the_document_says() {
    check(SECTIONS[1]);
}

#[test]
fn handlers_show_what_the_document_says() {
    check(SECTIONS[2]);
}

#[test]
fn workers_show_what_the_document_says() {
    check(SECTIONS[3]);
}

#[test]
fn a_server_that_has_limits_shows_what_the_document_says() {
    check(SECTIONS[7]);
}

#[test]
fn more_than_one_machine_shows_what_the_document_says() {
    check(SECTIONS[8]);
}

#[test]
fn programs_show_what_the_document_says() {
    check(SECTIONS[9]);
}

#[test]
fn the_manifest_has_as_many_shards_as_pods_and_the_scripts_can_be_read() {
    let scripts = ["array.sbatch", "merge.sbatch", "submit.sh"].map(|name| format!("bash -n samples/slurm/{name} && "));
    let count = "ruby -ryaml -e 'spec = YAML.load_file(ARGV[0])[\"spec\"]
        pod = spec[\"template\"][\"spec\"][\"containers\"][0]
        shards = pod[\"env\"].find { |set| set[\"name\"] == \"FORKPOOL_SHARDS\" }[\"value\"]
        puts [spec[\"completionMode\"], spec[\"completions\"] == Integer(shards), pod[\"args\"].size].join(\" \")'";
    let script = scripts.concat() + count + " samples/kubernetes/job.yaml";
    let folder = console::copy_of_the_samples();
    assert_eq!(shell(&script, folder.path()).end().check_status(0).text(), "Indexed true 1\n");
}

#[test]
fn a_service_shows_what_the_document_says() {
    check(SECTIONS[6]);
}

#[test]
fn programs_that_keep_a_pool_open_take_over_an_edited_handler_and_end_after_what_was_asked() {
    for parent in ["python3 \"$PARENT\"/parent.py", "node \"$PARENT\"/parent.mjs"] {
        let folder = tempfile::tempdir().unwrap();
        let handler = |version: &str| format!("def pet(kitten): return kitten['name'] + ' {version}'\n");
        fs::write(folder.path().join("pet.py"), handler("old")).unwrap();
        let script = format!("exec {parent} pet.py -j 1 >out");
        let (mut running, mut stdin) =
            shell(&script, folder.path()).env("PARENT", project("samples/service")).start_with_stdin();
        let out = || fs::read_to_string(folder.path().join("out")).unwrap_or_default();
        let mut ask = |name: &str| {
            writeln!(stdin, "{name}").unwrap();
            let answer = || out().lines().find(|line| line.contains(name)).map(str::to_owned);
            wait_for(Duration::from_secs(60), answer).unwrap_or_default()
        };
        assert_eq!(ask("Tom"), "\"Tom old\"", "{parent}");
        fs::write(folder.path().join("pet.py"), handler("edited")).unwrap();
        kill(running.id(), libc::SIGHUP);
        running.wait_until_it_says("1 worker replaced");
        assert_eq!(ask("Mia"), "\"Mia edited\"", "{parent}");
        kill(running.id(), libc::SIGTERM);
        let ended = running.end().check_status(0);
        assert!(ended.stderr.contains("2 jobs") && ended.stderr.contains("2 ok"), "{}", ended.stderr);
        drop(stdin);
    }
}

#[test]
fn cron_and_ci_show_what_the_document_says() {
    check(SECTIONS[4]);
}

#[test]
fn slots_and_names_show_what_the_document_says() {
    // The first two processors must be ours; a container may have been given others.
    let ours = shell("taskset -c 0 true && taskset -c 1 true", Path::new("/")).end().status == 0;
    if !ours && std::env::var_os("FORKPOOL_TEST_ALL").is_none() {
        return;
    }
    check(SECTIONS[5]);
}

#[test]
fn every_block_is_in_a_section_that_is_tested() {
    for block in console::blocks(&document()) {
        assert!(SECTIONS.contains(&block.section.as_str()), "{DOCUMENT}:{}: {}", block.line, block.section);
    }
}

#[test]
fn the_table_and_the_blocks_below_it_agree() {
    let document = document();
    let rows: Vec<(&str, String)> = document.lines().filter_map(row).collect();
    let blocks = console::blocks(&document);
    assert_eq!(rows.len(), blocks.len(), "one row a block");
    for ((what, command), block) in rows.iter().zip(&blocks) {
        // The caption of a block is what the table says, as a sentence.
        assert_eq!(what.to_lowercase() + ".", block.caption.to_lowercase(), "{DOCUMENT}:{}", block.line);
        let found = block.steps.iter().any(|step| step.command == *command);
        assert!(found, "{DOCUMENT}:{}: the table has another command: {command}", block.line);
    }
}

/// `| what | `command` |`, with the bars of the command escaped.
fn row(line: &str) -> Option<(&str, String)> {
    let (what, command) = line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `")?;
    Some((what, command.replace("\\|", "|")))
}

#[test]
fn every_sample_is_in_the_document() {
    let document = document();
    let mut files = BTreeSet::new();
    let folder = console::copy_of_the_samples();
    collect(&folder.path().join("samples"), &mut files);
    files.remove("README.md");
    for file in files {
        assert!(document.contains(&file), "{file} is not in {DOCUMENT}");
    }
}

fn collect(folder: &std::path::Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        match path.is_dir() {
            true => collect(&path, names),
            false => drop(names.insert(path.file_name().expect("a file has a name").to_string_lossy().into_owned())),
        }
    }
}
