//! The files that tell of a run: others read them, so they are read here as others would.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::{chaos, chaotic, forkpool, importable, installed, lines, project, shell, wait_for};

/// A run of jobs that end in different ways, with these options; status 1.
fn mixed(options: &str, folder: &Path) {
    let jobs = lines(&[json!({"name": "Tom"}), json!({"do": "error"}), json!({"do": "crash"}), json!({"name": "Mia"})]);
    chaotic(&format!("-q -j 1 -o out {options} -- --ready")).stdin(jobs).current_dir(folder).end().check_status(1);
}

// ---- --joblog ----

#[test]
fn a_job_log_has_a_line_for_each_job_as_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    mixed("--joblog log --id name", folder.path());
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<Vec<&str>> = log.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let ends: Vec<(&str, &str, &str)> = lines.iter().map(|line| (line[0], line[6], line[7])).collect();
    assert_eq!(ends, [("1", "0", "0"), ("2", "1", "0"), ("3", "0", "9"), ("4", "0", "0")]);
    assert!(lines[0][8].ends_with(" \"Tom\""), "{log}");
    assert_eq!(lines[0][4], "14", "the bytes of the job");
}

#[test]
fn a_file_that_cannot_be_written_ends_no_run_and_is_an_error_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let ended = shell("seq 3 | forkpool -j 1 --joblog /dev/full --protocol lines -- cat", folder.path()).end();
    let ended = ended.check_status(4);
    assert_eq!(ended.text(), "1\n2\n3\n");
    assert!(ended.stderr.contains("error: cannot write /dev/full: No space left"), "{}", ended.stderr);
}

#[test]
fn two_files_of_one_name_are_refused_and_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let ended = shell("seq 3 | forkpool --joblog x --summary ./x -- cat", folder.path()).end().check_status(2);
    assert!(ended.stderr.contains("x is both the job log and the summary (as ./x)"), "{}", ended.stderr);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

// ---- --junit ----

#[test]
fn junit_is_what_a_strict_reader_takes_and_names_no_case_twice() {
    let folder = tempfile::tempdir().unwrap();
    mixed("--junit j.xml --id name", folder.path());
    let xml = fs::read_to_string(folder.path().join("j.xml")).unwrap();
    let names: Vec<&str> = xml.split("<testcase name=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(names, ["job 1: Tom", "job 2", "job 3", "job 4: Mia"]);
    assert!(xml.contains("<property name=\"died\" value=\"1\"/>"), "{xml}");
    if installed("xmllint") {
        let schema = project("tests/end_to_end/schemas/junit.rng");
        let check = format!("xmllint --noout --relaxng '{}' j.xml", schema.display());
        shell(&check, folder.path()).end().check_status(0);
    }
}

#[test]
fn a_resumed_run_has_the_cases_of_the_whole_input() {
    let folder = tempfile::tempdir().unwrap();
    let run = "forkpool -q -j 1 --protocol lines --journal j --resume --junit j.xml --joblog log -- cat";
    shell(&format!("seq 3 | {run}"), folder.path()).end().check_status(0);
    shell(&format!("seq 5 | {run}"), folder.path()).end().check_status(0);
    let xml = fs::read_to_string(folder.path().join("j.xml")).unwrap();
    assert_eq!(xml.matches("<testcase ").count(), 5);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log.lines().count(), 3, "the log has the two jobs that this run has run");
}

// ---- --metrics ----

#[test]
fn metrics_are_what_prometheus_reads() {
    let folder = tempfile::tempdir().unwrap();
    mixed("--metrics night.prom", folder.path());
    let text = fs::read_to_string(folder.path().join("night.prom")).unwrap();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    has("forkpool_jobs{run=\"night\",status=\"died\"} 1");
    has("forkpool_run_exit_status{run=\"night\"} 1");
    has("forkpool_job_seconds_count{run=\"night\"} 4");
}

