//! The documents are true: the manual has every flag and its default, the commands of README.md show what it
//! says, and the code in it is that of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::console::{self, Block, copy_of_the_samples};
use crate::support::{forkpool, installed, project, shell};

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A flag, with what a document says of it.
struct Flag {
    name: String,
    text: String,
}

/// The flags that `--help` describes.
fn flags_of_the_help() -> Vec<Flag> {
    let help = forkpool(["--help"]).env("COLUMNS", "100").end().check_status(0).text();
    let mut flags: Vec<Flag> = Vec::new();
    for line in help.lines() {
        let words = line.trim_start();
        // A flag is indented by 2 or 6; its text is indented further.
        if words.starts_with('-') && line.len() - words.len() <= 6 {
            let name =
                words.split([' ', ',', '[']).find(|word| word.starts_with("--")).expect("each flag has a long name");
            flags.push(Flag { name: name.to_owned(), text: String::new() });
        } else if let Some(flag) = flags.last_mut() {
            flag.text += &format!(" {words}");
        }
    }
    assert!(flags.len() > 40, "the help has been understood");
    flags
}

/// The flags that `man/forkpool.1` describes: the tags of its section OPTIONS.
fn flags_of_the_manual() -> Vec<Flag> {
    let manual = plain(&read("man/forkpool.1"));
    let (_, options) = manual.split_once("\n.SH OPTIONS\n").expect("the manual has options");
    let (options, _) = options.split_once("\n.SH ").expect("other sections follow");
    let items = options.split("\n.TP\n").skip(1);
    items
        .map(|item| {
            let (tag, text) = item.split_once('\n').expect("text follows a tag");
            let name =
                tag.split([' ', ',', '[']).find(|word| word.starts_with("--")).expect("each flag has a long name");
            Flag { name: name.to_owned(), text: words(text) }
        })
        .collect()
}

