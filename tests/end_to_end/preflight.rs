//! Nothing is touched before everything that can be refused has been looked at: a refused run leaves every file as it
//! was, and makes none.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Ended, HANG, chaos, kill, shell, wait_for, wait_until_there};

/// A folder with files to be read and to be written.
struct Place {
    folder: TempDir,
}

/// The files of a folder: content, mode, and the times of the last change of content and of anything.
type Files = BTreeMap<PathBuf, (Option<Vec<u8>>, u32, (i64, i64), (i64, i64))>;

impl Place {
    /// Files `a` and `b` with jobs, `old` with other content, a symbolic and a hard link to each, and a link to the
    /// folder itself.
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        for (name, content) in [("a", "1\n2\n"), ("b", "3\n"), ("old", "old content\n")] {
            place.write(name, content);
            std::os::unix::fs::symlink(name, place.path(&format!("{name}.link"))).unwrap();
            fs::hard_link(place.path(name), place.path(&format!("{name}.hard"))).unwrap();
        }
        std::os::unix::fs::symlink("new", place.path("new.link")).unwrap();
        std::os::unix::fs::symlink(".", place.path("here")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs a script, in which WORKER is a filter that answers each line with itself and notes that it was started.
    fn run(&self, script: &str) -> Ended {
        let worker = "sh -c 'touch ran; exec sed -u s/x/y/'";
        shell(&script.replace("WORKER", &format!("--protocol lines -- {worker}")), self.folder.path()).end()
    }

    /// Runs a script that is refused, and sees that nothing has changed.
    #[track_caller]
    fn refused(&self, script: &str) -> Ended {
        self.unchanged(script, 2)
    }

    /// Runs a script that ends with this status, and sees that nothing has changed.
    #[track_caller]
    fn unchanged(&self, script: &str, status: i32) -> Ended {
        let before = self.files();
        let ended = self.run(script);
        assert_eq!(ended.status, status, "{script}: {}", ended.stderr);
        assert_eq!(self.files(), before, "{script}: {}", ended.stderr);
        ended
    }

    fn files(&self) -> Files {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let look = |path: PathBuf| {
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = stat.is_file().then(|| fs::read(&path).unwrap());
            (path, (content, stat.mode(), (stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec())))
        };
        entries.map(look).collect()
    }
}

/// Every flag that names a file to be written, and what the file is called.
const WRITTEN: [(&str, &str); 5] = [
    ("-o", "the output"),
    ("--rejects", "the rejects file"),
    ("--progress-file", "the progress file"),
    ("--summary", "the summary"),
    ("--journal", "the journal"),
];

// ---- One file, two uses ----

#[test]
fn no_file_that_is_written_is_an_input_by_whatever_name() {
    for (flag, what) in WRITTEN {
        for name in ["a", "./a", "here/a", "a.hard", "a.link", "$PWD/a"] {
            if flag == "--journal" && name == "a.link" {
                continue; // A journal that is a symbolic link is refused for that.
            }
            let place = Place::new();
            let more = if flag == "-o" { "" } else { "-o /dev/null" };
            let ended = place.refused(&format!("forkpool -i a -i b {flag} {name} {more} WORKER"));
            let words = format!("a is both an input and {what}");
            assert!(ended.stderr.contains(&words), "{flag} {name}: {}", ended.stderr);
            let ended = place.refused(&format!("forkpool {flag} {name} {more} WORKER < a"));
            let words = format!("stdin is both the input and {what} (as ");
            assert!(ended.stderr.contains(&words), "{flag} {name}: {}", ended.stderr);
        }
    }
}

#[test]
fn the_output_of_the_shell_is_compared_like_a_file_that_is_named() {
    let place = Place::new();
    let both = |script: &str, words: &str| {
        let ended = place.refused(script);
        assert!(ended.stderr.contains(words), "{script}: {}", ended.stderr);
    };
    both("forkpool -i a WORKER >> a", "a is both the input and the output (as stdout)");
    both("forkpool WORKER < a >> a", "stdin is both the input and the output (as stdout)");
    both("forkpool WORKER 0<> a 1>&0", "stdin is both the input and the output (as stdout)");
    for (flag, what) in &WRITTEN[1..] {
        for name in ["old", "old.hard", "here/old"] {
            both(
                &format!("forkpool -i a {flag} {name} WORKER >> old"),
                &format!("stdout is both the output and {what}"),
            );
        }
    }
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/fd/7"] {
        let also = if name == "/dev/fd/7" { "7>&1" } else { "" };
        both(&format!("forkpool -i a --rejects {name} WORKER >> old {also}"), "both the output and the rejects file");
        if name != "/dev/stdout" {
            let script = format!("forkpool -i a -o old --summary {name} WORKER >> old {also}");
            both(&script, "both the output and the summary");
        }
    }
    both("forkpool -o /dev/stdin WORKER < a", "stdin is both the input and the output (as /dev/stdin)");
    both("forkpool -i /dev/fd/7 -o a WORKER 7< a", "/dev/fd/7 is both the input and the output (as a)");
}

