#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| autobuilder::fuzz::run("artifact", bytes));
