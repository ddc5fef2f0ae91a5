//! The body of `POST /orders`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frontend::fuzzing::new_order(bytes));
