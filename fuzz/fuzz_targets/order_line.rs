//! One line of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| order::fuzzing::line(bytes));
