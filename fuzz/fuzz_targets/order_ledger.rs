//! The ledger CSV.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| order::fuzzing::ledger(bytes));
