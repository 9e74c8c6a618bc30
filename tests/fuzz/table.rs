//! A table in random reads, against the `csv` crate.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, table) = input;
    forkpool::fuzzing::table(table, &cuts);
});
