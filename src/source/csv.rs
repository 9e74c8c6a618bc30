//! CSV and TSV: a header, then one job per row, an object of strings.
//!
//! What a row is, is for `rows` to say; what a row becomes, for `columns`. Here is what comes before the first row,
//! and the reading.

use std::sync::Arc;

use bytes::Bytes;

use super::by_line::too_long;
use super::columns::{self, Columns};
use super::frame::{CONVERT, Frame, Frames, More};
use super::input::{Got, Input};
use super::pieces::{Pieces, read_on};
use super::rows::RowQueue;
use crate::source::settings::InputSettings;
use crate::words::dialect::Dialect;
use crate::words::error::{Error, Result};
use crate::words::format::Format;
use crate::words::layout::{BYTE_ORDER_MARK, Layout, LineEnd};

pub struct CsvFrames {
    input: Input,
    rows: RowQueue,
    /// What all tables of a run have in common, and what the outputs write again.
    layout: Arc<Layout>,
    head: Head,
    settings: InputSettings,
    format: Format,
    ended: bool,
    notice: Option<String>,
}

/// How far the beginning of the table has been read.
enum Head {
    Unread,
    /// A line `sep=;` would have been taken, with its line end.
    Separator {
        line: Vec<u8>,
    },
    Read(Columns),
}

/// So many rows at once at most, so that the pool gets them while the rest is still being read.
const ROWS: usize = 1024;

impl CsvFrames {
    pub fn new(input: Input, settings: &InputSettings, format: Format, layout: Arc<Layout>) -> CsvFrames {
        CsvFrames {
            input,
            rows: RowQueue::new(Dialect::of(format, settings.delimiter, settings.quote)),
            layout,
            head: Head::Unread,
            settings: settings.clone(),
            format,
            ended: false,
            notice: None,
        }
    }

    /// Reads all that comes before the first row, if that has not been done, so that a bad header is refused before
    /// anything is run. Waits for it. Returns false if the input ended, or the run is being stopped, before it came.
    fn read_head(&mut self) -> Result<bool> {
        loop {
            match std::mem::replace(&mut self.head, Head::Unread) {
                Head::Read(columns) => {
                    self.head = Head::Read(columns);
                    return Ok(true);
                }
                Head::Unread => {
                    if let Some(names) = self.settings.columns.clone().filter(|_| self.layout.columns.get().is_none()) {
                        self.agree(names)?;
                    }
                    if let Some(line) = self.take_separator() {
                        self.head = Head::Separator { line };
                        continue;
                    }
                }
                Head::Separator { line } => {
                    if let Some(columns) = self.read_columns(&line)? {
                        self.head = Head::Read(columns);
                        continue;
                    }
                    self.head = Head::Separator { line };
                    if self.ended {
                        return Ok(false);
                    }
                    if self.rows.buffered() > self.settings.max_job_bytes {
                        let (name, line) = (self.input.name(), self.rows.line());
                        let words = format!("{name}: line {line}: the header is longer than --max-job-bytes");
                        return Err(Error::refused(words));
                    }
                }
            }
            match self.input.read(self.rows.buffer())? {
                Got::Bytes => {}
                Got::End => self.ended = true,
                Got::Stopped => return Ok(false),
            }
        }
    }

    /// Takes the line `sep=;` that Excel reads and writes before a header, and returns it with its line end: nothing
    /// if the table begins otherwise, `None` if that cannot be said yet.
    fn take_separator(&mut self) -> Option<Vec<u8>> {
        let start = self.rows.begun();
        if self.format != Format::Csv || !begins_like(start, b"sep=") {
            return Some(Vec::new());
        }
        let (separator, line_end) = match *start {
            [_, _, _, _, separator, b'\r', b'\n', ..] => (separator, 2),
            [_, _, _, _, _, b'\r'] if !self.ended => return None,
            [_, _, _, _, separator, b'\r' | b'\n', ..] => (separator, 1),
            [_, _, _, _, separator] if self.ended => (separator, 0),
            [_, _, _, _, _, _, ..] => return Some(Vec::new()),
            _ if self.ended => return Some(Vec::new()),
            _ => return None,
        };
        let line = start[..5 + line_end].to_vec();
        self.rows.skip(line.len(), 1);
        self.rows.dialect.delimiter = self.settings.delimiter.unwrap_or(separator);
        Some(line)
    }