#[test]
fn no_two_flags_write_one_file_also_if_it_does_not_exist_yet() {
    for (index, (first, first_use)) in WRITTEN.iter().enumerate() {
        for (second, second_use) in &WRITTEN[index + 1..] {
            for (name, other) in [
                ("old", "old"),
                ("old", "./old"),
                ("old", "old.hard"),
                ("new", "new"),
                ("new", "here/new"),
                ("here/new", "./new"),
            ] {
                let place = Place::new();
                let ended =
                    place.refused(&format!("forkpool -i a {first} {name} {second} {other} WORKER {}", "> /dev/null"));
                let words = format!("{name} is both {first_use} and {second_use}");
                assert!(ended.stderr.contains(&words), "{first} {name} {second} {other}: {}", ended.stderr);
                assert_eq!(ended.stderr.contains(&format!("(as {other})")), name != other, "{}", ended.stderr);
            }
        }
    }
    let place = Place::new();
    let ended = place.refused("forkpool -i a -o new.link --summary new WORKER");
    assert!(ended.stderr.contains("new.link is both the output and the summary (as new)"), "{}", ended.stderr);
}

#[test]
fn the_code_of_the_worker_is_no_output() {
    let place = Place::new();
    place.write("pet.py", "def handler(job): return job\n");
    place.write("worker", "#!/bin/sh\nexec sed -u ''\n");
    fs::set_permissions(place.path("worker"), fs::Permissions::from_mode(0o755)).unwrap();
    let ended = place.refused("forkpool -i a -o pet.py --handler pet.py");
    assert!(ended.stderr.contains("pet.py is both the handler and the output"), "{}", ended.stderr);
    let ended = place.refused("forkpool -i a --rejects here/worker -- ./worker");
    assert!(ended.stderr.contains("./worker is both the worker's program and the rejects file"), "{}", ended.stderr);
}

#[test]
fn what_harms_nobody_is_allowed() {
    let place = Place::new();
    for flags in [
        "-o /dev/null --rejects /dev/null --progress-file /dev/null --summary /dev/fd/5",
        "-i a",
        "-o /dev/stdout",
        "-o /dev/stdout --rejects /dev/stdout --summary /dev/fd/1",
        "-o o --rejects r --progress-file p --summary s --journal j",
    ] {
        place.run(&format!("forkpool -q -i a {flags} WORKER 5> /dev/null | cat")).check_status(0);
    }
    place.run("forkpool -i a WORKER > log 2>&1").check_status(0);
    assert!(place.read("log").contains("2 jobs in"), "{}", place.read("log"));
    place.run("mkfifo fifo; cat fifo & forkpool -i a -o fifo --rejects fifo WORKER; wait").check_status(0);
    // A pipe that is read and written would be fed with its own records.
    let ended = place.run("forkpool -i fifo -o fifo WORKER").check_status(2);
    assert!(ended.stderr.contains("fifo is both the input and the output"), "{}", ended.stderr);
}

// ---- Refused for something else ----

