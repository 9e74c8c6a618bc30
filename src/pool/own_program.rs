//! Bringing this program to a host that has none: it is sent once, into a cache in the home of the user there.
//!
//! Instead of the agent a shell is started on the host, and told by its stdin what to do, so that nothing has to survive
//! the quoting of a login shell. It becomes the agent if the program is in the cache. If not, it asks for the program
//! by a line of its own: only then is it sent, since many shells read more of their stdin than the line they are at. The
//! agent says hello, like any other, before anything more is sent.

use std::env::consts::{ARCH, OS};
use std::io;
use std::sync::OnceLock;

use bytes::Bytes;
use twox_hash::XxHash3_128;

use crate::protocol::stream::Wanted;

/// This program, for hosts.
#[derive(Debug, Clone)]
pub struct OwnProgram {
    pub content: Bytes,
    /// What the shell of a host is told.
    pub script: Bytes,
}

impl OwnProgram {
    /// The program that this process runs. It is read once.
    pub fn own() -> io::Result<&'static OwnProgram> {
        static OWN: OnceLock<OwnProgram> = OnceLock::new();
        if let Some(own) = OWN.get() {
            return Ok(own);
        }
        // The file is this one also when another has taken its place.
        #[cfg(target_os = "linux")]
        let content = std::fs::read("/proc/self/exe")?;
        #[cfg(not(target_os = "linux"))]
        let content = std::fs::read(std::env::current_exe()?)?;
        Ok(OWN.get_or_init(|| OwnProgram::new(content.into())))
    }

    fn new(content: Bytes) -> OwnProgram {
        let name = format!("{}-{:032x}", env!("CARGO_PKG_VERSION"), XxHash3_128::oneshot(&content));
        let script = SCRIPT.replace('\n', " ").replace("NAME", &name).replace("SIZE", &content.len().to_string());
        OwnProgram { content, script: (script + "\n").into() }
    }
}

/// Says what is wrong, if a host that asks for the program by this line could not run it.
pub fn mismatch(line: &[u8]) -> Result<Option<String>, String> {
    let wanted: Wanted = serde_json::from_slice(line).map_err(|error| format!("asked for forkpool badly: {error}"))?;
    let (host, own) = (wanted.forkpool_wanted_for, platform());
    Ok((host != own).then(|| format!("it has no forkpool, and is {host}, while this forkpool is for {own}")))
}

/// The kind of machine that this program runs on, as `uname -s -m` calls it.
pub fn platform() -> String {
    let system = match OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "freebsd" => "FreeBSD",
        other => other,
    };
    let processor = match (OS, ARCH) {
        ("macos", "aarch64") => "arm64",
        ("freebsd", "x86_64") => "amd64",
        (_, "x86") => "i686",
        (_, other) => other,
    };
    format!("{system} {processor}")
}

/// What a shell is told. It is one line when it is sent, so that the shell has all of it before the program follows. A
/// folder or a program that belongs to somebody else is not used: where there is no home, the cache is in a folder that
/// others may write into. The program is only in the cache when it is whole.
const SCRIPT: &str = r#"d=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/forkpool; f=$d/NAME; t=$f.$$.$(uname -n);
{ [ -x "$f" ] && [ -O "$f" ]; } ||
( umask 077; mkdir -p "$d" && [ -O "$d" ] && echo "{\"forkpool_wanted_for\":\"$(uname -s) $(uname -m)\"}" &&
head -c SIZE > "$t" && [ $(($(wc -c < "$t"))) -eq SIZE ] && chmod 700 "$t" && mv -f "$t" "$f" ) ||
{ rm -f "$t"; echo "forkpool cannot be put into $d" >&2; exit 1; };
exec "$f" --agent"#;
