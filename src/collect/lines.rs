//! Results as plain lines: line N belongs to job N. A string is its text, any other value is JSON, a job that
//! failed leaves an empty line (its error goes to stderr).

use std::io;

use super::output::Output;
use super::sink::{Sink, SinkError};
use crate::words::outcome::{Outcome, Status};

pub struct LinesSink {
    output: Output,
}

impl LinesSink {
    pub fn new(output: Output) -> LinesSink {
        LinesSink { output }
    }
}

impl Sink for LinesSink {
    fn write(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        let out = self.output.buffer();
        if outcome.status == Status::Ok {
            write_value(&outcome.payload, out);
        }
        out.push(b'\n');
        Ok(self.output.wrote()?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(self.output.finish()?)
    }
}

/// Appends a result, without a line end. A string with a line break stays JSON: as text it would take the next job's
/// line. So does one with an unpaired surrogate, which no text can hold.
fn write_value(json: &[u8], out: &mut Vec<u8>) {
    if json.first() == Some(&b'"')
        && let Ok(text) = serde_json::from_slice::<String>(json)
        && !text.contains(['\n', '\r'])
    {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(json);
    }
}

#[cfg(test)]
mod tests {
    use super::write_value;

    #[test]
    fn a_value_takes_exactly_one_line() {
        let line = |json: &str| {
            let mut out = Vec::new();
            write_value(json.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(r#""a \"b\" é""#), "a \"b\" é");
        assert_eq!(line(r#"{"n":1e400}"#), r#"{"n":1e400}"#);
        assert_eq!(line(r#""a\nb""#), r#""a\nb""#);
        assert_eq!(line(r#""\ud800""#), r#""\ud800""#);
        assert_eq!(line("null"), "null");
    }
}