#[test]
fn whatever_is_refused_leaves_every_file_as_it_was() {
    let place = Place::new();
    place.write("twice.csv", "k,k\n1,2\n");
    place.write("fine.csv", "k\n1\n");
    place.write("other.csv", "z\n1\n");
    place.write("wide.ndjson", b"\xff\xfe1\0\n\0");
    place.write("broken.gz", b"no gzip at all\n");
    place.write("broken.zst", b"no zstd at all\n");
    place.write("again.journal", "no journal\n");
    let outputs = "-o old --rejects new --progress-file other --summary third";
    for (flags, words) in [
        ("-i twice.csv", "columns 1 and 2 are both called"),
        ("-i fine.csv -i twice.csv", "columns 1 and 2 are both called"),
        ("-i fine.csv -i other.csv", "its header differs"),
        ("-i wide.ndjson", "is UTF-16"),
        ("-i a -i wide.ndjson", "is UTF-16"),
        ("-i a -i b -i wide.ndjson --from lines", "is UTF-16"),
        ("--from ndjson < wide.ndjson", "is UTF-16"),
        ("--from csv < twice.csv", "columns 1 and 2 are both called"),
        ("-i a -i broken.gz", "cannot read broken.gz: invalid gzip header"),
        ("-i a -i broken.zst", "cannot read broken.zst"),
        ("-i a -i absent", "cannot read absent: No such file"),
        ("-i a --journal no/such/journal", "no/such/journal"),
        ("-i a --journal again.journal", "exists already"),
        ("-i a --journal again.journal --resume", "is not a journal"),
        ("-i a --journal old.link --resume", "symbolic link"),
        ("-i a -j 1000", "-j 1000 needs "),
    ] {
        let script = format!("ulimit -n 1024; forkpool {outputs} {flags}");
        // A redirection of the shell must stand behind the worker.
        let script = match script.split_once(" < ") {
            Some((before, file)) => format!("{before} WORKER < {file}"),
            None => format!("{script} WORKER"),
        };
        let ended = place.refused(&script);
        assert!(ended.stderr.contains(words), "{flags}: {}", ended.stderr);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_known_before_any_other_is_touched() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).unwrap();
    for (flag, _) in WRITTEN {
        for name in ["no/such/file", "folder", "old/file", "folder/", "/dev/fd/9"] {
            let outputs = WRITTEN[..4].iter().filter(|(other, _)| *other != flag);
            let others: Vec<String> = outputs.map(|(other, _)| format!("{other} {}", other.replace('-', ""))).collect();
            place.write("o", "old output\n");
            let ended = place.refused(&format!("forkpool -i a {} {flag} {name} WORKER", others.join(" ")));
            assert!(ended.stderr.contains(name.trim_end_matches('/')), "{flag} {name}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_journal_that_another_run_has_leaves_every_file_as_it_was() {
    let place = Place::new();
    place.run("mkfifo fifo").check_status(0);
    let script = "forkpool -q -j 1 -i fifo --journal j --protocol lines -- sh -c 'touch there; exec sed -u s/x/y/'";
    let first = shell(script, place.folder.path()).start();
    wait_until_there(&place.path("there"));
    let outputs = "-o old --rejects new --progress-file other --summary third";
    let ended = place.refused(&format!("forkpool {outputs} -i a --journal j --resume WORKER"));
    assert!(ended.stderr.contains("it is in use by another run"), "{}", ended.stderr);
    // The end of the first run's input.
    place.run(": > fifo").check_status(0);
    first.end().check_status(0);
}

#[test]
fn a_worker_that_cannot_be_started_leaves_every_file_as_it_was() {
    let place = Place::new();
    place.write("pet.mjs", "export default (job) => job\n");
    place.write("pet.cobol", "");
    let outputs = "-o old --rejects new --progress-file other --summary third --journal fourth";
    for (worker, status) in [
        ("-- ./nowhere", 3),
        ("-- no-such-program", 3),
        ("-- ./a", 3),
        ("-- .", 3),
        ("--handler absent.mjs", 3),
        ("--handler pet.mjs --runtime no-such-runtime", 3),
        ("--handler pet.cobol", 2),
    ] {
        place.unchanged(&format!("forkpool {outputs} -i a {worker}"), status);
    }
}

#[test]
fn a_header_that_comes_through_a_pipe_is_refused_as_well() {
    let place = Place::new();
    place.write("twice.csv", "k,k\n1,2\n");
    let before = place.files();
    let script = "cat twice.csv | forkpool --from csv -o old --rejects new --progress-file b --summary a \
                  --protocol lines -- sed -u s/x/y/";
    let ended = place.run(script).check_status(2);
    assert!(ended.stderr.contains("columns 1 and 2"), "{}", ended.stderr);
    assert_eq!(place.files(), before);
}

#[test]
fn a_second_input_that_turns_out_bad_after_jobs_were_run_is_no_refusal() {
    let place = Place::new();
    let script = "printf '\\377\\376' | forkpool -i a -i - -o old WORKER";
    let ended = place.run(script).check_status(4);
    assert!(ended.stderr.contains("stdin is UTF-16"), "{}", ended.stderr);
    assert_eq!(place.read("old"), "1\n2\n");
}

#[test]
fn a_journal_that_is_refused_for_another_file_is_not_made() {
    let place = Place::new();
    let ended = place.refused("forkpool -i a --journal new --rejects no/such/file WORKER");
    assert!(ended.stderr.contains("no/such/file"), "{}", ended.stderr);
    // Nor is a damaged journal mended, or an empty one made private.
    place.write("empty", "");
    fs::set_permissions(place.path("empty"), fs::Permissions::from_mode(0o666)).unwrap();
    place.write("bad.csv", "k,k\n");
    place.refused("forkpool -i bad.csv --journal empty WORKER");
    place.run("forkpool -q -i a --from ndjson --journal damaged WORKER > /dev/null").check_status(0);
    drop(fs::remove_file(place.path("ran")));
    let whole = place.read("damaged");
    place.write("damaged", &whole[..whole.len() - 5]);
    place.refused("forkpool -i a --from ndjson -i absent --journal damaged --resume WORKER");
    assert!(!place.path("damaged.damaged").exists());
}

// ---- Where it is written ----

#[test]
fn a_descriptor_of_the_shell_is_written_where_it_stands() {
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "out"] {
        let place = Place::new();
        std::os::unix::fs::symlink("/dev/stdout", place.path("out")).unwrap();
        place.run(&format!("(echo before; forkpool -i a -o {name} WORKER; echo after) > file")).check_status(0);
        assert_eq!(place.read("file"), "before\n1\n2\nafter\n", "{name}");
        place.run(&format!("forkpool -i b -o {name} WORKER >> file")).check_status(0);
        assert_eq!(place.read("file"), "before\n1\n2\nafter\n3\n", "{name}");
    }
    for (name, descriptor) in [("/dev/stderr", 2), ("/dev/fd/2", 2), ("/dev/fd/5", 5), ("/proc/self/fd/5", 5)] {
        let place = Place::new();
        place.write("bad", "no json\n");
        let run = format!("forkpool -q -i bad --from ndjson --to ndjson --rejects {name} WORKER > out");
        place.run(&format!("(echo before >&{descriptor}; {run}) {descriptor}> file")).check_status(1);
        assert_eq!(place.read("file"), "before\nno json\n", "{name}");
    }
    let place = Place::new();
    place.run("(echo before; forkpool -q -i a -o o --summary /dev/fd/1 WORKER) > file").check_status(0);
    assert!(place.read("file").starts_with("before\n{\n"), "{}", place.read("file"));
}

#[test]
fn an_input_may_be_a_descriptor_of_the_shell() {
    for name in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let place = Place::new();
        // The first line has been read by the shell, so forkpool goes on behind it.
        let ended = place.run(&format!("{{ read first; forkpool -i {name} WORKER; }} < a")).check_status(0);
        assert_eq!(ended.text(), "2\n", "{name}");
    }
}

#[test]
fn an_output_of_a_run_without_jobs_is_empty() {
    let place = Place::new();
    for name in ["p", "r"] {
        place.write(name, "old\n");
    }
    place.run("forkpool -i /dev/null -o old --progress-file p --rejects r WORKER").check_status(0);
    assert_eq!([place.read("old"), place.read("p"), place.read("r")], ["", "", ""]);
}

#[test]
fn the_reader_of_stdout_is_watched_by_whatever_name() {
    let place = Place::new();
    let script =
        "echo 1 | { forkpool -o /dev/stdout --grace 100ms --protocol lines -- sleep 600; echo $? > status; } | true";
    place.run(script);
    wait_for(HANG, || Some(()).filter(|()| place.path("status").exists())).unwrap();
    assert_eq!(place.read("status"), "141\n");
}

// ---- The summary ----
//
// A summary that replaced what it must be written into would, run by root, replace the system's own devices. So no
// test names one in /dev: only what is made in a folder of its own, or a descriptor, where no file can be made.

#[test]
fn the_summary_is_written_into_what_is_no_regular_file() {
    let place = Place::new();
    for script in [
        "forkpool -q -i a --summary /dev/fd/2 WORKER 2>&1 >/dev/null",
        "forkpool -q -i a -o o --summary /proc/self/fd/1 WORKER",
        "ln -s /proc/self/fd/1 out; forkpool -q -i a -o o --summary out WORKER; test -L out",
        "mkfifo fifo; cat fifo & forkpool -q -i a -o o --summary fifo WORKER; wait",
        "forkpool -q -i a -o o --summary /dev/fd/5 WORKER 5>&1",
    ] {
        let ended = place.run(script).check_status(0);
        assert!(ended.text().contains("\"jobs\": 2"), "{script}: {}", ended.text());
    }
    assert!(fs::metadata(place.path("fifo")).unwrap().file_type().is_fifo());
    if rustix::process::geteuid().is_root() && place.run("mknod null c 1 3 && echo > null").status == 0 {
        place.run("forkpool -q -i a -o o --summary null WORKER").check_status(0);
        assert!(fs::metadata(place.path("null")).unwrap().file_type().is_char_device());
    }
}

#[test]
fn the_summary_keeps_links_modes_and_other_names() {
    let place = Place::new();
    fs::set_permissions(place.path("old"), fs::Permissions::from_mode(0o640)).unwrap();
    place.run("umask 027; forkpool -q -i a -o o --summary old.link WORKER").check_status(0);
    place.run("umask 027; forkpool -q -i a -o o --summary new.link WORKER").check_status(0);
    assert!(place.path("old.link").is_symlink() && place.path("new.link").is_symlink());
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("old"), mode("new"), mode("o")), (0o640, 0o640, 0o640));
    place.run("umask 022; forkpool -q -i a -o o2 --summary s2 WORKER").check_status(0);
    assert_eq!((mode("s2"), mode("o2")), (0o644, 0o644));
    for name in ["old", "new", "s2"] {
        assert!(place.read(name).contains("\"jobs\": 2"), "{name}");
    }
}

