//! `--man`: shows the manual pages, which are part of the program. A page is set by `man`, or by `groff` or `mandoc`
//! where there is no man; without any of them its source is printed, which can still be read.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::report;
use crate::stdout;
use crate::words::error::{Error, Result, reason};
use crate::words::exit::Exit;

/// A page of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Forkpool,
    Worker,
}

/// Programs that set a page that comes on their stdin, with their arguments. `man` shows it page by page on a terminal.
const SETTERS: [(&str, &[&str]); 3] =
    [("man", &["-l", "-"]), ("groff", &["-t", "-man", "-Tutf8", "-P-cbou"]), ("mandoc", &["-T", "utf8"])];

impl Page {
    fn source(self) -> &'static str {
        match self {
            Page::Forkpool => include_str!("../man/forkpool.1"),
            Page::Worker => include_str!("../man/forkpool-worker.7"),
        }
    }
}

/// Shows a page on stdout.
pub fn show(page: Page) -> Result<Exit> {
    for (program, args) in SETTERS {
        if let Some(exit) = show_with(program, args, page)? {
            return Ok(exit);
        }
    }
    report::say("forkpool: there is no man, groff or mandoc here to set the page, so this is its source\n");
    stdout::print(page.source().as_bytes())
}

/// Shows a page by a program; `None` if the program is not there or cannot do it.
fn show_with(program: &str, args: &[&str], page: Page) -> Result<Option<Exit>> {
    let failed = |error| Error::io(format!("cannot show the manual with {program}: {}", reason(&error)));
    // On a terminal man starts a pager, which needs the terminal. What else is set is printed by us, once it is whole:
    // a program that fails in the middle leaves nothing behind.
    let is_paged = program == "man" && std::io::stdout().is_terminal();
    let stdout = if is_paged { Stdio::inherit() } else { Stdio::piped() };
    let child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut input = child.stdin.take().expect("it is piped");
    let source = page.source();
    // A program that cannot set a page may end before it has read all of it; its exit status says so.
    let writing = std::thread::spawn(move || input.write_all(source.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    let _ = writing.join();
    if !output.status.success() || (!is_paged && output.stdout.is_empty()) {
        return Ok(None);
    }
    if is_paged { Ok(Some(Exit::Ok)) } else { stdout::print(&output.stdout).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_or_fails_is_passed_over() {
        for (program, args) in
            [("no-such-program", &[][..]), ("false", &[]), ("true", &[]), ("sh", &["-c", "echo x; exit 1"])]
        {
            assert_eq!(show_with(program, args, Page::Worker).unwrap(), None, "{program}");
        }
    }
}
