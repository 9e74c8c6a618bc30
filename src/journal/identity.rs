//! What a journal is about: the worker and the input format that its outcomes came from. A journal of another worker is
//! refused, unless the user accepts that its results are mixed with this one's.
//!
//! Only digests of a command and of files are kept: a command line may hold secrets. What a script or a handler
//! imports is not looked at.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::settings::{JournalSettings, WorkerCode};
use crate::words::error::{Error, Result, reason};
use crate::words::worker::{HandlerChoice, WorkerCommand};

/// The first line of a journal. Another one follows where a run went on with a worker that had been changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalHeader {
    /// The version of the format.
    #[serde(rename = "forkpool_journal")]
    pub version: u32,
    protocol: String,
    /// Digest of the worker's program and arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// Digest of the program's or its script's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    /// Digest of the handler file's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    handler: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<String>,
    /// The input's format.
    input: String,
    /// `--key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// `--shard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
}

/// The version of the format that is written here. It is raised when the lines, or what goes into the digests, change.
const VERSION: u32 = 1;

impl JournalHeader {
    /// The header of a journal of this run. Reads the handler's file, or the worker's program or script.
    pub fn of(journal: &JournalSettings) -> Result<JournalHeader> {
        let header = JournalHeader {
            version: VERSION,
            protocol: journal.worker.protocol.to_owned(),
            input: journal.input.name().to_owned(),
            key: journal.key.clone(),
            shard: journal.shard.map(|shard| shard.to_string()),
            ..JournalHeader::default()
        };
        match &journal.worker.code {
            WorkerCode::Handler(handler) => header.with_handler(handler),
            WorkerCode::Command(command) => header.with_command(command),
        }
    }

    fn with_handler(self, handler: &HandlerChoice) -> Result<JournalHeader> {
        Ok(JournalHeader {
            handler: Some(digest_of_files(&[&handler.file])?),
            function: handler.function.clone(),
            route: handler.route.clone(),
            runtime: handler.runtime.clone(),
            init: handler.init.clone(),
            ..self
        })
    }

    fn with_command(self, command: &WorkerCommand) -> Result<JournalHeader> {
        let words = std::iter::once(&command.program).chain(&command.args).map(|word| word.as_bytes());
        let files = own_files(command);
        let script = if files.is_empty() { None } else { Some(digest_of_files(&files)?) };
        Ok(JournalHeader { command: Some(digest(words)), script, ..self })
    }

    /// Whether the journal's lines can be read by this run, and its jobs be known again.
    pub fn knows_jobs_of(&self, journal: &JournalHeader) -> bool {
        let known_by =
            |header: &JournalHeader| (header.version, header.input.clone(), header.key.clone(), header.shard.clone());
        known_by(journal) == known_by(self)
    }

    /// What is different in the header of a journal that was found; `None` if nothing is.
    pub fn difference(&self, journal: &JournalHeader) -> Option<Difference> {
        if journal.version != self.version {
            let (theirs, ours) = (journal.version, self.version);
            let words = format!("it has format {theirs}, and this forkpool writes format {ours}");
            return Some(Difference::Jobs(words));
        }
        let jobs = [
            ("the input's format", Some(&self.input), Some(&journal.input)),
            ("--key", self.key.as_ref(), journal.key.as_ref()),
            ("--shard", self.shard.as_ref(), journal.shard.as_ref()),
        ];
        first_difference(jobs).map(Difference::Jobs).or_else(|| self.difference_of_code(journal).map(Difference::Code))
    }

    fn difference_of_code(&self, journal: &JournalHeader) -> Option<String> {
        if self.handler.is_some() != journal.handler.is_some() {
            return Some("it is of a worker that was started in another way (--handler or a command)".to_owned());
        }
        let digests = [
            ("the worker's command", &self.command, &journal.command),
            ("the content of the worker's program or script", &self.script, &journal.script),
            ("the content of the handler", &self.handler, &journal.handler),
        ];
        if let Some((what, ..)) = digests.into_iter().find(|(_, ours, theirs)| ours != theirs) {
            return Some(format!("{what} has changed since it was begun"));
        }
        first_difference([
            ("--protocol", Some(&self.protocol), Some(&journal.protocol)),
            ("the handler's function", self.function.as_ref(), journal.function.as_ref()),
            ("--route", self.route.as_ref(), journal.route.as_ref()),
            ("--runtime", self.runtime.as_ref(), journal.runtime.as_ref()),
            ("--init", self.init.as_ref(), journal.init.as_ref()),
        ])
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialize")
    }

    /// Reads a header. Of one in a format that is not known only the version is read.
    pub fn from_json(json: &[u8]) -> Option<JournalHeader> {
        #[derive(Deserialize)]
        struct Version {
            forkpool_journal: u32,
        }
        let version = serde_json::from_slice::<Version>(json).ok()?.forkpool_journal;
        match version {
            VERSION => serde_json::from_slice(json).ok(),
            _ => Some(JournalHeader { version, ..JournalHeader::default() }),
        }
    }
}

/// Why a journal is not simply gone on with, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The worker is not what it was: the results in the journal are of another program, or of another version of it.
    Code(String),
    /// The jobs of the journal would not be known again, so that no run can go on with it.
    Jobs(String),
}

impl Difference {
    pub fn words(&self) -> &str {
        let (Difference::Code(words) | Difference::Jobs(words)) = self;
        words
    }
}

/// The first of these that is not the same: what it is, what it is now, what it was.
fn first_difference<const N: usize>(fields: [(&str, Option<&String>, Option<&String>); N]) -> Option<String> {
    let (what, ours, theirs) = fields.into_iter().find(|(_, ours, theirs)| ours != theirs)?;
    let shown = |value: Option<&String>| value.map_or("not given", String::as_str).to_owned();
    Some(format!("{what} was {} when it was begun and is {} now", shown(theirs), shown(ours)))
}

