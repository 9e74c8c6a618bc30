//! What a run uses each file for, and that none is used twice. Files are compared by device and inode, so that
//! symbolic and hard links, `./x` for `x`, /dev/stdout and a redirection of the shell are seen through.
//!
//! Two uses that read do not harm each other. What is written to a device, a terminal, a pipe or a socket comes one
//! after the other, so it may be named twice; but a pipe that is read and written would be fed with its own records.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use crate::report::{end_of_links, folder};
use crate::source::settings::{InputFile, InputSettings};
use crate::words::error::{Error, Result};

/// One file of a run.
#[derive(Debug)]
pub struct Use {
    role: Role,
    /// How messages name the file.
    name: String,
    identity: Option<Identity>,
}

/// What a file is known by.
#[derive(Debug)]
enum Identity {
    Made(Box<Stat>),
    /// A file that will be made: the device and inode of its folder, and its name there.
    ToBeMade(u64, u64, OsString),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Input,
    /// An input that is one of several.
    AnInput,
    Program,
    Handler,
    Output,
    Rejects,
    ProgressFile,
    Summary,
    JobLog,
    Page,
    Trace,
    JUnit,
    Metrics,
    Journal,
    Log,
}

/// The inputs of a run, in their order.
pub fn of_inputs(settings: &InputSettings, files: &[impl AsFd]) -> Vec<Use> {
    let role = if files.len() > 1 { Role::AnInput } else { Role::Input };
    let use_of = |(file, fd)| Use::new(role, InputFile::name(file), rustix::fs::fstat(fd).ok());
    settings.files.iter().zip(files).map(use_of).collect()
}

/// Refuses two uses of one file that would harm each other.
pub fn refuse_shared(uses: &[Use]) -> Result<()> {
    for (index, second) in uses.iter().enumerate() {
        if let Some(first) = uses[..index].iter().find(|first| second.harms(first)) {
            return Err(first.refusal(second));
        }
    }
    Ok(())
}

impl Role {
    fn words(self) -> &'static str {
        match self {
            Role::Input => "the input",
            Role::AnInput => "an input",
            Role::Program => "the worker's program",
            Role::Handler => "the handler",
            Role::Output => "the output",
            Role::Rejects => "the rejects file",
            Role::ProgressFile => "the progress file",
            Role::Summary => "the summary",
            Role::JobLog => "the job log",
            Role::Page => "the report",
            Role::Trace => "the trace",
            Role::JUnit => "the JUnit file",
            Role::Metrics => "the metrics",
            Role::Journal => "the journal",
            Role::Log => "the log of a worker",
        }
    }

    fn is_read(self) -> bool {
        matches!(self, Role::Input | Role::AnInput | Role::Program | Role::Handler)
    }

    /// What to do about a file that has this role and an earlier one.
    fn hint(self) -> &'static str {
        match self {
            Role::Rejects => "name another file with --rejects",
            Role::ProgressFile => "name another file with --progress-file",
            Role::Summary => "name another file with --summary",
            Role::JobLog => "name another file with --joblog",
            Role::Page => "name another file with --report",
            Role::Trace => "name another file with --trace",
            Role::JUnit => "name another file with --junit",
            Role::Metrics => "name another file with --metrics",
            Role::Journal => "name another file with --journal",
            Role::Log => "name another folder with --log-dir",
            _ => "write to another file, then rename it",
        }
    }
}

impl Use {
    pub fn new(role: Role, name: String, stat: Option<Stat>) -> Use {
        Use { role, name, identity: stat.map(|stat| Identity::Made(Box::new(stat))) }
    }

    /// Of a file that is to be written; `stat` is `None` if it is made only at the end of the run.
    pub fn written(role: Role, path: &Path, stat: Option<Stat>) -> Use {
        let name = path.display().to_string();
        match stat {
            Some(stat) => Use::new(role, name, Some(stat)),
            None => Use { role, name, identity: Identity::to_be_made(path) },
        }
    }

    pub fn of_path(role: Role, path: &Path) -> Use {
        Use::new(role, path.display().to_string(), rustix::fs::stat(path).ok())
    }

    fn harms(&self, other: &Use) -> bool {
        let stat = match (&self.identity, &other.identity) {
            (Some(Identity::Made(stat)), Some(Identity::Made(others))) => {
                if (stat.st_dev, stat.st_ino) != (others.st_dev, others.st_ino) {
                    return false;
                }
                stat
            }
            (Some(Identity::ToBeMade(device, folder, name)), Some(Identity::ToBeMade(others, other, another))) => {
                return (device, folder, name) == (others, other, another);
            }
            _ => return false,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice | FileType::Socket => false,
            FileType::Fifo => self.role.is_read() != other.role.is_read(),
            _ => !(self.role.is_read() && other.role.is_read()),
        }
    }

