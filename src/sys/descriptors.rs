//! Descriptors: those that this process was given, and how many it may have open.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit};

use super::was_closed;

/// The limit that this process was started with, once it has been raised.
static FIRST_LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// A chain of symbolic links that is longer than this is a circle (what Linux allows, see path_resolution(7)).
pub const LINKS: usize = 40;

/// The number of the descriptor that a path stands for: `/dev/stdout`, `/dev/fd/3`, `/proc/self/fd/3`, or a
/// symbolic link to one of them.
pub fn number_of(path: &Path) -> Option<i32> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if let Some(number) = number_by_name(&path) {
            return Some(number);
        }
        let target = std::fs::read_link(&path).ok()?;
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    None
}

fn number_by_name(path: &Path) -> Option<i32> {
    match path.to_str() {
        Some("/dev/stdin") => return Some(0),
        Some("/dev/stdout") => return Some(1),
        Some("/dev/stderr") => return Some(2),
        _ => {}
    }
    let number = path.file_name()?.to_str()?.parse().ok()?;
    let folder = path.parent()?;
    (folder == Path::new("/dev/fd") || is_own_folder(&folder.canonicalize().ok()?)).then_some(number)
}

/// Whether a folder without symbolic links in its name is `/proc/PID/fd` or `/proc/PID/task/TID/fd`, and PID is ours.
fn is_own_folder(folder: &Path) -> bool {
    let own = PathBuf::from("/proc").join(std::process::id().to_string());
    let Ok(rest) = folder.strip_prefix(own) else { return false };
    let words: Vec<&OsStr> = rest.components().map(Component::as_os_str).collect();
    matches!(words[..], [fd] if fd == "fd") || matches!(words[..], [task, _, fd] if task == "task" && fd == "fd")
}

/// A copy of a descriptor that this process was given when it was started. It shares its place in the file with
/// the original. One that this process has opened itself is refused like one that is closed.
pub fn given(number: i32) -> io::Result<OwnedFd> {
    let closed = || io::Error::from_raw_os_error(libc::EBADF);
    if u8::try_from(number).is_ok_and(|number| number < 3 && was_closed(number)) {
        return Err(closed());
    }
    // SAFETY: F_GETFD takes no argument and changes nothing; a closed descriptor is an error return.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    // A descriptor that came through exec cannot be close-on-exec, and every one that this process opens is.
    if flags == -1 || flags & libc::FD_CLOEXEC != 0 {
        return Err(closed());
    }
    // SAFETY: the call makes a new descriptor and does not touch the old one.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made, is open, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// How many descriptors are open. Where the system does not tell, the three standard ones are assumed: a guess that is
/// too low lets a run start that may lack some later.
pub fn count() -> usize {
    // Reading the folder opens one descriptor, which is in the list.
    std::fs::read_dir("/dev/fd").map_or(3, |entries| entries.count().saturating_sub(1))
}

/// How many descriptors may be open: now, and at the most without privileges. `None` is no limit.
pub fn limits() -> (Option<u64>, Option<u64>) {
    let Rlimit { current, maximum } = rustix::process::getrlimit(Resource::Nofile);
    (current, maximum)
}

/// Allows this process as many descriptors as its hard limit does, or `needed` where there is no hard limit. Workers
/// are still started with the limit that this process was started with.
pub fn raise_limit(needed: u64) -> io::Result<()> {
    let first = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: Some(first.maximum.unwrap_or(needed)), maximum: first.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    FIRST_LIMIT.get_or_init(|| first);
    Ok(())
}

/// Gives this new process the limit that forkpool was started with: a program that uses select(2), or closes every
/// descriptor that it could have, does not expect another. Safe between fork and exec: no allocation, no lock.
pub fn restore_first_limit() -> rustix::io::Result<()> {
    match FIRST_LIMIT.get() {
        Some(&Rlimit { current, maximum }) => rustix::process::setrlimit(Resource::Nofile, Rlimit { current, maximum }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_descriptor_is_known_by_any_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/dev/stderr", &link).unwrap();
        symlink("link", folder.path().join("further")).unwrap();
        let further = folder.path().join("further");
        let further = further.to_str().unwrap();
        for (path, number) in [
            ("/dev/stdin", Some(0)),
            ("/dev/stdout", Some(1)),
            ("/dev/fd/7", Some(7)),
            ("/dev/../dev/fd/7", Some(7)),
            ("/proc/self/fd/1", Some(1)),
            ("/proc/thread-self/fd/1", Some(1)),
            (further, Some(2)),
            ("/proc/1/fd/1", None),
            ("/dev/fd", None),
            ("/dev/null", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(number_of(Path::new(path)), number, "{path}");
        }
    }

    #[test]
    fn links_that_go_in_a_circle_stand_for_no_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert_eq!(number_of(&folder.path().join("a")), None);
    }

    #[test]
    fn what_this_process_opened_was_not_given_to_it() {
        let own = tempfile::tempfile().unwrap();
        assert!(given(own.as_raw_fd()).is_err());
        assert!(given(9999).is_err());
        assert!(given(-1).is_err());
        assert!(given(1).is_ok());
    }
}
