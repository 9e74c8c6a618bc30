//! The bytes of one input: a file or stdin, decompressed, without a byte-order mark.
//!
//! What has arrived is handed on at once, so the first job runs before the input has ended. The first bytes say whether
//! the input is compressed, if its name does not, and whether it is no text at all.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::decode::decoder;
use super::descriptor::{Context, Descriptor, is_stop};
use crate::source::settings::InputFile;
use crate::text::magic::Magic;
use crate::words::error::{Error, Result, reason};
use crate::words::format::Compression;
use crate::words::layout::BYTE_ORDER_MARK;

pub struct Input {
    name: String,
    bytes: Kind,
    /// Bytes read so far, after decompression.
    read: u64,
    /// The first bytes have been looked at.
    begun: bool,
    has_mark: bool,
    /// One read takes this much at most.
    piece: usize,
}

enum Kind {
    Plain(Descriptor),
    Decoded {
        decoder: Box<dyn Read + Send>,
        /// Bytes of the file that the decoder has taken.
        taken: Arc<AtomicU64>,
    },
}

impl Kind {
    fn decoded(compression: Compression, file: Box<dyn Read + Send>) -> Kind {
        let taken = Arc::new(AtomicU64::new(0));
        Kind::Decoded { decoder: decoder(compression, file, Arc::clone(&taken)), taken }
    }
}

/// What a read came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    Bytes,
    End,
    /// The run is being stopped.
    Stopped,
}

/// One read takes this much, unless less was asked for: enough to make the call's own cost vanish.
const READ: usize = 256 * 1024;

impl Input {
    pub fn new(file: &InputFile, fd: OwnedFd, context: Context) -> Input {
        let descriptor = Descriptor::new(fd, context);
        let bytes = match file.compression {
            Compression::None => Kind::Plain(descriptor),
            compression => Kind::decoded(compression, Box::new(descriptor)),
        };
        Input { name: file.name(), bytes, read: 0, begun: false, has_mark: false, piece: READ }
    }

    /// The same with smaller reads.
    pub fn in_pieces(self, piece: usize) -> Input {
        Input { piece, ..self }
    }

