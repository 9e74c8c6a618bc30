//! CSV and TSV: a header, then one job per row, an object of strings.
//!
//! Rows are split here, by line breaks outside of quotes, so that each is handed on as soon as it has arrived,
//! has its own bytes (for `--rejects`) and its exact line number, and a quote that is never closed swallows one
//! row and not the file. What is in a row is for `csv_core` to say.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use csv_core::ReadRecordResult;

use super::by_line::bad;
use super::frame::{Frame, Frames, More};
use super::input::{Got, Input};
use crate::source::settings::InputSettings;
use crate::words::error::{Error, Result};
use crate::words::format::Format;
use crate::words::header::Header;

pub struct CsvFrames {
    input: Input,
    rows: RowQueue,
    parser: csv_core::Reader,
    /// The table's columns, shared with what writes the output; all tables of a run have the same.
    shared: Arc<OnceLock<Header>>,
    columns: Option<Columns>,
    settings: InputSettings,
    format: Format,
    ended: bool,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

/// What the rows of this table are read with.
struct Columns {
    names: Vec<String>,
    /// `"name":` of each column, as JSON.
    keys: Vec<Vec<u8>>,
}

impl CsvFrames {
    pub fn new(input: Input, settings: &InputSettings, format: Format, shared: Arc<OnceLock<Header>>) -> CsvFrames {
        let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
        CsvFrames {
            input,
            rows: RowQueue::new(delimiter),
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            shared,
            columns: None,
            settings: settings.clone(),
            format,
            ended: false,
            fields: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Reads the header, if it is not known yet, so that a bad one is refused before anything is run. Waits for
    /// it. Returns false if the input ended, or the run is being stopped, before it came.
    fn read_header(&mut self) -> Result<bool> {
        if self.columns.is_some() {
            return Ok(true);
        }
        if let Some(names) = self.settings.columns.clone() {
            return self.set_columns(names, Bytes::new()).map(|()| true);
        }
        loop {
            match self.rows.next(self.ended) {
                Some(row) if row.bytes.is_empty() => {}
                Some(row) if self.format == Format::Csv && row.line == 1 && self.takes_separator(&row.bytes) => {}
                Some(row) => {
                    let names = if row.open_quote { None } else { self.parse(&row.bytes).ok() };
                    let names = names.ok_or_else(|| {
                        let name = self.input.name();
                        Error::refused(format!("{name}: line {}: the header cannot be read as CSV in UTF-8", row.line))
                    })?;
                    return self.set_columns(names, row.bytes).map(|()| true);
                }
                None if self.ended => return Ok(false),
                None if self.rows.buffered() > self.settings.max_job_bytes => {
                    let name = self.input.name();
                    return Err(Error::refused(format!("{name}: line 1: the header is longer than --max-job-bytes")));
                }
                None => match self.input.read(self.rows.buffer())? {
                    Got::Bytes => {}
                    Got::End => self.ended = true,
                    Got::Stopped => return Ok(false),
                },
            }
        }
    }

    /// `sep=;` in the first line, as Excel writes it.
    fn takes_separator(&mut self, row: &[u8]) -> bool {
        let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] = row else { return false };
        self.rows.delimiter = *separator;
        self.parser = csv_core::ReaderBuilder::new().delimiter(*separator).build();
        true
    }

    fn set_columns(&mut self, names: Vec<String>, raw: Bytes) -> Result<()> {
        let file = self.input.name();
        for (index, name) in names.iter().enumerate() {
            let column = index + 1;
            if name.is_empty() {
                return Err(Error::refused(format!("{file}: column {column} of the header has no name")));
            }
            if let Some(first) = names[..index].iter().position(|other| other == name) {
                let first = first + 1;
                return Err(Error::refused(format!("{file}: columns {first} and {column} are both called {name:?}")));
            }
        }
        let header = Header { names: names.clone(), raw };
        let agreed = self.shared.get_or_init(|| header);
        if agreed.names != names {
            let expected = agreed.names.join(",");
            return Err(Error::refused(format!("{file}: its header differs from that of the file before: {expected}")));
        }
        let key = |name: &String| {
            let mut key = serde_json::to_vec(name).expect("a string always serializes");
            key.push(b':');
            key
        };
        self.columns = Some(Columns { keys: names.iter().map(key).collect(), names });
        Ok(())
    }

    /// The fields of one row, or which of them is not UTF-8 (from 1).
    fn parse(&mut self, row: &[u8]) -> std::result::Result<Vec<String>, usize> {
        self.split_fields(row);
        let mut start = 0;
        let mut names = Vec::new();
        for (index, &end) in self.ends.iter().enumerate() {
            let name = std::str::from_utf8(&self.fields[start..end]).map_err(|_| index + 1)?;
            names.push(name.to_owned());
            start = end;
        }
        Ok(names)
    }

    /// Leaves the fields of a row, without their quotes, in `fields`, and where each ends in `ends`.
    fn split_fields(&mut self, row: &[u8]) {
        self.parser.reset();
        self.fields.clear();
        self.fields.resize(row.len() + 1, 0);
        self.ends.clear();
        self.ends.resize(row.len() + 2, 0);
        let (mut read, mut wrote, mut ended) = (0, 0, 0);
        loop {
            // An empty input after the last byte says that the row has ended.
            let (result, bytes, out, ends) =
                self.parser.read_record(&row[read..], &mut self.fields[wrote..], &mut self.ends[ended..]);
            read += bytes;
            wrote += out;
            ended += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                // There is room for every byte to be a field.
                ReadRecordResult::OutputFull
                | ReadRecordResult::OutputEndsFull
                | ReadRecordResult::Record
                | ReadRecordResult::End => break,
            }
        }
        self.ends.truncate(ended);
    }