    fn refusal(&self, second: &Use) -> Error {
        let mut message = format!("{} is both {} and {}", self.name, self.role.words(), second.role.words());
        if self.name != second.name {
            message.push_str(&format!(" (as {})", second.name));
        }
        Error::refused(message).hint(second.role.hint())
    }
}

impl Identity {
    fn to_be_made(path: &Path) -> Option<Identity> {
        let path = end_of_links(path).ok()?;
        let folder = rustix::fs::stat(folder(&path)).ok()?;
        Some(Identity::ToBeMade(folder.st_dev, folder.st_ino, path.file_name()?.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const READ: [Role; 4] = [Role::Input, Role::AnInput, Role::Program, Role::Handler];
    const WRITTEN: [Role; 11] = [
        Role::Output,
        Role::Rejects,
        Role::ProgressFile,
        Role::Summary,
        Role::JobLog,
        Role::Page,
        Role::Trace,
        Role::JUnit,
        Role::Metrics,
        Role::Journal,
        Role::Log,
    ];

    /// Whether two uses of one file are refused.
    fn is_refused(first: Role, second: Role, stat: Stat) -> bool {
        refuse_shared(&[Use::new(first, "a".to_owned(), Some(stat)), Use::new(second, "b".to_owned(), Some(stat))])
            .is_err()
    }

    #[test]
    fn every_two_uses_of_a_regular_file_are_refused_but_two_that_read() {
        let stat = rustix::fs::fstat(tempfile::tempfile().unwrap()).unwrap();
        for second in WRITTEN {
            for first in READ.into_iter().chain(WRITTEN) {
                assert!(is_refused(first, second, stat), "{first:?} {second:?}");
                assert!(is_refused(second, first, stat), "{second:?} {first:?}");
            }
        }
        for (first, second) in [(Role::AnInput, Role::AnInput), (Role::Input, Role::Handler)] {
            assert!(!is_refused(first, second, stat));
        }
    }

    #[test]
    fn a_device_may_be_named_twice_and_a_pipe_only_at_one_end() {
        let null = rustix::fs::fstat(File::open("/dev/null").unwrap()).unwrap();
        assert!(!is_refused(Role::Input, Role::Output, null));
        assert!(!is_refused(Role::Output, Role::Rejects, null));
        let pipe = rustix::fs::fstat(std::io::pipe().unwrap().0).unwrap();
        assert!(is_refused(Role::Input, Role::Output, pipe));
        assert!(!is_refused(Role::Output, Role::Summary, pipe));
    }

    #[test]
    fn both_uses_are_named() {
        let stat = rustix::fs::fstat(tempfile::tempfile().unwrap()).unwrap();
        let refusal = |names: [&str; 2]| {
            let uses = [Role::Output, Role::Rejects].into_iter().zip(names);
            let uses: Vec<Use> = uses.map(|(role, name)| Use::new(role, name.to_owned(), Some(stat))).collect();
            refuse_shared(&uses).unwrap_err().message
        };
        assert_eq!(refusal(["x.csv", "x.csv"]), "x.csv is both the output and the rejects file");
        assert_eq!(refusal(["x.csv", "./x.csv"]), "x.csv is both the output and the rejects file (as ./x.csv)");
    }

    #[test]
    fn two_files_that_will_be_made_are_the_same_by_their_folder_and_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("a", path("link")).unwrap();
        let shared = |second: &str| {
            let uses = [(Role::Summary, "a"), (Role::JobLog, second)];
            let uses = uses.map(|(role, name)| Use::written(role, &path(name), None));
            refuse_shared(&uses).is_err()
        };
        assert!(shared("a") && shared("./a") && shared("link"));
        assert!(!shared("b"));
    }

    #[test]
    fn files_that_differ_or_are_not_there_are_no_reason_to_refuse() {
        // Both files are open at the same time: if the first were closed, the second could get its inode.
        let files = [(); 2].map(|()| tempfile::tempfile().unwrap());
        let [a, b] = files.each_ref().map(|file| rustix::fs::fstat(file).unwrap());
        let uses = [
            Use::new(Role::Input, "a".to_owned(), Some(a)),
            Use::new(Role::Output, "b".to_owned(), Some(b)),
            Use::new(Role::Summary, "c".to_owned(), None),
            Use::new(Role::Handler, "c".to_owned(), None),
        ];
        refuse_shared(&uses).unwrap();
    }
}
