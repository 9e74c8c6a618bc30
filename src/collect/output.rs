//! Where records are written, in large pieces, and compressed where the file's name says so.

use std::io;

use super::compress::Encoder;
use crate::text::destination::Destination;
use crate::text::gather::{Gather, Put};
use crate::words::format::Compression;

pub struct Output {
    destination: Destination,
    bytes: Gather,
    encoder: Option<Encoder>,
}

/// Written at once when so much has gathered: large enough to make the call's own cost vanish.
const PIECE: usize = 256 * 1024;

impl Output {
    pub fn new(destination: Destination, compression: Compression) -> Output {
        Output { destination, bytes: Gather::default(), encoder: Encoder::new(compression) }
    }

    /// Where records are appended; `wrote` must follow.
    pub fn bytes(&mut self) -> &mut Gather {
        &mut self.bytes
    }

    /// The same for text.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.text()
    }

    /// Something has been appended to the buffer.
    pub fn wrote(&mut self) -> io::Result<()> {
        if self.bytes.len() >= PIECE { self.hand_over() } else { Ok(()) }
    }

    /// Writes all there is, as far as the compression can.
    pub fn flush(&mut self) -> io::Result<()> {
        self.hand_over()?;
        match &mut self.encoder {
            Some(encoder) => write_all(&self.destination, &encoder.flush()?),
            None => Ok(()),
        }
    }

    /// Gives what has gathered to the destination, or to what compresses it.
    fn hand_over(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() {
            let bytes = self.bytes.first();
            let taken = match &mut self.encoder {
                None => self.destination.write(bytes)?,
                Some(encoder) => {
                    write_all(&self.destination, &encoder.write(bytes)?)?;
                    bytes.len()
                }
            };
            self.bytes.advance(taken);
        }
        Ok(())
    }

    /// Nothing more will come: a file of a run without records is empty.
    pub fn finish(&mut self) -> io::Result<()> {
        self.hand_over()?;
        if let Some(encoder) = self.encoder.take() {
            write_all(&self.destination, &encoder.finish()?)?;
        }
        self.destination.begin()
    }
}

fn write_all(mut destination: &Destination, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut destination, bytes)
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer().extend_from_slice(bytes);
        self.wrote()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Output::flush(self)
    }
}
