//! Rejects of an input in any format, fed in again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, u8, &[u8])| {
    let (format, is_headless, quote, bytes) = input;
    forkpool::fuzzing::rejects(bytes, format, is_headless, quote);
});
