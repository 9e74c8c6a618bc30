//! Hosts of a real Slurm: its controller and two nodes, all on this machine.
//!
//! This needs root and Slurm, so it runs only where nothing may be skipped (FORKPOOL_TEST_ALL=1).

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{begun_so_far, may_use_root};
use crate::support::{Ended, HANG, Run, forkpool, kill, project, records, shell, wait_for};

struct Slurm {
    folder: tempfile::TempDir,
    config: PathBuf,
}

/// Slurm with two nodes, or nothing where the test is skipped.
fn slurm() -> Option<Slurm> {
    if !may_use_root("hosts of a real Slurm", &["slurmctld", "salloc"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    start_munge(folder.path());
    let config = folder.path().join("slurm.conf");
    let place = folder.path().display();
    let host = output("hostname", &["-s"]).trim().to_owned();
    let [control, first, second] = free_ports();
    let nodes: String = [("n1", first), ("n2", second)]
        .iter()
        .map(|(name, port)| format!("NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4\n"))
        .collect();
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::write(
        &config,
        format!(
            "ClusterName=forkpool\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmctldPort={control}\n\
             StateSaveLocation={place}/state\nSlurmctldPidFile={place}/control.pid\nSlurmdPidFile={place}/%n.pid\n\
             SlurmdSpoolDir={place}/spool-%n\nSlurmctldLogFile={place}/control.log\nSlurmdLogFile={place}/%n.log\n\
             AuthType=auth/munge\nAuthInfo=socket={place}/munge.socket\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
             SlurmdParameters=config_overrides\nReturnToService=2\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_Core\nAccountingStorageType=accounting_storage/none\n{nodes}\
             PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n"
        ),
    )
    .unwrap();
    let slurm = Slurm { folder, config };
    slurm.control("slurmctld", &[]);
    slurm.control("slurmd", &["-N", "n1"]);
    slurm.control("slurmd", &["-N", "n2"]);
    let is_up = || slurm.control("sinfo", &["-h", "-o", "%D %t"]).contains("2 idle").then_some(());
    assert!(wait_for(HANG, is_up).is_some(), "both nodes are idle");
    Some(slurm)
}

/// Slurm's parts trust each other by munge. This one has a key and a socket of its own, so that neither a munge of the
/// machine nor another run of these tests is disturbed.
fn start_munge(folder: &Path) {
    let key = folder.join("munge.key");
    fs::write(&key, [7; 128]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    let place = folder.display();
    let mut words = vec!["--force".to_owned(), format!("--key-file={}", key.display())];
    words.extend(["socket", "pid-file", "log-file", "seed-file"].map(|file| {
        let name = if file == "pid-file" { "pid" } else { file };
        format!("--{file}={place}/munge.{name}")
    }));
    output("munged", &words.iter().map(String::as_str).collect::<Vec<_>>());
}

fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect("the program starts");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

/// Three ports that nobody listens on.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

impl Slurm {
    /// Runs one of Slurm's own programs, which may fail while Slurm starts.
    fn control(&self, program: &str, words: &[&str]) -> String {
        let output = Command::new(program).args(words).env("SLURM_CONF", &self.config).output();
        String::from_utf8_lossy(&output.expect("the program starts").stdout).into_owned()
    }

    /// A command in an allocation of both nodes.
    fn allocated(&self, command: &str) -> Run {
        shell(&format!("salloc -Q --no-kill -N2 -n2 -c2 {command}"), self.folder.path()).env("SLURM_CONF", &self.config)
    }

    fn begun(&self) -> Vec<u64> {
        begun_so_far(&self.folder.path().join("begun"))
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        drop(Command::new("scancel").args(["-u", "root"]).env("SLURM_CONF", &self.config).status());
        for name in ["n1.pid", "n2.pid", "control.pid", "munge.pid"] {
            let id = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            if let Ok(id) = id.trim().parse() {
                kill(id, libc::SIGTERM);
                let _ = wait_for(HANG, || (!Path::new(&format!("/proc/{id}")).exists()).then_some(()));
            }
        }
    }
}

#[test]
fn hosts_of_a_real_slurm() {
    let Some(slurm) = slurm() else { return };
    names_come_out_as_at_home(&slurm);
    a_step_that_is_cancelled_costs_only_what_had_begun(&slurm);
    a_node_that_goes_down_is_left_out(&slurm);
    an_allocation_that_is_cancelled_ends_the_run(&slurm);
    an_array_of_shards_is_merged_to_the_whole(&slurm);
}

/// The names at home, as a table.
fn at_home() -> Vec<u8> {
    let words = format!("-q -i {} --handler {}", names().display(), pet().display());
    forkpool(words.split_whitespace().chain(["--to", "csv"])).end().check_status(1).stdout
}

fn names() -> PathBuf {
    project("samples/names.csv")
}

fn pet() -> PathBuf {
    project("samples/handlers/pet.py")
}

fn names_come_out_as_at_home(slurm: &Slurm) {
    let words = format!("-q --hosts slurm -i {} --to csv --handler {}", names().display(), pet().display());
    let ended = slurm.allocated(&format!("forkpool {words}")).end().check_status(1);
    assert!(ended.stdout == at_home(), "{}", ended.stderr);
}

/// Starts a run of slow jobs, and does something to it when some have begun. What was charged had begun, and once.
fn disturb(slurm: &Slurm, act: impl FnOnce(&Slurm)) -> Ended {
    let folder = slurm.folder.path();
    drop(fs::remove_file(folder.join("begun")));
    let code = format!(
        "import time\ndef work(n):\n    with open({:?}, 'a') as begun:\n        begun.write('%s\\n' % n)\n    time.sleep(0.1)\n    \
         return n\n",
        folder.join("begun").display().to_string()
    );
    fs::write(folder.join("slow.py"), code).unwrap();
    fs::write(folder.join("jobs"), (1..=120).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let run = slurm.allocated("forkpool --hosts slurm -i jobs --from ndjson --handler slow.py").start();
    let jobs_begin = wait_for(HANG, || (slurm.begun().len() >= 30).then_some(()));
    let state = || format!("{}{}", slurm.control("sinfo", &[]), slurm.control("squeue", &["-s"]));
    assert!(jobs_begin.is_some(), "jobs begin: {} have, {}", slurm.begun().len(), state());
    act(slurm);
    let ended = run.end();
    let records = records(&ended.stdout);
    assert_eq!(records.len(), 120, "{}", ended.stderr);
    let begun = slurm.begun();
    assert!(begun.windows(2).all(|pair| pair[0] < pair[1]), "no job begins twice: {begun:?}");
    let lost: Vec<_> = records.iter().filter(|record| record["status"] == "died").collect();
    // Slurm kills the workers as well as their agent, and an agent that lives a moment longer says so.
    let is_told = |record: &&Value| {
        let error = &record["error"];
        error["name"] == "HostLost" || (error["name"] == "WorkerDied" && error["sent_by"] == "unknown")
    };
    assert!(lost.iter().all(is_told), "{lost:?}");
    // Jobs that were announced, and were on their way to a worker, are charged, too: on a busy machine one or two.
    let unbegun = lost.iter().filter(|record| !begun.contains(&record["job"].as_u64().unwrap())).count();
    assert!(lost.len() <= 8 && unbegun <= 4, "{unbegun} of {lost:?} had not begun");
    ended
}

/// The run has done all of its work, but for what the host that was lost had begun: between two jobs that is nothing.
/// Returns what it has said.
fn check_finished(ended: Ended) -> String {
    let died = ended.statuses().iter().any(|status| status != "ok");
    ended.check_status(i32::from(died)).stderr
}

fn a_step_that_is_cancelled_costs_only_what_had_begun(slurm: &Slurm) {
    let ended = disturb(slurm, |slurm| {
        let steps = slurm.control("squeue", &["-s", "-h", "-o", "%i %j"]);
        let step = steps.lines().find_map(|line| line.strip_suffix(" forkpool")).expect("there is a step of an agent");
        slurm.control("scancel", &[step]);
    });
    let said = check_finished(ended);
    // The agent may have had the time to say farewell.
    assert!(said.contains("is gone: what led there") || said.contains("was ended from outside"), "{said}");
}

fn a_node_that_goes_down_is_left_out(slurm: &Slurm) {
    let ended = disturb(slurm, |slurm| {
        slurm.control("scontrol", &["update", "nodename=n2", "state=down", "reason=test"]);
    });
    let said = check_finished(ended);
    assert!(said.contains("host n2 is gone"), "{said}");
    slurm.control("scontrol", &["update", "nodename=n2", "state=resume"]);
    let is_up = || slurm.control("sinfo", &["-h", "-o", "%D %t"]).contains("2 idle").then_some(());
    assert!(wait_for(HANG, is_up).is_some(), "the node is back");
}

fn an_allocation_that_is_cancelled_ends_the_run(slurm: &Slurm) {
    let ended = disturb(slurm, |slurm| {
        let job = slurm.control("squeue", &["-h", "-o", "%i"]);
        slurm.control("scancel", &[job.trim()]);
    });
    let ended = ended.check_status(3);
    let statuses = ended.statuses();
    let of = |status: &str| statuses.iter().filter(|found| *found == status).count();
    assert_eq!(of("ok") + of("died") + of("not_run"), 120, "{statuses:?}");
    assert!(of("not_run") > 0 && of("ok") > 0, "{statuses:?}");
    assert!(ended.stderr.contains("workers keep failing to start"), "{}", ended.stderr);
    let is_idle = || slurm.control("sinfo", &["-h", "-o", "%D %t"]).contains("2 idle").then_some(());
    assert!(wait_for(HANG, is_idle).is_some(), "both nodes are idle");
}

fn an_array_of_shards_is_merged_to_the_whole(slurm: &Slurm) {
    let script = format!(
        "#!/bin/sh\nexec forkpool -q --shard auto -i {} -o part-$SLURM_ARRAY_TASK_ID.csv --handler {}\n",
        names().display(),
        pet().display()
    );
    fs::write(slurm.folder.path().join("array"), script).unwrap();
    let script = "sbatch --wait -Q --array=1-3 -o log-%a array; forkpool -q --merge part-*.csv -o whole.csv";
    let ended = shell(script, slurm.folder.path()).env("SLURM_CONF", &slurm.config).end().check_status(1);
    let whole = fs::read(slurm.folder.path().join("whole.csv")).unwrap();
    assert!(whole == at_home(), "{}", ended.stderr);
}
