//! The crate, built as cargo builds it for who installs it: from the packed file alone.

use std::process::{Command, Stdio};

use crate::command;
use crate::made::packages;

/// Dependencies are optimised in test builds, which takes longer than all else.
const QUICKLY: &str = "profile.dev.package.\"*\".opt-level=0";

#[test]
fn a_crate_is_installed_from_what_was_packed() {
    let Some(made) = packages() else { return };
    let folder = made.unpacked("forkpool-", ".crate");
    let root = folder.path().join("installed");
    // The dependencies are here since the other packages were built.
    let installed = Command::new("nice")
        .args([
            "cargo",
            "install",
            "--quiet",
            "--locked",
            "--offline",
            "--debug",
            "--config",
            QUICKLY,
            "--path",
            ".",
            "--root",
        ])
        .arg(&root)
        .env("CARGO_TARGET_DIR", folder.path().join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("nice starts");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    command::check_the_three_ways(&root.join("bin"));
}
