//! No body panics; what is accepted is answered with valid JSON, and its `data` comes out as it went in.

#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::body(bytes));