/// The user's own code in a command: the scripts among its arguments, or else a program that is named by its
/// path. A program that is found on the PATH, or an interpreter of a script, is the system's, and an upgrade of
/// it is no reason to start again. Other arguments may be files that the worker itself changes.
fn own_files(command: &WorkerCommand) -> Vec<&Path> {
    let scripts: Vec<&Path> = command.args.iter().map(Path::new).filter(|path| is_script(path)).collect();
    match scripts.is_empty() {
        true if command.program.as_bytes().contains(&b'/') => vec![Path::new(&command.program)],
        _ => scripts,
    }
}

/// Endings of files that are a program's text.
const SCRIPTS: [&str; 19] = [
    "awk", "bash", "cjs", "cts", "jar", "jl", "jq", "js", "lua", "mjs", "mts", "php", "pl", "py", "r", "rb", "sed",
    "sh", "ts",
];

fn is_script(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| SCRIPTS.contains(&ending.as_str())) && path.is_file()
}

fn digest_of_files(paths: &[&Path]) -> Result<String> {
    let mut contents = Vec::with_capacity(paths.len());
    for path in paths {
        let refused = |error| Error::refused(format!("cannot read {}: {}", path.display(), reason(&error)));
        contents.push(fs::read(path).map_err(refused)?);
    }
    Ok(digest(contents.iter().map(Vec::as_slice)))
}

/// Each part is preceded by its length, so that no two lists have the same bytes.
fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    format!("{:032x}", XxHash3_128::oneshot(&bytes))
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// The header of some run.
    pub fn header() -> JournalHeader {
        let command = Some(digest([b"sed".as_slice(), b"-u"].into_iter()));
        let (protocol, input) = ("lines".to_owned(), "ndjson".to_owned());
        JournalHeader { version: VERSION, protocol, command, input, ..JournalHeader::default() }
    }

    /// The header of a run on the same jobs, with another command.
    pub fn other_code() -> JournalHeader {
        JournalHeader { command: Some(digest([b"awk".as_slice()].into_iter())), ..header() }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::header;
    use super::*;
    use crate::words::worker::Channel;

    #[test]
    fn what_differs_is_named() {
        let ours = header();
        let check = |change: fn(&mut JournalHeader), words: &str| {
            let mut theirs = ours.clone();
            change(&mut theirs);
            let difference = ours.difference(&theirs).expect("they differ");
            assert!(difference.words().contains(words), "{difference:?}");
            assert_eq!(ours.knows_jobs_of(&theirs), matches!(difference, Difference::Code(_)), "{words}");
        };
        assert_eq!(ours.difference(&ours.clone()), None);
        check(|header| header.version = 2, "format 2");
        check(|header| header.command = Some("00".to_owned()), "the worker's command has changed");
        check(|header| header.script = Some("00".to_owned()), "program or script has changed");
        check(|header| header.handler = Some("00".to_owned()), "another way");
        check(|header| header.protocol = "json".to_owned(), "--protocol was json when it was begun and is lines now");
        check(|header| header.input = "csv".to_owned(), "the input's format was csv when it was begun and is ndjson");
        check(|header| header.shard = Some("2/3".to_owned()), "--shard was 2/3 when it was begun and is not given now");
        check(|header| header.key = Some("id".to_owned()), "--key was id when it was begun and is not given now");
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(JournalHeader::from_json(&header().to_json()), Some(header()));
    }

    #[test]
    fn a_handler_is_known_by_its_content_and_not_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let header = |name: &str, content: &str, function: Option<&str>| {
            let file = folder.path().join(name);
            fs::write(&file, content).unwrap();
            let function = function.map(str::to_owned);
            JournalHeader::default()
                .with_handler(&HandlerChoice { file, function, route: None, runtime: None, init: None })
                .unwrap()
        };
        let ours = header("pet.py", "def pet(job): pass", None);
        assert_eq!(ours.difference(&header("moved.py", "def pet(job): pass", None)), None);
        let changed = ours.difference(&header("pet.py", "def pet(job): return 1", None)).unwrap();
        assert!(changed.words().contains("the content of the handler has changed"), "{changed:?}");
        let other = ours.difference(&header("pet.py", "def pet(job): pass", Some("pet"))).unwrap();
        assert!(
            other.words().contains("the handler's function was pet when it was begun and is not given now"),
            "{other:?}"
        );
        let (file, init) = (folder.path().join("moved.py"), Some("dial".to_owned()));
        let with_init = HandlerChoice { file, function: None, route: None, runtime: None, init };
        let with_init = JournalHeader::default().with_handler(&with_init).unwrap();
        assert!(ours.difference(&with_init).unwrap().words().contains("--init was dial when it was begun"));
    }

    #[test]
    fn the_users_own_code_is_its_script_or_its_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            path.into_os_string()
        };
        let (script, data, program) = (path("w.py"), path("state.db"), path("worker"));
        let files = |program: &OsStr, args: &[&OsStr]| -> Vec<String> {
            let args = args.iter().map(|&word| word.to_owned()).collect();
            let command = WorkerCommand {
                wrap: Vec::new(),
                program: program.to_owned(),
                args,
                channel: Channel::Stdio,
                env: Vec::new(),
            };
            let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
            own_files(&command).into_iter().map(name).collect()
        };
        assert_eq!(files(OsStr::new("python3"), &[OsStr::new("-X"), &script, &data]), ["w.py"]);
        assert_eq!(files(&program, &[&script]), ["w.py"], "an interpreter is the system's");
        assert_eq!(files(&program, &[&data]), ["worker"]);
        assert!(files(OsStr::new("sed"), &[OsStr::new("missing.sed")]).is_empty());
    }
}
