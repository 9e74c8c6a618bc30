//! Whatever shell a login on a host has, whatever its rc file prints, and whatever files are called: nothing of it gets
//! between a run and its agent.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::network::{Network, network};
use crate::support::{forkpool, installed, records};

/// Shells, and where each has the file that it reads also for a command.
const SHELLS: [(&str, &str); 3] = [("bash", ".bashrc"), ("fish", ".config/fish/config.fish"), ("tcsh", ".tcshrc")];
/// A name of which every shell would make something else.
const ODD: &str = "it's \"$(touch pwned)\" `touch pwned` $HOME !! * \\ ; &\n\u{e4}";

#[test]
fn neither_login_shells_nor_odd_names_get_between_a_run_and_its_agent() {
    let Some(network) = network(1) else { return };
    let folder = network.folder.path().join(ODD);
    fs::create_dir(&folder).unwrap();
    let [work, helper] = ["work", "helper"].map(|name| folder.join(format!("{name} {ODD}.py")));
    let code = "import os\ndef work(job):\n    folder = os.environ.get('FORKPOOL_RUN_DIR', '.')\n    \
                return [job, os.environ['ODD'], os.getcwd(), [name for name in os.listdir(folder) if 'helper' in name]]\n";
    fs::write(&work, code).unwrap();
    fs::write(&helper, "").unwrap();
    let job = serde_json::to_string(ODD).unwrap();
    let handler = ["-q".as_ref(), "--handler".as_ref(), work.as_path()];
    let home = forkpool(handler).current_dir(&folder).env("ODD", ODD).stdin(&job).end().check_status(0);
    for (shell, file) in SHELLS.into_iter().filter(|(shell, _)| installed(shell)) {
        greet(&network, shell, file);
        let words = format!("--host {}:1 --env ODD --launch", network.hosts[0].address);
        // Where forkpool is in the PATH, where it is not, and where it has been brought already.
        let without = format!("{} env PATH=/usr/bin:/bin", network.ssh());
        for launch in [&network.ssh(), &without, &without] {
            let words = words.split(' ').chain([launch.as_str(), "--put"]).map(Path::new);
            let run = forkpool(words.chain([helper.as_path()]).chain(handler));
            let ended = run.current_dir(&folder).env("ODD", ODD).stdin(&job).end().check_status(0);
            assert_eq!(records(&ended.stdout), records(&home.stdout), "{shell}: {}", ended.stderr);
        }
        let cache = network.hosts[0].home.join(".cache/forkpool");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "{shell}: the program is there once");
        fs::remove_dir_all(cache).unwrap();
    }
    for place in [&folder, &network.hosts[0].home, network.folder.path()] {
        assert!(!place.join("pwned").exists(), "a shell has run what is in a name");
    }
    network.hosts[0].wait_until_empty();
}

/// Gives the host a login shell that prints something before each command, and sees that it does.
fn greet(network: &Network, shell: &str, file: &str) {
    let host = &network.hosts[0];
    let rc = host.home.join(file);
    fs::create_dir_all(rc.parent().unwrap()).unwrap();
    fs::write(rc, format!("echo 'Welcome to {shell}'\n")).unwrap();
    host.log_in_with(&format!("/usr/bin/{shell}"));
    let ssh = network.ssh().replace("{host}", &host.address);
    let mut words = ssh.split(' ');
    let said = Command::new(words.next().unwrap()).args(words).arg("true").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("Welcome to {shell}\n"));
}
