//! What follows a PROXY header, or stands to the left of a proxy's word, changes nothing.

#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::proxied(bytes));
