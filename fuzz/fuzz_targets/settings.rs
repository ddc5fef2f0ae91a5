//! Values of settings.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| service::fuzzing::settings(text));
