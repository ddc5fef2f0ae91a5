//! Applies commands to the state machine of the orders.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| order::fuzzing::commands(bytes));
