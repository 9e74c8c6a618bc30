//! What the agent of a host is told first: the settings of the run, and the files that go along.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;

use super::own_program::OwnProgram;
use super::settings::{Host, HostSettings};
use crate::protocol::stream::{self, Opening, SentFile, Word};
use crate::words::host::Way;

/// What is said to the far end of a stream to a host.
#[derive(Debug, Default)]
pub struct Luggage {
    /// The settings and files, for the agent.
    pub opening: Bytes,
    /// The program, where a shell has been started to become the agent.
    pub program: Option<OwnProgram>,
}

/// What is to be said to a host whose agent is started in this way.
pub fn luggage(hosts: &HostSettings, host: &Host, way: Way) -> io::Result<Luggage> {
    let program = match way {
        Way::Installed => None,
        Way::Brought => Some(OwnProgram::own()?.clone()),
    };
    Ok(Luggage { opening: pack(hosts, host)?.into(), program })
}

/// The line of the settings, and the bytes of all files behind it.
fn pack(hosts: &HostSettings, host: &Host) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    let files: Vec<SentFile> =
        hosts.files.iter().map(|path| add_file(path, &mut contents)).collect::<io::Result<_>>()?;
    let env = hosts.env.iter().filter_map(|name| Some((name.clone(), word(&std::env::var_os(name)?)))).collect();
    let opening = Opening {
        words: hosts.words.iter().map(|text| word(text)).collect(),
        workers: host.workers,
        directory: hosts.directory.as_ref().map(|path| word(path.as_os_str())),
        env,
        files,
    };
    let mut bytes = Vec::new();
    stream::put(&opening, &mut bytes);
    bytes.append(&mut contents);
    Ok(bytes)
}

/// Appends the bytes of a file, and says what it is. The error names the file.
fn add_file(path: &Path, contents: &mut Vec<u8>) -> io::Result<SentFile> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let name = path.file_name().ok_or_else(|| named(io::ErrorKind::IsADirectory.into()))?;
    let is_executable = fs::metadata(path).map_err(named)?.permissions().mode() & 0o100 != 0;
    // The bytes are counted as they are read: the file may be changed meanwhile.
    let bytes = File::open(path).and_then(|mut file| file.read_to_end(contents)).map_err(named)?;
    Ok(SentFile { name: word(name), bytes: bytes as u64, is_executable })
}

fn word(text: &OsStr) -> Word {
    match text.to_str() {
        Some(text) => Word::Text(text.to_owned()),
        None => Word::Bytes(text.as_bytes().to_vec()),
    }
}
