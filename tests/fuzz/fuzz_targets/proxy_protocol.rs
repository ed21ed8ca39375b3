#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| peerbroker::fuzzing::proxy_protocol(input));
