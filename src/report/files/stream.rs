//! A file that is written while the run goes. What cannot be written is no reason to stop the run: the file ends there,
//! and the error is told when the run is over.

use std::io::{BufWriter, Write};

use crate::text::destination::Destination;
use crate::words::error::{Error, reason};

#[derive(Debug)]
pub struct Stream {
    /// How messages name the file.
    name: String,
    /// `None` once it has failed.
    file: Option<BufWriter<Destination>>,
    failure: Option<Error>,
}

/// Written at once when so much has gathered: large enough to make the call's own cost vanish.
const PIECE: usize = 64 * 1024;

impl Stream {
    pub fn new(name: String, destination: Destination) -> Stream {
        Stream { name, file: Some(BufWriter::with_capacity(PIECE, destination)), failure: None }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.with(|file| file.write_all(bytes));
    }

    /// Hands all that was written so far to the system.
    pub fn flush(&mut self) {
        self.with(BufWriter::flush);
    }

    /// Ends the file, which is emptied if nothing was written, and says what went wrong with it.
    pub fn finish(&mut self) -> Option<Error> {
        self.with(|file| {
            file.get_ref().begin()?;
            file.flush()
        });
        self.failure.take()
    }

    fn with(&mut self, act: impl FnOnce(&mut BufWriter<Destination>) -> std::io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = act(file) {
            self.failure = Some(Error::io(format!("cannot write {}: {}", self.name, reason(&error))));
            // What is left in the buffer is given up: writing it would only fail again.
            self.file.take().map(BufWriter::into_parts);
        }
    }
}