    /// The columns of the table, once they are known. `separator` is what was taken before the header.
    fn read_columns(&mut self, separator: &[u8]) -> Result<Option<Columns>> {
        let mark = if self.input.has_mark() { BYTE_ORDER_MARK } else { b"" };
        let mut head = [mark, separator].concat();
        let names = match self.settings.columns.clone() {
            Some(names) => names,
            None => match self.read_header(&mut head, !separator.is_empty())? {
                Some(names) => names,
                None => return Ok(None),
            },
        };
        let names = self.agree(names)?;
        self.layout.head.get_or_init(|| Bytes::from(head));
        let Dialect { delimiter, quote, .. } = self.rows.dialect;
        if *self.layout.delimiter.get_or_init(|| delimiter) != delimiter && self.settings.keep_raw {
            let words = format!("{}: its delimiter differs from that of the file before", self.input.name());
            return Err(Error::refused(words).hint("--rejects has one for all; run the files apart"));
        }
        Ok(Some(Columns::new(names, quote, self.settings.keep_raw)))
    }

    /// The names in the header, once it has come. Its bytes are appended to `head`.
    fn read_header(&mut self, head: &mut Vec<u8>, has_separator: bool) -> Result<Option<Vec<String>>> {
        let dialect = self.rows.dialect;
        let row = loop {
            match self.rows.next(self.ended) {
                None => return Ok(None),
                Some(row) if row.bytes.is_empty() => {}
                Some(row) => break row,
            }
        };
        let (names, line, bytes) = (columns::names(&row, dialect.quote), row.line, row.bytes.to_vec());
        let Some(names) = names else {
            let name = self.input.name();
            let error = Error::refused(format!("{name}: line {line}: the header cannot be read as CSV in UTF-8"));
            return Err(if str::from_utf8(&bytes).is_err() { error.hint(CONVERT) } else { error });
        };
        let line_end = self.rows.line_end().unwrap_or(LineEnd::Lf).bytes();
        if line > 1 + u64::from(has_separator) {
            // Behind a blank line a header may begin with what would else be a mark or a separator.
            head.extend_from_slice(line_end);
        }
        head.extend_from_slice(&bytes);
        head.extend_from_slice(line_end);
        if self.settings.delimiter.is_none() && !has_separator {
            let hint = other_delimiter(&names, dialect.delimiter);
            self.notice = hint.map(|hint| format!("{}: {hint}", self.input.name()));
        }
        Ok(Some(names))
    }

    /// The names as they are used: they must be those of the files before.
    fn agree(&self, mut names: Vec<String>) -> Result<Vec<String>> {
        let file = self.input.name();
        columns::name_the_nameless(&mut names);
        if let Some((first, second)) = columns::namesakes(&names) {
            let name = &names[first - 1];
            return Err(Error::refused(format!("{file}: columns {first} and {second} are both called {name:?}")));
        }
        let agreed = self.layout.columns.get_or_init(|| names.clone());
        if *agreed != names {
            let expected = agreed.join(",");
            return Err(Error::refused(format!("{file}: its header differs from that of the file before: {expected}")));
        }
        Ok(names)
    }

    /// Appends the rows that are whole.
    fn take_rows(&mut self, frames: &mut Vec<Frame>) {
        let Head::Read(columns) = &self.head else { return };
        while frames.len() < ROWS
            && let Some(row) = self.rows.next(self.ended)
        {
            if row.bytes.len() > self.settings.max_job_bytes {
                frames.push(too_long(row.bytes, row.line, self.settings.max_job_bytes));
            } else if !row.bytes.is_empty() {
                // A blank line is no row.
                frames.push(columns.frame(&row));
            }
        }
        if let Some(line_end) = self.rows.line_end() {
            self.layout.line_end.get_or_init(|| line_end);
        }
    }
}

fn begins_like(bytes: &[u8], word: &[u8]) -> bool {
    let common = bytes.len().min(word.len());
    bytes[..common].eq_ignore_ascii_case(&word[..common])
}

/// What to say of a header that is one column and looks like several.
fn other_delimiter(names: &[String], delimiter: u8) -> Option<String> {
    let [name] = names else { return None };
    let other =
        [';', '\t', '|', ','].into_iter().find(|&other| other != char::from(delimiter) && name.contains(other))?;
    let typed = if other == '\t' { "--from tsv".to_owned() } else { format!("--delimiter '{other}'") };
    Some(format!("the header is one column, {name:?}; hint: {typed}"))
}

