//! Hosts behind a real sshd: network namespaces of this machine, each joined to it by a cable that can be pulled.
//!
//! This needs root, `ip` and `sshd`, so it runs only where nothing may be skipped (FORKPOOL_TEST_ALL=1).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{HANG, Run, console, forkpool, installed, kill, project, records, wait_for};

/// Two hosts.
struct Network {
    folder: tempfile::TempDir,
    hosts: Vec<Host>,
}

struct Host {
    space: String,
    cable: String,
    address: String,
    sshd: Child,
}

/// What a host may take to lose all processes of a run that is gone: both ends notice a dead stream within 3 s here, an
/// agent that is told nothing within 60 s.
const GONE: Duration = Duration::from_secs(90);

fn sh(words: &str) -> String {
    let mut words = words.split_whitespace();
    let program = words.next().expect("there is a word");
    let output = Command::new(program).args(words.clone()).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", words.collect::<Vec<_>>().join(" "));
    String::from_utf8(output.stdout).expect("it is text")
}

/// The hosts, or nothing where the test is skipped.
fn network() -> Option<Network> {
    if !console::all_must_run() {
        console::skip("hosts behind sshd need root and run only with FORKPOOL_TEST_ALL=1");
        return None;
    }
    if !rustix::process::geteuid().is_root() || !installed("ip") || !installed("sshd") {
        console::skip("hosts behind sshd need root");
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
    let hosts = (1..=2).map(|number| Host::new(path, number)).collect();
    Some(Network { folder, hosts })
}

impl Host {
    fn new(folder: &Path, number: u32) -> Host {
        let id = std::process::id() % 100_000;
        let (space, cable) = (format!("fp{id}x{number}"), format!("fpc{id}x{number}"));
        let net = format!("10.{}.{}", 200 + id % 50, number);
        sh(&format!("ip netns add {space}"));
        sh(&format!("ip link add {cable} type veth peer name eth0 netns {space}"));
        sh(&format!("ip addr add {net}.1/24 dev {cable}"));
        sh(&format!("ip link set {cable} up"));
        sh(&format!("ip -n {space} addr add {net}.2/24 dev eth0"));
        sh(&format!("ip -n {space} link set eth0 up"));
        let binaries = Path::new(env!("CARGO_BIN_EXE_forkpool")).parent().unwrap().display();
        let path = std::env::var("PATH").unwrap();
        let config = folder.join(format!("sshd{number}"));
        let folder = folder.display();
        fs::write(
            &config,
            format!(
                "Port 22\nListenAddress {net}.2\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n\
                 StrictModes no\nUsePAM no\nPrintMotd no\nClientAliveInterval 1\nClientAliveCountMax 2\n\
                 SetEnv PATH={binaries}:{path} WHERE=h{number}\n"
            ),
        )
        .unwrap();
        let sshd = Command::new("ip")
            .args(["netns", "exec", &space, "/usr/sbin/sshd", "-D", "-e", "-f"])
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("ip starts");
        let host = Host { space, cable, address: format!("{net}.2"), sshd };
        let is_there = || std::net::TcpStream::connect((host.address.as_str(), 22)).ok();
        assert!(wait_for(HANG, is_there).is_some(), "sshd listens");
        host
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
    fn process(&self, words: &str) -> i32 {
        let is_it = |id: &i32| {
            fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(words))
        };
        wait_for(HANG, || self.processes().into_iter().find(is_it)).unwrap_or_else(|| panic!("there is no {words}"))
    }

    #[track_caller]
    fn wait_until_empty(&self) {
        let empty = wait_for(GONE, || self.processes().is_empty().then_some(()));
        assert!(empty.is_some(), "processes are left on {}: {:?}", self.address, self.processes());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            for id in host.processes() {
                kill(id, libc::SIGKILL);
            }
            drop(host.sshd.kill());
            drop(host.sshd.wait());
            for words in [format!("ip link del {}", host.cable), format!("ip netns del {}", host.space)] {
                drop(Command::new("sh").args(["-c", &words]).stderr(Stdio::null()).status());
            }
        }
    }
}

impl Network {
    fn run(&self, words: &str) -> Run {
        let key = self.folder.path().join("user");
        let launch = format!(
            "ssh -T -F none -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o LogLevel=ERROR -o BatchMode=yes -o ServerAliveInterval=1 -o ServerAliveCountMax=2 {{host}}",
            key.display()
        );
        let hosts = self.hosts.iter().map(|host| format!("{}:2", host.address)).collect::<Vec<_>>().join(",");
        let words = words.split_whitespace().map(str::to_owned);
        let first = ["--host".to_owned(), hosts, "--launch".to_owned(), launch];
        forkpool(first.into_iter().chain(words)).current_dir(self.folder.path())
    }

