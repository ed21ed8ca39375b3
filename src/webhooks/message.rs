//! Events as JSON. It has no addresses of clients, no tokens and no settings of keys, because settings may hold secrets.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::WebhookEvent;
use crate::events::{Actor, ClusterEvent, Event, KeyEvent, PeerAddress};
use crate::wire::{ApiKey, ConnId};

/// The names that tell this process from others.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The name of this node, if it is in a cluster.
    pub(crate) node: Option<String>,
    /// Random, and another one each time that the process starts.
    pub(crate) run: u64,
}

impl Names {
    /// The id of an event. It has no dot, because what is signed has dots between its parts.
    pub(super) fn id(&self, number: u64) -> String {
        format!("msg_{}_{number}", self.run())
    }

    fn connection(&self, connection: ConnId) -> String {
        format!("{}_{}", self.run(), connection.get())
    }

    fn run(&self) -> String {
        format!("{:016x}", self.run)
    }
}

/// The type of an event, if webhooks are told of it.
pub(super) fn kind(event: &Event) -> Option<WebhookEvent> {
    Some(match event {
        Event::PeerConnected(_) => WebhookEvent::PeerConnected,
        Event::PeerDisconnected(_) => WebhookEvent::PeerDisconnected,
        Event::PeerKicked { .. } => WebhookEvent::PeerKicked,
        Event::Key { what, .. } => match what {
            KeyEvent::Created(..) => WebhookEvent::KeyCreated,
            KeyEvent::Changed(..) => WebhookEvent::KeyChanged,
            KeyEvent::Removed(_) | KeyEvent::Unused(_) => WebhookEvent::KeyRemoved,
            KeyEvent::UsedUp(_) => WebhookEvent::KeyLimitReached,
        },
        Event::Started { .. } => WebhookEvent::ServerStarted,
        Event::Draining { .. } => WebhookEvent::ServerStopping,
        Event::CertificateLoaded { .. } => WebhookEvent::CertificateLoaded,
        Event::Cluster { what } => match what {
            ClusterEvent::Unreachable { .. } => WebhookEvent::ClusterUnreachable,
            ClusterEvent::Reachable => WebhookEvent::ClusterReachable,
            ClusterEvent::LeaseEnded { .. } => WebhookEvent::ClusterLeaseEnded,
            ClusterEvent::NodeGone { .. } => WebhookEvent::ClusterNodeGone,
            ClusterEvent::Joined { .. } | ClusterEvent::BatchLost { .. } | ClusterEvent::IdsLost { .. } => {
                return None;
            }
        },
        Event::Stopped
        | Event::Refused(_)
        | Event::ClientMistake(_)
        | Event::Expired { .. }
        | Event::CallRelayed { .. }
        | Event::LimitHit { .. }
        | Event::Reloaded { .. }
        | Event::ReloadFailed { .. }
        | Event::LogFilter { .. } => return None,
    })
}

/// The key that an event is about.
pub(super) fn key(event: &Event) -> Option<&ApiKey> {
    match event {
        Event::PeerConnected(connected) => Some(&connected.peer.key),
        Event::PeerDisconnected(disconnected) => Some(&disconnected.peer.key),
        Event::PeerKicked { peer, .. } => Some(&peer.key),
        Event::Key { key, .. } => Some(key),
        _ => None,
    }
}

/// The body of a request.
pub(super) fn body(event: &Event, happened: Timestamp, names: &Names) -> String {
    let mut data = data(event, names);
    if let (Some(node), Value::Object(data)) = (&names.node, &mut data) {
        data.insert("node".to_owned(), node.as_str().into());
    }
    let kind = kind(event).map(WebhookEvent::name);
    json!({ "type": kind, "timestamp": format!("{happened:.3}"), "data": data }).to_string()
}

fn data(event: &Event, names: &Names) -> Value {
    match event {
        Event::PeerConnected(connected) => {
            let mut data = peer(&connected.peer);
            add(&mut data, "connection", names.connection(connected.connection));
            data
        }
        Event::PeerDisconnected(disconnected) => {
            let mut data = peer(&disconnected.peer);
            add(&mut data, "connection", names.connection(disconnected.connection));
            add(&mut data, "reason", disconnected.reason.ending().label);
            add(&mut data, "duration_ms", crate::clock::millis(disconnected.duration));
            add(&mut data, "messages", disconnected.messages);
            add(&mut data, "bytes", disconnected.bytes);
            data
        }
        Event::PeerKicked { peer: kicked, connection, by } => {
            let mut data = peer(kicked);
            if let Some(connection) = connection {
                add(&mut data, "connection", names.connection(*connection));
            }
            add(&mut data, "by", actor(by));
            data
        }
        Event::Key { key, what } => {
            let mut data = json!({ "key": key.as_str() });
            match what {
                KeyEvent::Created(by, _) | KeyEvent::Changed(by, _) | KeyEvent::Removed(by) => {
                    add(&mut data, "by", actor(by));
                }
                KeyEvent::Unused(_) => add(&mut data, "by", "expiry"),
                KeyEvent::UsedUp(limit) => add(&mut data, "limit", *limit),
            }
            data
        }
        Event::Started { .. } => json!({ "version": env!("CARGO_PKG_VERSION"), "run": names.run() }),
        Event::Draining { connections } => json!({ "connections": connections }),
        Event::CertificateLoaded { path } => json!({ "path": path }),
        Event::Cluster { what } => match what {
            ClusterEvent::Unreachable { why } => json!({ "why": why }),
            ClusterEvent::NodeGone { name, .. } => json!({ "gone": name }),
            _ => json!({}),
        },
        _ => json!({}),
    }
}

fn peer(PeerAddress { key, realm, id }: &PeerAddress) -> Value {
    json!({ "key": key.as_str(), "realm": realm.label(), "id": id.as_str() })
}

fn add(data: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(data) = data {
        data.insert(name.to_owned(), value.into());
    }
}

fn actor(by: &Actor) -> &'static str {
    match by {
        Actor::Api(_) => "api",
        Actor::Signup(_) => "registration",
        Actor::Elsewhere => "another process",
    }
}
