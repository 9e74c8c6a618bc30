//! `--shard` and `--merge`: what the shards of an input wrote, put together, is what one run over all of it writes.

use std::fs;
use std::path::Path;

use crate::formats::text;
use crate::support::{Ended, forkpool, shell};

/// Some jobs fail, some results are no objects, and columns are seen for the first time late, with null, in one shard.
const HANDLER: &str = "
def pet(job):
    n = int(job['n']) if isinstance(job, dict) else job
    if n % 5 == 0:
        raise ValueError('bites, %d' % n)
    if n % 7 == 0:
        return n
    result = {'a': n}
    if n % 3 == 0:
        result['note'] = None
    if n == 8:
        result['status'] = 'x\\ny'
    if n % 11 == 0:
        result['late,%d' % (n // 11)] = 'q\"uote'
    return result
";

/// A folder with the handler and two inputs of 40 jobs, one of them no job; a job of the NDJSON input is no object.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ndjson = |n: u32| match n {
        13 => "{broken\n".to_owned(),
        30 => "\n30\n".to_owned(),
        _ if n.is_multiple_of(9) => format!("{{\"n\":{n},\"k{n}\":null}}\n"),
        _ => format!("{{\"n\":{n}}}\n"),
    };
    let csv = |n: u32| if n == 13 { "bad\r\n".to_owned() } else { format!("{n},\"x, {n}\"\r\n") };
    fs::write(folder.path().join("pet.py"), HANDLER).unwrap();
    fs::write(folder.path().join("in.ndjson"), (1..=40).map(ndjson).collect::<String>()).unwrap();
    fs::write(folder.path().join("in.csv"), "n,name\r\n".to_owned() + &(1..=40).map(csv).collect::<String>()).unwrap();
    folder
}

fn run(folder: &Path, words: &str) -> Ended {
    forkpool(words.split_whitespace()).current_dir(folder).end()
}

const RUN: &str = "-q -j 1 --handler pet.py";

/// Runs an input in one and in three shards, and compares. `%` stands for the name of a file without its format.
fn check(input: &str, flags: &str, format: &str, merge: &str) {
    let folder = folder();
    let path = folder.path();
    run(path, &format!("{RUN} -i {input} -o whole.{merge} {}", flags.replace("--echo", ""))).check_status(1);
    for shard in 1..=3 {
        let flags = format!("{flags} --shard {shard}/3 --rejects rejects-{shard}");
        run(path, &format!("{RUN} -i {input} -o part-{shard}.{format} {flags}")).check_status(1);
    }
    let parts = [3, 1, 2].map(|shard| format!("part-{shard}.{format}")).join(" ");
    let ended = run(path, &format!("--merge {parts} -i {input} -o merged.{merge}")).check_status(1);
    assert!(ended.stderr.contains("40 jobs of 3 files"), "{}", ended.stderr);
    let read = |name: &str| fs::read(path.join(format!("{name}.{merge}"))).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&read("merged")),
        String::from_utf8_lossy(&read("whole")),
        "{input} {format} {flags}"
    );
}

#[test]
fn records_of_shards_become_those_of_one_run() {
    check("in.ndjson", "", "ndjson", "ndjson");
}

#[test]
fn tables_whose_columns_differ_become_the_table_of_one_run() {
    check("in.ndjson", "", "csv", "csv");
    check("in.csv", "", "tsv", "tsv");
}

#[test]
fn tables_with_chosen_columns_become_that_of_one_run() {
    check("in.csv", "--columns job,name,data.a,status,error.message", "csv", "csv");
}

#[test]
fn records_become_any_format() {
    check("in.csv", "--echo", "ndjson.zst", "csv");
    check("in.ndjson", "--echo", "ndjson.gz", "txt");
}

#[test]
fn the_task_of_an_array_runs_its_shard() {
    let folder = folder();
    let array = [("MIN", "3"), ("MAX", "5"), ("STEP", "1"), ("COUNT", "3"), ("ID", "4")];
    let words = format!("{RUN} --shard auto -i in.ndjson");
    let run = forkpool(words.split_whitespace()).current_dir(folder.path());
    let run = array.iter().fold(run, |run, (name, value)| run.env(&format!("SLURM_ARRAY_TASK_{name}"), value));
    let ended = run.end().check_status(1);
    let begins = |(line, job): (&str, usize)| line.starts_with(&format!("{{\"job\":{job},"));
    let ours = (2..41).step_by(3);
    assert_eq!(ended.text().lines().count(), ours.len());
    assert!(ended.text().lines().zip(ours).all(begins), "{}", ended.text());
    let words = format!("{RUN} --shard auto -i in.ndjson");
    let ended = forkpool(words.split_whitespace()).current_dir(folder.path()).end().check_status(2);
    assert!(ended.stderr.contains("no task of an array"), "{}", ended.stderr);
}

#[test]
fn a_journal_is_of_one_shard() {
    let folder = folder();
    let words = format!("{RUN} -i in.ndjson -o out.ndjson --journal j --shard");
    run(folder.path(), &format!("{words} 2/3")).check_status(1);
    let records = fs::read(folder.path().join("out.ndjson")).unwrap();
    run(folder.path(), &format!("{words} 2/3 --resume")).check_status(1);
    assert_eq!(fs::read(folder.path().join("out.ndjson")).unwrap(), records);
    let ended = run(folder.path(), &format!("{words} 1/3 --resume")).check_status(2);
    assert!(ended.stderr.contains("--shard was 2/3 when it was begun and is 1/3 now"), "{}", ended.stderr);
}

