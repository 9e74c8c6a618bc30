//! The Debian package.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command;
use crate::made::packages;
use crate::offline;
use crate::support::{installed, project};

/// An empty system with no package, whose dpkg is that of this machine.
const INSTALL: &str = "
    mkdir -p \"$1/var/lib/dpkg/info\" \"$1/var/lib/dpkg/updates\" && : > \"$1/var/lib/dpkg/status\"
    dpkg --root=\"$1\" --force-not-root --log=/dev/null --install \"$2\"";

#[test]
fn a_debian_package_is_installed_used_and_removed() {
    let Some(made) = packages() else { return };
    let root = tempfile::tempdir().unwrap();
    let arguments = [root.path(), &made.package("forkpool_", ".deb")];
    offline::run(offline::script(INSTALL, arguments));
    for (packed, page) in
        [("man1/forkpool.1.gz", "man/forkpool.1"), ("man7/forkpool-worker.7.gz", "man/forkpool-worker.7")]
    {
        let file = root.path().join("usr/share/man").join(packed);
        let text = Command::new("gzip").arg("-dc").arg(file).output().expect("gzip starts").stdout;
        assert!(text == fs::read(project(page)).unwrap(), "{packed} is the page");
    }
    let bin = root.path().join("usr/bin");
    check_the_completions(root.path(), &bin);
    command::check_the_three_ways(&bin);
    command::check_the_statuses(bin.join("forkpool").to_str().unwrap());
    command::check_that_no_process_is_left(bin.join("forkpool").to_str().unwrap());
    let remove = "dpkg --root=\"$1\" --force-not-root --log=/dev/null --purge forkpool";
    offline::run(offline::script(remove, [root.path()]));
    assert!(!root.path().join("usr").exists(), "nothing of it is left");
}

fn check_the_completions(root: &Path, bin: &Path) {
    let places = [
        ("bash", "bash-completion/completions/forkpool"),
        ("zsh", "zsh/vendor-completions/_forkpool"),
        ("fish", "fish/vendor_completions.d/forkpool.fish"),
    ];
    for (shell, place) in places {
        let output = Command::new(bin.join("forkpool")).args(["--completions", shell]).output().unwrap();
        assert!(output.stdout == fs::read(root.join("usr/share").join(place)).unwrap(), "{place} is there");
    }
}

#[test]
fn lintian_finds_no_mistake_in_the_debian_package() {
    let Some(made) = packages() else { return };
    if !installed("lintian") {
        return;
    }
    let arguments = [made.package("forkpool_", ".deb")];
    let found = offline::run(offline::script("lintian --allow-root --fail-on error,warning \"$1\"", arguments));
    assert_eq!(found, "");
}
