//! The targets of the crates `serialization`, whose tests run them on their corpus, and `peer`.

use peerbroker_peer::records::Frame;
use peerbroker_serialization::Serialization;
use peerbroker_serialization::binary_pack::{pack, unpack};
use peerbroker_serialization::{Decoder, Message};

/// A value that was read is packed and read as the same one. Messages are read, each behind a byte with its
/// length.
pub fn binary_pack(input: &[u8]) {
    if let Ok(value) = unpack(input.to_vec().into()) {
        let packed = pack(&value).expect("it has as many levels as before");
        let again = unpack(packed.clone().into()).expect("BinaryPack");
        assert_eq!(pack(&again).expect("the same value"), packed);
        let _ = value.to_string();
    }
    let mut decoder = Decoder::new(Serialization::Binary, 4096);
    let mut rest = input;
    while let Some((&length, messages)) = rest.split_first() {
        let (message, others) = messages.split_at(messages.len().min(length.into()));
        let _ = decoder.decode(Message::Bytes(message.to_vec().into()));
        rest = others;
    }
}

/// The frames of a pipe: what was read as one is written as the same bytes.
pub fn pipe_frames(input: &[u8]) {
    match Frame::read(input.to_vec().into()) {
        Ok(Frame::Next { turn, next, is_ping }) => assert_eq!(Frame::next(turn, next, is_ping), input),
        Ok(Frame::Record(frame)) => assert_eq!(frame, input),
        Err(_) => {}
    }
}
