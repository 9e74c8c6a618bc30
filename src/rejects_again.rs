//! Rejects of any input are fed in again and give the same jobs: the source and the collector together, over random
//! inputs of every format. Each job of the input is rejected.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::collect::{Output, Rejects};
use crate::source;
use crate::source::settings::{InputFile, InputSettings};
use crate::text::destination::{Destination, Old};
use crate::words::dialect::Quote;
use crate::words::error::Result;
use crate::words::format::{Compression, Format};
use crate::words::job::{Extent, Job};
use crate::words::outcome::{JobError, Outcome, Status};

/// The jobs of a file, and what stands in place of one, by the bytes that were kept of it.
fn read(path: &Path, settings: &InputSettings, format: Format) -> Result<Vec<(Job, bool)>> {
    let file = InputFile { path: Some(path.to_owned()), format, compression: Compression::None };
    let settings = InputSettings { files: vec![file], keep_raw: true, ..settings.clone() };
    source::read_all(&settings).map(|(jobs, _)| jobs)
}

/// Writes `input`, rejects each of its jobs, and returns the jobs of the input and those of the rejects.
fn again(input: &[u8], settings: &InputSettings, format: Format) -> Option<[Vec<(Job, bool)>; 2]> {
    let folder = tempfile::tempdir().expect("a test can make a folder");
    let (path, rejected) = (folder.path().join("input"), folder.path().join("rejects"));
    fs::write(&path, input).expect("a test can write a file");
    let file = InputFile { path: Some(path), format, compression: Compression::None };
    let settings = InputSettings { files: vec![file], keep_raw: true, ..settings.clone() };
    // A bad header is refused, and then there is nothing to reject.
    let (jobs, layout) = source::read_all(&settings).ok()?;
    let output = fs::File::create(&rejected).expect("a test can make a file");
    let output = Output::new(Destination::new(output.into(), Old::Kept), Compression::None);
    let mut rejects = Rejects::new(output, format, layout);
    for (job, _) in &jobs {
        let outcome = Outcome::unrun(job.clone(), Status::Error, &JobError::bad_input("no"));
        rejects.write(&outcome).expect("a file can be written");
    }
    rejects.finish().expect("a file can be written");
    // Without any reject there is no header.
    let again =
        if jobs.is_empty() { Vec::new() } else { read(&rejected, &settings, format).expect("rejects can be read") };
    Some([jobs, again])
}

fn atoms(format: Format) -> Vec<&'static [u8]> {
    let mut atoms: Vec<&[u8]> = vec![b"a", b"\n", b"\r", b"\r\n", b" ", b"\0", b"\xff", b"\xef\xbb\xbf", b"\"", b","];
    match format {
        Format::Csv => atoms.extend([&b";"[..], b"sep=;", b"\"\"", b",", b"\n"]),
        Format::Tsv => atoms.extend([&b"\t"[..], b"\t", b"\n", b"\"\""]),
        Format::Lines => atoms.extend([&b"\xff\xfe"[..], b"\x1f\x8b", b"\n"]),
        Format::Ndjson | Format::Json => atoms.extend([
            &b"{"[..],
            b"}",
            b"[",
            b"]",
            b"1",
            b":",
            b"\"b\"",
            b"\n",
            b"{}",
            b"[1]",
            b"\x1e",
            b"\x0c",
            b"null ",
        ]),
    }
    atoms
}

fn input() -> impl Strategy<Value = (Format, Vec<u8>)> {
    prop::sample::select(Format::OF_INPUTS.to_vec()).prop_flat_map(|format| {
        let atoms = prop::collection::vec(prop::sample::select(atoms(format)), 0..40);
        (Just(format), atoms.prop_map(|atoms| atoms.concat()))
    })
}

proptest! {
    #![proptest_config(crate::testing::random())]

    #[test]
    fn rejects_of_any_input_give_the_same_jobs_again(
        (format, input) in input(),
        is_headless in any::<bool>(),
        quote in prop::sample::select(vec![Quote::Double, Quote::Char(b'a'), Quote::None]),
    ) {
        check_rejects(&input, format, is_headless, quote);
    }
}

/// Panics if the rejects of this input, fed in again, give other jobs.
pub fn check_rejects(input: &[u8], format: Format, is_headless: bool, quote: Quote) {
    let columns = (is_headless && format.is_table()).then(|| vec!["x".to_owned(), "y".to_owned()]);
    let settings = InputSettings { columns, quote, ..InputSettings::for_tests() };
    if let Some([jobs, again]) = again(input, &settings, format) {
        // What has no end comes last, and two of them cannot be in one file.
        assert!(jobs.iter().rev().skip(1).all(|(job, _)| job.extent() != Extent::Open));
        // What is too long is left out.
        let texts = |jobs: &[(Job, bool)]| -> Vec<Option<Vec<u8>>> {
            let kept = jobs.iter().filter(|(job, _)| job.extent() != Extent::Cut);
            kept.map(|(job, is_job)| is_job.then(|| job.data.to_vec())).collect()
        };
        assert_eq!(texts(&jobs), texts(&again));
    }
}
