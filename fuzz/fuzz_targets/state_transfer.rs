//! The body of a state transfer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| replication::fuzzing::state_transfer(bytes));