    fn frame(&mut self, row: Row) -> Frame {
        let keep = self.settings.keep_raw;
        if row.open_quote {
            let reason = "a quote is opened that is never closed".to_owned();
            return bad(&row.bytes, row.line, reason, keep);
        }
        if row.bytes.len() > self.settings.max_job_bytes {
            let reason = format!("longer than --max-job-bytes ({} bytes)", self.settings.max_job_bytes);
            return bad(&row.bytes, row.line, reason, keep);
        }
        self.split_fields(&row.bytes);
        let columns = self.columns.as_ref().expect("the header has been read");
        let (expected, found) = (columns.names.len(), self.ends.len());
        if expected != found {
            let s = if expected == 1 { "" } else { "s" };
            return bad(&row.bytes, row.line, format!("expected {expected} field{s}, found {found}"), keep);
        }
        let mut data =
            Vec::with_capacity(row.bytes.len() + columns.keys.iter().map(|key| key.len() + 3).sum::<usize>());
        let mut start = 0;
        for (index, (key, &end)) in columns.keys.iter().zip(&self.ends).enumerate() {
            let Ok(text) = std::str::from_utf8(&self.fields[start..end]) else {
                let name = &columns.names[index];
                return bad(&row.bytes, row.line, format!("column {name:?} is not UTF-8"), keep);
            };
            data.push(if index == 0 { b'{' } else { b',' });
            data.extend_from_slice(key);
            serde_json::to_writer(&mut data, text).expect("a string always serializes, and a Vec takes it");
            start = end;
        }
        data.push(b'}');
        let raw = self.settings.keep_raw.then_some(row.bytes);
        Frame { line: row.line, data: Ok(Bytes::from(data)), raw }
    }
}

/// One read's worth of rows at most, so that the pool gets them while the rest is still being read.
const ROWS: usize = 1024;

impl Frames for CsvFrames {
    fn read(&mut self, frames: &mut Vec<Frame>) -> Result<More> {
        if !self.read_header()? {
            return Ok(if self.ended { More::End } else { More::Stopped });
        }
        loop {
            while frames.len() < ROWS
                && let Some(row) = self.rows.next(self.ended)
            {
                // A blank line is no row.
                if !row.bytes.is_empty() {
                    frames.push(self.frame(row));
                }
            }
            if !frames.is_empty() {
                return Ok(More::Frames);
            }
            if self.ended {
                return Ok(More::End);
            }
            if self.rows.buffered() > self.settings.max_job_bytes {
                // Nobody knows where the next row begins: this is the end of this file.
                self.ended = true;
                let row = self.rows.rest();
                let reason = "the row is longer than --max-job-bytes".to_owned();
                frames.push(bad(&row.bytes, row.line, reason, self.settings.keep_raw));
                return Ok(More::Frames);
            }
            match self.input.read(self.rows.buffer())? {
                Got::Bytes => {}
                Got::End => self.ended = true,
                Got::Stopped => return Ok(More::Stopped),
            }
        }
    }