    /// An input that is in memory already, piece by piece.
    #[cfg(any(test, fuzzing))]
    pub fn of(pieces: Vec<Vec<u8>>) -> Input {
        struct Pieces(std::collections::VecDeque<Vec<u8>>);
        impl Read for Pieces {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let Some(mut piece) = self.0.pop_front() else { return Ok(0) };
                let length = piece.len().min(into.len());
                into[..length].copy_from_slice(&piece[..length]);
                if piece.len() > length {
                    self.0.push_front(piece.split_off(length));
                }
                Ok(length)
            }
        }
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let bytes = Kind::Decoded { decoder: Box::new(Pieces(pieces)), taken: Arc::default() };
        Input { name: "test".to_owned(), bytes, read: 0, begun: false, has_mark: false, piece: READ }
    }

    /// The input is compressed.
    pub fn is_decoded(&self) -> bool {
        matches!(self.bytes, Kind::Decoded { .. })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The input begins with a byte-order mark, which was left out.
    pub fn has_mark(&self) -> bool {
        self.has_mark
    }

    /// How many bytes of the file are used up while the last `held` bytes that were read are not. A compressed file
    /// is taken to be compressed evenly.
    pub fn consumed(&self, held: usize) -> u64 {
        let used = self.read.saturating_sub(held as u64);
        match &self.bytes {
            Kind::Plain(_) => used,
            Kind::Decoded { .. } if self.read == 0 => 0,
            Kind::Decoded { taken, .. } => {
                (taken.load(Ordering::Relaxed) as f64 * (used as f64 / self.read as f64)) as u64
            }
        }
    }

    /// Appends what has arrived; waits only while there is nothing. The buffer of the first read is empty.
    pub fn read(&mut self, into: &mut Vec<u8>) -> Result<Got> {
        if self.begun {
            return self.read_some(into);
        }
        self.begun = true;
        match self.begin(into)? {
            Got::Bytes if into.is_empty() => self.read_some(into),
            got => Ok(got),
        }
    }

    /// Reads the first bytes, which nothing stands before in the buffer, and acts on what they say. They may come one
    /// by one.
    fn begin(&mut self, into: &mut Vec<u8>) -> Result<Got> {
        let mut got = Got::Bytes;
        while got == Got::Bytes && Magic::may_follow(into) {
            got = self.read_some(into)?;
        }
        match Magic::of(into) {
            Some(Magic::ByteOrderMark) => {
                into.drain(..BYTE_ORDER_MARK.len());
                self.has_mark = true;
            }
            Some(Magic::Utf16) => {
                let error = Error::refused(format!("{} is UTF-16, not UTF-8", self.name));
                return Err(error.hint(format!("iconv -f UTF-16 -t UTF-8 {}", self.name)));
            }
            Some(Magic::Foreign(foreign)) => {
                let error = Error::refused(format!("{} is no text: it is {}", self.name, foreign.what));
                return Err(error.hint(foreign.hint.replace("FILE", &self.name)));
            }
            Some(Magic::Gzip) if self.decode(Compression::Gzip, into) => return self.begin(into),
            Some(Magic::Zstd) if self.decode(Compression::Zstd, into) => return self.begin(into),
            _ => {}
        }
        Ok(if into.is_empty() || got == Got::Stopped { got } else { Got::Bytes })
    }

    /// From now on the input is decoded, `into` as well, which has been read already. Returns false if it was decoded
    /// before.
    fn decode(&mut self, compression: Compression, into: &mut Vec<u8>) -> bool {
        let none = Kind::decoded(Compression::None, Box::new(io::empty()));
        match std::mem::replace(&mut self.bytes, none) {
            Kind::Plain(descriptor) => {
                let begun = io::Cursor::new(std::mem::take(into));
                self.bytes = Kind::decoded(compression, Box::new(begun.chain(descriptor)));
                self.read = 0;
                true
            }
            decoded => {
                self.bytes = decoded;
                false
            }
        }
    }

    fn read_some(&mut self, into: &mut Vec<u8>) -> Result<Got> {
        let read = match &mut self.bytes {
            Kind::Plain(descriptor) => {
                if into.capacity() - into.len() < self.piece / 4 {
                    into.reserve(into.len().max(self.piece));
                }
                descriptor.read_into(into)
            }
            Kind::Decoded { decoder, .. } => {
                let start = into.len();
                into.resize(start + self.piece, 0);
                let read = decoder.read(&mut into[start..]);
                into.truncate(start + *read.as_ref().unwrap_or(&0));
                read
            }
        };
        match read {
            Ok(0) => Ok(Got::End),
            Ok(bytes) => {
                self.read += bytes as u64;
                Ok(Got::Bytes)
            }
            Err(error) if is_stop(&error) => Ok(Got::Stopped),
            Err(error) => Err(Error::io(format!("cannot read {}: {}", self.name, reason(&error)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::descriptor::open;
    use super::*;
    use crate::words::format::Format;

    /// Writes `bytes` into a file, reads it as such an input, and says after each read which share of the text has
    /// been read, and which share of the file counts as consumed.
    fn shares(text: usize, bytes: &[u8], compression: Compression) -> Vec<(f64, f64)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let path = Some(file.path().to_owned());
        let settings = InputFile { path, format: Format::Lines, compression };
        let mut input = Input::new(&settings, open(&settings).unwrap(), Context::alone().unwrap());
        let (mut buffer, mut shares) = (Vec::new(), Vec::new());
        while input.read(&mut buffer).unwrap() == Got::Bytes {
            // As if half of it were still to be framed.
            let held = buffer.len() / 2;
            let consumed = input.consumed(held) as f64 / bytes.len() as f64;
            shares.push(((buffer.len() - held) as f64 / text as f64, consumed));
        }
        assert_eq!(input.consumed(0), bytes.len() as u64);
        shares
    }

    #[test]
    fn what_is_read_ahead_is_not_consumed_whatever_the_compression() {
        let text: String = (100_000..400_000).map(|number| format!("{number}\n")).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
        // A decoder takes a block of the file before it gives out the first byte of it.
        for (bytes, compression, tolerance) in [
            (text.as_bytes(), Compression::None, 0.0),
            (&gzip[..], Compression::Gzip, 0.05),
            (&zstd[..], Compression::Zstd, 0.05),
        ] {
            let shares = shares(text.len(), bytes, compression);
            assert!(shares.len() > 4, "{shares:?}");
            for (read, consumed) in shares {
                assert!((consumed - read).abs() <= tolerance, "{compression:?}: {read}, {consumed}");
            }
        }
    }
}