    /// A handler whose jobs take a tenth of a second, and are noted when they begin.
    fn slow(&self, jobs: u32) -> PathBuf {
        let begun = self.folder.path().join("begun");
        drop(fs::remove_file(&begun));
        let code = format!(
            "import os, time\ndef work(n):\n    with open({:?}, 'a') as begun:\n        begun.write('%s %s\\n' % (n, os.environ.get('WHERE')))\n    \
             time.sleep(0.1)\n    return n * 2\n",
            begun.display().to_string()
        );
        fs::write(self.folder.path().join("slow.py"), code).unwrap();
        let jobs: String = (1..=jobs).map(|n| format!("{n}\n")).collect();
        fs::write(self.folder.path().join("jobs.ndjson"), jobs).unwrap();
        begun
    }
}

fn begun(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut begun: Vec<u64> = text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    begun.sort_unstable();
    begun
}

/// Waits until so many jobs have begun.
fn wait_for_jobs(file: &Path, count: usize) {
    assert!(wait_for(HANG, || (begun(file).len() >= count).then_some(())).is_some(), "{count} jobs begin");
}

#[test]
fn hosts_behind_sshd() {
    let Some(network) = network() else { return };
    names_come_out_as_at_home(&network);
    a_cable_that_is_pulled_costs_only_what_had_begun(&network);
    whatever_is_killed_retries_make_the_run_whole(&network);
    a_run_that_is_killed_leaves_nothing_and_goes_on(&network);
}

fn names_come_out_as_at_home(network: &Network) {
    let names = project("samples/names.csv");
    for handler in ["samples/handlers/pet.py", "samples/handlers/pet.mjs"] {
        let words = format!("-q -i {} --to csv --handler {}", names.display(), project(handler).display());
        let home = forkpool(words.split_whitespace()).end();
        let ended = network.run(&words).end().check_status(home.status);
        assert!(home.stdout.len() > 100_000 && ended.stdout == home.stdout, "{handler}: {}", ended.stderr);
    }
}

fn a_cable_that_is_pulled_costs_only_what_had_begun(network: &Network) {
    let file = network.slow(120);
    let run = network.run("--handler slow.py -i jobs.ndjson --meta").start();
    let host = &network.hosts[0];
    let there = || fs::read_to_string(&file).unwrap_or_default().matches(" h1\n").count();
    assert!(wait_for(HANG, || (there() >= 6).then_some(())).is_some(), "jobs begin there");
    sh(&format!("ip link set {} down", host.cable));
    let ended = run.end();
    let records = records(&ended.stdout);
    assert_eq!(records.len(), 120, "{}", ended.stderr);
    let begun = begun(&file);
    assert!(begun.windows(2).all(|pair| pair[0] < pair[1]), "no job begins twice: {begun:?}");
    let (mut lost, mut unbegun) = (0, 0);
    for (record, number) in records.iter().zip(1_u64..) {
        assert_eq!(record["job"], number, "order is kept");
        if record["status"] != "ok" {
            lost += 1;
            assert_eq!(
                (&record["error"]["name"], &record["host"]),
                (&"HostLost".into(), &host.address.as_str().into())
            );
            unbegun += usize::from(!begun.contains(&number));
        }
    }
    // Jobs that were announced, and were on their way to a worker, are charged, too: on a busy machine one or two.
    assert!((1..=8).contains(&lost) && unbegun <= 4, "{lost} jobs were lost, of which {unbegun}: {}", ended.stderr);
    host.wait_until_empty();
    sh(&format!("ip link set {} up", host.cable));
}

fn whatever_is_killed_retries_make_the_run_whole(network: &Network) {
    let file = network.slow(60);
    let home = forkpool("-q --handler slow.py -i jobs.ndjson -j 8".split(' ')).current_dir(network.folder.path()).end();
    drop(fs::remove_file(&file));
    let words = "--handler slow.py -i jobs.ndjson --retries 3 --retry-delay 0";
    let run = network.run(words).start();
    let host = &network.hosts[1];
    for (count, words) in [(6, "forkpool --agent"), (20, "sshd: root"), (34, "python3 -c")] {
        wait_for_jobs(&file, count);
        kill(host.process(words), libc::SIGKILL);
    }
    wait_for_jobs(&file, 48);
    let is_ssh = |id: &i32| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name == "ssh\n");
    let ssh = wait_for(HANG, || run.processes().into_iter().find(is_ssh)).expect("there is an ssh");
    kill(ssh, libc::SIGKILL);
    let ended = run.end().check_status(0);
    assert!(ended.stdout == home.stdout, "{}", ended.stderr);
    network.hosts.iter().for_each(Host::wait_until_empty);
}

fn a_run_that_is_killed_leaves_nothing_and_goes_on(network: &Network) {
    let file = network.slow(40);
    let words = "--handler slow.py -i jobs.ndjson --journal j --resume -o out.ndjson";
    let mut run = network.run(words).start();
    wait_for_jobs(&file, 12);
    kill(run.id(), libc::SIGKILL);
    run.end_leaving_processes();
    network.hosts.iter().for_each(Host::wait_until_empty);
    network.run(words).end().check_status(0);
    let out = fs::read(network.folder.path().join("out.ndjson")).unwrap();
    let expected: String =
        (1..=40).map(|n| format!("{{\"job\":{n},\"status\":\"ok\",\"data\":{}}}\n", n * 2)).collect();
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