impl Frames for CsvFrames {
    fn read(&mut self, frames: &mut Vec<Frame>) -> Result<More> {
        if !self.read_head()? {
            return Ok(if self.ended { More::End } else { More::Stopped });
        }
        loop {
            self.take_rows(frames);
            if !frames.is_empty() {
                return Ok(More::Frames);
            }
            if let Some(more) =
                read_on(&mut self.input, &mut self.rows, self.settings.max_job_bytes, &mut self.ended, frames)?
            {
                return Ok(more);
            }
        }
    }

    fn look(&mut self) -> Result<()> {
        self.read_head().map(drop)
    }

    fn consumed(&self) -> u64 {
        self.input.consumed(self.rows.buffered())
    }

    fn notice(&mut self) -> Option<String> {
        self.notice.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::dialect::Quote;

    type Rows = Vec<(u64, std::result::Result<String, String>, String)>;

    fn read_as(format: Format, settings: InputSettings, pieces: Vec<Vec<u8>>) -> Result<Rows> {
        let settings = InputSettings { keep_raw: true, ..settings };
        let mut reader = CsvFrames::new(Input::of(pieces), &settings, format, Arc::default());
        let mut all = Vec::new();
        let mut frames = Vec::new();
        while reader.read(&mut frames)? == More::Frames {
            let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
            let raw = |frame: &Frame| frame.extra.as_ref().and_then(|extra| extra.raw.clone()).unwrap_or_default();
            let row = |frame: Frame| (frame.line, frame.data.clone().map(text), text(raw(&frame)));
            all.extend(frames.drain(..).map(row));
        }
        Ok(all)
    }

    fn read(pieces: Vec<Vec<u8>>, columns: Option<&[&str]>) -> Result<Rows> {
        let columns = columns.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        read_as(Format::Csv, InputSettings { columns, ..InputSettings::for_tests() }, pieces)
    }

    fn rows(input: &[u8]) -> Rows {
        read(vec![input.to_vec()], None).unwrap()
    }

    #[track_caller]
    fn check_as(format: Format, settings: InputSettings, input: &[u8], expected: &[(u64, &str)]) {
        let rows = read_as(format, settings, vec![input.to_vec()]).unwrap();
        let got: Vec<(u64, String)> =
            rows.into_iter().map(|(line, data, _)| (line, data.unwrap_or_else(|reason| reason))).collect();
        let expected: Vec<(u64, String)> = expected.iter().map(|&(line, data)| (line, data.to_owned())).collect();
        assert_eq!(got, expected);
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[(u64, &str)]) {
        check_as(Format::Csv, InputSettings::for_tests(), input, expected);
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
        check(b"SEP=\t\r\na\tb\r\n1\t2\r\n", &[(3, r#"{"a":"1","b":"2"}"#)]);
        check(b"sep=,x\n1,2\n", &[(2, r#"{"sep=":"1","x":"2"}"#)]);
        check(b",a,\n1,2,3\n", &[(2, r#"{"column_1":"1","a":"2","column_3":"3"}"#)]);
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
    }

    #[test]
    fn a_row_that_is_too_long_is_one_bad_frame_and_the_next_is_a_job() {
        let long = format!("a,b\n1,2\n\"{}\n\"\"\",x\n3,4\n", "x\n".repeat(10_000));
        for size in [100, 7000, 1 << 20] {
            let pieces = long.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            let rows = read(pieces, None).unwrap();
            let lines: Vec<(u64, bool)> = rows.iter().map(|row| (row.0, row.1.is_ok())).collect();
            assert_eq!(lines, [(2, true), (3, false), (10_005, true)]);
            assert_eq!(rows[1].1, Err("longer than --max-job-bytes (10000 bytes)".to_owned()));
        }
    }

    #[test]
    fn a_row_ends_where_pythons_csv_ends_it() {
        check(b"a,b\r1,2\r3,4\r", &[(2, r#"{"a":"1","b":"2"}"#), (3, r#"{"a":"3","b":"4"}"#)]);
        check(
            b"a,b\n1,foo\rbar\n1,2\r3,4\n",
            &[
                (2, r#"{"a":"1","b":"foo"}"#),
                (3, "expected 2 fields, found 1"),
                (4, r#"{"a":"1","b":"2"}"#),
                (5, r#"{"a":"3","b":"4"}"#),
            ],
        );
        check(b"a,b\rc,d\n1,2\n", &[(2, r#"{"a":"c","b":"d"}"#), (3, r#"{"a":"1","b":"2"}"#)]);
        check(b"\"a\rb\",c\r\"x\ry\r\nz\",2\r", &[(3, r#"{"a\rb":"x\ry\r\nz","c":"2"}"#)]);
    }

    #[test]
    fn text_behind_a_closing_quote_is_no_job_and_a_quote_inside_of_text_is_text() {
        let reason = "column \"a\": text behind a closing quote (--quote none takes quotes as text)";
        check(b"a\n\"Weird\" Al\n5\" nail\nx\n", &[(2, reason), (3, r#"{"a":"5\" nail"}"#), (4, r#"{"a":"x"}"#)]);
        check(b"a,b\n\"1\n2\"3,\"4\"\n5,6\n", &[(2, reason), (4, r#"{"a":"5","b":"6"}"#)]);
    }

    #[test]
    fn a_stray_quote_in_tsv_stays_as_it_is() {
        let tsv = |input: &[u8], expected: &[(u64, &str)]| {
            check_as(Format::Tsv, InputSettings::for_tests(), input, expected);
        };
        tsv(b"a\tb\n\"Weird\" Al\t\"q\"\"\tx\"\n", &[(2, r#"{"a":"\"Weird\" Al","b":"q\"\tx"}"#)]);
        tsv(b"a\n\"a \"\"b\"\" c\" d\n", &[(2, r#"{"a":"\"a \"\"b\"\" c\" d"}"#)]);
        let reason = "column \"a\": text behind a closing quote (--quote none takes quotes as text)";
        tsv(b"a\n\"1\t2\"3\n4\n", &[(2, reason), (3, r#"{"a":"4"}"#)]);
    }

    #[test]
    fn delimiters_and_quotes_may_be_others() {
        let with = |delimiter, quote| InputSettings { delimiter, quote, ..InputSettings::for_tests() };
        let csv = Format::Csv;
        check_as(csv, with(Some(b';'), Quote::Double), b"a;b\n1,5;\";\"\n", &[(2, r#"{"a":"1,5","b":";"}"#)]);
        check_as(csv, with(None, Quote::Char(b'\'')), b"a,b\n'1,''5',\"\n", &[(2, r#"{"a":"1,'5","b":"\""}"#)]);
        check_as(csv, with(None, Quote::None), b"a,b\n\"1,2\"\n", &[(2, r#"{"a":"\"1","b":"2\""}"#)]);
        check_as(csv, with(Some(b'|'), Quote::Double), b"sep=;\na|b\n1|2\n", &[(3, r#"{"a":"1","b":"2"}"#)]);
    }

    #[test]
    fn a_header_of_one_column_that_looks_like_several_gets_a_hint() {
        let hint = |delimiter: Option<u8>, input: &[u8]| {
            let settings = InputSettings { delimiter, ..InputSettings::for_tests() };
            let mut reader = CsvFrames::new(Input::of(vec![input.to_vec()]), &settings, Format::Csv, Arc::default());
            reader.look().unwrap();
            reader.notice()
        };
        let expected =
            |typed: &str, name: &str| Some(format!("test: the header is one column, {name:?}; hint: {typed}"));
        assert_eq!(hint(None, b"a;b\n1;2\n"), expected("--delimiter ';'", "a;b"));
        assert_eq!(hint(None, b"a\tb\n1\t2\n"), expected("--from tsv", "a\tb"));
        assert_eq!(hint(None, b"sep=,\na;b\n"), None);
        assert_eq!(hint(Some(b','), b"a;b\n"), None);
        assert_eq!(hint(None, b"a,b;c\n"), None);
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
        assert_eq!(refusal(b"a,\"b\"c\n"), "test: line 1: the header cannot be read as CSV in UTF-8");
        assert_eq!(refusal(b"\xff\xfea\0"), "test is UTF-16, not UTF-8");
    }

    #[test]
    fn columns_may_be_named_from_outside() {
        let rows = read(vec![b"1,2\n".to_vec()], Some(&["x", "y"])).unwrap();
        assert_eq!(rows[0].1, Ok(r#"{"x":"1","y":"2"}"#.to_owned()));
        assert_eq!(rows[0].0, 1);
    }
}