/// The samples of a file as Prometheus' own parser reads them: the name, the labels but `run`, the value. Checks that
/// all have this `run`, and that each family has a type and a help.
fn samples(file: &Path, run: &str) -> BTreeMap<String, f64> {
    const READ: &str = "\
import json, sys
from prometheus_client.parser import text_string_to_metric_families
found = {}
for family in text_string_to_metric_families(open(sys.argv[1], newline='').read()):
    assert family.type in ('gauge', 'summary') and family.documentation, family
    for name, labels, value, *_ in family.samples:
        assert labels.pop('run') == sys.argv[2], (name, labels)
        key = ' '.join([name, *labels.values()])
        assert key not in found, key
        found[key] = value
print(json.dumps(found))
";
    let ended = std::process::Command::new("python3").args(["-c", READ]).arg(file).arg(run).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[test]
fn a_parser_of_prometheus_reads_the_metrics_during_and_after_a_run_whatever_names_there_are() {
    if !importable("prometheus_client") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let evil = "} 1\n# TYPE evil counter\nevil{a=\"\\";
    let (file, go) = (folder.path().join(format!("{evil}.prom")), folder.path().join("go"));
    let error = json!({"name": evil, "message": evil});
    let jobs =
        lines(&[json!({"do": "error", "error": error}), json!({"do": "wait", "wait": go}), json!({"do": "crash"})]);
    let running = forkpool(["-q", "-j1", "--protocol", "json", "--metrics"].map(OsStr::new).into_iter().chain([
        file.as_os_str(),
        OsStr::new("--"),
        OsStr::new(chaos()),
        OsStr::new("--ready"),
    ]));
    let running = running.stdin(jobs).start();
    let has_failed = |samples: &BTreeMap<String, f64>| samples["forkpool_jobs error"] == 1.0;
    let look = || file.exists().then(|| samples(&file, evil)).filter(has_failed);
    let during = wait_for(Duration::from_secs(60), look).expect("the file is refreshed");
    assert_eq!(during["forkpool_running"], 1.0, "{during:?}");
    assert!(!during.contains_key("forkpool_run_exit_status"), "{during:?}");
    fs::write(go, "").unwrap();
    running.end().check_status(1);
    let after = samples(&file, evil);
    let figures = ["running", "jobs ok", "jobs error", "jobs died", "run_exit_status", "job_seconds_count"];
    assert_eq!(figures.map(|name| after[&format!("forkpool_{name}")]), [0.0, 1.0, 1.0, 1.0, 1.0, 3.0], "{after:?}");
    assert!(after.contains_key("forkpool_job_seconds 0.95") && !after.keys().any(|name| name.contains("evil")));
}

// ---- --trace ----

/// The slices of a trace: track, begin, end, name and status.
fn slices(path: &Path) -> Vec<(u64, f64, f64, String, String)> {
    let events: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(path).unwrap()).expect("the trace is JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let slice = |event: &serde_json::Value| {
        let (begin, lasts) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        (event["tid"].as_u64().unwrap(), begin, begin + lasts, text(&event["name"]), text(&event["cat"]))
    };
    for event in &events {
        assert!(["X", "M", "i"].contains(&event["ph"].as_str().unwrap()) && event["pid"] == 1, "{event}");
    }
    events.iter().filter(|event| event["ph"] == "X").map(slice).collect()
}

#[test]
fn a_trace_has_a_slice_for_each_attempt_and_none_that_overlap_on_a_track() {
    let folder = tempfile::tempdir().unwrap();
    let (count, trace) = (folder.path().join("count"), folder.path().join("t.json.gz"));
    let flaky = json!({"do": "crash", "count": count, "until": 2, "then": "answer"});
    let slow = json!({"do": "slow", "n": 5});
    let jobs = lines(&[slow.clone(), flaky, slow.clone(), json!({"do": "error"}), slow.clone(), slow]);
    let options = format!("-q -j 2 --concurrency 2 --meta --retries 1 --retry-delay 1ms --trace {}", trace.display());
    let ended = chaotic(&format!("{options} -- --ready")).stdin(jobs).end().check_status(1);
    shell("gzip -d t.json.gz", folder.path()).end().check_status(0);
    let mut slices = slices(&folder.path().join("t.json"));
    let of = |job: &str| slices.iter().filter(|slice| slice.3 == job).map(|slice| slice.4.as_str()).collect::<Vec<_>>();
    assert_eq!(of("job 2"), ["died", "ok"]);
    // Other jobs may have been with the worker that died, and have another attempt for that.
    for record in ended.records() {
        let attempts = of(&format!("job {}", record["job"]));
        let told = (record["attempts"].as_u64(), record["status"].as_str());
        assert_eq!((Some(attempts.len() as u64), attempts.last().copied()), told, "{record}");
    }
    slices.sort_by(|one, other| (one.0, one.1).partial_cmp(&(other.0, other.1)).unwrap());
    let overlap = |pair: &[(u64, f64, f64, String, String)]| pair[0].0 == pair[1].0 && pair[0].2 > pair[1].1 + 0.0005;
    assert!(!slices.windows(2).any(overlap), "{slices:?}");
}

// ---- --report ----

/// What a browser makes of a page: the document, once its scripts have run.
fn document(page: &Path) -> String {
    let home = tempfile::tempdir().unwrap();
    let command = format!(
        "timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir={} --dump-dom 'file://{}' 2>/dev/null",
        home.path().display(),
        page.display()
    );
    let dom = std::process::Command::new("sh").arg("-c").arg(command).output().unwrap();
    String::from_utf8(dom.stdout).unwrap()
}

/// The text of the elements that are named.
fn figures(document: &str) -> BTreeMap<String, String> {
    let element = |rest: &str| {
        let (name, rest) = rest.split_once('"')?;
        let text = rest.split_once('>')?.1.split_once('<')?.0;
        Some((name.to_owned(), text.to_owned()))
    };
    document.split("data-figure=\"").skip(1).filter_map(element).collect()
}

