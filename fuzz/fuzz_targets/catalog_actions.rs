//! Commands of the catalog, applied.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| catalog::fuzzing::actions(bytes));
