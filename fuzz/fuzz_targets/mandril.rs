#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| monkey::plugins::mandril::fuzz::run(data));
