//! Events in the form that the API sends.

use serde::Serialize;
use utoipa::ToSchema;

use crate::events::{ClusterEvent, Event, KeyEvent};

/// Something that happened. Strings in it come from strangers.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = LiveEvent)]
pub(super) struct Happening {
    /// The kind: `connected`, `disconnected`, `refused`, `mistake`, `kicked`, `expired`, `relayed`, `limit`, `key_added`,
    /// `key_changed`, `key_removed`, `key_full`, `certificate`, `cluster` or `stopping`.
    kind: &'static str,
    /// The key that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The id of the peer that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The address of the client or operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The origin of the client's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// Why, or more: the label of a reason or limit, or the name of a file or node.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Happening {
    /// An event for operators; `None` if it is not news to them.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let none = Happening::default();
        let text = |text: &dyn ToString| Some(text.to_string());
        Some(match event {
            Event::PeerConnected(connected) => Happening {
                kind: "connected",
                key: text(&connected.peer.key),
                id: text(&connected.peer.id),
                address: connected.address.map(|address| address.to_string()),
                ..none
            },
            Event::PeerDisconnected(gone) => Happening {
                kind: "disconnected",
                key: text(&gone.peer.key),
                id: text(&gone.peer.id),
                reason: text(&gone.reason.ending().label),
                ..none
            },
            Event::Refused(refused) => Happening {
                kind: "refused",
                key: refused.key.as_ref().map(ToString::to_string),
                id: refused.id.as_ref().map(ToString::to_string),
                address: refused.address.map(|address| address.to_string()),
                origin: refused.origin.clone(),
                reason: text(&refused.reason.ending().label),
            },
            // `/api/mistakes` has it in words.
            Event::ClientMistake(mistake) => Happening {
                kind: "mistake",
                address: mistake.address.map(|address| address.to_string()),
                origin: mistake.origin.clone(),
                ..none
            },
            Event::PeerKicked { peer, .. } => {
                Happening { kind: "kicked", key: text(&peer.key), id: text(&peer.id), ..none }
            }
            Event::Expired { to, .. } => {
                Happening { kind: "expired", key: text(&to.key), id: text(&to.id), ..none }
            }
            Event::CallRelayed { key } => Happening { kind: "relayed", key: text(key), ..none },
            Event::LimitHit { limit, key, address } => Happening {
                kind: "limit",
                key: key.as_ref().map(ToString::to_string),
                address: address.map(|address| address.to_string()),
                reason: text(&limit.label()),
                ..none
            },
            Event::Key { key, what } => {
                let kind = match what {
                    KeyEvent::Created(..) => "key_added",
                    KeyEvent::Changed(..) => "key_changed",
                    KeyEvent::Removed(_) | KeyEvent::Unused(_) => "key_removed",
                    KeyEvent::UsedUp(_) => "key_full",
                };
                Happening { kind, key: text(key), ..none }
            }
            Event::CertificateLoaded { path } => {
                Happening { kind: "certificate", reason: text(path), ..none }
            }
            Event::Cluster { what } => Happening { kind: "cluster", reason: Some(in_words(what)), ..none },
            Event::Draining { .. } => Happening { kind: "stopping", ..none },
            Event::Started { .. } | Event::Stopped => return None,
        })
    }
}

fn in_words(what: &ClusterEvent) -> String {
    match what {
        ClusterEvent::Joined { .. } => "this node has joined the cluster".to_owned(),
        ClusterEvent::Unreachable { .. } => "this node cannot reach the others".to_owned(),
        ClusterEvent::Reachable => "this node reaches the others again".to_owned(),
        ClusterEvent::LeaseEnded { .. } => "the lease of this node has ended".to_owned(),
        ClusterEvent::NodeGone { name, .. } => {
            format!("the node {} is gone", name.as_deref().unwrap_or("without a name"))
        }
        ClusterEvent::BatchLost { .. } => "messages of another node are lost".to_owned(),
        ClusterEvent::IdsLost { ids } => format!("{ids} clients of this node lost their ids to others"),
    }
}
