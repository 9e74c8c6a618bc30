//! The stream between forkpool and its agent on another host: one JSON text per line, both ways.
//!
//! The agent speaks first (`hello`), so that nothing is sent into a shell that prints, or to another version. Then come
//! the settings, the files that they announce, and jobs. The agent marks jobs as begun before it gives them to a worker,
//! and gives them only when that mark has been seen: a job without a mark has certainly not been begun, whatever
//! becomes of the stream. Jobs are marked in the order in which they came, so a mark is only a number of jobs.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::text::gather::Put;
use crate::words::job::Job;
use crate::words::outcome::{Outcome, Status};

/// What the agent's first line begins with.
pub const HELLO: &[u8] = b"{\"forkpool_agent\":";

/// The agent's first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    pub forkpool_agent: String,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Hello {
    /// That of this version.
    pub fn own() -> Hello {
        Hello { forkpool_agent: VERSION.to_owned() }
    }

    /// Says what is wrong, if it is another version than this one.
    pub fn mismatch(&self) -> Option<String> {
        let other = &self.forkpool_agent;
        (other != VERSION).then(|| format!("it has forkpool {other}, and this is {VERSION}"))
    }
}

/// What the line begins with by which a shell on a host asks for the program that becomes the agent.
pub const WANTED: &[u8] = b"{\"forkpool_wanted_for\":";

/// The line of a shell that asks for the program, for this kind of machine, as `uname -s -m` calls it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub forkpool_wanted_for: String,
}

/// The first line to the agent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The command line of the run, whose flags for workers and limits the agent obeys.
    pub words: Vec<Word>,
    /// How many workers; as many as the host has processors if none are named.
    pub workers: Option<usize>,
    /// Where the workers run, if there is such a directory.
    pub directory: Option<Word>,
    /// Variables for the workers' environment.
    pub env: Vec<(String, Word)>,
    /// Files whose bytes follow this line, one after the other.
    pub files: Vec<SentFile>,
}

/// A file that goes along with the settings.
#[derive(Debug, Serialize, Deserialize)]
pub struct SentFile {
    /// Its name, without a directory.
    pub name: Word,
    pub bytes: u64,
    pub is_executable: bool,
}

/// A word of a command line, or a name of a file: text, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word {
    Text(String),
    Bytes(Vec<u8>),
}

/// An order to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// So many more marks have been seen: these jobs may begin.
    Seen(u64),
    /// Finish what has begun, and end.
    Drain(String),
    /// Kill what has begun, and end.
    Abort(String),
    /// Stand still, or go on (Ctrl-Z).
    Hold(bool),
    /// No job will come any more: end.
    End,
    /// Answer with the same number.
    Ping(u64),
}

/// A line to the agent.
#[derive(Debug)]
pub enum ToAgent {
    Job(SentJob),
    Order(Order),
}

/// A job as the agent gets it.
#[derive(Debug)]
pub struct SentJob {
    pub job: Job,
    /// Counts from 1.
    pub attempt: u32,
    /// The job is to share its worker with no other.
    pub alone: bool,
}

/// A line of the agent.
#[derive(Debug)]
pub enum FromAgent {
    Answer(Answer),
    Note(Note),
}

/// What a job came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub id: u64,
    pub status: Status,
    pub payload: Bytes,
    /// The slot of the host; `None` if no worker has had the job.
    pub worker: Option<u32>,
    pub batch: u16,
    pub elapsed: Duration,
}

/// What the agent says besides answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Jobs may come. So many workers are kept.
    Ready(usize),
    /// The next so many jobs, in the order in which they came, are about to begin.
    Begun(u64),
    Progress(u64, Box<RawValue>),
    Pong(u64),
    /// The agent cannot go on. It would be the same on every host if the last is true.
    Failed(String, Option<String>, bool),
    /// The handler could run several jobs at once.
    Async,
    /// Everything has been said: the end of the stream is no loss.
    Bye,
}

