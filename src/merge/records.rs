//! Outputs of shards in NDJSON. A record is one line, and is passed on byte for byte.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::queue::{Numbered, Part};
use crate::source::Text;
use crate::text::framing::LineQueue;
use crate::text::json::field;
use crate::words::error::{Error, Result};

pub struct Records {
    name: String,
    text: Text,
    queue: LineQueue,
    /// Whole lines that have been read.
    lines: Bytes,
    /// Lines handed out so far.
    count: u64,
    is_cut: bool,
}

impl Records {
    pub fn new(name: String, text: Text) -> Records {
        Records { name, text, queue: LineQueue::default(), lines: Bytes::new(), count: 0, is_cut: false }
    }

    /// The next line, without its line end.
    fn line(&mut self) -> Result<Option<Bytes>> {
        while self.lines.is_empty() {
            if !self.text.read(self.queue.buffer())? {
                return Ok(self.last_line());
            }
            self.lines = self.queue.take_lines();
        }
        let end = memchr::memchr(b'\n', &self.lines).unwrap_or(self.lines.len() - 1);
        let line = self.lines.split_to(end + 1);
        Ok(Some(line.slice(..end)))
    }

    /// What stands behind the last line end. It is half a record if the run was killed while it wrote it.
    fn last_line(&mut self) -> Option<Bytes> {
        let line = Bytes::copy_from_slice(self.queue.partial_bytes());
        self.queue.discard();
        if serde_json::from_slice::<&RawValue>(&line).is_ok() {
            return Some(line);
        }
        self.is_cut |= !line.is_empty();
        None
    }
}

impl Part for Records {
    type Record = Bytes;

    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self) -> Result<Option<Numbered<Bytes>>> {
        let Some(line) = self.line()? else { return Ok(None) };
        self.count += 1;
        let (job, is_ok) = read(&line).ok_or_else(|| {
            Error::refused(format!("{}: line {}: it is no record of forkpool", self.name, self.count))
                .hint("--merge takes what runs with --shard have written, as NDJSON, CSV or TSV")
        })?;
        Ok(Some(Numbered { job, is_ok, record: line }))
    }

    fn notice(&self) -> Option<String> {
        let damage = self.text.damage().map(|why| format!("{why}; the records before that are taken"));
        damage.or_else(|| self.is_cut.then(|| format!("{}: its last record is cut, and left out", self.name)))
    }

    fn hint(&self) -> String {
        format!("a run with --unordered has written it: sort -t: -k2,2n {}", self.name)
    }
}

/// The number of the record's job, and whether it ended ok. A record begins `{"job":7,"status":"ok"`, with an `id` in
/// between where there was `--id`.
fn read(line: &[u8]) -> Option<(u64, bool)> {
    let rest = line.strip_prefix(b"{\"job\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let job = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok().filter(|job| *job > 0)?;
    let rest = &rest[digits..];
    if let Some(status) = rest.strip_prefix(b",\"status\":\"") {
        return Some((job, status.starts_with(b"ok\"")));
    }
    rest.strip_prefix(b",\"id\":")?;
    field(line, "status").map(|status| (job, status.get() == "\"ok\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_by_its_beginning() {
        assert_eq!(read(br#"{"job":12,"status":"ok","data":1}"#), Some((12, true)));
        assert_eq!(read(br#"{"job":12,"status":"error","error":{"status":"ok"}}"#), Some((12, false)));
        assert_eq!(read(br#"{"job":1,"id":{"status":"x"},"status":"ok","data":1}"#), Some((1, true)));
        for line in [r#"{"job":0,"status":"ok"}"#, r#"{"id":1,"status":"ok"}"#, r#"{"job":1,"name":2}"#, "", "job,name"]
        {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