#[test]
fn a_pipe_without_a_reader_holds_nobody_up() {
    let place = Place::new();
    let ended = place.run("mkfifo fifo; forkpool -i a -o o --summary fifo WORKER").check_status(4);
    assert!(ended.stderr.contains("cannot write fifo: nobody reads the pipe"), "{}", ended.stderr);
    assert_eq!(place.read("o"), "1\n2\n");
    // An output waits for its reader, and an input for its writer, but only when nothing else is refused.
    for flags in ["-i a -o fifo", "-i fifo -o old"] {
        let ended = place.run(&format!("forkpool {flags} --rejects no/such/file WORKER")).check_status(2);
        assert!(ended.stderr.contains("no/such/file"), "{}", ended.stderr);
    }
}

#[test]
fn an_output_pipe_waits_for_its_reader_until_it_is_interrupted() {
    let place = Place::new();
    let script = "mkfifo fifo; exec forkpool -i a -o fifo --rejects r --protocol lines -- sed -u s/x/y/";
    let mut run = shell(script, place.folder.path()).start();
    wait_for(HANG, || place.path("r").exists().then_some(())).expect("the rejects file is opened before");
    kill(run.id(), libc::SIGINT);
    run.end_leaving_processes().check_status(130);
}

#[test]
fn an_input_pipe_is_read_when_its_writer_comes() {
    let place = Place::new();
    shell("mkfifo fifo", place.folder.path()).end().check_status(0);
    let run = shell("forkpool --from lines --protocol lines -i fifo -- sed -u s/x/y/", place.folder.path()).start();
    let mut input = fs::File::options().write(true).open(place.path("fifo")).unwrap();
    input.write_all(b"x\n").unwrap();
    drop(input);
    assert_eq!(run.end().check_status(0).text(), "y\n");
}

