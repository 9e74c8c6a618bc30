//! The bytes of one input: a file or stdin, decompressed, without a byte-order mark.
//!
//! Every wait for input is a wait for a stop of the run as well. What has arrived is handed on at once, so the
//! first job runs before the input has ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::source::settings::{Compression, InputFile};
use crate::sys;
use crate::sys::bell::Bell;
use crate::sys::descriptors;
use crate::words::cancel::{Cancel, Level};
use crate::words::error::{Error, Result, reason};

pub struct Input {
    name: String,
    bytes: Kind,
    /// Bytes read so far, after decompression.
    read: u64,
    /// The byte-order mark has been looked for.
    begun: bool,
}

enum Kind {
    Plain(Descriptor),
    Decoded {
        decoder: Box<dyn Read + Send>,
        /// Bytes of the file that the decoder has taken.
        taken: Arc<AtomicU64>,
    },
}

/// What a read came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    Bytes,
    End,
    /// The run is being stopped.
    Stopped,
}

/// One read takes this much at most: enough to make the call's own cost vanish.
const READ: usize = 256 * 1024;

/// What an input needs of the run.
#[derive(Clone)]
pub struct Context {
    pub cancel: Arc<Cancel>,
    pub bell: Bell,
}

impl Context {
    /// For reading outside of a run: nobody stops it.
    pub fn alone() -> Result<Context> {
        let cancel = Cancel::new();
        Ok(Context { bell: cancel.bell()?, cancel })
    }
}

/// Opens a file, or stdin, or a descriptor that the path stands for. Nothing is read.
pub fn open(file: &InputFile) -> Result<OwnedFd> {
    let name = file.name();
    let refused = |error: io::Error| Error::refused(format!("cannot read {name}: {}", reason(&error)));
    let fd = match &file.path {
        Some(path) => open_path(path).map_err(refused)?,
        None if sys::was_closed(0) => {
            return Err(Error::refused("stdin is closed: there is nothing to read jobs from"));
        }
        None => io::stdin().as_fd().try_clone_to_owned().map_err(refused)?,
    };
    let stat = rustix::fs::fstat(&fd).map_err(|error| refused(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Error::refused(format!("cannot read {name}: it is a directory")));
    }
    Ok(fd)
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    if let Some(number) = descriptors::number_of(path) {
        return descriptors::given(number);
    }
    let mut options = File::options();
    options.read(true);
    // A named pipe is there at once, also without a writer: poll waits for its first one. Elsewhere than on Linux
    // poll may say that such a pipe has ended, so opening it must wait.
    if cfg!(target_os = "linux") && std::fs::metadata(path)?.file_type().is_fifo() {
        options.custom_flags(libc::O_NONBLOCK);
    }
    Ok(OwnedFd::from(options.open(path)?))
}

/// The size of a regular file, in bytes.
pub fn size(fd: &OwnedFd) -> Option<u64> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    regular.then(|| u64::try_from(stat.st_size).unwrap_or(0))
}

