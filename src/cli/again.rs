//! The command that goes on with a run, or runs what failed of it again: the words that were typed, with a few of them
//! changed, quoted so that a shell reads them as they were.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};

use super::Args;
use super::settings::endings;
use crate::text::shell::join;
use crate::words::format::Format;

/// The words of a command line, the program's own name first.
pub struct CommandLine {
    words: Vec<OsString>,
    command: Command,
}

/// The options whose files say something of each job.
const WRITTEN: [&str; 6] = ["output", "rejects", "report", "trace", "junit", "joblog"];

/// One option among the words.
struct Typed {
    /// The name of the option in clap.
    id: String,
    /// The words that hold the option and its value.
    words: Range<usize>,
    /// What stands before the option in its first word: the other letters of `-qi FILE`.
    before: OsString,
    /// `None` where the option has no value.
    value: Option<OsString>,
}

impl CommandLine {
    /// The one that this process was started with.
    pub fn of_process() -> CommandLine {
        CommandLine::new(std::env::args_os().collect())
    }

    fn new(words: Vec<OsString>) -> CommandLine {
        let mut command = Args::command();
        command.build();
        CommandLine { words, command }
    }

    /// The command as it was typed.
    pub fn as_typed(&self) -> String {
        join(&self.words)
    }

    /// The command with `--resume`.
    pub fn resumed(&self) -> String {
        self.with(&["--resume"])
    }

    /// The command with `--resume --retry-failed`.
    pub fn retrying(&self) -> String {
        self.with(&["--resume", "--retry-failed"])
    }

    /// The command with these flags, as far as it does not have them.
    fn with(&self, flags: &[&str]) -> String {
        let options = self.options();
        // One flag of a neighbour is both of ours.
        let is_both = options.iter().any(|option| option.id == "resume_failed");
        let is_there = |flag: &str| is_both || options.iter().any(|option| flag[2..].replace('-', "_") == option.id);
        let more = flags.iter().filter(|flag| !is_there(flag)).map(OsString::from);
        join(self.words.iter().take(1).cloned().chain(more).chain(self.words.iter().skip(1).cloned()))
    }

    /// The command that runs the jobs in `rejects`, which is in this format. What it writes of them has other names, so
    /// that it overwrites nothing. All of them are run, although a shard has rejected them.
    pub fn of_rejects(&self, rejects: &Path, format: Format) -> String {
        let options = self.options();
        let mut words: Vec<OsString> = self.words.iter().take(1).cloned().collect();
        words.extend(["-i".into(), rejects.into()]);
        if endings(rejects).1 != Some(format) && !options.iter().any(|option| option.id == "from") {
            words.extend(["--from".into(), format.name().into()]);
        }
        let mut next = 1;
        for option in options {
            words.extend_from_slice(self.words.get(next..option.words.start).unwrap_or_default());
            next = option.words.end;
            let id = option.id.as_str();
            match &option.value {
                Some(_) if WRITTEN.contains(&id) || matches!(id, "input" | "shard") => words.extend(option.alone()),
                _ => words.extend_from_slice(&self.words[option.words.clone()]),
            }
            if let Some(value) = option.value.as_ref().filter(|_| WRITTEN.contains(&id)) {
                words.extend([format!("--{id}").into(), another_name(value).into_os_string()]);
            }
        }
        words.extend_from_slice(&self.words[next..]);
        join(words)
    }

    /// The options, up to the worker's own command.
    fn options(&self) -> Vec<Typed> {
        let mut options = Vec::new();
        let mut at = 1;
        while let Some(word) = self.words.get(at).map(|word| word.as_bytes()) {
            match word {
                b"--" | b"-" | b"" => break,
                _ if word.starts_with(b"--") => options.extend(self.long(at, &word[2..])),
                _ if word.starts_with(b"-") => self.shorts(at, word, &mut options),
                _ => break,
            }
            at = options.last().map_or(0, |option| option.words.end).max(at + 1);
        }
        options
    }

