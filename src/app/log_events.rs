//! The log as a subscriber of events: what operators do, and what an operator looks for when something goes wrong.

use std::io;

use crate::events::{
    Actor, ClusterEvent, Connected, Disconnected, Event, Events, KeyEvent, Notice, PeerAddress,
};
use crate::wire::{ApiKey, ConnId};

/// The log's target for all that is done by people.
const AUDIT: &str = "peerbroker::audit";

/// Writes lines until the broker is gone.
pub(super) fn start(events: &Events) -> io::Result<()> {
    events.follow("log", |notices| notices.iter().for_each(write))
}

fn write(notice: &Notice) {
    let event = match notice {
        Notice::Event(event) => event,
        Notice::Missed(missed) => return log::warn!("the log was too slow: {missed} events are not in it"),
    };
    match &**event {
        Event::Key { key, what } => write_key(key, what),
        Event::PeerKicked { peer, connection, by } => write_kick(peer, *connection, by),
        Event::Refused(refused) => {
            let label = refused.reason.ending().label;
            log::debug!(
                "refused a client: {label}; key {:?}, id {:?}, origin {:?}, address {:?}",
                refused.key,
                refused.id,
                refused.origin,
                refused.address
            );
        }
        Event::LimitHit { limit, key, address } => {
            log::debug!("limit reached: {}; key {key:?}, address {address:?}", limit.label());
        }
        Event::Expired { to, from } => {
            log::debug!("messages of {from:?} to {:?} of the key {:?} expired", to.id, to.key);
        }
        Event::CallRelayed { key } => log::debug!("a call of the key {key:?} goes through the relay"),
        Event::Cluster { what } => write_cluster(what),
        Event::CertificateLoaded { path } => log::info!("certificate loaded from {path}"),
        Event::Reloaded { changed, pending } => {
            let text =
                if changed.is_empty() { "nothing is different".to_owned() } else { changed.join(", ") };
            log::info!(target: AUDIT, action = "reloaded"; "reloaded the configuration: {text}");
            pending.iter().for_each(|text| log::warn!("{text}"));
        }
        Event::ReloadFailed { why } => log::error!(
            target: AUDIT, action = "reload_failed"; "the previous configuration stays in force: {why}"
        ),
        Event::LogFilter { by, filter, seconds } => {
            write_log_filter(by.as_ref(), filter.as_deref(), *seconds)
        }
        Event::Draining { connections } => {
            log::debug!("the server stops and closes {connections} connections")
        }
        // For mistakes of clients, see `mistakes`.
        Event::ClientMistake(_) | Event::Started { .. } | Event::Stopped => {}
        Event::PeerConnected(Connected { peer, connection, address, .. }) => log::debug!(
            connection_id = connection.get();
            "{connection}: the peer {:?} of the key {:?} connected; address {address:?}", peer.id, peer.key
        ),
        Event::PeerDisconnected(Disconnected { peer, connection, reason, messages, bytes, .. }) => {
            log::debug!(
                connection_id = connection.get();
                "{connection}: the peer {:?} of the key {:?} disconnected: {}; messages {messages}, bytes {bytes}",
                peer.id, peer.key, reason.ending().label
            )
        }
    }
}

fn write_kick(PeerAddress { key, id, .. }: &PeerAddress, connection: Option<ConnId>, by: &Actor) {
    match connection {
        Some(connection) => log::info!(
            target: AUDIT, action = "kicked", actor = actor(by), address = address(by), key = key.as_str(),
            id = id.as_str(), connection_id = connection.get();
            "{by} kicked the peer {id:?} of the key {key:?}: {connection}"
        ),
        None => log::info!(
            target: AUDIT, action = "kicked", actor = actor(by), address = address(by), key = key.as_str(),
            id = id.as_str(); "{by} kicked the peer {id:?} of the key {key:?} on another node"
        ),
    }
}

fn write_log_filter(by: Option<&Actor>, filter: Option<&str>, seconds: Option<u32>) {
    let filter = filter.unwrap_or("the configured one");
    let until = seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
    match by {
        Some(by) => log::info!(
            target: AUDIT, action = "log_changed", actor = actor(by), address = address(by);
            "{by} changed the filter of the log{until}: {filter}"
        ),
        None => {
            log::info!(target: AUDIT, action = "log_changed"; "the filter of the log is the configured one again")
        }
    }
}

fn write_key(key: &ApiKey, what: &KeyEvent) {
    match what {
        KeyEvent::Created(by, json) => log::info!(
            target: AUDIT, action = "key_added", actor = actor(by), address = address(by), key = key.as_str(),
            settings = json; "{by} added the key {key:?}: {json}"
        ),
        KeyEvent::Changed(by, json) => log::info!(
            target: AUDIT, action = "key_changed", actor = actor(by), address = address(by), key = key.as_str(),
            settings = json; "{by} changed the key {key:?}: {json}"
        ),
        KeyEvent::Removed(by) => log::info!(
            target: AUDIT, action = "key_removed", actor = actor(by), address = address(by), key = key.as_str();
            "{by} removed the key {key:?}"
        ),
        KeyEvent::Unused(days) => log::info!(
            target: AUDIT, action = "key_expired", key = key.as_str(), days = days;
            "the key {key:?} was registered and not used for {days} days: it is removed"
        ),
        KeyEvent::UsedUp(limit) => log::info!(
            key = key.as_str(), limit = limit; "the key {key:?} has {limit} clients, which is its limit"
        ),
    }
}

fn write_cluster(what: &ClusterEvent) {
    let named = |name: &Option<String>| name.clone().unwrap_or_default();
    match what {
        ClusterEvent::Joined { life } => {
            log::info!(action = "joined", life = life.to_string(); "joined the cluster as {life}");
        }
        ClusterEvent::Unreachable { why } => log::error!(
            action = "unreachable"; "cannot reach the other nodes, so this one is by itself until it can: {why}"
        ),
        ClusterEvent::Reachable => log::info!(action = "reachable"; "the other nodes can be reached again"),
        ClusterEvent::LeaseEnded { life } => log::warn!(
            action = "lease_ended", life = life.to_string();
            "the lease of this node has ended, so others may take its ids: it joins again"
        ),
        ClusterEvent::NodeGone { name, life } => log::warn!(
            action = "node_gone", life = life.to_string(), name = named(name);
            "the node {:?} ({life}) is gone: its ids are free", named(name)
        ),
        ClusterEvent::BatchLost { life } => log::warn!(
            action = "batch_lost", life = life.to_string();
            "something that the node {life} said is lost: senders of messages in doubt get EXPIRE"
        ),
        ClusterEvent::IdsLost { ids } => log::warn!(
            action = "ids_lost", ids = ids;
            "ids that clients of this node lost to clients of other nodes after the outage: {ids}"
        ),
    }
}

fn actor(by: &Actor) -> &'static str {
    match by {
        Actor::Api(_) => "api",
        Actor::Signup(_) => "registration",
        Actor::Elsewhere => "another process",
    }
}

fn address(by: &Actor) -> String {
    match by {
        Actor::Api(Some(address)) | Actor::Signup(Some(address)) => address.to_string(),
        Actor::Api(None) | Actor::Signup(None) | Actor::Elsewhere => String::new(),
    }
}
