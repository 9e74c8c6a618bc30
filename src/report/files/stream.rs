//! A file that is written while the run goes. What cannot be written is no reason to stop the run: the file ends there,
//! and the error is told when the run is over.

use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::text::destination::Destination;
use crate::words::error::{Error, reason};

#[derive(Debug)]
pub struct Stream {
    /// How messages name the file.
    name: String,
    /// `None` once it has failed.
    file: Option<Way>,
    failure: Option<Error>,
}

#[derive(Debug)]
enum Way {
    Plain(BufWriter<Destination>),
    Gzip(GzEncoder<BufWriter<Destination>>),
}

/// Written at once when so much has gathered: large enough to make the call's own cost vanish.
const PIECE: usize = 64 * 1024;

impl Stream {
    pub fn new(name: String, destination: Destination) -> Stream {
        let file = Way::Plain(BufWriter::with_capacity(PIECE, destination));
        Stream { name, file: Some(file), failure: None }
    }

    pub fn gzip(name: String, destination: Destination) -> Stream {
        let file = BufWriter::with_capacity(PIECE, destination);
        // A trace of a million jobs is compressed by a thread that has other things to do.
        Stream { name, file: Some(Way::Gzip(GzEncoder::new(file, Compression::fast()))), failure: None }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.with(|file| match file {
            Way::Plain(file) => file.write_all(bytes),
            Way::Gzip(file) => file.write_all(bytes),
        });
    }

    /// Hands all that was written so far to the system, unless it is compressed, which would suffer.
    pub fn flush(&mut self) {
        self.with(|file| match file {
            Way::Plain(file) => file.flush(),
            Way::Gzip(_) => Ok(()),
        });
    }

    /// Ends the file, which is emptied if nothing was written, and says what went wrong with it.
    pub fn finish(&mut self) -> Option<Error> {
        self.with(|file| {
            let file = match file {
                Way::Plain(file) => file,
                Way::Gzip(file) => {
                    file.try_finish()?;
                    file.get_mut()
                }
            };
            file.get_ref().begin()?;
            file.flush()
        });
        self.failure.take()
    }

    fn with(&mut self, act: impl FnOnce(&mut Way) -> io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = act(file) {
            self.failure = Some(Error::io(format!("cannot write {}: {}", self.name, reason(&error))));
            // What is left in the buffer is given up: writing it would only fail again.
            if let Some(Way::Plain(file)) = self.file.take() {
                drop(file.into_parts());
            }
        }
    }
}
