//! Words as a shell reads and writes them (POSIX quoting, by the crate shlex).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The words of a command: the program and its arguments, so that there is at least one. The error is what is wrong with
/// it.
pub fn split(command: &str) -> Result<Vec<String>, String> {
    let words =
        shlex::split(command).ok_or_else(|| format!("a quote is not closed, or a backslash ends it: {command}"))?;
    if words.is_empty() { Err("it is empty".to_owned()) } else { Ok(words) }
}

/// The words in one line, each quoted where it must be.
pub fn join<Word: AsRef<OsStr>>(words: impl IntoIterator<Item = Word>) -> String {
    let quoted = words.into_iter().map(|word| {
        let word = word.as_ref().as_bytes();
        // A word with a NUL cannot stand on a command line; it is not quoted.
        let quoted = shlex::bytes::try_quote(word).map_or_else(|_| word.to_vec(), std::borrow::Cow::into_owned);
        String::from_utf8_lossy(&quoted).into_owned()
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        let words = split(r#"'my python' -X "a b" 'it'\''s'"#).unwrap();
        assert_eq!((words[0].as_str(), words[1..].len()), ("my python", 3));
        assert_eq!(split(&join(&words)).unwrap(), words);
    }

    #[test]
    fn a_command_is_read_as_a_shell_would_read_it() {
        let check = |command: &str, expected: &[&str]| assert_eq!(split(command).unwrap(), expected, "{command}");
        check("venv/bin/python -X dev", &["venv/bin/python", "-X", "dev"]);
        check(r#"'/opt/my tools/node'  --title="a b""#, &["/opt/my tools/node", "--title=a b"]);
        check(r"my\ python", &["my python"]);
        for refused in ["", "  ", "'node", r#"node "-a"#, r"node \"] {
            assert!(split(refused).is_err(), "{refused}");
        }
    }
}
