//! Counts a connection while it is served.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Node;
use peerbroker_limits::ConnectionPermit;

/// Counts a WebSocket, or a stream, for as long as it is served.
pub(super) struct OpenSession {
    node: Arc<Node>,
    _permit: Option<ConnectionPermit>,
}

impl OpenSession {
    pub(super) fn new(node: &Arc<Node>, permit: Option<ConnectionPermit>) -> Self {
        node.sessions.fetch_add(1, Ordering::SeqCst);
        OpenSession { node: Arc::clone(node), _permit: permit }
    }
}

impl Deref for OpenSession {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.node.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}
