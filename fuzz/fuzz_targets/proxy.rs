#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| monkey::plugins::proxy::fuzz::run(data));
