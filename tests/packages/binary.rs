//! The binary that is in all packages: it needs nothing of the machine, and is the same wherever it was built.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::made::{Made, packages};
use crate::offline;
use crate::support::installed;

#[test]
fn the_same_sources_make_the_same_packages_in_another_folder() {
    let Some(made) = packages() else { return };
    let again = made.again();
    assert_eq!(made.names(), again.names());
    assert_eq!(made.names().len(), 8, "six packages, a bill beside one, and their checksums");
    let differs = |name: &String| fs::read(made.out.join(name)).unwrap() != fs::read(again.out.join(name)).unwrap();
    let different: Vec<String> = made.names().into_iter().filter(differs).collect();
    assert!(different.is_empty(), "{different:?}");
}

#[test]
fn no_path_of_the_machine_is_in_the_binary() {
    let Some(made) = packages() else { return };
    let content = fs::read(binary(made)).unwrap();
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME")).unwrap();
    for path in [made.sources.to_str().unwrap(), &home, "registry/src"] {
        assert!(memchr::memmem::find(&content, path.as_bytes()).is_none(), "{path} is in it");
    }
    assert!(memchr::memmem::find(&content, b"/crates/").is_some(), "other names are there instead");
}

/// No library, no loader, no /etc, /proc or /dev: any distribution has more than this, however old and whatever its C
/// library is. Busybox, static too, is the worker.
#[test]
fn it_runs_in_a_root_without_any_other_file() {
    let Some(made) = packages() else { return };
    if !installed("busybox") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let busybox = offline::run(offline::script("command -v busybox", [""; 0]));
    for (file, name) in [(Path::new(busybox.trim()), "busybox"), (&binary(made), "forkpool")] {
        fs::copy(file, root.path().join(name)).unwrap();
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = "exec chroot \"$1\" /busybox sh -c '/busybox printf \"tom\\nmia\\n\" |
        /forkpool -j 2 --from lines --protocol lines -- /busybox awk \"{ print toupper(\\$0); fflush() }\"'";
    assert_eq!(offline::run(offline::script(script, [root.path()])), "TOM\nMIA\n");
}

fn binary(made: &Made) -> std::path::PathBuf {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    made.target.join(triple).join("release/forkpool")
}
