//! What many nodes share: who owns an id, which nodes are alive, and how a node reaches another.
//!
//! [`Backplane`] says what is asked of the store in the middle, with its guarantees. It knows names, owners and batches of
//! bytes, and nothing of brokers or clients: `node` does.

mod backplane;
pub mod link;
pub mod packet;
pub mod redis;

pub use backplane::{
    Backplane, Claim, ClaimOutcome, Entity, Entry, Granted, Locate, Member, Name, Owner, Position,
    RegisterOutcome, Registration, Renewal, TokenDigest, Unavailable,
};
