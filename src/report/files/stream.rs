//! A file that is written while the run goes. What cannot be written is no reason to stop the run: the file ends there,
//! and the error is told when the run is over.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::text::destination::Destination;
use crate::words::error::{Error, reason};

#[derive(Debug)]
pub struct Stream {
    /// How messages name the file.
    name: String,
    /// What is still to be written.
    text: Vec<u8>,
    /// How many bytes were before that.
    before: usize,
    /// When all there was has been written for whoever reads the file meanwhile.
    shown: Option<Instant>,
    /// `None` once it has failed.
    file: Option<Way>,
    failure: Option<Error>,
}

#[derive(Debug)]
enum Way {
    Plain(Destination),
    Gzip(GzEncoder<Destination>),
}

/// Pieces of this size, which begin at multiples of it, are written: large enough to make the call's own cost vanish, and
/// the system keeps them in few large pages. Others take twice the time on ext4.
const PIECE: usize = 64 * 1024;
/// Whoever reads the file while it is written waits no longer than this. A write for each job would cost more than all
/// else of it.
const SHOW: Duration = Duration::from_millis(100);

impl Stream {
    pub fn new(name: String, destination: Destination) -> Stream {
        Stream::of(name, Way::Plain(destination))
    }

    pub fn gzip(name: String, destination: Destination) -> Stream {
        // A trace of a million jobs is compressed by a thread that has other things to do.
        Stream::of(name, Way::Gzip(GzEncoder::new(destination, Compression::fast())))
    }

    fn of(name: String, file: Way) -> Stream {
        Stream { name, text: Vec::new(), before: 0, shown: None, file: Some(file), failure: None }
    }

    /// Where text is appended; `wrote` must follow.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Something has been appended to the text.
    pub fn wrote(&mut self) {
        let first = PIECE - self.before % PIECE;
        if let Some(more) = self.text.len().checked_sub(first) {
            self.write(first + more / PIECE * PIECE);
        }
    }

    /// How many bytes have been appended since the file was begun.
    pub fn length(&self) -> usize {
        self.before + self.text.len()
    }

    /// Writes all there is for whoever reads the file meanwhile, unless that was done just now; then it says when it is
    /// to be done.
    pub fn show(&mut self, now: Instant) -> Option<Instant> {
        if self.text.is_empty() {
            return None;
        }
        let due = self.shown.map(|shown| shown + SHOW).filter(|due| *due > now);
        if due.is_none() {
            self.write(self.text.len());
            self.shown = Some(now);
        }
        due
    }

    /// Ends the file, which is emptied if nothing was written, and says what went wrong with it.
    pub fn finish(&mut self) -> Option<Error> {
        self.write(self.text.len());
        self.with(|file, _| match file {
            Way::Plain(file) => file.begin(),
            Way::Gzip(file) => {
                file.try_finish()?;
                file.get_ref().begin()
            }
        });
        self.failure.take()
    }

    /// Writes so much of the text.
    fn write(&mut self, bytes: usize) {
        self.with(|file, text| match file {
            Way::Plain(file) => file.write_all(&text[..bytes]),
            Way::Gzip(file) => file.write_all(&text[..bytes]),
        });
        self.before += bytes;
        self.text.drain(..bytes);
        // One long line does not keep its memory for ever.
        self.text.shrink_to(2 * PIECE);
    }

    fn with(&mut self, act: impl FnOnce(&mut Way, &[u8]) -> io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = act(file, &self.text) {
            self.failure = Some(Error::io(format!("cannot write {}: {}", self.name, reason(&error))));
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::text::destination::Old;

    /// A stream, and how many bytes its file has.
    fn stream() -> (Stream, impl Fn() -> usize) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let destination = Destination::new(OwnedFd::from(file.reopen().unwrap()), Old::Replaced);
        (Stream::new("f".to_owned(), destination), move || file.as_file().metadata().unwrap().len() as usize)
    }

    #[test]
    fn a_reader_sees_the_first_lines_at_once_and_all_others_soon() {
        let (mut stream, length) = stream();
        let now = Instant::now();
        assert_eq!(stream.show(now), None, "there is nothing to show");
        stream.text().push(b'1');
        assert_eq!((stream.show(now), length()), (None, 1));
        stream.text().push(b'2');
        assert_eq!((stream.show(now), length()), (Some(now + SHOW), 1));
        assert_eq!((stream.show(now + SHOW), length()), (None, 2));
    }

    #[test]
    fn whole_pieces_are_written_and_the_rest_at_the_end() {
        let (mut stream, length) = stream();
        for (more, written) in
            [(10, 0), (PIECE, PIECE), (3 * PIECE, 4 * PIECE), (PIECE - 11, 4 * PIECE), (1, 5 * PIECE)]
        {
            stream.text().extend(std::iter::repeat_n(b'x', more));
            stream.wrote();
            assert_eq!(length(), written);
        }
        stream.text().extend(b"the end");
        assert!(stream.finish().is_none());
        assert_eq!((length(), stream.length()), (5 * PIECE + 7, 5 * PIECE + 7));
    }
}