// ---- The temporary directory ----

#[test]
fn a_table_that_surely_needs_a_temporary_directory_is_refused_without_one() {
    let place = Place::new();
    place.write("large", format!("{}\n", "x".repeat(99)).repeat(60_000));
    let ended = place.refused("export TMPDIR=/no/such/folder; forkpool -i large --from lines -o old --to csv WORKER");
    assert!(ended.stderr.contains("/no/such/folder: No such file or directory"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--columns") && ended.stderr.contains("TMPDIR"), "{}", ended.stderr);
    // With columns, or with records in the order in which the jobs end, nothing waits.
    let run = "export TMPDIR=/no/such/folder; forkpool -j 1 --depth 100 -i large --from lines -o old --to";
    place.run(&format!("{run} csv --columns input WORKER")).check_status(0);
    place.run(&format!("{run} ndjson --unordered WORKER")).check_status(0);
}

#[test]
fn a_table_that_fits_into_memory_needs_no_temporary_directory() {
    let place = Place::new();
    let run = "export TMPDIR=/no/such/folder; forkpool -i a --from lines -o o.csv";
    let ended = place.run(&format!("{run} WORKER")).check_status(0);
    assert!(ended.stderr.contains("no temporary file can be made in /no/such/folder"), "{}", ended.stderr);
    assert_eq!(place.read("o.csv").lines().count(), 3);
    let ended = place.run(&format!("{run} -q WORKER")).check_status(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn rows_that_find_no_temporary_directory_are_written_all_the_same() {
    let place = Place::new();
    // Small jobs with large results: before the run nobody can know that they do not fit.
    let jobs = "{\"do\":\"huge\",\"n\":1}\n".repeat(50);
    place.write("huge", jobs);
    let script = format!(
        "export TMPDIR=/no/such/folder; forkpool -j 2 --window 4 -i huge --from ndjson -o o.csv -- {}",
        chaos()
    );
    let ended = place.run(&script).check_status(4);
    let words = "cannot keep rows in the temporary directory /no/such/folder: No such file or directory";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(!ended.stderr.contains("cannot write to o.csv"), "{}", ended.stderr);
    let mut reader = csv::Reader::from_path(place.path("o.csv")).unwrap();
    let status = reader.headers().unwrap().iter().position(|name| name == "status").unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let ok = rows.iter().filter(|row| &row[status] == "ok").count();
    assert!(ok >= 4, "4 MiB of results of 1 MiB each were there: {ok}");
    assert!(ended.stderr.contains(&format!("{} jobs in", rows.len())), "one row a job: {}", ended.stderr);
}

// ---- Descriptors ----

#[test]
fn descriptors_are_reckoned_before_the_first_worker() {
    let place = Place::new();
    let needed = |workers: usize| {
        let ended = place.refused(&format!("ulimit -n 40; forkpool -i a -o old -j {workers} WORKER"));
        let words = format!("-j {workers} needs ");
        let rest = ended.stderr.split_once(&words).unwrap_or_else(|| panic!("{}", ended.stderr)).1;
        assert!(rest.contains("the limit (ulimit -n) is 40"), "{rest}");
        rest.split_once(' ').unwrap().0.parse::<usize>().unwrap()
    };
    for workers in [4, 60, 170] {
        let needed = needed(workers);
        let limited =
            |limit: usize, flags: &str| format!("ulimit -n {limit}; forkpool -i a -o old -j {workers} {flags} WORKER");
        let ended = place.refused(&limited(needed - 1, ""));
        assert!(ended.stderr.contains(&format!("hint: fewer workers (-j {})", workers - 1)), "{}", ended.stderr);
        let before = place.read("old");
        let ended = place.run(&limited(needed, "")).check_status(0);
        assert!(!ended.stderr.to_lowercase().contains("too many open files"), "{}", ended.stderr);
        assert_eq!(place.read("old"), "1\n2\n");
        place.write("old", before);
        drop(fs::remove_file(place.path("ran")));
    }
}

#[test]
fn a_soft_limit_is_raised_and_workers_keep_theirs() {
    let place = Place::new();
    let worker = "--protocol lines -- sh -c 'while read -r line; do ulimit -Sn; done'";
    let ended = place.run(&format!("ulimit -Sn 30; forkpool -j 20 -i a {worker}")).check_status(0);
    assert_eq!(ended.text(), "30\n30\n");
}
