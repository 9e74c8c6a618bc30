//! The readers of tables and of JSON against independent ones, over random inputs cut into random reads: the `csv`
//! crate, and serde_json's stream of values. Where quotes are not well formed, the crate makes something of them; then
//! the row must be no job.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::csv::CsvFrames;
use super::frame::{Frame, Frames, More};
use super::input::Input;
use super::json::JsonFrames;
use super::settings::InputSettings;
use crate::words::dialect::Quote;
use crate::words::format::Format;
use crate::words::layout::BYTE_ORDER_MARK;

/// `input` in pieces of these sizes, and then the rest.
fn pieces(input: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = input;
    let mut pieces = Vec::new();
    for &cut in cuts {
        let (piece, left) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece.to_vec());
        rest = left;
    }
    pieces.push(rest.to_vec());
    pieces
}

fn read(mut reader: impl Frames) -> Vec<Frame> {
    let (mut all, mut frames) = (Vec::new(), Vec::new());
    while reader.read(&mut frames).expect("the input can be read") == More::Frames {
        all.append(&mut frames);
    }
    all
}

const COLUMNS: [&str; 3] = ["x", "y", "z"];

fn table(input: &[u8], cuts: &[usize], delimiter: u8) -> Vec<Frame> {
    let settings = InputSettings {
        columns: Some(COLUMNS.map(str::to_owned).to_vec()),
        delimiter: Some(delimiter),
        quote: Quote::Double,
        keep_raw: true,
        ..InputSettings::for_tests()
    };
    read(CsvFrames::new(Input::of(pieces(input, cuts)), &settings, Format::Csv, Arc::default()))
}

/// What the `csv` crate makes of it: the rows that have as many cells as there are columns are jobs.
fn table_of_the_crate(input: &[u8], delimiter: u8) -> Vec<Option<Vec<Vec<u8>>>> {
    let mut reader = ::csv::ReaderBuilder::new();
    let reader = reader.delimiter(delimiter).has_headers(false).flexible(true).from_reader(input);
    let cells = |row: ::csv::ByteRecord| -> Vec<Vec<u8>> { row.iter().map(<[u8]>::to_vec).collect() };
    let rows = reader.into_byte_records().map(|row| cells(row.expect("a flexible table has no bad rows")));
    let is_job =
        |row: &Vec<Vec<u8>>| row.len() == COLUMNS.len() && row.iter().all(|cell| std::str::from_utf8(cell).is_ok());
    rows.map(|row| Some(row).filter(is_job)).collect()
}

fn raw(frame: &Frame) -> Vec<u8> {
    frame.extra.as_ref().and_then(|extra| extra.raw.as_ref()).map_or(Vec::new(), |raw| raw.to_vec())
}

fn cells(frame: &Frame) -> Option<Vec<Vec<u8>>> {
    let data = frame.data.as_ref().ok()?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(data).expect("a job is an object");
    Some(COLUMNS.map(|name| object[name].as_str().expect("cells are strings").as_bytes().to_vec()).to_vec())
}

/// A cell as a writer that knows its trade would write it, quoted also where it need not be.
fn written(cell: &[u8], quote: bool, delimiter: u8) -> Vec<u8> {
    let special = |byte: &u8| [b'"', b'\r', b'\n', delimiter].contains(byte);
    if quote || cell.iter().any(special) {
        let doubled = cell.iter().flat_map(|&byte| if byte == b'"' { vec![b'"', b'"'] } else { vec![byte] });
        return [b'"'].into_iter().chain(doubled).chain([b'"']).collect();
    }
    cell.to_vec()
}

fn cell() -> impl Strategy<Value = Vec<u8>> {
    let atoms: [&[u8]; 11] = [b"a", b"\"", b"\r", b"\n", b"\r\n", b"\0", b",", b";", "é".as_bytes(), b"\xff", b" "];
    prop::collection::vec(prop::sample::select(atoms.to_vec()), 0..4).prop_map(|atoms| atoms.concat())
}

proptest! {
    #![proptest_config(crate::testing::random())]

    #[test]
    fn a_table_whose_quotes_are_well_formed_is_that_of_the_csv_crate(
        rows in prop::collection::vec(
            (
                prop::collection::vec((cell(), any::<bool>()), 1..5),
                prop::sample::select(vec!["\r", "\n", "\r\n", "\n\n"]),
            ),
            0..8,
        ),
        has_mark in any::<bool>(),
        is_ended in any::<bool>(),
        delimiter in prop::sample::select(b",;\t|".to_vec()),
        cuts in prop::collection::vec(1..6_usize, 0..40),
    ) {
        let mut input = if has_mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        for (cells, line_end) in &rows {
            let cells: Vec<Vec<u8>> = cells.iter().map(|(cell, quote)| written(cell, *quote, delimiter)).collect();
            input.extend(cells.join(&delimiter));
            input.extend(line_end.as_bytes());
        }
        if !is_ended {
            while matches!(input.last(), Some(b'\r' | b'\n')) {
                input.pop();
            }
        }
        let frames = table(&input, &cuts, delimiter);
        let got: Vec<Option<Vec<Vec<u8>>>> = frames.iter().map(cells).collect();
        prop_assert_eq!(got, table_of_the_crate(&input, delimiter));
    }

    #[test]
    fn of_any_table_a_row_is_that_of_the_csv_crate_or_no_job(
        atoms in prop::collection::vec(
            prop::sample::select(vec!["a", "\"", "\"\"", ",", ",", "\n", "\r", "\r\n", "é", "\0"]),
            0..60,
        ),
        cuts in prop::collection::vec(1..5_usize, 0..60),
    ) {
        check_table(&atoms.concat().into_bytes(), &cuts);
    }
}

