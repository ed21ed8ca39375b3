//! Attacks on a node of a cluster.

use crate::harness::Target;
use crate::ids;

/// Each id is sought among all nodes, waits, and expires.
pub fn unknown_ids(target: &mut Target) {
    ids::bursts_for_absent_peers(target);
}
