//! What the agent of a host is told first: the settings of the run, and the files that go along.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::own_program::OwnProgram;
use super::settings::{Host, HostSettings};
use crate::protocol::stream::{self, Opening, SentFile, Word};
use crate::words::host::Way;

/// What is said to the far end of a stream to a host.
#[derive(Debug, Default)]
pub struct Luggage {
    /// The settings and files, for the agent, in pieces.
    pub opening: Vec<Bytes>,
    /// The program, where a shell has been started to become the agent.
    pub program: Option<OwnProgram>,
}

/// What is to be said to a host whose agent is started in this way.
pub fn luggage(hosts: &HostSettings, host: &Host, way: Way) -> io::Result<Luggage> {
    let program = match way {
        Way::Installed => None,
        Way::Brought => Some(OwnProgram::own()?.clone()),
    };
    Ok(Luggage { opening: pack(hosts, host)?, program })
}

/// The line of the settings, and the bytes of each file behind it.
fn pack(hosts: &HostSettings, host: &Host) -> io::Result<Vec<Bytes>> {
    let packed: Vec<(SentFile, Bytes)> = hosts.files.iter().map(|path| pack_file(path)).collect::<io::Result<_>>()?;
    let (files, contents): (Vec<SentFile>, Vec<Bytes>) = packed.into_iter().unzip();
    let env = hosts.env.iter().filter_map(|name| Some((name.clone(), word(&std::env::var_os(name)?)))).collect();
    let opening = Opening {
        words: hosts.words.iter().map(|text| word(text)).collect(),
        workers: host.workers,
        directory: hosts.directory.as_ref().map(|path| word(path.as_os_str())),
        env,
        files,
    };
    let mut line = Vec::new();
    stream::put(&opening, &mut line);
    Ok(std::iter::once(line.into()).chain(contents).collect())
}

/// What a file is, and its bytes. The error names the file.
fn pack_file(path: &Path) -> io::Result<(SentFile, Bytes)> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let name = path.file_name().ok_or_else(|| named(io::ErrorKind::IsADirectory.into()))?;
    let content = shared(path).map_err(named)?;
    let file = SentFile { name: word(name), bytes: content.bytes.len() as u64, is_executable: content.is_executable };
    Ok((file, Bytes::from_owner(Shared(content))))
}

/// The content of a file.
struct Content {
    path: PathBuf,
    /// What tells this version of the file from others: device, inode, size, and when it was changed.
    version: [i128; 4],
    is_executable: bool,
    bytes: Vec<u8>,
}

/// Somebody who has not been sent all of it yet.
struct Shared(Arc<Content>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Reads a file, unless it is in memory because it is on its way to another host: a hundred hosts are sent one copy.
fn shared(path: &Path) -> io::Result<Arc<Content>> {
    static ON_THEIR_WAY: Mutex<Vec<Weak<Content>>> = Mutex::new(Vec::new());
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    let version = [metadata.dev().into(), metadata.ino().into(), metadata.len().into(), changed];
    // The list is whole after a panic, too. It is held while the file is read: others that want it wait for it.
    let mut contents = ON_THEIR_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    contents.retain(|content| content.strong_count() > 0);
    let is_same = |content: &Arc<Content>| content.path == path && content.version == version;
    if let Some(content) = contents.iter().filter_map(Weak::upgrade).find(is_same) {
        return Ok(content);
    }
    let is_executable = metadata.permissions().mode() & 0o100 != 0;
    let mut content = Content { path: path.to_owned(), version, is_executable, bytes: Vec::new() };
    file.read_to_end(&mut content.bytes)?;
    let content = Arc::new(content);
    contents.push(Arc::downgrade(&content));
    Ok(content)
}

fn word(text: &OsStr) -> Word {
    match text.to_str() {
        Some(text) => Word::Text(text.to_owned()),
        None => Word::Bytes(text.as_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_memory_once_for_all_hosts_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        std::fs::write(&path, "old").unwrap();
        let (one, other) = (pack_file(&path).unwrap().1, pack_file(&path).unwrap().1);
        assert_eq!((&one[..], one.as_ptr()), (&b"old"[..], other.as_ptr()));
        std::fs::write(&path, "newer").unwrap();
        assert_eq!(pack_file(&path).unwrap().1, "newer");
        assert_eq!(one, "old", "whoever has it keeps it");
    }
}