/// Appends any line but a job or an answer.
pub fn put(line: &impl Serialize, out: &mut impl Put) {
    serde_json::to_writer(&mut *out.text(), line).expect("text and numbers always serialize");
    out.text().push(b'\n');
}

/// Appends the line of a job.
pub fn put_job(job: &Job, attempt: u32, alone: bool, out: &mut impl Put) {
    let text = out.text();
    number(b"{\"id\":", job.number, text);
    if attempt > 1 {
        number(b",\"attempt\":", attempt.into(), text);
    }
    if alone {
        text.extend_from_slice(b",\"alone\":true");
    }
    if let Some(limit) = job.timeout() {
        number(b",\"ns\":", nanoseconds(limit), text);
    }
    if job.line != job.number {
        number(b",\"line\":", job.line, text);
    }
    text.extend_from_slice(b",\"data\":");
    out.payload(&job.data);
    out.text().extend_from_slice(b"}\n");
}

/// Appends the line of an outcome.
pub fn put_answer(outcome: &Outcome, out: &mut impl Put) {
    let text = out.text();
    number(b"{\"id\":", outcome.job.number, text);
    if let Some(worker) = outcome.worker {
        number(b",\"worker\":", worker.into(), text);
        number(b",\"ns\":", nanoseconds(outcome.elapsed), text);
    }
    if outcome.batch > 0 {
        number(b",\"batch\":", outcome.batch.into(), text);
    }
    text.extend_from_slice(b",\"status\":\"");
    text.extend_from_slice(outcome.status.name().as_bytes());
    text.extend_from_slice(b"\",\"data\":");
    out.payload(&outcome.payload);
    out.text().extend_from_slice(b"}\n");
}

fn number(name: &[u8], value: u64, text: &mut Vec<u8>) {
    text.extend_from_slice(name);
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The fields of a job and of an answer.
#[derive(Deserialize)]
struct Fields<'a> {
    id: u64,
    #[serde(default)]
    attempt: Option<u32>,
    #[serde(default)]
    alone: bool,
    #[serde(default)]
    ns: Option<u64>,
    /// The same as `id`, unless it is told.
    #[serde(default)]
    line: Option<u64>,
    #[serde(default)]
    worker: Option<u32>,
    #[serde(default)]
    batch: u16,
    #[serde(default)]
    status: Option<&'a str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn fields(line: &Bytes) -> Result<(Fields<'_>, Bytes), String> {
    let fields: Fields = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let data = line.slice_ref(fields.data.get().as_bytes());
    Ok((fields, data))
}

fn has_id(line: &[u8]) -> bool {
    line.starts_with(b"{\"id\":")
}

/// Reads a line to the agent, without its line end.
pub fn to_agent(line: &Bytes) -> Result<ToAgent, String> {
    if !has_id(line) {
        return serde_json::from_slice(line).map(ToAgent::Order).map_err(|error| error.to_string());
    }
    let (fields, data) = fields(line)?;
    let timeout = fields.ns.map(Duration::from_nanos);
    let extra = timeout.map(|_| Box::new(crate::words::job::Extra { timeout, ..Default::default() }));
    let job = Job { number: fields.id, line: fields.line.unwrap_or(fields.id), data, extra };
    Ok(ToAgent::Job(SentJob { job, attempt: fields.attempt.unwrap_or(1), alone: fields.alone }))
}

