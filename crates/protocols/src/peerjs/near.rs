//! Rooms of the clients of one network.
//!
//! Clients of all networks say `~near`, and the server adds the network of each. What they add to the name
//! divides those of a network, such as strangers behind one address: with `~near:4821`, those that know the
//! PIN are in a room.

use std::sync::Arc;

use crate::client::Context;
use crate::key_state::{Common, KeyState};
use peerbroker_config::key::Discovery;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{NEAR, RealmKind, RoomName, RoomRefusal};
use peerbroker_limits::{GuessLimiter, GuessSource, LimitExceeded};
use peerbroker_router::PeerHandle;

/// Refuses a name that is nearly one of such a room: clients of all networks would meet there.
pub(super) fn meant(name: RoomName) -> Result<RoomName, RoomRefusal> {
    let text = name.as_str().trim();
    let near = NEAR.trim_start_matches('~');
    let (start, rest) = text.trim_start_matches('~').split_at_checked(near.len()).unwrap_or_default();
    let is_like = start.eq_ignore_ascii_case(near)
        && (rest.starts_with([':', '/']) || rest.bytes().all(|byte| byte.is_ascii_digit()));
    if !name.is_near() && (text.starts_with('~') || is_like) { Err(RoomRefusal::NotNear) } else { Ok(name) }
}

/// The room that a client means.
pub(super) fn room(name: RoomName, peer: &PeerHandle) -> Result<RoomName, RoomRefusal> {
    if !name.is_near() {
        return Ok(name);
    }
    peer.network().map(|network| name.in_network(network)).ok_or(RoomRefusal::NetworkUnknown)
}

/// A PIN that may be a guess.
pub(super) struct Guess {
    common: Arc<Common>,
    source: GuessSource,
    now: Instant,
}

/// The room that a client means and may join. If nobody is there, its PIN counts as a wrong guess once it has
/// joined.
pub(super) fn enter(
    key: &KeyState,
    peer: &PeerHandle,
    name: RoomName,
) -> Result<(RoomName, Option<Guess>), RoomRefusal> {
    if !name.is_near() {
        return Ok((name, None));
    }
    match key.data().settings.allow_discovery {
        Discovery::Off => return Err(RoomRefusal::NearOff),
        Discovery::Pin if !name.has_digits() => return Err(RoomRefusal::PinNeeded),
        _ => {}
    }
    let guess = || {
        let source = GuessSource::remote(peer.address())?;
        let common = key.common()?;
        Some(Guess { common, source, now: key.router().clock().now() })
    };
    let has_pin = name.has_pin();
    let name = room(name, peer)?;
    let Some(guess) = guess().filter(|_| has_pin) else { return Ok((name, None)) };
    guess.limiter().check(guess.source, guess.now).map_err(|LimitExceeded { limit, .. }| {
        key.router().events().limit_hit(limit, None, guess.source.address());
        RoomRefusal::TooFast
    })?;
    let is_wrong = !key.existing_rooms(RealmKind::PeerJs).is_some_and(|rooms| rooms.contains(name.as_str()));
    Ok((name, Some(guess).filter(|_| is_wrong)))
}

impl Guess {
    /// Counts it as wrong.
    pub(super) fn count(&self) {
        self.limiter().count_wrong(self.source, self.now);
    }

    fn limiter(&self) -> &GuessLimiter {
        &self.common.wrong_codes
    }
}

/// Tells the operator of a client that cannot find others.
pub(super) fn report_off(context: &Context<'_, '_>) {
    context.mistake(|| {
        let key = context.key.key();
        let what = format!("joined the room {NEAR} of the key {key:?}, whose clients do not find each other");
        let advice = "--allow_discovery near lets those of one network do so, and `peerbroker keys set` with it for a stored key";
        (what, advice.to_owned())
    });
}
