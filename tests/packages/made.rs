//! The packages, made once for all tests, from a copy of the sources in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::offline;
use crate::support::{console, project};

/// The time of all files in the packages that are made here.
const EPOCH: &str = "1700000000";

/// A copy of the sources, and all that was built from it.
pub struct Made {
    pub sources: PathBuf,
    /// The target folder of cargo.
    pub target: PathBuf,
    /// The packages and their checksums.
    pub out: PathBuf,
}

/// The packages; `None` where they are not to be tested.
pub fn packages() -> Option<&'static Made> {
    static MADE: OnceLock<Option<Made>> = OnceLock::new();
    // What git has or would take: nothing that was built.
    let copy = "git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t \"$TO\"";
    let made = MADE.get_or_init(|| {
        if console::all_must_run() {
            return Some(Made::new(&project("."), copy, "one place", "022"));
        }
        console::skip("packages take minutes to build and are tested only with FORKPOOL_TEST_ALL=1");
        None
    });
    made.as_ref()
}

impl Made {
    /// Copies the sources by a command of sh that runs in `from`, and makes all packages of them, in a folder of this
    /// name below the target folder, which is emptied first. New files get the rights that `umask` leaves.
    fn new(from: &Path, copy: &str, name: &str, umask: &str) -> Made {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the folder can be emptied");
        }
        let (sources, target) = (folder.join("sources"), folder.join("target"));
        fs::create_dir_all(&sources).expect("the folder is new");
        let copied = Command::new("sh").args(["-c", copy]).current_dir(from).env("TO", &sources).status();
        assert!(copied.is_ok_and(|status| status.success()), "the sources can be copied");
        let script = format!("umask {umask}; exec nice src/clients/build");
        let built = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&sources)
            .env("CARGO_TARGET_DIR", &target)
            .env("SOURCE_DATE_EPOCH", EPOCH)
            .stdin(Stdio::null())
            .output()
            .expect("sh starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let out = target.join("packages");
        Made { sources, target, out }
    }

    /// Makes all packages again, from a copy of the same sources in another folder.
    pub fn again(&self) -> Made {
        Made::new(&self.sources, "cp -r . \"$TO\"", "another place", "077")
    }

    /// The one package whose name begins and ends so.
    #[track_caller]
    pub fn package(&self, begin: &str, end: &str) -> PathBuf {
        let is_it = |name: &String| name.starts_with(begin) && name.ends_with(end);
        let found: Vec<String> = self.names().into_iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{found:?} are the packages {begin}…{end} of {:?}", self.names());
        self.out.join(&found[0])
    }

    /// What is in a package that is a tar file, which has one folder at its top.
    #[track_caller]
    pub fn unpacked(&self, begin: &str, end: &str) -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let arguments = [folder.path(), &self.package(begin, end)];
        offline::run(offline::script("tar -xzf \"$2\" -C \"$1\" --strip-components=1", arguments));
        folder
    }

    /// All files that were made, by name.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.out).expect("the packages are there");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut names: Vec<String> = entries.filter_map(name).collect();
        names.sort();
        names
    }
}
