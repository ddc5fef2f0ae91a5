//! Commands of the order log, applied.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| order::fuzzing::commands(bytes));