#[test]
fn a_shard_without_jobs_is_told_as_that() {
    let ended = forkpool(["--shard", "3/3", "--", "cat"]).stdin("1\n2\n").end().check_status(0);
    assert!(ended.stderr.contains("none of stdin is in shard 3/3"), "{}", ended.stderr);
}

// ---- What a merge finds wrong ----

/// Merges files with these contents.
fn merge(flags: &str, parts: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in parts {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let names = parts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    fs::write(folder.path().join("input"), "1\n2\n3\n4\n5\n6\n").unwrap();
    shell(&format!("forkpool {flags} --merge {names}"), folder.path()).end()
}

fn records(jobs: &[u64]) -> String {
    jobs.iter().map(|job| format!("{{\"job\":{job},\"status\":\"ok\",\"data\":0}}\n")).collect()
}

#[test]
fn missing_jobs_are_told_by_number() {
    let (first, third) = (records(&[1, 4]), records(&[3]));
    let parts = [("a.ndjson", first.as_str()), ("c.ndjson", third.as_str())];
    let ended = merge("", &parts).check_status(5);
    assert_eq!(ended.text(), records(&[1, 3, 4]));
    assert!(ended.stderr.contains("1 job missing: 2\n"), "{}", ended.stderr);
    let ended = merge("-i input", &parts).check_status(5);
    assert!(ended.stderr.contains("3 jobs missing: 2, 5-6\n"), "{}", ended.stderr);
    assert_eq!(merge("-i input --to lines", &parts).check_status(5).text(), "0\n\n0\n0\n\n\n");
}

#[test]
fn a_job_that_is_there_twice_is_told_unless_it_is_the_same() {
    let (ours, other) = (records(&[1, 2]), records(&[2]));
    merge("", &[("a", &ours), ("b", &other)]).check_status(0);
    let other = other.replace(":0}", ":1}");
    let ended = merge("", &[("a", &ours), ("b", &other)]).check_status(5);
    assert_eq!(ended.text(), ours, "the file that was named first");
    assert!(ended.stderr.contains("job 2 has another record in b than in a"), "{}", ended.stderr);
}

#[test]
fn a_record_that_was_cut_is_left_out_and_told() {
    let ended = merge("", &[("a", &(records(&[1]) + "{\"job\":2,\"sta"))]).check_status(5);
    assert!(ended.text() == records(&[1]) && ended.stderr.contains("a: its last record is cut"), "{}", ended.stderr);
    let table = "forkpool.job,a,status\n1,\"x\ny\",ok\n2,\"x\n";
    let ended = merge("", &[("a.csv", table), ("b.csv", "")]).check_status(5);
    assert_eq!(ended.text(), "a,status\n\"x\ny\",ok\n");
    assert!(ended.stderr.contains("a.csv: its last row is cut"), "{}", ended.stderr);
    assert!(ended.stderr.contains("b.csv: it is empty"), "{}", ended.stderr);
    let script = "seq 1 3 | sed 's/.*/{\"job\":&,\"status\":\"ok\",\"data\":0}/' | gzip | head -c -12 > a
        forkpool --merge a";
    let folder = tempfile::tempdir().unwrap();
    let ended = shell(script, folder.path()).end().check_status(5);
    assert!(ended.stderr.contains("; the records before that are taken"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_merged_is_refused_with_what_to_do() {
    let check = |flags: &str, parts: &[(&str, &str)], status: i32, words: &str| {
        let ended = merge(flags, parts).check_status(status);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    };
    let (one, disordered) = (records(&[1]), records(&[1, 3, 2]));
    check("", &[("a", &disordered)], 4, "hint: a run with --unordered has written it: sort -t: -k2,2n a");
    check("", &[("a.txt", "x\n")], 2, "--to ndjson");
    check("", &[("a", "{\"name\":1}\n")], 2, "a: line 1: it is no record of forkpool");
    check("", &[("a", &(one.clone() + "x\n"))], 4, "a: line 2: it is no record");
    check("", &[("a.csv", "a,status\n1,ok\n")], 2, "its first column is not forkpool.job");
    check("", &[("a.csv", "forkpool.job,a\n"), ("b.csv", "forkpool.job,b\n")], 2, "their columns differ");
    check("", &[("a.csv", "forkpool.job,a\n1,2,3\n")], 2, "line 2: it is no row");
    check("--to ndjson", &[("a.csv", "forkpool.job,a\n")], 2, "cannot make ndjson of csv");
    check("", &[("a.ndjson", &one), ("b.csv", "")], 2, "different formats");
    check("", &[("a.csv", ""), ("b.csv", "")], 2, "all files are empty");
    check("-o a", &[("a", &one)], 2, "a is both the input and the output");
    check("-j 2", &[("a", &one)], 2, "cannot be used with");
}

#[test]
fn an_output_that_is_full_or_not_read_ends_the_merge() {
    let many = records(&(1..=20_000).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), many).unwrap();
    let path = folder.path().join("a");
    let script = format!("forkpool --merge {} >/dev/full", text(&path));
    assert!(shell(&script, folder.path()).end().check_status(4).stderr.contains("No space left"));
    let script = format!("(forkpool -q --merge {}; echo $? >&2) | head -n 1 >/dev/null", text(&path));
    assert_eq!(shell(&script, folder.path()).end().stderr, "141\n");
}
