//! The CSV file with the initial catalog.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| catalog::fuzzing::seed_file(bytes));
