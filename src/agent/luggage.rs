//! What the agent is told first, and the directory of the run: the files that were sent along lie there, and go away
//! with it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Parser;
use rustix::fs::FlockOperation;
use tempfile::TempDir;

use super::stream::Incoming;
use crate::cli::{self, Settings};
use crate::pool::policies::RetryPolicy;
use crate::protocol::stream::{Opening, Word};
use crate::words::error::{Error, Result, reason};

/// What the directories of runs are called. One that no process has locked is left over from an agent that was killed.
const PREFIX: &str = "forkpool-run-";
const LOCK: &str = ".lock";

/// The run on this host.
pub struct Unpacked {
    pub settings: Settings,
    /// The directory of the run; removed when this is dropped.
    _directory: TempDir,
    /// Held as long as the run goes on.
    _lock: File,
    /// What people should know.
    pub notices: Vec<String>,
}

pub fn unpack(incoming: &mut Incoming) -> Result<Unpacked> {
    let broken = |why: String| Error::pool(format!("the stream to the agent is broken: {why}"));
    let line = incoming.line().map_err(broken)?.ok_or_else(|| broken("it ended".to_owned()))?;
    let opening: Opening = serde_json::from_slice(&line).map_err(|error| broken(error.to_string()))?;
    let in_temporary = |error: io::Error| {
        let place = std::env::temp_dir();
        Error::pool(format!("cannot make a directory for the run in {}: {}", place.display(), reason(&error)))
    };
    sweep();
    let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(in_temporary)?;
    let lock = File::create(directory.path().join(LOCK)).map_err(in_temporary)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| in_temporary(error.into()))?;
    for file in &opening.files {
        let path = directory.path().join(name(&file.name)?);
        let mode = if file.is_executable { 0o700 } else { 0o600 };
        let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        made.and_then(|mut to| incoming.copy(file.bytes, &mut to))
            .map_err(|error| Error::pool(format!("cannot write {}: {}", path.display(), reason(&error))))?;
    }
    let mut notices = Vec::new();
    // First, since a program may be named by its place in this directory.
    enter(&opening, &mut notices);
    let settings = settings(&opening, directory.path())?;
    Ok(Unpacked { settings, _directory: directory, _lock: lock, notices })
}

/// A sent file's name, which must be one, since it comes from outside.
fn name(word: &Word) -> Result<OsString> {
    let name = os(word);
    let is_name = Path::new(&name).file_name() == Some(&name) && name != LOCK;
    if is_name { Ok(name) } else { Err(Error::pool(format!("{} is no name of a file", name.display()))) }
}

fn os(word: &Word) -> OsString {
    match word {
        Word::Text(text) => text.into(),
        Word::Bytes(bytes) => OsString::from_vec(bytes.clone()),
    }
}

/// Goes to where the run was started, if there is such a place on this host.
fn enter(opening: &Opening, notices: &mut Vec<String>) {
    let Some(directory) = opening.directory.as_ref().map(os) else { return };
    if let Err(error) = std::env::set_current_dir(&directory) {
        let here = std::env::current_dir().unwrap_or_default();
        let (wanted, here, why) = (directory.display(), here.display(), reason(&error));
        notices.push(format!("cannot go to {wanted} ({why}): workers run in {here}"));
    }
}

/// What the words of the command line say of workers and their limits. All else stays with whoever sent them.
fn settings(opening: &Opening, directory: &Path) -> Result<Settings> {
    let words = opening.words.iter().map(os);
    let mut args = cli::Args::try_parse_from(words).map_err(|error| Error::pool(error.to_string()))?;
    args.keep_workers_only();
    if let Some(handler) = &args.workers.handler {
        args.workers.handler = Some(sent_handler(handler, opening, directory)?);
    }
    if let Some(program) = args.command.first_mut()
        && let Some(sent) = sent_as(program, opening, directory)
    {
        *program = sent.into_os_string();
    }
    let mut settings = Settings::new(&args)?;
    let pool = &mut settings.pool;
    pool.workers = opening.workers.unwrap_or(pool.workers);
    pool.retry = RetryPolicy { retries: 0, ..pool.retry.clone() };
    pool.rate = None;
    pool.keep_jobs = false;
    pool.watched = false;
    // How many jobs there are here is bounded by whoever sends them.
    (pool.window, pool.memory) = (usize::MAX / 2, usize::MAX / 2);
    pool.command.env = opening.env.iter().map(|(name, value)| (name.into(), os(value))).collect();
    pool.command.env.push(("FORKPOOL_RUN_DIR".into(), directory.into()));
    Ok(settings)
}

/// `pet.py:feed` with the file that was sent instead of the one that was named.
fn sent_handler(handler: &str, opening: &Opening, directory: &Path) -> Result<String> {
    let is_sent = |file: &str| sent_as(OsStr::new(file), opening, directory);
    let split = handler.rsplit_once(':').filter(|(_, function)| !function.is_empty());
    let (path, function) = match (is_sent(handler), split) {
        (Some(path), _) => (path, None),
        (None, Some((file, function))) => (
            is_sent(file).ok_or_else(|| Error::pool(format!("the file of the handler {file} was not sent")))?,
            Some(function),
        ),
        (None, None) => return Err(Error::pool(format!("the file of the handler {handler} was not sent"))),
    };
    let path = path.to_str().ok_or_else(|| Error::pool(format!("{}: its path is not UTF-8", path.display())))?;
    Ok(function.map_or_else(|| path.to_owned(), |function| format!("{path}:{function}")))
}

/// Where a file lies that was named so and has been sent.
fn sent_as(path: &OsStr, opening: &Opening, directory: &Path) -> Option<PathBuf> {
    let name = Path::new(path).file_name()?;
    // A program that is looked for in PATH is not a file of the same name.
    let is_sent = opening.files.iter().any(|file| os(&file.name) == name);
    is_sent.then(|| directory.join(name))
}

/// Removes the directories of agents that were killed. What cannot be removed is another user's, or in use.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_run = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        if !is_run {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Somebody else may be faster, which is as good.
            let _ = fs::remove_dir_all(&path);
        }
    }
}
