//! The ```console blocks of a document: a command after `$ ` (and `> ` where it goes on), then what it shows on
//! stdout; a line `...` stands for one or more lines. They are run in a temporary copy of the samples and compared.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Run, has, project, shell};

/// A block, with what the document says about it.
#[derive(Debug)]
pub struct Block {
    /// The line of the document where the block begins.
    pub line: usize,
    /// The text of the last `## ` line above the block.
    pub section: String,
    /// The last line of text above the block.
    pub caption: String,
    pub steps: Vec<Step>,
}

#[derive(Debug, Default)]
pub struct Step {
    pub command: String,
    pub shown: Vec<String>,
}

/// All ```console blocks of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut section = String::new();
    let mut caption = String::new();
    let mut lines = document.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        match line {
            "```console" => {
                let content: Vec<&str> =
                    lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
                let steps = steps(&content);
                blocks.push(Block { line: number, section: section.clone(), caption: caption.clone(), steps });
            }
            // Any other block: what is in it is neither a heading nor a caption.
            _ if line.starts_with("```") => while lines.next().is_some_and(|(line, _)| line != "```") {},
            _ if line.starts_with("## ") => section = line[3..].to_owned(),
            "" => {}
            _ => caption = line.to_owned(),
        }
    }
    blocks
}

fn steps(content: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in content {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: Vec::new() });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("a block begins with a command, not with {line:?}"));
        match line.strip_prefix("> ") {
            Some(more) if step.shown.is_empty() => step.command += &format!("\n{more}"),
            _ => step.shown.push((*line).to_owned()),
        }
    }
    steps
}

/// Runs the blocks of a document, each in its own copy of the samples, and says what differs.
#[track_caller]
pub fn check(document: &str, blocks: &[&Block]) {
    check_with(document, blocks, &|run| run);
}

/// As `check`, where something of each run is different.
#[track_caller]
pub fn check_with(document: &str, blocks: &[&Block], change: &dyn Fn(Run) -> Run) {
    assert!(!blocks.is_empty(), "{document} has such blocks");
    let wrong: Vec<String> = blocks.iter().filter_map(|block| run(document, block, change).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn run(document: &str, block: &Block, change: &dyn Fn(Run) -> Run) -> Result<(), String> {
    let commands: Vec<&str> = block.steps.iter().map(|step| step.command.as_str()).collect();
    if let Some(reason) = missing(&commands) {
        assert!(!all_must_run(), "{document}:{}: {reason}", block.line);
        skip(&format!("{document}:{}: {reason}", block.line));
        return Ok(());
    }
    let installs = commands.iter().any(|command| command.contains("npm install"));
    if installs && let Some(reason) = why_npm_cannot_install() {
        skip(&format!("{document}:{}: {reason}", block.line));
        return Ok(());
    }
    let folder = copy_of_the_samples();
    let ended = change(shell(&script(&commands), folder.path())).end();
    let text = ended.text();
    let mut shown: Vec<&str> = text.split(END_OF_STEP).collect();
    // Nothing is shown after the last mark, so what is split off behind it goes.
    shown.pop();
    if shown.len() != block.steps.len() {
        return Err(format!("{document}:{}: it ended early\n{text}\n{}", block.line, ended.stderr));
    }
    for (step, shown) in block.steps.iter().zip(shown) {
        let lines: Vec<&str> = shown.lines().collect();
        let expected: Vec<&str> = step.shown.iter().map(String::as_str).collect();
        if !matches(&expected, &lines) {
            let (command, expected) = (&step.command, expected.join("\n"));
            let place = format!("{document}:{}", block.line);
            return Err(format!(
                "{place}: $ {command}\nexpected:\n{expected}\ngot:\n{shown}\nstderr:\n{}",
                ended.stderr
            ));
        }
    }
    Ok(())
}

/// No text that is shown has a record separator in it.
const END_OF_STEP: &str = "\u{1e}\n";

/// One script for all steps, so that `$?` and variables live on as they do in a terminal. The forkpool that is
/// tested is on the PATH already.
fn script(commands: &[&str]) -> String {
    let marked = |command: &&str| {
        let command = command.trim_start_matches("cargo install --locked --path . && ");
        format!("{command}\n{{ status=$?; printf '\\036\\n'; (exit $status); }}\n")
    };
    commands.iter().map(marked).collect()
}

/// `...` stands for one line or more.
fn matches(expected: &[&str], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (1..=lines.len()).any(|skipped| matches(rest, &lines[skipped..])),
        Some((first, rest)) => lines.first() == Some(first) && matches(rest, &lines[1..]),
    }
}

/// Which program of these commands is not installed.
fn missing(commands: &[&str]) -> Option<String> {
    const PROGRAMS: [&str; 11] = ["bash", "cc", "curl", "gawk", "jq", "node", "npm", "perl", "php", "python3", "ruby"];
    /// What runs a file of the samples.
    const ENDINGS: [(&str, &str); 7] = [
        (".cjs", "node"),
        (".mjs", "node"),
        (".php", "php"),
        (".pl", "perl"),
        (".py", "python3"),
        (".rb", "ruby"),
        (".cron", "flock"),
    ];
    let words = commands.iter().flat_map(|command| command.split([' ', '\n', '|', '(', ')', ';', '"']));
    let program = |word: &str| {
        let by_ending = ENDINGS.iter().find(|(ending, _)| word.ends_with(ending)).map(|(_, program)| *program);
        PROGRAMS.iter().find(|program| **program == word).copied().or(by_ending)
    };
    let missing = words.filter_map(program).find(|program| !has(program))?;
    Some(format!("{missing} is not installed"))
}

/// Whether no test may be skipped because a program is missing: CI has them all.
pub fn all_must_run() -> bool {
    std::env::var_os("FORKPOOL_TEST_ALL").is_some_and(|value| value == "1")
}

/// Why nothing can be installed with npm; `None` if something can. That a registry cannot be reached is nobody's fault,
/// and fails no test.
pub fn why_npm_cannot_install() -> Option<String> {
    if !has("npm") {
        assert!(!all_must_run(), "npm is not installed");
        return Some("npm is not installed".to_owned());
    }
    let arguments = ["view", "serialize-error", "version", "--fetch-retries=0", "--fetch-timeout=20000"];
    let view = Command::new("npm").args(arguments).stdin(Stdio::null()).output();
    let reached = view.is_ok_and(|output| output.status.success());
    (!reached).then(|| "npm reaches no registry".to_owned())
}

/// Says on the real stderr, which the test harness does not capture, that something was skipped.
pub fn skip(what: &str) {
    // If stderr is closed, there is nobody to be told.
    drop(writeln!(std::io::stderr(), "skipped: {what}"));
}

/// A folder with `samples/` in it, as in a fresh clone, and with the clients that some of them import.
pub fn copy_of_the_samples() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder can be made");
    copy(&project("samples"), &folder.path().join("samples"));
    fs::create_dir(folder.path().join("src")).expect("the copy's folder is new");
    copy(&project("src/clients"), &folder.path().join("src/clients"));
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the copy's folder is new");
    for entry in fs::read_dir(from).expect("the samples are there") {
        let entry = entry.expect("a folder can be read");
        let name = entry.file_name();
        match entry.file_type().expect("a file has a type").is_dir() {
            // What somebody has installed or compiled in the samples is not part of them.
            true if name == "node_modules" || name == "__pycache__" => {}
            true => copy(&entry.path(), &to.join(name)),
            false => drop(fs::copy(entry.path(), to.join(name)).expect("a sample can be copied")),
        }
    }
}