/// Reads a table without a header in reads of these sizes. Panics if a row is neither that of the `csv` crate nor bad,
/// if a byte is missing, or if the sizes make a difference.
pub fn check_table(input: &[u8], cuts: &[usize]) {
    let frames = table(input, cuts, b',');
    let crates = table_of_the_crate(input, b',');
    assert_eq!(frames.len(), crates.len());
    for (frame, row) in frames.iter().zip(crates) {
        let cells = cells(frame);
        assert!(cells.is_none() || cells == row, "{cells:?} is {row:?}");
    }
    // Nothing is dropped: without line breaks the rows are the input.
    let is_no_break = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let kept: Vec<u8> = frames.iter().flat_map(raw).filter(is_no_break).collect();
    let text = input.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input);
    let all: Vec<u8> = text.iter().copied().filter(is_no_break).collect();
    assert_eq!(kept, all);
    assert_eq!(frames, table(input, &[], b','));
}

fn json(input: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let settings = InputSettings { keep_raw: true, ..InputSettings::for_tests() };
    read(JsonFrames::new(Input::of(pieces(input, cuts)), &settings, Arc::default()))
}

/// What serde_json's stream makes of it, up to its first error.
fn values_of_the_stream(input: &str) -> (Vec<String>, bool) {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(input).into_iter::<Box<RawValue>>() {
        match value {
            Ok(value) => values.push(value.get().replace(['\r', '\n'], " ")),
            Err(_) => return (values, true),
        }
    }
    (values, false)
}

fn text(frame: &Frame) -> Option<String> {
    frame.data.as_ref().ok().map(|data| String::from_utf8(data.to_vec()).expect("JSON is UTF-8"))
}

const ATOMS: [&str; 18] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"\\\"]\"",
    "\"é{\"",
    "1",
    "-2.50e3",
    "true",
    "null",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\"\\",
];

fn value() -> impl Strategy<Value = String> {
    let blank = prop::sample::select(vec!["", " ", "\n", "\r\n  ", "\t"]);
    let leaf =
        prop::sample::select(vec!["1", "-2.50e3", "true", "null", "\"a\"", "\"\\\"]}\"", "\"\\\\\"", "{}", "[]"]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, move |inner| {
        let inner = (inner, blank.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| {
                let values: Vec<String> =
                    values.into_iter().map(|(value, blank)| format!("{blank}{value}{blank}")).collect();
                format!("[{}]", values.join(","))
            }),
            prop::collection::vec(inner, 0..4).prop_map(|values| {
                let members: Vec<String> =
                    values.into_iter().map(|(value, blank)| format!("{blank}\"k\"{blank}:{value}{blank}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(crate::testing::random())]

    #[test]
    fn values_one_after_the_other_are_those_of_the_stream(
        values in prop::collection::vec((value(), prop::sample::select(vec![" ", "\n", "\r\n", "\n\n\t"])), 0..6),
        cuts in prop::collection::vec(1..6_usize, 0..40),
    ) {
        // An array at the beginning would be an array of jobs.
        let values = values.iter().map(|(value, gap)| format!("{value}{gap}"));
        let input: String = ["0\n".to_owned()].into_iter().chain(values).collect();
        let got: Vec<Option<String>> = json(input.as_bytes(), &cuts).iter().map(text).collect();
        let (expected, failed) = values_of_the_stream(&input);
        prop_assert!(!failed);
        prop_assert_eq!(got, expected.into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn the_elements_of_an_array_are_those_of_serde(
        values in prop::collection::vec((value(), prop::sample::select(vec!["", " ", "\n", "\r\n\t"])), 0..6),
        cuts in prop::collection::vec(1..6_usize, 0..40),
    ) {
        let elements: Vec<String> = values.iter().map(|(value, gap)| format!("{gap}{value}{gap}")).collect();
        let input = format!(" [{}] ", elements.join(","));
        let got: Vec<Option<String>> = json(input.as_bytes(), &cuts).iter().map(text).collect();
        let expected: Vec<Box<RawValue>> = serde_json::from_str(&input).unwrap();
        let expected = expected.iter().map(|value| Some(value.get().replace(['\r', '\n'], " ")));
        prop_assert_eq!(got, expected.collect::<Vec<_>>());
    }

    #[test]
    fn of_any_json_the_values_up_to_the_first_error_are_those_of_the_stream(
        atoms in prop::collection::vec(prop::sample::select(ATOMS.to_vec()), 0..30),
        cuts in prop::collection::vec(1..6_usize, 0..40),
    ) {
        check_values(&atoms.concat(), &cuts);
    }
}

/// Reads JSON values one after the other, in reads of these sizes. Panics if they are not those of serde_json's stream
/// up to its first error, if there is an error in one of the two only, or if the sizes make a difference.
pub fn check_values(values: &str, cuts: &[usize]) {
    // An array at the beginning would be an array of jobs.
    let input = format!("0 {values}");
    let frames = json(input.as_bytes(), cuts);
    assert_eq!(&frames, &json(input.as_bytes(), &[]));
    let got: Vec<Option<String>> = frames.iter().map(text).collect();
    let (expected, failed) = values_of_the_stream(&input);
    assert!(got.len() >= expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        // The stream takes `1true` for a number and a word; here it is neither.
        assert!(got.as_ref().is_none_or(|got| got == expected));
    }
    assert_eq!(failed, got.contains(&None), "{got:?}");
}
