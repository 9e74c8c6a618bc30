//! What comes in: lines and files, read by a thread of its own, which notices also that nothing comes any more.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::pool::host::SILENCE;
use crate::protocol::stream::{self, Order, ToAgent};
use crate::text::framing;
use crate::words::error::reason;

/// The near end of the stream.
pub struct Incoming {
    input: BufReader<File>,
    /// How long the far end may be silent.
    patience: Duration,
}

/// What the desk hears of the stream.
pub enum Event {
    Lines(Vec<ToAgent>),
    /// Nothing comes any more, for this reason.
    Lost(String),
    /// The run on this host is being stopped.
    Stopped,
}

/// As much as a pipe of the default capacity on Linux holds.
const READ: usize = 64 * 1024;

impl Incoming {
    pub fn new(input: File) -> Incoming {
        Incoming { input: BufReader::with_capacity(READ, input), patience: SILENCE }
    }

    /// The next line, without its line end; `None` at the end of the stream.
    pub fn line(&mut self) -> Result<Option<Bytes>, String> {
        let line = self.until(memchr::memchr, false)?;
        Ok(line.map(|line| line.slice(..line.len() - 1)))
    }

    /// All whole lines that are there, at least one, with their line ends; `None` at the end of the stream. Jobs are slices
    /// of what is returned, so that their bytes are copied once.
    fn lines(&mut self, waits_for_ever: bool) -> Result<Option<Bytes>, String> {
        self.until(memchr::memrchr, waits_for_ever)
    }

    /// What comes up to a line end, which `find` finds in a piece that has one, and with it.
    fn until(&mut self, find: fn(u8, &[u8]) -> Option<usize>, waits_for_ever: bool) -> Result<Option<Bytes>, String> {
        let mut taken = Vec::new();
        loop {
            self.wait(waits_for_ever)?;
            let buffer = self.input.fill_buf().map_err(|error| reason(&error))?;
            if buffer.is_empty() {
                return if taken.is_empty() { Ok(None) } else { Err("it ended within a line".to_owned()) };
            }
            let end = find(b'\n', buffer).map(|end| end + 1);
            let bytes = end.unwrap_or(buffer.len());
            taken.extend_from_slice(&buffer[..bytes]);
            self.input.consume(bytes);
            if end.is_some() {
                return Ok(Some(Bytes::from(taken)));
            }
        }
    }

    /// Copies so many bytes of the stream into `file`.
    pub fn copy(&mut self, bytes: u64, file: &mut impl io::Write) -> io::Result<()> {
        let copied = io::copy(&mut (&mut self.input).take(bytes), file)?;
        if copied < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Waits until there is something to read; not for longer than the far end may be silent.
    fn wait(&self, waits_for_ever: bool) -> Result<(), String> {
        if !self.input.buffer().is_empty() {
            return Ok(());
        }
        let nanoseconds = self.patience.subsec_nanos().into();
        let limit = Timespec { tv_sec: self.patience.as_secs().cast_signed(), tv_nsec: nanoseconds };
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.input.get_ref().as_fd(), PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&limit).filter(|_| !waits_for_ever)) {
                Ok(0) => return Err(format!("it was silent for {} s", self.patience.as_secs())),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(reason(&error.into())),
            }
        }
    }

    /// Reads to the end.
    pub fn run(mut self, events: &Sender<Event>) {
        // The far end stands still, and may be silent as long as it likes.
        let mut is_held = false;
        let lost = loop {
            let lines = match self.lines(is_held) {
                Err(why) => break why,
                Ok(None) => break "it ended".to_owned(),
                Ok(Some(lines)) => lines,
            };
            let (lines, fault) = read(&lines);
            let held = |line: &ToAgent| if let ToAgent::Order(Order::Hold(held)) = line { Some(*held) } else { None };
            is_held = lines.iter().filter_map(held).next_back().unwrap_or(is_held);
            // The desk is gone only when the run has ended.
            if events.send(Event::Lines(lines)).is_err() {
                return;
            }
            if let Some(why) = fault {
                break format!("it is no line of the stream: {why}");
            }
        };
        let _ = events.send(Event::Lost(lost));
    }
}

/// What the lines say; and what is wrong with the first that is none of the stream.
fn read(lines: &Bytes) -> (Vec<ToAgent>, Option<String>) {
    let mut read = Vec::new();
    for line in framing::lines(lines) {
        match stream::to_agent(&line) {
            Ok(line) => read.push(line),
            Err(why) => return (read, Some(why)),
        }
    }
    (read, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut incoming = Incoming::new(File::from(OwnedFd::from(reader)));
        for (piece, expected) in [("1\n2", "1\n"), ("3\n4\n", "23\n4\n"), ("5\n", "5\n")] {
            writer.write_all(piece.as_bytes()).unwrap();
            assert_eq!(incoming.lines(false).unwrap().unwrap(), expected);
        }
        writer.write_all(b"6").unwrap();
        drop(writer);
        assert_eq!(incoming.lines(false), Err("it ended within a line".to_owned()));
    }

    /// kubectl, when it has lost its connection, leaves the stdin of what it has started open.
    #[test]
    fn a_stream_that_stays_open_and_brings_nothing_is_lost() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut incoming = Incoming::new(File::from(OwnedFd::from(reader)));
        incoming.patience = Duration::from_millis(10);
        let (events, heard) = crossbeam_channel::unbounded();
        let mut line = Vec::new();
        stream::put(&Order::Ping(0), &mut line);
        writer.write_all(&line).unwrap();
        std::thread::spawn(move || incoming.run(&events));
        let next = || heard.recv_timeout(Duration::from_secs(60));
        assert!(matches!(next(), Ok(Event::Lines(lines)) if lines.len() == 1));
        assert!(matches!(next(), Ok(Event::Lost(why)) if why.starts_with("it was silent")));
        drop(writer);
    }
}