    /// `--name`, `--name=VALUE` or `--name VALUE`.
    fn long(&self, at: usize, text: &[u8]) -> Option<Typed> {
        let (name, joined) = match text.iter().position(|&byte| byte == b'=') {
            Some(end) => (&text[..end], Some(OsStr::from_bytes(&text[end + 1..]).to_owned())),
            None => (text, None),
        };
        let is_named = |arg: &&Arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long().into_iter().chain(aliases).any(|long| long.as_bytes() == name)
        };
        let arg = self.command.get_arguments().find(is_named)?;
        Some(self.typed(arg, at, OsString::new(), joined))
    }

    /// `-q`, `-j2`, `-j 2`, `-qi FILE`: only the last letter can have a value.
    fn shorts(&self, at: usize, word: &[u8], options: &mut Vec<Typed>) {
        let letters = String::from_utf8_lossy(word);
        for (start, letter) in letters.char_indices().skip(1) {
            let aliases = |arg: &Arg| arg.get_all_short_aliases().unwrap_or_default().contains(&letter);
            let is_named = |arg: &&Arg| arg.get_short() == Some(letter) || aliases(arg);
            let Some(arg) = self.command.get_arguments().find(is_named) else { return };
            if takes_value(arg) {
                let end = start + letter.len_utf8();
                let value = word.get(end..).filter(|value| !value.is_empty());
                let value = value.map(|value| OsStr::from_bytes(value.strip_prefix(b"=").unwrap_or(value)).to_owned());
                let before = word.get(..start).unwrap_or_default();
                options.push(self.typed(arg, at, OsStr::from_bytes(before).to_owned(), value));
                return;
            }
        }
    }

    fn typed(&self, arg: &Arg, at: usize, before: OsString, joined: Option<OsString>) -> Typed {
        let id = arg.get_id().to_string();
        if joined.is_some() || !takes_value(arg) || arg.is_require_equals_set() {
            return Typed { id, words: at..at + 1, before, value: joined };
        }
        Typed { id, words: at..(at + 2).min(self.words.len()), before, value: self.words.get(at + 1).cloned() }
    }
}

impl Typed {
    /// What is left of the words without the option: the other letters of its word.
    fn alone(&self) -> Option<OsString> {
        (self.before.len() > 1).then(|| self.before.clone())
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// `out.csv.gz` becomes `out.again.csv.gz`. What is no file stays as it is: stdout, a device.
fn another_name(path: &OsStr) -> PathBuf {
    let path = Path::new(path);
    let Some(name) = path.file_name().filter(|_| path != Path::new("-") && !path.starts_with("/dev")) else {
        return path.to_owned();
    };
    let name = name.as_bytes();
    // A dot at the beginning hides a file; no ending begins there.
    let end = name.iter().skip(1).position(|&byte| byte == b'.').map_or(name.len(), |at| at + 1);
    let another = [&name[..end], b".again", &name[end..]].concat();
    path.with_file_name(OsString::from_vec(another))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &str) -> CommandLine {
        CommandLine::new(shlex::split(words).unwrap().into_iter().map(OsString::from).collect())
    }

    #[test]
    fn a_flag_is_added_once_and_every_word_stays_as_it_was() {
        let check = |words: &str, resumed: &str, retrying: &str| {
            assert_eq!(typed(words).resumed(), resumed, "{words}");
            assert_eq!(typed(words).retrying(), retrying, "{words}");
        };
        check(
            "forkpool -j 2 --journal 'my jobs' -- sh -c 'exec $0' --resume",
            "forkpool --resume -j 2 --journal 'my jobs' -- sh -c 'exec $0' --resume",
            "forkpool --resume --retry-failed -j 2 --journal 'my jobs' -- sh -c 'exec $0' --resume",
        );
        check(
            "forkpool --resume --journal j --handler pet.py",
            "forkpool --resume --journal j --handler pet.py",
            "forkpool --retry-failed --resume --journal j --handler pet.py",
        );
        let both = "forkpool --journal j --resume '--retry-failed=error' w --x";
        check(both, both, both);
    }

    #[test]
    fn rejects_take_the_place_of_the_input_and_nothing_is_overwritten() {
        let check = |words: &str, format, expected: &str| {
            assert_eq!(typed(words).of_rejects(Path::new("r.csv"), format), expected, "{words}");
        };
        check(
            "forkpool -i a.csv --input=b.csv -o d/out.csv.gz --rejects r.csv -j2 -- w -i x",
            Format::Csv,
            "forkpool -i r.csv --output d/out.again.csv.gz --rejects r.again.csv -j2 -- w -i x",
        );
        check("forkpool --shard 2/3 --rejects r.csv w", Format::Csv, "forkpool -i r.csv --rejects r.again.csv w");
        check(
            "forkpool -i a.csv --report r.html --junit=j --metrics m.prom --rejects r.csv w",
            Format::Csv,
            "forkpool -i r.csv --report r.again.html --junit j.again --metrics m.prom --rejects r.again.csv w",
        );
        check("forkpool -qi a.csv --rejects r.csv w", Format::Csv, "forkpool -i r.csv -q --rejects r.again.csv w");
        check(
            "forkpool --rejects=r.csv -vo - w",
            Format::Lines,
            "forkpool -i r.csv --from lines --rejects r.again.csv -v --output - w",
        );
        check(
            "forkpool --from lines --rejects r.csv w",
            Format::Lines,
            "forkpool -i r.csv --from lines --rejects r.again.csv w",
        );
    }

    #[test]
    fn another_name_has_the_same_endings() {
        let check = |name: &str, expected: &str| assert_eq!(another_name(OsStr::new(name)), Path::new(expected));
        check("out", "out.again");
        check(".out.csv", ".out.again.csv");
        check("a.b/out.csv", "a.b/out.again.csv");
        check("/dev/stdout", "/dev/stdout");
        check("-", "-");
    }
}
