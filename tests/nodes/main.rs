//! Three real nodes and a real Redis: what clients see while nodes, links and Redis fail.
//!
//! The direct tests show one guarantee each. The seeds are random scripts, and a checker reads what all clients saw.

mod dead_nodes;
#[allow(dead_code, reason = "shared with the tests of stores of keys")]
#[path = "../keys/directory.rs"]
mod directory;
mod harness;
mod owners;
mod redis_gone;
mod seeds;
mod slow_readers;
#[allow(dead_code, reason = "shared with the tests of the wire contract")]
#[path = "../api/harness/wire.rs"]
mod wire;
