//! Its mark.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| order::fuzzing::mark(bytes));
