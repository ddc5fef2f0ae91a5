//! The checkpoint file of the replicated state.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| replication::fuzzing::state_file(bytes));
