//! Ids, names, and prices.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| api::fuzzing::value(text));
