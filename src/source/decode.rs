//! Compressed inputs: gzip members and Zstandard frames one after the other, as files of them are put together.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::words::format::Compression;

/// What decodes `file`, or `file` itself. `taken` counts the bytes of the file that have been decoded.
pub fn decoder(compression: Compression, file: Box<dyn Read + Send>, taken: Arc<AtomicU64>) -> Box<dyn Read + Send> {
    let metered = Metered { reader: BufReader::new(file), taken };
    match compression {
        Compression::None => Box::new(metered),
        Compression::Gzip => Box::new(Gzip::Between { file: metered, is_first: true }),
        Compression::Zstd => Box::new(Zstd::Between(metered)),
    }
}

/// A compressed file, and how much of it its decoder has taken: what only waits in the buffer is not counted.
struct Metered {
    reader: BufReader<Box<dyn Read + Send>>,
    taken: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(into)?;
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl BufRead for Metered {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// gzip members one after the other (RFC 1952, section 2.2), and zeros behind the last one: tapes and some downloads
/// are padded with them.
enum Gzip {
    Between { file: Metered, is_first: bool },
    Inside(Box<GzDecoder<Metered>>),
    Broken,
}

impl Read for Gzip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            *self = match std::mem::replace(self, Gzip::Broken) {
                Gzip::Between { mut file, is_first } => {
                    if !is_first {
                        skip_zeros(&mut file)?;
                    }
                    if file.fill_buf()?.is_empty() {
                        *self = Gzip::Between { file, is_first };
                        return Ok(0);
                    }
                    Gzip::Inside(Box::new(GzDecoder::new(file)))
                }
                Gzip::Inside(mut decoder) => match decoder.read(into)? {
                    0 => Gzip::Between { file: decoder.into_inner(), is_first: false },
                    bytes => {
                        *self = Gzip::Inside(decoder);
                        return Ok(bytes);
                    }
                },
                Gzip::Broken => return Err(damaged()),
            };
        }
    }
}

fn skip_zeros(file: &mut Metered) -> io::Result<()> {
    loop {
        let bytes = file.fill_buf()?;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let is_over = zeros < bytes.len() || bytes.is_empty();
        file.consume(zeros);
        if is_over {
            return Ok(());
        }
    }
}

fn damaged() -> io::Error {
    io::Error::other("the file is damaged")
}

/// Zstandard frames one after the other, which is what a `.zst` file may be (RFC 8878, section 3).
enum Zstd {
    Between(Metered),
    Inside(Box<StreamingDecoder<Metered, FrameDecoder>>),
    Broken,
}

impl Read for Zstd {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            *self = match std::mem::replace(self, Zstd::Broken) {
                Zstd::Between(mut reader) => {
                    if reader.fill_buf()?.is_empty() {
                        *self = Zstd::Between(reader);
                        return Ok(0);
                    }
                    if skip_frame(&mut reader)? {
                        Zstd::Between(reader)
                    } else {
                        Zstd::Inside(Box::new(StreamingDecoder::new(reader).map_err(io::Error::other)?))
                    }
                }
                Zstd::Inside(mut decoder) => match decoder.read(into)? {
                    0 => Zstd::Between(decoder.into_inner()),
                    bytes => {
                        *self = Zstd::Inside(decoder);
                        return Ok(bytes);
                    }
                },
                Zstd::Broken => return Err(damaged()),
            };
        }
    }
}

/// Skips a frame that holds no data: magic 0x184D2A5?, a length of four bytes, and as many bytes.
fn skip_frame(reader: &mut Metered) -> io::Result<bool> {
    let head = reader.fill_buf()?;
    if head.len() < 4 || head[0] & 0xf0 != 0x50 || head[1..4] != [0x2a, 0x4d, 0x18] {
        return Ok(false);
    }
    reader.consume(4);
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let skipped = io::copy(&mut reader.take(length), &mut io::sink())?;
    if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(true) }
}
