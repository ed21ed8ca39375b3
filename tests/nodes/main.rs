//! Three real nodes and a real Redis: what clients see while nodes, links and Redis fail.
//!
//! The direct tests show one guarantee each. The seeds are random scripts, and a checker reads what all clients saw.

mod dead_nodes;
mod groups;
mod harness;
mod owners;
mod redis_gone;
mod seeds;
mod slow_readers;

use testkit::{directory, wire};
