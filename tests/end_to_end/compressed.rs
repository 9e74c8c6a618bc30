//! Compressed files in and out, and files that are no text at all.

use std::fs;

use crate::formats::echo;
use crate::support::{installed, shell};

#[test]
fn what_is_compressed_is_known_by_its_first_bytes() {
    if !installed("zstd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "\u{feff}n\n1\n2\n").unwrap();
    let script = "gzip < a.csv > gz && zstd -q < a.csv > zst
        for file in gz zst; do forkpool --from csv --protocol lines -- sed -u 's/[^0-9]//g' < $file
        forkpool --from csv -i $file --protocol lines -- sed -u 's/[^0-9]//g'; done
        cat gz | forkpool --from csv --protocol lines -- sed -u 's/[^0-9]//g'";
    assert_eq!(shell(script, folder.path()).end().check_status(0).text(), "1\n2\n".repeat(5));
}

#[test]
fn zeros_behind_gzip_are_padding_and_anything_else_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let script = "(echo 1 | gzip; echo 2 | gzip; head -c 70000 /dev/zero) > z.gz
        forkpool --from lines --protocol lines -i z.gz -- sed -u s/x/y/; echo $?
        (echo 1 | gzip; head -c 5 /dev/zero; echo junk) > z.gz
        forkpool --from lines --protocol lines -i z.gz -- sed -u s/x/y/; echo $?";
    let ended = shell(script, folder.path()).end();
    assert_eq!(ended.text(), "1\n2\n0\n1\n4\n");
}

#[test]
fn what_is_no_text_is_refused_with_a_way_to_convert_it() {
    for (bytes, words, hint) in [
        (&b"PK\x03\x04\x14\0\x06\0"[..], "xlsx", "CSV UTF-8"),
        (b"PAR1\x15\x04\x15\x10", "Parquet", "duckdb"),
        (b"SQLite format 3\0\x10\0", "SQLite", "sqlite3 -json"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls", "CSV UTF-8"),
        (b"\xfd7zXZ\0\0\x04", "xz", "xz -dc"),
    ] {
        for format in ["csv", "ndjson", "json", "lines"] {
            let ended = echo(&["--from", format], bytes).check_status(2);
            assert!(ended.stderr.contains(words) && ended.stderr.contains(hint), "{}", ended.stderr);
            assert!(ended.stdout.is_empty());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("book.xlsx"), b"PK\x03\x04\x14\0\x06\0").unwrap();
    let ended = shell("forkpool -i book.xlsx -o out -- cat; s=$?; ls; exit $s", folder.path()).end().check_status(2);
    assert_eq!(ended.text(), "book.xlsx\n", "nothing was made");
}
