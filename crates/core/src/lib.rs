//! The base that peerbroker and its media plane share: vocabulary, time, rate limits, threads, ports, public addresses.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

pub mod address;
pub mod bounded_read;
pub mod clock;
pub mod descriptors;
pub mod media_api;
pub mod ports;
pub mod rate_limit;
pub mod threads;
pub mod vocabulary;
