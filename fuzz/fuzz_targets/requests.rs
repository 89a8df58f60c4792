//! The local cloud under libFuzzer; what happens with an input is said in `tests/fuzzing/target.rs`.
#![no_main]

#[path = "../../tests/fuzzing/sign.rs"]
mod sign;
#[path = "../../tests/fuzzing/target.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::request(data));
