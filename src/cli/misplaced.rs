//! Flags of forkpool that were typed behind the worker's program, and so went to the worker.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::CommandFactory;

use super::Args;

/// Those of the worker's arguments that are most likely meant for forkpool, with their values. Long names are taken as
/// they are; of the short ones only those that name files or workers, since other programs have many short flags.
pub fn misplaced(arguments: &[OsString]) -> Vec<String> {
    let mut command = Args::command();
    command.build();
    let mut found = Vec::new();
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next() {
        let text = word.as_bytes();
        let name = text.split(|&byte| byte == b'=').next().unwrap_or(text);
        let arg = command.get_arguments().find(|arg| {
            let long = arg.get_long().is_some_and(|long| name.strip_prefix(b"--") == Some(long.as_bytes()));
            long || matches!((arg.get_short(), text), (Some('i'), b"-i") | (Some('o'), b"-o") | (Some('j'), b"-j"))
        });
        let Some(arg) = arg.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) else { continue };
        let mut shown = word.to_string_lossy().into_owned();
        if arg.get_action().takes_values()
            && name.len() == text.len()
            && let Some(value) = words.next_if(|next| !next.as_bytes().starts_with(b"-"))
        {
            shown = format!("{shown} {}", value.to_string_lossy());
        }
        found.push(shown);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_forkpool_are_found_among_the_workers_own() {
        let check = |words: &str, expected: &[&str]| {
            let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
            assert_eq!(misplaced(&words), expected, "{words:?}");
        };
        check("pet.py -i kittens.ndjson -o x.csv", &["-i kittens.ndjson", "-o x.csv"]);
        check("pet.py --to=csv --retries 3 --quiet -v", &["--to=csv", "--retries 3", "--quiet"]);
        check("-u -c --unbuffered --version -", &[]);
        check("-j", &["-j"]);
    }
}