    fn look(&mut self) -> Result<()> {
        self.read_header().map(drop)
    }

    fn consumed(&self) -> u64 {
        self.input.consumed(self.rows.buffered())
    }
}

/// A row's own bytes, without the line end.
struct Row {
    bytes: Bytes,
    /// Where it begins, from 1.
    line: u64,
    /// The input ended inside of a quoted field.
    open_quote: bool,
}

/// Splits bytes into rows at the line breaks that are not inside of a quoted field.
struct RowQueue {
    delimiter: u8,
    buffer: Vec<u8>,
    /// Where the row that is being looked at begins.
    start: usize,
    /// What has been looked at.
    at: usize,
    quoted: bool,
    line: u64,
}

impl RowQueue {
    fn new(delimiter: u8) -> RowQueue {
        RowQueue { delimiter, buffer: Vec::new(), start: 0, at: 0, quoted: false, line: 1 }
    }

    /// The buffer to append to.
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        &mut self.buffer
    }

    /// Bytes of a row that has not ended.
    fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next whole row; the rest of the bytes, if that is all there will be.
    fn next(&mut self, ended: bool) -> Option<Row> {
        loop {
            let rest = &self.buffer[self.at..];
            if self.quoted {
                let Some(quote) = memchr::memchr(b'"', rest) else {
                    self.at = self.buffer.len();
                    break;
                };
                match rest.get(quote + 1) {
                    // A doubled quote is a quote.
                    Some(b'"') => self.at += quote + 2,
                    // The next byte decides, when it comes.
                    None if !ended => {
                        self.at += quote;
                        return None;
                    }
                    _ => {
                        self.at += quote + 1;
                        self.quoted = false;
                    }
                }
                continue;
            }
            let Some(found) = memchr::memchr2(b'"', b'\n', rest) else {
                self.at = self.buffer.len();
                break;
            };
            let place = self.at + found;
            self.at = place + 1;
            if self.buffer[place] == b'\n' {
                return Some(self.cut(place));
            }
            // Only at the beginning of a field a quote quotes.
            self.quoted = place == self.start || self.buffer[place - 1] == self.delimiter;
        }
        if ended && self.start < self.buffer.len() { Some(self.rest()) } else { None }
    }

    fn cut(&mut self, end: usize) -> Row {
        let row = &self.buffer[self.start..end];
        let line = self.line;
        self.line += memchr::memchr_iter(b'\n', row).count() as u64 + 1;
        self.start = self.at;
        let bytes = Bytes::copy_from_slice(row.strip_suffix(b"\r").unwrap_or(row));
        Row { bytes, line, open_quote: std::mem::take(&mut self.quoted) }
    }