/// Reads a line of the agent, without its line end.
pub fn from_agent(line: &Bytes) -> Result<FromAgent, String> {
    if !has_id(line) {
        return serde_json::from_slice(line).map(FromAgent::Note).map_err(|error| error.to_string());
    }
    let (fields, payload) = fields(line)?;
    let status = fields.status.and_then(Status::from_name).ok_or("its status is none")?;
    let elapsed = Duration::from_nanos(fields.ns.unwrap_or(0));
    let Fields { id, worker, batch, .. } = fields;
    Ok(FromAgent::Answer(Answer { id, status, payload, worker, batch, elapsed }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::outcome;

    fn line(put: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut out = Vec::new();
        put(&mut out);
        assert_eq!(out.pop(), Some(b'\n'), "one line");
        assert!(!out.contains(&b'\n'), "one line only");
        Bytes::from(out)
    }

    #[test]
    fn a_job_arrives_as_it_was_sent() {
        let extra = crate::words::job::Extra { timeout: Some(Duration::from_millis(1500)), ..Default::default() };
        let data = Bytes::from_static(b"{\"n\":12345678901234567890,\"n\":1e400}");
        let job = Job { number: 7, line: 9, data: data.clone(), extra: Some(Box::new(extra)) };
        let sent = line(|out| put_job(&job, 2, true, out));
        let Ok(ToAgent::Job(SentJob { job: got, attempt: 2, alone: true })) = to_agent(&sent) else { panic!("a job") };
        assert_eq!((got.number, got.line, got.data), (7, 9, data));
        assert_eq!(got.extra.unwrap().timeout, Some(Duration::from_millis(1500)));
        let plain = Job { number: 1, line: 1, data: Bytes::from_static(b"null"), extra: None };
        let sent = line(|out| put_job(&plain, 1, false, out));
        assert_eq!(sent, &b"{\"id\":1,\"data\":null}"[..]);
        let Ok(ToAgent::Job(SentJob { job, attempt: 1, alone: false })) = to_agent(&sent) else { panic!("a job") };
        assert_eq!((job.number, job.line), (1, 1));
    }

    #[test]
    fn an_answer_arrives_as_it_was_sent() {
        for status in Status::ALL {
            let mut outcome = outcome(7, status);
            outcome.batch = 3;
            let sent = line(|out| put_answer(&outcome, out));
            let Ok(FromAgent::Answer(answer)) = from_agent(&sent) else { panic!("an answer") };
            assert_eq!((answer.id, answer.status, answer.batch), (7, status, 3));
            assert_eq!((answer.worker, &answer.payload), (outcome.worker, &outcome.payload));
            assert!(answer.worker.is_none() || answer.elapsed == outcome.elapsed);
        }
    }

    #[test]
    fn orders_and_notes_arrive_as_they_were_sent() {
        let why = "interrupted (SIGINT)".to_owned();
        for order in [Order::Seen(3), Order::Drain(why.clone()), Order::Abort(why), Order::Hold(true), Order::End] {
            let Ok(ToAgent::Order(got)) = to_agent(&line(|out| put(&order, out))) else { panic!("an order") };
            assert_eq!(got, order);
        }
        let failed = Note::Failed("no such file".to_owned(), Some("--put".to_owned()), true);
        for note in [Note::Ready(8), Note::Begun(3), Note::Pong(1), failed, Note::Bye, Note::Async] {
            let sent = line(|out| put(&note, out));
            let Ok(FromAgent::Note(got)) = from_agent(&sent) else { panic!("a note") };
            assert_eq!(line(|out| put(&got, out)), sent);
        }
    }

    #[test]
    fn what_is_no_line_of_the_stream_is_refused() {
        for junk in
            ["", "hello", "{}", "{\"id\":1}", "{\"id\":1,\"status\":\"fine\",\"data\":1}", "{\"id\":-1,\"data\":1}"]
        {
            assert!(from_agent(&Bytes::from(junk)).is_err(), "{junk}");
        }
        assert!(to_agent(&Bytes::from_static(b"{\"id\":1}")).is_err());
        assert!(to_agent(&Bytes::from_static(b"\"stop\"")).is_err());
    }

    #[test]
    fn words_that_are_no_text_survive() {
        let words = vec![Word::Text("a b".to_owned()), Word::Bytes(vec![0xff, 0x0a])];
        let json = serde_json::to_string(&words).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Word>>(&json).unwrap(), words);
    }
}
