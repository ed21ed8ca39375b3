#![no_main]

#[path = "../peer.rs"]
#[allow(dead_code)]
mod peer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| peer::pipe_frames(input));
