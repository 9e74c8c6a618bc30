//! Looking for the worker's program before anything is started, so that one that is missing is told once, and at once.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::settings::PoolSettings;
use crate::words::error::{Error, Result, reason};
use crate::words::worker::WorkerCommand;

/// What is started for the slots of a pool: the worker's program, or what leads to each host. All of them are looked for,
/// and the first is returned.
pub fn find_all(settings: &PoolSettings) -> Result<PathBuf> {
    let Some(hosts) = &settings.hosts else { return find(&settings.command) };
    let mut paths = hosts.list.iter().map(|host| find(&host.command));
    let first = paths.next().expect("there is a host, or there would be no list of them")?;
    paths.try_for_each(|path| path.map(drop))?;
    Ok(first)
}

/// The worker's program, as a path. The wrapper is looked for as well (`--wrap`), as the first slot has it.
pub fn find(command: &WorkerCommand) -> Result<PathBuf> {
    let search = std::env::var_os("PATH");
    if !command.wrap.is_empty() {
        let (wrapper, _) = command.words(0);
        find_program(&wrapper, search.clone())
            .map_err(|error| Error { message: format!("--wrap: {}", error.message), ..error })?;
    }
    find_program(&command.program, search)
}

/// Finds a program as `execvp` would. `search` is the PATH.
fn find_program(program: &OsStr, search: Option<OsString>) -> Result<PathBuf> {
    if program.is_empty() {
        return Err(Error::pool("cannot start a worker: the program's name is empty"));
    }
    let path = if program.as_encoded_bytes().contains(&b'/') {
        at_path(Path::new(program))
    } else {
        in_path(program, search)
    }?;
    check_interpreter(&path)?;
    Ok(path)
}

/// A program that is named by its path.
fn at_path(path: &Path) -> Result<PathBuf> {
    let name = path.display();
    let Err(reason) = check(path) else { return Ok(path.to_owned()) };
    let error = Error::pool(format!("cannot start a worker: {name}: {reason}"));
    Err(if reason == NOT_EXECUTABLE { error.hint(format!("chmod +x {name}, or name its interpreter")) } else { error })
}

/// A program that is looked for in the folders of the PATH.
fn in_path(program: &OsStr, search: Option<OsString>) -> Result<PathBuf> {
    let name = Path::new(program).display();
    // Without a PATH execvp looks in these folders.
    let search = search.unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut refused = None;
    for folder in std::env::split_paths(&search) {
        let path = folder.join(program);
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(reason) if path.exists() => refused = refused.or(Some((path, reason))),
            Err(_) => {}
        }
    }
    if let Some((path, reason)) = refused {
        return Err(Error::pool(format!("cannot start a worker: {}: {reason}", path.display())));
    }
    let error = Error::pool(format!("cannot start a worker: {name}: no such program in PATH"));
    Err(if Path::new(program).exists() {
        error.hint(format!("for the file in this directory, say ./{name}"))
    } else {
        error
    })
}

/// What `check` says of a file without execute permission, for which there is a hint.
const NOT_EXECUTABLE: &str = "it is not executable";

/// Whether a file can be executed; the error says why not.
fn check(path: &Path) -> std::result::Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| reason(&error))?;
    if metadata.is_dir() {
        return Err("it is a directory".to_owned());
    }
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).map_err(|_| NOT_EXECUTABLE.to_owned())
}

/// The kernel says "No such file or directory" of a script whose interpreter is missing, although the script is there.
/// The commonest reason is invisible: a file with Windows' line ends, whose interpreter's name ends in CR.
fn check_interpreter(script: &Path) -> Result<()> {
    let Some(line) = first_line(script) else { return Ok(()) };
    let ends_in_cr = line.ends_with('\r');
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((&line, ""));
    let (missing, is_cr_why) = match Path::new(interpreter).exists() {
        // `env` is there, and looks for a program whose name ends in CR.
        true if interpreter.ends_with("/env") && ends_in_cr => (argument.trim(), true),
        // Other interpreters may mind a CR in their argument, and say so themselves.
        true => return Ok(()),
        false => (interpreter.trim_end(), interpreter.ends_with('\r')),
    };
    let script = script.display();
    let words = format!("cannot start a worker: {script}: the interpreter that its first line names does not exist");
    Err(if is_cr_why {
        Error::pool(format!("{words}: {missing}, followed by CR")).hint(format!("dos2unix {script}"))
    } else {
        Error::pool(format!("{words}: {missing}"))
    })
}

/// The interpreter and its argument, after `#!` in the first line of a script; `None` for another file, or one that cannot be read.
fn first_line(path: &Path) -> Option<String> {
    /// The kernel reads no more of a script to find its interpreter (BINPRM_BUF_SIZE).
    const MOST: u64 = 256;
    let mut line = Vec::new();
    BufReader::new(fs::File::open(path).ok()?.take(MOST)).read_until(b'\n', &mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.strip_suffix(b"\n")?;
    let line = std::str::from_utf8(line).ok()?.trim_start_matches([' ', '\t']);
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What is said of a script with this text, with SCRIPT for its name.
    fn said(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        match find_program(script.as_os_str(), None) {
            Ok(path) => {
                assert_eq!(path, script);
                String::new()
            }
            Err(error) => error.to_string().replace(script.to_str().unwrap(), "SCRIPT"),
        }
    }

    #[test]
    fn a_script_needs_its_interpreter() {
        for fine in ["#!/bin/sh\n", "#! /bin/sh -e\r\n", "#!/usr/bin/env node\n", "echo\r\n", "#!/bin/sh", "#!\n", ""] {
            assert_eq!(said(fine), "", "{fine:?}");
        }
        let missing =
            "forkpool: error: cannot start a worker: SCRIPT: the interpreter that its first line names does not exist";
        assert_eq!(said("#!/no/such/sh -e\n"), format!("{missing}: /no/such/sh"));
        assert_eq!(said("#!/no/such/env sh\r\n"), format!("{missing}: /no/such/env"));
        let crlf = |name| format!("{missing}: {name}, followed by CR\nhint: dos2unix SCRIPT");
        assert_eq!(said("#!/bin/sh\r\necho\r\n"), crlf("/bin/sh"));
        assert_eq!(said("#!/usr/bin/env python3\r\n"), crlf("python3"));
        assert_eq!(said("#!/no/such/sh -e\r\n"), format!("{missing}: /no/such/sh"));
    }
}
