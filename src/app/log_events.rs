//! The log as a subscriber of events: what operators do, and what an operator looks for when something goes wrong.

use std::io;

use crate::events::{Actor, Event, Events, KeyEvent, Notice};
use crate::wire::ApiKey;

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
        Event::PeerKicked { peer, by } => {
            log::info!(
                target: AUDIT, action = "kicked", actor = actor(by), address = address(by), key = peer.key.as_str(),
                id = peer.id.as_str(); "{by} kicked the peer {:?} of the key {:?}", peer.id, peer.key
            );
        }
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
        Event::CertificateLoaded { path } => log::info!("certificate loaded from {path}"),
        Event::Draining { connections } => {
            log::debug!("the server stops and closes {connections} connections")
        }
        // For mistakes of clients, see `mistakes`.
        Event::ClientMistake(_)
        | Event::Started { .. }
        | Event::Stopped
        | Event::PeerConnected(_)
        | Event::PeerDisconnected(_) => {}
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

fn actor(by: &Actor) -> &'static str {
    match by {
        Actor::Api(_) => "api",
        Actor::Signup(_) => "registration",
    }
}

fn address(by: &Actor) -> String {
    let (Actor::Api(address) | Actor::Signup(address)) = by;
    address.map_or_else(String::new, |address| address.to_string())
}