impl Input {
    pub fn new(file: &InputFile, fd: OwnedFd, context: Context) -> Input {
        let descriptor = Descriptor { waits: size(&fd).is_none(), fd, context };
        let taken = Arc::new(AtomicU64::new(0));
        let metered = |descriptor| Metered { reader: BufReader::new(descriptor), taken: Arc::clone(&taken) };
        let decoder: Box<dyn Read + Send> = match file.compression {
            Compression::None => {
                return Input { name: file.name(), bytes: Kind::Plain(descriptor), read: 0, begun: false };
            }
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(metered(descriptor))),
            Compression::Zstd => Box::new(Zstd::new(metered(descriptor))),
        };
        Input { name: file.name(), bytes: Kind::Decoded { decoder, taken }, read: 0, begun: false }
    }

    /// An input that is in memory already, piece by piece.
    #[cfg(test)]
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
        Input { name: "test".to_owned(), bytes, read: 0, begun: false }
    }

    pub fn name(&self) -> &str {
        &self.name
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

    /// Appends what has arrived; waits only while there is nothing.
    pub fn read(&mut self, into: &mut Vec<u8>) -> Result<Got> {
        if self.begun {
            return self.read_some(into);
        }
        self.begun = true;
        let start = into.len();
        // A mark is at most three bytes, which may come one by one.
        let mut got = Got::Bytes;
        while got == Got::Bytes && into.len() - start < 3 {
            got = self.read_some(into)?;
            if !matches!(into.get(start), Some(0xef | 0xfe | 0xff)) {
                break;
            }
        }
        let head = &into[start..];
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            let error = Error::refused(format!("{} is UTF-16, not UTF-8", self.name));
            return Err(error.hint(format!("iconv -f UTF-16 -t UTF-8 {}", self.name)));
        }
        if head.starts_with(b"\xef\xbb\xbf") {
            into.drain(start..start + 3);
        }
        match got {
            Got::Stopped => Ok(Got::Stopped),
            _ if into.len() > start => Ok(Got::Bytes),
            Got::End => Ok(Got::End),
            Got::Bytes => self.read_some(into),
        }
    }

    fn read_some(&mut self, into: &mut Vec<u8>) -> Result<Got> {
        let read = match &mut self.bytes {
            Kind::Plain(descriptor) => {
                if into.capacity() - into.len() < READ / 4 {
                    into.reserve(into.len().max(READ));
                }
                descriptor.read_into(into)
            }
            Kind::Decoded { decoder, .. } => {
                let start = into.len();
                into.resize(start + READ, 0);
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

/// A descriptor that is waited for together with a stop.
struct Descriptor {
    fd: OwnedFd,
    /// Reading it may take for ever; a regular file is there.
    waits: bool,
    context: Context,
}

/// Travels as an error through decoders that know nothing of it.
#[derive(Debug)]
struct Stop;

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stop {}

fn is_stop(error: &io::Error) -> bool {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|error| error as _);
    while let Some(error) = inner {
        if error.is::<Stop>() {
            return true;
        }
        inner = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|error| error as _),
            None => error.source(),
        };
    }
    false
}

impl Descriptor {
    fn wait(&self) -> io::Result<()> {
        loop {
            if self.context.cancel.level() >= Level::Drain {
                return Err(io::Error::other(Stop));
            }
            if !self.waits {
                return Ok(());
            }
            let mut fds =
                [PollFd::new(&self.fd, PollFlags::IN), PollFd::from_borrowed_fd(self.context.bell.fd(), PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
                Ok(_) => self.context.bell.hush(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read_with(&self, mut read: impl FnMut(&OwnedFd) -> rustix::io::Result<usize>) -> io::Result<usize> {
        loop {
            self.wait()?;
            match read(&self.fd) {
                Ok(bytes) => return Ok(bytes),
                // Somebody else has taken the bytes, or the call was interrupted: wait again.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read_into(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        self.read_with(|fd| rustix::io::read(fd, rustix::buffer::spare_capacity(into)))
    }
}

impl Read for Descriptor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_with(|fd| rustix::io::read(fd, &mut *into))
    }
}

/// A compressed file, and how much of it its decoder has taken: what only waits in the buffer is not counted.
struct Metered {
    reader: BufReader<Descriptor>,
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

/// Zstandard frames one after the other, which is what a `.zst` file may be (RFC 8878, section 3).
struct Zstd {
    state: ZstdState,
}

enum ZstdState {
    Between(Metered),
    Inside(Box<ruzstd::decoding::StreamingDecoder<Metered, ruzstd::decoding::FrameDecoder>>),
    Broken,
}

impl Zstd {
    fn new(file: Metered) -> Zstd {
        Zstd { state: ZstdState::Between(file) }
    }
}

impl Read for Zstd {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.state = match std::mem::replace(&mut self.state, ZstdState::Broken) {
                ZstdState::Between(mut reader) => {
                    if reader.fill_buf()?.is_empty() {
                        self.state = ZstdState::Between(reader);
                        return Ok(0);
                    }
                    if skip_frame(&mut reader)? {
                        ZstdState::Between(reader)
                    } else {
                        let decoder = ruzstd::decoding::StreamingDecoder::new(reader).map_err(io::Error::other)?;
                        ZstdState::Inside(Box::new(decoder))
                    }
                }
                ZstdState::Inside(mut decoder) => match decoder.read(into)? {
                    0 => ZstdState::Between(decoder.into_inner()),
                    bytes => {
                        self.state = ZstdState::Inside(decoder);
                        return Ok(bytes);
                    }
                },
                ZstdState::Broken => return Err(io::Error::other("the file is damaged")),
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

#[cfg(test)]
mod tests {
    use std::io::Write;

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
