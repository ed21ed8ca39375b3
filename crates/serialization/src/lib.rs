#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of another end may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod binary_pack;
mod messages;
mod value;

pub use messages::{
    DEFAULT_MAX_MESSAGE_BYTES, DecodeError, Decoded, Decoder, EncodeError, Encoder, Message, Serialization,
    UnknownSerialization,
};
pub use value::{NoJson, Value};
