//! JSON values in random reads, against serde_json's stream.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, &str)| {
    let (cuts, values) = input;
    forkpool::fuzzing::values(values, &cuts);
});
