//! A network of hosts with a real sshd each: network namespaces of this machine, each joined to it by a cable that can be
//! pulled. This needs root, `ip` and `sshd`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::may_use_root;
use crate::support::{HANG, Run, forkpool, kill, wait_for};

pub struct Network {
    pub hosts: Vec<Host>,
    pub folder: tempfile::TempDir,
}

pub struct Host {
    space: String,
    pub cable: String,
    pub address: String,
    /// The directory in which a login begins.
    pub home: PathBuf,
    /// What is /etc/passwd on this host only.
    passwd: PathBuf,
    sshd: Child,
}

/// What a host may take to lose all processes of a run that is gone: both ends notice a dead stream within 3 s here, an
/// agent that is told nothing within 60 s.
const GONE: Duration = Duration::from_secs(90);

/// Runs a command of plain words, which must succeed. Returns what it printed.
pub fn sh(words: &str) -> String {
    let mut words = words.split_whitespace();
    let program = words.next().expect("there is a word");
    let output = Command::new(program).args(words.clone()).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", words.collect::<Vec<_>>().join(" "));
    String::from_utf8(output.stdout).expect("it is text")
}

/// So many hosts, or nothing where the test is skipped.
pub fn network(count: u32) -> Option<Network> {
    if !may_use_root("hosts behind sshd", &["ip", "sshd"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all("/run/sshd").unwrap();
    for key in ["host", "user"] {
        let key = path.join(key);
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.expect("ssh-keygen starts").success());
    }
    let hosts = (1..=count).map(|number| Host::new(path, number)).collect();
    Some(Network { hosts, folder })
}

impl Host {
    /// Its workers find `h` and its number in `WHERE`.
    fn new(folder: &Path, number: u32) -> Host {
        // Tests that run at the same time have hosts of the same number.
        static HOSTS: AtomicU32 = AtomicU32::new(1);
        let id = std::process::id() % 100_000;
        let unique = HOSTS.fetch_add(1, Ordering::Relaxed);
        let (space, cable) = (format!("fp{id}x{unique}"), format!("fpc{id}x{unique}"));
        let net = format!("10.{}.{unique}", 200 + id % 50);
        for words in [
            format!("netns add {space}"),
            format!("link add {cable} type veth peer name eth0 netns {space}"),
            format!("addr add {net}.1/24 dev {cable}"),
            format!("link set {cable} up"),
            format!("-n {space} addr add {net}.2/24 dev eth0"),
            format!("-n {space} link set eth0 up"),
        ] {
            sh(&format!("ip {words}"));
        }
        let (home, passwd) = (folder.join(format!("home{number}")), folder.join(format!("passwd{number}")));
        fs::create_dir(&home).unwrap();
        let config = write_config(folder, number, &format!("{net}.2"));
        write_passwd(&passwd, &home, "/bin/sh");
        let sshd = Command::new("ip")
            .args(["netns", "exec", &space, "sh", "-c", "mount --bind \"$0\" /etc/passwd && exec \"$@\""])
            .arg(&passwd)
            .args(["/usr/sbin/sshd", "-D", "-e", "-f"])
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("ip starts");
        let host = Host { space, cable, address: format!("{net}.2"), home, passwd, sshd };
        let is_there = || std::net::TcpStream::connect((host.address.as_str(), 22)).ok();
        assert!(wait_for(HANG, is_there).is_some(), "sshd listens");
        host
    }

    /// From now on a login on this host has this shell.
    pub fn log_in_with(&self, shell: &str) {
        write_passwd(&self.passwd, &self.home, shell);
    }

    /// The processes on the host that belong to a run: all but the sshd that listens.
    fn processes(&self) -> BTreeSet<i32> {
        let listener = self.sshd.id().cast_signed();
        sh(&format!("ip netns pids {}", self.space))
            .lines()
            .map(|id| id.parse().unwrap())
            .filter(|&id| id != listener)
            .collect()
    }

    /// The process of this kind on the host, once it is there.
    pub fn process(&self, words: &str) -> i32 {
        let is_it = |id: &i32| {
            fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(words))
        };
        wait_for(HANG, || self.processes().into_iter().find(is_it)).unwrap_or_else(|| panic!("there is no {words}"))
    }

    #[track_caller]
    pub fn wait_until_empty(&self) {
        let empty = wait_for(GONE, || self.processes().is_empty().then_some(()));
        assert!(empty.is_some(), "processes are left on {}: {:?}", self.address, self.processes());
    }
}

/// The configuration of the host's sshd. What it says of the PATH holds for every shell.
fn write_config(folder: &Path, number: u32, address: &str) -> PathBuf {
    let binaries = Path::new(env!("CARGO_BIN_EXE_forkpool")).parent().unwrap().display();
    let path = std::env::var("PATH").unwrap();
    let config = folder.join(format!("sshd{number}"));
    let folder = folder.display();
    fs::write(
        &config,
        format!(
            "Port 22\nListenAddress {address}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPrintMotd no\nClientAliveInterval 1\nClientAliveCountMax 2\n\
             SetEnv PATH={binaries}:{path} WHERE=h{number}\n"
        ),
    )
    .unwrap();
    config
}

/// The users of this machine, of whom root has another home and another shell. The file stays the same one, since it is
/// mounted.
fn write_passwd(file: &Path, home: &Path, shell: &str) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let others = users.lines().filter(|line| !line.starts_with("root:")).map(|line| format!("{line}\n"));
    let root = format!("root:x:0:0:root:{}:{shell}\n", home.display());
    fs::write(file, std::iter::once(root).chain(others).collect::<String>()).unwrap();
}

impl Drop for Host {
    fn drop(&mut self) {
        for id in self.processes() {
            kill(id, libc::SIGKILL);
        }
        drop(self.sshd.kill());
        drop(self.sshd.wait());
        for words in [format!("ip link del {}", self.cable), format!("ip netns del {}", self.space)] {
            drop(Command::new("sh").args(["-c", &words]).stderr(Stdio::null()).status());
        }
    }
}

impl Network {
    /// The command that reaches a host.
    pub fn ssh(&self) -> String {
        let key = self.folder.path().join("user");
        format!(
            "ssh -T -F none -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o LogLevel=ERROR -o BatchMode=yes -o ServerAliveInterval=1 -o ServerAliveCountMax=2 {{host}}",
            key.display()
        )
    }

    /// A run with two workers on each host.
    pub fn run(&self, words: &str) -> Run {
        let hosts = self.hosts.iter().map(|host| format!("{}:2", host.address)).collect::<Vec<_>>().join(",");
        let words = words.split_whitespace().map(str::to_owned);
        let first = ["--host".to_owned(), hosts, "--launch".to_owned(), self.ssh()];
        forkpool(first.into_iter().chain(words)).current_dir(self.folder.path())
    }
}
