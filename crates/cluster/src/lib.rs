#![doc = include_str!("../README.md")]
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

mod awakening;
mod backplane;
mod elsewhere;
mod fair_queue;
mod link;
mod membership;
pub mod packet;
mod worker;

pub use backplane::{
    Backplane, Claim, ClaimOutcome, Entity, Granted, InboxEntry, KnownNode, Locate, Name, NodeCard, Owner,
    Position, RegisterOutcome, Registration, Renewal, TokenDigest, Unavailable,
};
pub use elsewhere::{HeldName, RemoteSeat};
pub use membership::{
    ClaimedName, ClusterView, Holding, Membership, OnPost, OpenRequest, Opening, Posted, Whereabouts,
};
pub use worker::LocalNode;
