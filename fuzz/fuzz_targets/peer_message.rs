//! Messages between replicas.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| replication::fuzzing::message(bytes));
