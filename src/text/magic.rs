//! What a file is, by its first bytes.

/// What the first bytes of an input say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    ByteOrderMark,
    Utf16,
    Gzip,
    Zstd,
    /// Something that cannot be read.
    Foreign(Foreign),
}

/// A kind of file that holds no text, and how its data become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    pub what: &'static str,
    pub hint: &'static str,
}

const fn foreign(what: &'static str, hint: &'static str) -> Magic {
    Magic::Foreign(Foreign { what, hint })
}

/// Beginnings that no text has by chance: each has a byte that is no printable character, or is long.
const KNOWN: [(&[u8], Magic); 16] = [
    (b"\xef\xbb\xbf", Magic::ByteOrderMark),
    (b"\xff\xfe", Magic::Utf16),
    (b"\xfe\xff", Magic::Utf16),
    (b"\x1f\x8b", Magic::Gzip),
    (b"\x28\xb5\x2f\xfd", Magic::Zstd),
    (
        b"PK\x03\x04",
        foreign(
            "a workbook (xlsx, ods) or a zip archive",
            "save the sheet as CSV UTF-8, or: xlsx2csv FILE | forkpool --from csv …; zip: unzip -p FILE | forkpool …",
        ),
    ),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        foreign("an old Office file (xls)", "save the sheet as CSV UTF-8, or: in2csv FILE | forkpool --from csv …"),
    ),
    (
        b"PAR1\x15",
        foreign(
            "a Parquet file",
            "duckdb -csv -c \"FROM 'FILE'\" | forkpool --from csv … (or -json, with --from json)",
        ),
    ),
    (
        b"SQLite format 3\0",
        foreign("an SQLite database", "sqlite3 -json FILE 'SELECT * FROM …' | forkpool --from json …"),
    ),
    (b"ARROW1\0\0", foreign("an Arrow file", "duckdb or pandas can write it as CSV or JSON")),
    (b"Obj\x01", foreign("an Avro file", "avro-tools tojson FILE | forkpool …")),
    (b"\x89HDF\r\n\x1a\n", foreign("an HDF5 file", "h5py or pandas can write it as CSV or JSON")),
    (b"\x93NUMPY", foreign("a NumPy file", "numpy.savetxt can write it as CSV")),
    (b"\xfd7zXZ\0", foreign("compressed by xz", "xz -dc FILE | forkpool …")),
    (b"\x04\x22\x4d\x18", foreign("compressed by lz4", "lz4 -dc FILE | forkpool …")),
    (b"\x7fELF", foreign("a program", "a program is run as a worker: forkpool … -- PROGRAM")),
];

/// bzip2 has a digit in its magic number.
const BZIP2: (&[u8], &[u8]) = (b"BZh", b"1AY&SY");

impl Magic {
    pub fn of(bytes: &[u8]) -> Option<Magic> {
        if bytes.len() > 10 && bytes.starts_with(BZIP2.0) && bytes[4..].starts_with(BZIP2.1) {
            return Some(foreign("compressed by bzip2", "bzip2 -dc FILE | forkpool …"));
        }
        KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|&(_, kind)| kind)
    }

    /// Whether more bytes could make a magic number of these.
    pub fn may_follow(bytes: &[u8]) -> bool {
        let is_bzip2 = bytes.starts_with(BZIP2.0) && BZIP2.1.starts_with(&bytes[bytes.len().min(4)..]);
        let mut numbers = KNOWN.iter().map(|&(magic, _)| magic).chain([BZIP2.0]);
        is_bzip2 || numbers.any(|magic| magic.len() > bytes.len() && magic.starts_with(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let what = |bytes: &[u8]| match Magic::of(bytes) {
            Some(Magic::Foreign(foreign)) => foreign.what,
            _ => "",
        };
        assert!(what(b"PK\x03\x04\x14\0").contains("xlsx"));
        assert!(what(b"PAR1\x15\x04").contains("Parquet"));
        assert!(what(b"SQLite format 3\0").contains("SQLite"));
        assert!(what(b"BZh91AY&SY\0").contains("bzip2"));
        assert_eq!(Magic::of(b"\x1f\x8b\x08"), Some(Magic::Gzip));
        for text in ["PAR1,PAR2\n", "PK", "Object", "SQLite format 3 is", "BZh9", "", "{}"] {
            assert_eq!(Magic::of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn more_bytes_are_waited_for_only_while_they_could_tell() {
        for bytes in ["", "P", "PAR1", "SQLite format 3", "BZ", "BZh9", "BZh91AY&", "\u{1f}"] {
            assert!(Magic::may_follow(bytes.as_bytes()), "{bytes}");
        }
        for bytes in ["P\n", "PAR1\n", "x", "BZh9x", "{"] {
            assert!(!Magic::may_follow(bytes.as_bytes()), "{bytes}");
        }
    }
}
