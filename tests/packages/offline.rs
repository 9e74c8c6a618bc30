//! Commands that find no network, as on a machine behind a wall.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// A shell script in a namespace that has no network but its own loopback. `$1` and so on are the arguments.
pub fn script<A: AsRef<OsStr>>(text: &str, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "sh", "-euc", &format!("ip link set lo up\n{text}"), "sh"]).args(arguments);
    command.stdin(Stdio::null()).env_remove("PIP_FIND_LINKS");
    command
}

/// What the command wrote on stdout. It must end well.
#[track_caller]
pub fn run(mut command: Command) -> String {
    let output = command.output().expect("unshare starts");
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{text}\n{said}");
    text.into_owned()
}
