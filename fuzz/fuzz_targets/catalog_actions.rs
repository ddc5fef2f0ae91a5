//! Applies commands to the state machine of the catalog.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| catalog::fuzzing::actions(bytes));