    /// All that is left, as one row.
    fn rest(&mut self) -> Row {
        self.at = self.buffer.len();
        self.cut(self.buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(columns: Option<&[&str]>) -> InputSettings {
        let columns = columns.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        InputSettings { files: vec![], columns, max_job_bytes: 10_000, timeout_field: None, keep_raw: true }
    }

    type Rows = Vec<(u64, std::result::Result<String, String>, String)>;

    fn read(pieces: Vec<Vec<u8>>, columns: Option<&[&str]>) -> Result<Rows> {
        let shared = Arc::new(OnceLock::new());
        let mut reader = CsvFrames::new(Input::of(pieces), &settings(columns), Format::Csv, shared);
        let mut all = Vec::new();
        let mut frames = Vec::new();
        while reader.read(&mut frames)? == More::Frames {
            let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
            all.extend(
                frames
                    .drain(..)
                    .map(|frame| (frame.line, frame.data.map(text), frame.raw.map(text).unwrap_or_default())),
            );
        }
        Ok(all)
    }

    fn rows(input: &[u8]) -> Rows {
        read(vec![input.to_vec()], None).unwrap()
    }

    fn check(input: &[u8], expected: &[(u64, &str)]) {
        let got: Vec<(u64, String)> =
            rows(input).into_iter().map(|(line, data, _)| (line, data.unwrap_or_else(|reason| reason))).collect();
        let expected: Vec<(u64, String)> = expected.iter().map(|&(line, data)| (line, data.to_owned())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn rows_are_objects_of_strings_and_spaces_are_data() {
        check(
            b"name,zip\nTom,007\n\"a, \"\"b\"\"\n c\",\n 5\" nail ,true\n",
            &[
                (2, r#"{"name":"Tom","zip":"007"}"#),
                (3, r#"{"name":"a, \"b\"\n c","zip":""}"#),
                (5, r#"{"name":" 5\" nail ","zip":"true"}"#),
            ],
        );
    }

    #[test]
    fn line_ends_marks_and_blank_lines_do_not_matter() {
        check(b"\xef\xbb\xbf\"a\"\r\n1\r\n\r\n2", &[(2, r#"{"a":"1"}"#), (4, r#"{"a":"2"}"#)]);
        check(b"a\n\"\"\n", &[(2, r#"{"a":""}"#)]);
        check(b"sep=;\na;b\n1;2\n", &[(3, r#"{"a":"1","b":"2"}"#)]);
        check(b"a,b\n", &[]);
        check(b"", &[]);
    }

    #[test]
    fn a_bad_row_is_said_in_its_place_and_the_rest_goes_on() {
        check(
            b"a,b\n1\n1,2,3\n\xff,x\n1,2\n",
            &[
                (2, "expected 2 fields, found 1"),
                (3, "expected 2 fields, found 3"),
                (4, "column \"a\" is not UTF-8"),
                (5, r#"{"a":"1","b":"2"}"#),
            ],
        );
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_the_rest_and_nothing_before_it() {
        check(b"a\n1\n\"2\n3\n4\n", &[(2, r#"{"a":"1"}"#), (3, "a quote is opened that is never closed")]);
        let mut endless = b"a\n1\n\"".to_vec();
        endless.resize(50_000, b'x');
        check(&endless, &[(2, r#"{"a":"1"}"#), (3, "the row is longer than --max-job-bytes")]);
    }

    #[test]
    fn a_row_keeps_its_own_bytes() {
        let raws: Vec<String> = rows(b"a,b\r\n\"x\",1\r\n2,\"y\nz\"\r\nbad\r\n").into_iter().map(|row| row.2).collect();
        assert_eq!(raws, ["\"x\",1", "2,\"y\nz\"", "bad"]);
    }

    #[test]
    fn bad_headers_are_refused() {
        let refusal = |input: &[u8]| read(vec![input.to_vec()], None).unwrap_err().message;
        assert_eq!(refusal(b"a,b,a\n"), "test: columns 1 and 3 are both called \"a\"");
        assert_eq!(refusal(b"a,,c\n"), "test: column 2 of the header has no name");
        assert_eq!(refusal(b"\xff\xfea\0"), "test is UTF-16, not UTF-8");
    }

    #[test]
    fn columns_may_be_named_from_outside() {
        let rows = read(vec![b"1,2\n".to_vec()], Some(&["x", "y"])).unwrap();
        assert_eq!(rows[0].1, Ok(r#"{"x":"1","y":"2"}"#.to_owned()));
        assert_eq!(rows[0].0, 1);
    }

    proptest! {
        #![proptest_config(crate::testing::random())]

        #[test]
        fn any_pieces_make_the_same_rows(
            input in "(a|\"|\"\"|,|\n|\r\n|é){0,60}",
            cuts in prop::collection::vec(1..5_usize, 0..60),
        ) {
            let columns: Option<&[&str]> = Some(&["x", "y"]);
            let whole = read(vec![input.clone().into_bytes()], columns).unwrap();
            let mut pieces = Vec::new();
            let mut rest = input.as_bytes();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = left;
            }
            pieces.push(rest.to_vec());
            prop_assert_eq!(read(pieces, columns).unwrap(), whole);
        }

        #[test]
        fn what_a_csv_writer_writes_is_read_back(
            table in prop::collection::vec(prop::collection::vec("[a\",\n\r é=']{0,6}", 2), 0..6),
        ) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(["x", "y"]).unwrap();
            for row in &table {
                writer.write_record(row).unwrap();
            }
            let written = writer.into_inner().unwrap();
            let read: Vec<String> = rows(&written).into_iter().map(|row| row.1.unwrap()).collect();
            let expected: Vec<String> =
                table.iter().map(|row| format!("{{\"x\":{},\"y\":{}}}", json(&row[0]), json(&row[1]))).collect();
            prop_assert_eq!(read, expected);
        }
    }

    fn json(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }
}
