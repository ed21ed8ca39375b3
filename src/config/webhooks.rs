//! Webhooks: where events are sent to, and which.

use std::fmt;

use crate::keys::Webhook;

/// The webhook of the operator, and what holds for those of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Gets the events of all keys and of the server. It may have a private address.
    pub operator: Webhook,
    /// The types of the events that are sent to it.
    pub events: Vec<WebhookEvent>,
    /// Whether the webhooks of keys may have private addresses, and URLs without TLS.
    pub private: bool,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        let (operator, events) = (Webhook::default(), WebhookEvent::ALL.to_vec());
        WebhookConfig { operator, events, private: false }
    }
}

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WebhookEvent {
    PeerConnected,
    PeerDisconnected,
    PeerKicked,
    KeyCreated,
    KeyChanged,
    KeyRemoved,
    KeyLimitReached,
    ServerStarted,
    ServerStopping,
    CertificateLoaded,
    ClusterUnreachable,
    ClusterReachable,
    ClusterLeaseEnded,
    ClusterNodeGone,
}

impl WebhookEvent {
    /// All types.
    pub const ALL: [WebhookEvent; 14] = [
        WebhookEvent::PeerConnected,
        WebhookEvent::PeerDisconnected,
        WebhookEvent::PeerKicked,
        WebhookEvent::KeyCreated,
        WebhookEvent::KeyChanged,
        WebhookEvent::KeyRemoved,
        WebhookEvent::KeyLimitReached,
        WebhookEvent::ServerStarted,
        WebhookEvent::ServerStopping,
        WebhookEvent::CertificateLoaded,
        WebhookEvent::ClusterUnreachable,
        WebhookEvent::ClusterReachable,
        WebhookEvent::ClusterLeaseEnded,
        WebhookEvent::ClusterNodeGone,
    ];

    /// The name, as in the member `type` of an event.
    pub fn name(self) -> &'static str {
        match self {
            WebhookEvent::PeerConnected => "peer.connected",
            WebhookEvent::PeerDisconnected => "peer.disconnected",
            WebhookEvent::PeerKicked => "peer.kicked",
            WebhookEvent::KeyCreated => "key.created",
            WebhookEvent::KeyChanged => "key.changed",
            WebhookEvent::KeyRemoved => "key.removed",
            WebhookEvent::KeyLimitReached => "key.limit_reached",
            WebhookEvent::ServerStarted => "server.started",
            WebhookEvent::ServerStopping => "server.stopping",
            WebhookEvent::CertificateLoaded => "certificate.loaded",
            WebhookEvent::ClusterUnreachable => "cluster.unreachable",
            WebhookEvent::ClusterReachable => "cluster.reachable",
            WebhookEvent::ClusterLeaseEnded => "cluster.lease_ended",
            WebhookEvent::ClusterNodeGone => "cluster.node_gone",
        }
    }

    /// Whether the webhook of a key gets it as well.
    pub(crate) fn is_for_its_key(self) -> bool {
        use WebhookEvent::{KeyLimitReached, PeerConnected, PeerDisconnected, PeerKicked};
        matches!(self, PeerConnected | PeerDisconnected | PeerKicked | KeyLimitReached)
    }
}

impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
