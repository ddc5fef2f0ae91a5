//! The ledger's checkpoint file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| order::fuzzing::checkpoint(bytes));