#[test]
fn the_report_says_what_the_summary_says() {
    let folder = tempfile::tempdir().unwrap();
    // A title that is not the page's would be of the error.
    let attack = "</code><script>document.title='ev'+'il';document.body.append('ev'+'il')</script>";
    let jobs = lines(&[
        json!({"name": "Tom"}),
        json!({"do": "error", "error": {"name": attack, "message": attack}}),
        json!({"do": "crash", "secret": "xyzzy"}),
        json!({"name": attack}),
    ]);
    let options = "-q -j 2 -o out --redact secret --report r.html --summary s.json";
    chaotic(&format!("{options} -- --ready")).stdin(jobs).current_dir(folder.path()).end().check_status(1);
    let page = fs::read_to_string(folder.path().join("r.html")).unwrap();
    assert!(page.contains("<h1>2 of 4 jobs failed.</h1>"), "{page}");
    assert!(page.contains("was killed by SIGKILL") && page.contains("[redacted]") && !page.contains("xyzzy"), "{page}");
    assert!(page.len() < 50_000, "{}", page.len());
    if !installed("chromium") {
        return;
    }
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("s.json")).unwrap()).unwrap();
    let document = document(&folder.path().join("r.html"));
    assert!(document.contains("<th scope=\"col\"><button>"), "the script has run: {}", document.len());
    assert!(!document.contains("evil"), "nothing from outside has run");
    let figures = figures(&document);
    for (figure, value) in [
        ("jobs", &summary["jobs"]),
        ("ok", &summary["ok"]),
        ("error", &summary["by_status"]["error"]),
        ("died", &summary["by_status"]["died"]),
        ("restarts", &summary["restarts"]),
    ] {
        assert_eq!(figures[figure], value.to_string(), "{figure}");
    }
    assert!(figures.contains_key("bound") && figures.contains_key("p95"), "{figures:?}");
}

#[test]
fn the_report_fits_a_small_screen_and_says_everything_without_script() {
    if !installed("chromium") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(1000);
    let error = json!({"name": long, "message": long, "hint": long});
    let jobs = lines(&[json!({"do": "error", "error": error, "long": long}), json!({"do": "crash"}), json!({})]);
    let options = format!("-q -j 2 -o out --report r.html --redact {long} -- --ready");
    chaotic(&options).stdin(jobs).current_dir(folder.path()).end().check_status(1);
    let page = fs::read_to_string(folder.path().join("r.html")).unwrap();
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    // The page in two frames, in the first of which no script runs. What is told of each is its width, how much wider its
    // document is, and whether a script has made buttons.
    const MEASURE: &str = "onload = () => {
        for (const {contentDocument: page, contentWindow: {innerWidth}} of document.querySelectorAll('iframe')) {
            const shown = document.createElement('section'), root = page.documentElement;
            shown.dataset.width = `${innerWidth} ${root.scrollWidth - root.clientWidth} ${page.querySelector('button') !== null}`;
            shown.append(...[...page.querySelectorAll('[data-figure]')].map((figure) => figure.cloneNode(true)));
            document.body.append(shown);
        }
    }";
    let frame = |sandbox: &str| format!("<iframe {sandbox} style='width:400px;border:0' srcdoc=\"{page}\"></iframe>");
    let both = format!("{}{}", frame("sandbox=allow-same-origin"), frame(""));
    let path = folder.path().join("frames.html");
    fs::write(&path, format!("<!DOCTYPE html><body>{both}<script>{MEASURE}</script>")).unwrap();
    let document = document(&path);
    let [_, without, with] = document.split("<section data-width=\"").collect::<Vec<_>>()[..] else {
        panic!("the pages are measured: {}", document.len())
    };
    assert!(without.starts_with("400 0 false") && with.starts_with("400 0 true"), "{without}\n{with}");
    assert_eq!((&figures(without)["jobs"][..], figures(without)), ("3", figures(with)));
}

#[test]
fn a_run_that_is_stopped_has_a_report_and_a_resumed_one_knows_the_jobs_of_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let page = || fs::read_to_string(folder.path().join("r.html")).unwrap();
    let jobs: Vec<_> = (1..=9).map(|number| json!({"do": if number == 3 { "error" } else { "answer" }})).collect();
    let run = |options: &str, status: i32| {
        let options = format!("-q -j 1 --journal j --resume --report r.html {options} -- --ready");
        chaotic(&options).stdin(lines(&jobs)).current_dir(folder.path()).end().check_status(status);
    };
    run("--fail-fast --window 1", 5);
    assert!(
        page().contains("<h1>1 of 3 jobs failed. The run was ended early: stopped at the first failed"),
        "{}",
        page()
    );
    assert!(page().contains("What is left of it"), "{}", page());
    run("", 1);
    assert!(page().contains("<dt>From the journal</dt><dd data-figure=\"restored\">3</dd>"), "{}", page());
    assert!(page().contains("<h1>1 of 9 jobs failed.</h1>") && page().contains("Only what failed"), "{}", page());
    let ended = shell("echo 1 | forkpool --report p.html -- ./no-such-program", folder.path()).end();
    ended.check_status(3);
    assert!(!folder.path().join("p.html").exists(), "a run that is refused leaves nothing");
}
