//! A run that survives anything: the journal, and going on from it.
//!
//! What the tests share is here; `resume` is about what is written and run again, `refused` about journals that
//! are not taken, `damage` about files that somebody has harmed, `faults` about runs that were cut short.

mod damage;
mod faults;
mod refused;
mod resume;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{self, Run, forkpool};

/// A line filter that notes each line it is given in the file named by its first argument.
const ECHO: &str = r#"while IFS= read -r line; do printf '%s\n' "$line" >> "$0"; printf '%s\n' "$line"; done"#;

/// A worker that does what its job says, and notes its name: in a healed world all jobs end ok.
const OBEDIENT: &str = r#"
import json, os, sys, time
print('{"status":"ready"}', flush=True)
for line in sys.stdin:
    message = json.loads(line)
    job = message["data"]
    with open("ran", "a") as ran:
        ran.write(job["name"] + "\n")
    do = "ok" if os.path.exists("healed") else job["do"]
    reply = {"id": message["id"], "status": "ok", "data": {"did": job["name"], "big": 12345678901234567890}}
    if do == "die":
        os._exit(3)
    elif do == "hang":
        time.sleep(1000)
    elif do == "junk":
        print("junk", flush=True)
    elif do == "fail":
        reply = {"id": message["id"], "status": "error", "error": {"name": "Bite", "message": job["name"]}}
    print(json.dumps(reply), flush=True)
"#;

/// A folder with an input, a journal and a note of what was run.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// What has been run since the last call, in alphabetical order.
    fn take_ran(&self) -> Vec<String> {
        let mut ran = self.lines("ran");
        drop(fs::remove_file(self.path("ran")));
        ran.sort();
        ran
    }

    /// Opens the pipe `fifo` to write into it, once a run has opened it to read.
    fn open_fifo(&self) -> fs::File {
        fs::File::options().write(true).open(self.path("fifo")).unwrap()
    }

    /// `forkpool --journal journal FLAGS… -- WORKER`, with the worker `ECHO`.
    fn echo(&self, flags: &str) -> Run {
        self.run(flags, &["sh", "-c", ECHO, "ran"])
    }

    fn obedient(&self, flags: &str) -> Run {
        self.write("worker.py", OBEDIENT);
        self.run(flags, &["python3", "worker.py"])
    }

    /// The flags name a handler of this place.
    fn with_handler(&self, flags: &str) -> Run {
        let words = flags.split_whitespace().chain(["--journal", "journal"]);
        forkpool(words).current_dir(self.path("."))
    }

    fn run(&self, flags: &str, worker: &[&str]) -> Run {
        let mut words = vec!["--journal", "journal"];
        words.extend(flags.split_ascii_whitespace());
        words.push("--");
        words.extend(worker);
        forkpool(words).current_dir(self.folder.path())
    }

    /// The statuses in the journal, in the order they were written. Checks that each line is whole.
    fn journaled(&self) -> Vec<String> {
        let journal = self.read("journal");
        assert!(journal.is_empty() || journal.ends_with('\n'), "{journal}");
        let lines = journal.lines().filter(|line| !line.trim().is_empty());
        let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        let statuses = lines.iter().filter_map(|line| line["status"].as_str());
        statuses.map(str::to_owned).collect()
    }
}

/// The flags of most runs here.
const LINES: &str = "-j 2 -i in --from lines --protocol lines --to ndjson -o out";

fn numbered(count: usize) -> String {
    (1..=count).map(|number| format!("line {number}\n")).collect()
}

/// The results of a run of `ECHO`, by job.
fn results(place: &Place) -> Vec<String> {
    let records = support::records(place.read("out").as_bytes());
    records.iter().map(|record| record["data"].as_str().unwrap_or("").to_owned()).collect()
}

/// Runs with `flags` and `worker` on the journal of another run.
#[track_caller]
fn check_refused(place: &Place, flags: &str, worker: &[&str], words: &str) {
    let (journal, out) = (place.read("journal"), place.read("out"));
    let ended = place.run(&format!("{flags} --resume"), worker).end().check_status(2);
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert_eq!(place.read("journal"), journal);
    assert_eq!(place.read("out"), out, "the output is untouched");
    assert_eq!(place.take_ran(), Vec::<String>::new());
}