/// roff without fonts and escapes.
fn plain(roff: &str) -> String {
    let escapes = [
        ("\\fB", ""),
        ("\\fI", ""),
        ("\\fR", ""),
        ("\\-", "-"),
        ("\\&", ""),
        ("\\(mu", "×"),
        ("\\(aq", "'"),
        ("\\(dq", "\""),
    ];
    escapes.iter().fold(roff.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

/// The text on one line, without macros such as `.B`.
fn words(text: &str) -> String {
    let word =
        |line: &str| line.strip_prefix('.').and_then(|line| line.split_once(' ')).map(|(_, rest)| rest.to_owned());
    text.lines().map(|line| word(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_manual_has_the_flags_of_the_help_and_no_others() {
    let names = |flags: Vec<Flag>| flags.into_iter().map(|flag| flag.name).collect::<Vec<String>>();
    // In the same order too, but for --help and --version, which come first in both.
    assert_eq!(names(flags_of_the_manual()), names(flags_of_the_help()));
}

#[test]
fn defaults_are_the_same_in_the_manual() {
    let manual: BTreeMap<String, String> =
        flags_of_the_manual().into_iter().map(|flag| (flag.name, flag.text)).collect();
    let mut compared = 0;
    for flag in flags_of_the_help() {
        let Some((_, rest)) = flag.text.split_once("[default: ") else {
            assert!(!manual[&flag.name].contains("Default: "), "{}: only the manual has a default", flag.name);
            continue;
        };
        let (default, _) = rest.split_once(']').expect("a bracket is closed");
        let expected = format!("Default: {default}.");
        assert!(manual[&flag.name].contains(&expected), "{}: {expected}\n{}", flag.name, manual[&flag.name]);
        compared += 1;
    }
    assert!(compared > 10, "the help names defaults");
}

#[test]
fn the_documents_speak_of_no_flag_that_is_not_there() {
    // Flags of other programs, which the documents name.
    let foreign = [
        "--unbuffered",
        "--line-buffered",
        "--watch",
        "--pipe",
        "--round-robin",
        "--repeat",
        "--prefix",
        "--no-package-lock",
        "--silent",
        "--path",
        "--locked",
        "--as",
        "--scope",
        "--json",
    ];
    // Flags of neighbours, which the help does not show.
    let taken = ["--jobs", "--max-procs", "--arg-file", "--keep-order", "--bar", "--eta", "--resume-failed"];
    let known: BTreeSet<String> = flags_of_the_help().into_iter().map(|flag| flag.name).collect();
    for document in ["man/forkpool.1", "man/forkpool-worker.7", "README.md", "samples/README.md", "CHANGELOG.md"] {
        let text = plain(&read(document));
        for word in text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-') {
            let is_flag = word.len() > 2 && word.starts_with("--") && !word.starts_with("---");
            assert!(
                !is_flag || known.contains(word) || foreign.contains(&word) || taken.contains(&word),
                "{document}: {word}"
            );
        }
    }
}

#[test]
fn the_manual_is_of_this_version() {
    for page in ["man/forkpool.1", "man/forkpool-worker.7"] {
        let title = format!("\"forkpool {}\"", env!("CARGO_PKG_VERSION"));
        assert!(read(page).lines().any(|line| line.starts_with(".TH ") && line.contains(&title)), "{page}: {title}");
    }
}

#[test]
fn the_manual_is_rendered_without_a_warning() {
    if !installed("groff") {
        return;
    }
    for page in ["man/forkpool.1", "man/forkpool-worker.7"] {
        let groff = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-P-cbou"])
            .arg(project(page))
            .output()
            .expect("groff runs");
        assert!(
            groff.status.success() && groff.stderr.is_empty(),
            "{page}: {}",
            String::from_utf8_lossy(&groff.stderr)
        );
        let text = String::from_utf8_lossy(&groff.stdout);
        assert!(text.contains("SEE ALSO"), "{page} is rendered to its end");
    }
}

#[test]
fn the_short_help_fits_a_screen() {
    let help = forkpool(["-h"]).env("COLUMNS", "100").end().check_status(0).text();
    let lines = help.lines().count();
    assert!(lines <= 50, "{lines} lines");
    let widest = help.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 100, "{widest} columns");
}

#[test]
fn the_readme_shows_what_its_commands_do() {
    let blocks = console::blocks(&read("README.md"));
    console::check("README.md", &blocks.iter().collect::<Vec<&Block>>());
}

/// ```` ```LANGUAGE ```` blocks, with the last line of text above each.
fn code_blocks(document: &str, language: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut caption = String::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(tag) = line.strip_prefix("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if tag == language {
                found.push((caption.clone(), code.join("\n") + "\n"));
            }
        } else if !line.is_empty() {
            caption = line.to_owned();
        }
    }
    found
}

#[test]
fn code_in_the_readme_is_that_of_the_file_it_names() {
    let readme = read("README.md");
    let languages = ["js", "python", "ruby", "php", "perl"];
    let blocks: Vec<_> = languages.iter().flat_map(|language| code_blocks(&readme, language)).collect();
    assert!(blocks.len() >= 4, "the README shows code");
    for (caption, code) in blocks {
        let path = caption
            .split('`')
            .find(|word| word.contains('/'))
            .unwrap_or_else(|| panic!("no file is named above {code}"));
        assert_eq!(code, read(path), "{path}");
        if let Some((before, _)) = caption.split_once(" lines") {
            let stated = before.rsplit([' ', '(']).next().unwrap_or_default();
            assert_eq!(stated, code.lines().count().to_string(), "{caption}");
        }
    }
}

/// `(job, status)` of each line.
fn statuses(ndjson: &str) -> Vec<(u64, String)> {
    let record = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record is JSON");
        (
            record["job"].as_u64().expect("a job is a number"),
            record["status"].as_str().expect("a status is text").to_owned(),
        )
    };
    ndjson.lines().map(record).collect()
}

/// Checks that a program with a pool library does the same as forkpool, so that the README compares like with like.
#[track_caller]
fn does_the_same(program: &str, folder: &Path) {
    let theirs = shell(program, folder).end().check_status(1);
    let ours = shell("forkpool -j 2 -i samples/names.csv -- python3 samples/pet.py", folder).end().check_status(1);
    assert_eq!(statuses(&theirs.text()), statuses(&ours.text()));
}

#[test]
fn the_python_pool_in_the_readme_does_the_same_job() {
    does_the_same("python3 samples/compare/pool.py", copy_of_the_samples().path());
}

#[test]
fn the_node_pool_in_the_readme_does_the_same_job() {
    if let Some(reason) = console::why_npm_cannot_install() {
        return console::skip(&reason);
    }
    let folder = copy_of_the_samples();
    shell("npm install --prefix samples/compare --no-package-lock --silent", folder.path()).end().check_status(0);
    does_the_same("node samples/compare/pool.mjs", folder.path());
}

#[test]
fn the_ci_script_runs_the_tests_as_the_readme_says() {
    let readme = read("README.md");
    let (_, command) = &code_blocks(&readme, "sh")[0];
    assert!(command.starts_with("cargo test"), "{command}");
    assert!(read(".ci/run").lines().any(|line| line.trim_end().ends_with(command.trim_end())), "{command}");
}
