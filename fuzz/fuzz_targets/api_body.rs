//! JSON bodies of requests and responses, on all ports.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api::fuzzing::body(bytes));
