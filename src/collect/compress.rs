//! Compressed outputs.
//!
//! A run may be killed at any time, and what it has written must then be of use: what was flushed can be decoded. gzip
//! is flushed as often as a plain file is. The Zstandard encoder cannot flush inside of a frame, so there each flush
//! ends one, and small ones are put off.

use std::io::{self, Cursor, Write};
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, FrameCompressor, MatchGeneratorDriver};

use crate::words::format::Compression;

pub enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(Box<Zstd>),
}

/// Frames one after the other, which is what a `.zst` file may be (RFC 8878, section 3).
pub struct Zstd {
    compressor: FrameCompressor<Cursor<Vec<u8>>, Vec<u8>, MatchGeneratorDriver>,
    /// What the next frame will hold.
    waiting: Vec<u8>,
    is_begun: bool,
    last_frame: Instant,
}

/// A frame of this size is no worse than a larger one: it is the encoder's window.
const FRAME: usize = 128 * 1024;
/// A smaller frame is ended by a flush only when the last one is this old: frames of one record each would be larger
/// than the records are.
const PAUSE: Duration = Duration::from_secs(1);

impl Encoder {
    pub fn new(compression: Compression) -> Option<Encoder> {
        match compression {
            Compression::None => None,
            Compression::Gzip => Some(Encoder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default()))),
            Compression::Zstd => Some(Encoder::Zstd(Box::new(Zstd {
                compressor: FrameCompressor::new(CompressionLevel::Fastest),
                waiting: Vec::new(),
                is_begun: false,
                last_frame: Instant::now(),
            }))),
        }
    }

    /// Takes bytes, and returns what is to be written of them and of those before.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Encoder::Zstd(zstd) => {
                zstd.waiting.extend_from_slice(bytes);
                Ok(if zstd.waiting.len() >= FRAME { zstd.frame() } else { Vec::new() })
            }
        }
    }

    /// What must be written so that all bytes taken so far can be decoded.
    pub fn flush(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(encoder) => {
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Encoder::Zstd(zstd) if zstd.waiting.is_empty() || zstd.last_frame.elapsed() < PAUSE => Ok(Vec::new()),
            Encoder::Zstd(zstd) => Ok(zstd.frame()),
        }
    }

    /// The end of the file. Without any byte before, it is that of an empty text.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(mut zstd) => {
                Ok(if zstd.waiting.is_empty() && zstd.is_begun { Vec::new() } else { zstd.frame() })
            }
        }
    }
}

impl Zstd {
    fn frame(&mut self) -> Vec<u8> {
        self.is_begun = true;
        self.last_frame = Instant::now();
        self.compressor.set_source(Cursor::new(std::mem::take(&mut self.waiting)));
        self.compressor.set_drain(Vec::new());
        self.compressor.compress();
        self.compressor.take_drain().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn decoded(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match compression {
            Compression::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut text)),
            Compression::Zstd => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).unwrap();
                    frame.read_to_end(&mut text).unwrap();
                }
            }
            Compression::None => text.extend_from_slice(bytes),
        }
        text
    }

    #[test]
    fn an_empty_text_is_a_whole_file() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let bytes = Encoder::new(compression).unwrap().finish().unwrap();
            assert!(!bytes.is_empty());
            assert_eq!(decoded(compression, &bytes), b"");
        }
    }

    #[test]
    fn what_was_flushed_can_be_decoded() {
        let mut gzip = Encoder::new(Compression::Gzip).unwrap();
        let mut bytes = gzip.write(b"one").unwrap();
        bytes.extend(gzip.flush().unwrap());
        assert_eq!(decoded(Compression::Gzip, &bytes), b"one");
    }

    proptest! {
        #![proptest_config(crate::testing::random())]

        #[test]
        fn text_comes_back_as_it_was(
            pieces in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..300), 1..2000_usize, any::<bool>()),
                0..6,
            ),
        ) {
            for compression in [Compression::Gzip, Compression::Zstd] {
                let mut encoder = Encoder::new(compression).unwrap();
                let (mut text, mut bytes) = (Vec::new(), Vec::new());
                for (piece, times, flush) in &pieces {
                    let piece = piece.repeat(*times);
                    bytes.extend(encoder.write(&piece).unwrap());
                    text.extend(piece);
                    if *flush {
                        bytes.extend(encoder.flush().unwrap());
                    }
                }
                bytes.extend(encoder.finish().unwrap());
                prop_assert!(decoded(compression, &bytes) == text);
            }
        }
    }
}
