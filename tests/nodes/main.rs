//! Three real nodes and a real Redis: what clients see while nodes, links and Redis fail.
//!
//! Each test shows one guarantee. Random orders of faults and actions are in `tests/simulation/`, in virtual
//! time.

mod dead_nodes;
mod groups;
mod harness;
mod owners;
mod redis_gone;
mod slow_readers;

use testkit::{directory, wire};
