//! What a new process executes, made ready before there is that process: between its birth and `execve` nothing can be
//! allocated. The rules are those of `execvp`, with the PATH that the program itself will have.

use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io;
use std::iter::once;
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;

use rustix::io::Errno;

use super::spawn::Program;

/// A program as `execve` takes it.
pub struct Image {
    /// Where the program may be; the first file that can be executed is it.
    paths: Vec<CString>,
    /// What the pointers below point to.
    _texts: [Vec<CString>; 2],
    argv: Vec<*const c_char>,
    /// The same for the shell that reads a script without `#!`: the second word becomes the script's path.
    shell_argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

const SHELL: &CStr = c"/bin/sh";

impl Image {
    /// Fails for a text with a NUL byte, which no program can be given.
    pub fn new(program: &Program) -> io::Result<Image> {
        let name = program.words.first().map(OsString::as_os_str).unwrap_or_default();
        let paths = places(name, program.env.get(OsStr::new("PATH")));
        let paths = paths.into_iter().map(CString::new).collect::<Result<_, _>>()?;
        let words = program.words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let pair = |(name, value): (&OsString, &OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        let env = program.env.iter().map(|entry| CString::new(pair(entry))).collect::<Result<Vec<_>, _>>()?;
        let argv: Vec<_> = words.iter().map(|word| word.as_ptr()).chain(once(null())).collect();
        let shell_argv = [SHELL.as_ptr(), null()].into_iter().chain(argv.iter().skip(1).copied()).collect();
        let envp = env.iter().map(|entry| entry.as_ptr()).chain(once(null())).collect();
        Ok(Image { paths, _texts: [words, env], argv, shell_argv, envp })
    }

    /// Becomes the program. Returns only if that failed. Allocates nothing and takes no lock.
    pub fn execute(&mut self) -> Errno {
        let mut error = Errno::NOENT;
        let mut refused = false;
        for path in &self.paths {
            error = execve(path, &self.argv, &self.envp);
            if error == Errno::NOEXEC {
                self.shell_argv[1] = path.as_ptr();
                error = execve(SHELL, &self.shell_argv, &self.envp);
            }
            match error {
                Errno::ACCESS => refused = true,
                // There is no such file, or its folder cannot be reached.
                Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
                _ => return error,
            }
        }
        if refused { Errno::ACCESS } else { error }
    }
}

/// The paths at which a program of this name may be. Without a PATH they are where `execvp` looks then.
fn places(name: &OsStr, search: Option<&OsString>) -> Vec<Vec<u8>> {
    let name = name.as_bytes();
    if name.is_empty() || name.contains(&b'/') {
        return vec![name.to_owned()];
    }
    let search = search.map_or(&b"/bin:/usr/bin"[..], |search| search.as_bytes());
    let place = |folder: &[u8]| match folder {
        // An empty folder is the current one.
        b"" => name.to_owned(),
        _ => [folder, b"/", name].concat(),
    };
    // A folder whose name is too long for the system is none.
    let folders = search.split(|&byte| byte == b':').filter(|folder| folder.len() < libc::PATH_MAX as usize);
    folders.map(place).collect()
}

/// Returns only if it failed. The lists are those of an [`Image`].
fn execve(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Errno {
    // SAFETY: the path and all that the two lists point to are C strings that live as long as the image, and each list
    // ends with a null pointer. The error's number is the calling thread's, and is read at once.
    let number = unsafe {
        libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
        *libc::__errno_location()
    };
    Errno::from_raw_os_error(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_the_path() {
        let check = |name: &str, search: Option<&str>, expected: &[&str]| {
            let found = places(OsStr::new(name), search.map(OsString::from).as_ref());
            let found: Vec<_> = found.into_iter().map(|path| String::from_utf8(path).unwrap()).collect();
            assert_eq!(found, expected, "{name} in {search:?}");
        };
        check("w", Some("/a:b:/c/"), &["/a/w", "b/w", "/c//w"]);
        check("w", Some(":/a::"), &["w", "/a/w", "w", "w"]);
        check("w", Some(""), &["w"]);
        check("w", None, &["/bin/w", "/usr/bin/w"]);
        check("./w", Some("/a"), &["./w"]);
        check("/b/w", Some("/a"), &["/b/w"]);
        check("", Some("/a"), &[""]);
    }
}
