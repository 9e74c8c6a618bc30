//! Files that did not exist before this run, to be removed again if it is refused.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

/// The files that were made for this run. They are removed when this is dropped, unless `keep` has been called.
#[derive(Debug, Default)]
pub struct Made {
    files: Vec<(PathBuf, Stat)>,
}

impl Made {
    /// `file` has been made under the name `path`.
    pub fn add(&mut self, path: &Path, file: impl AsFd) {
        // The name may be that of a symbolic link, which was there before and must stay.
        if let (Ok(path), Ok(stat)) = (path.canonicalize(), rustix::fs::fstat(file)) {
            self.files.push((path, stat));
        }
    }

    /// The run has begun: its files stay.
    pub fn keep(&mut self) {
        self.files.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for (path, made) in &self.files {
            // Only a file that is ours and empty is removed: meanwhile somebody else may have put another one there, or
            // written into it.
            let is_ours = rustix::fs::lstat(path)
                .is_ok_and(|now| (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino) && now.st_size == 0);
            if is_ours {
                // If the removal fails, an empty file stays, which is no reason to hide why the run was refused.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    /// What is left of a file that was made and of what became of it before the run was refused.
    fn left(change: impl Fn(&Path), is_kept: bool) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut made = Made::default();
        made.add(&path, File::create(&path).unwrap());
        change(&path);
        if is_kept {
            made.keep();
        }
        drop(made);
        path.exists()
    }

    #[test]
    fn only_an_empty_file_of_ours_is_removed() {
        assert!(!left(|_| {}, false));
        assert!(left(|_| {}, true));
        assert!(left(|path| fs::write(path, "words").unwrap(), false));
        let replace = |path: &Path| {
            File::create(path.with_extension("new")).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        };
        assert!(left(replace, false));
    }

    #[test]
    fn a_link_that_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("file", &link).unwrap();
        let mut made = Made::default();
        made.add(&link, File::create(&link).unwrap());
        drop(made);
        assert!(link.is_symlink());
        assert!(!folder.path().join("file").exists());
    }
}
