//! Reads a client's handshake, and decides whether its key may be used.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Node, Tenant};
use peerbroker_cluster::Whereabouts;
use peerbroker_core::address::{Locality, Network};
use peerbroker_core::vocabulary::{
    ApiKey, ClientVersion, NameKind, PeerId, PipeId, RealmKind, Refusal, Token,
};
use peerbroker_events::{ClientMistake, Count, Event, Mistake, Refused};
use peerbroker_keys::verifier::{Claimant, Denied};
use peerbroker_keys::{Auth, Policy, Proof, unix_time};
use peerbroker_limits::ConnectionPermit;
use peerbroker_protocols::client::{Protocol, unguessable};
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::pipes::Pipes;
use peerbroker_protocols::query::values;
use peerbroker_router::{ConnectionInfo, Realm};

/// The parameters in the query of a PeerJS client.
#[derive(Debug)]
pub struct Credentials {
    /// The key.
    pub key: ApiKey,
    /// The id that it asks for.
    pub id: PeerId,
    /// The proof that the id is its own.
    pub token: Token,
    /// The version of its library, if it tells it.
    pub version: Option<ClientVersion>,
}

/// The origin, address and scheme of a client.
#[derive(Clone, Debug)]
pub struct ClientSource {
    /// The origin of its page, if it named one.
    pub origin: Option<String>,
    /// The address. `None` for that of a Unix socket without a proxy.
    pub address: Option<IpAddr>,
    /// Its network, as far as the address tells.
    pub locality: Locality,
    /// True if it is `peerbroker doctor`.
    pub is_doctor: bool,
}

/// A client that asks to be served.
pub struct ConnectRequest {
    /// The query of its URL.
    pub query: String,
    /// Where it comes from.
    pub source: ClientSource,
    /// Counts it among the connections of its address.
    pub permit: Option<ConnectionPermit>,
}

/// The id, realm and token of an admitted client, and the state of its key, which may be removed before it
/// has gone.
pub(super) struct Admitted {
    pub key: Arc<KeyState>,
    pub realm: Arc<Realm>,
    pub id: PeerId,
    pub token: Token,
    /// True if its peers hear LEAVE when its page goes away.
    pub leaves_on_close: bool,
    pub info: ConnectionInfo,
    /// True if the client starts again, even if it has a stream on another node.
    pub begins_anew: bool,
}

/// A client that gets no id, and its request.
#[derive(Debug)]
pub(super) struct Rejection {
    pub reason: Refusal,
    pub key: Option<ApiKey>,
    pub id: Option<PeerId>,
    pub realm: RealmKind,
}

impl Credentials {
    /// Reads a query string. Ignores unknown names.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let [key, id, token, version] = values(query, ["key", "id", "token", "version"]);
        Ok(Credentials { version: ClientVersion::parse(&version), ..Credentials::check(&key, &id, &token)? })
    }

    /// True if a query has an id and a token, valid or not. At the root only PeerJS sends both.
    pub fn are_in(query: &str) -> bool {
        values(query, ["id", "token"]).iter().all(|value| !value.is_empty())
    }

    /// Checks the lengths and characters of the values.
    pub fn check(key: &str, id: &str, token: &str) -> Result<Self, Refusal> {
        if key.is_empty() || id.is_empty() || token.is_empty() {
            return Err(Refusal::Incomplete);
        }
        Ok(Credentials {
            key: ApiKey::parse(key).map_err(Refusal::MalformedKey)?,
            id: PeerId::parse(id).map_err(Refusal::InvalidId)?,
            token: Token::parse(token).map_err(Refusal::InvalidToken)?,
            version: None,
        })
    }
}

impl ClientSource {
    /// Tells the operator of a mistake of the client, unless that is the doctor.
    pub fn record_mistake(&self, node: &Node, mistake: impl FnOnce() -> Mistake) {
        if self.is_doctor {
            return;
        }
        node.events().emit(|| {
            let ClientSource { origin, address, .. } = self.clone();
            let mistake = mistake();
            Event::ClientMistake(Box::new(ClientMistake { mistake, origin, address }))
        });
    }

    /// The network of the client. `None` if it is unknown.
    pub fn network(&self) -> Option<Network> {
        Network::of(self.address, self.locality)
    }

    /// Details about a connection that opens now.
    fn info(&self, version: Option<ClientVersion>) -> ConnectionInfo {
        let &ClientSource { address, locality, .. } = self;
        ConnectionInfo { since_unix: unix_time(), address, locality, version, rooms: None }
    }
}

impl Rejection {
    /// A refused handshake, with the key and the id of its query if they are valid.
    pub(super) fn of(reason: Refusal, query: &str, realm: RealmKind) -> Self {
        let [key, id] = values(query, ["key", "id"]);
        Rejection { reason, key: ApiKey::parse(&key).ok(), id: PeerId::parse(&id).ok(), realm }
    }

    /// Counts and reports a client that gets no id.
    pub(super) fn record(self, node: &Node, source: &ClientSource) {
        let Rejection { reason, key, id, realm } = self;
        node.counters().add(Count::Refused(reason), 1);
        node.events().emit(|| {
            let ClientSource { origin, address, is_doctor, .. } = source.clone();
            Event::Refused(Box::new(Refused { reason, key, id, origin, address, realm, is_doctor }))
        });
    }
}

/// The tenant of a key that a client may use.
async fn tenant(node: &Node, key: &ApiKey, source: &ClientSource) -> Result<Arc<Tenant>, Refusal> {
    let tenant = node.tenant_of_client(key.as_str(), source.address).await?;
    if !tenant.policy().settings().allows_origin(source.origin.as_deref()) {
        return Err(Refusal::ForeignOrigin);
    }
    Ok(tenant)
}

/// The key in a query, or that of the root.
fn key_or_root(node: &Node, key: &str) -> Result<ApiKey, Refusal> {
    match key {
        "" => Ok(node.config().load().root_key().clone()),
        key => ApiKey::parse(key).map_err(Refusal::MalformedKey),
    }
}

/// Admits a client by the query of its URL. It takes nothing that others may want: the client may still be
/// refused.
pub(super) async fn enter<C: Protocol>(
    node: &Node,
    query: &str,
    source: &ClientSource,
) -> Result<(Admitted, C), Rejection> {
    let admitted = if C::HAS_CREDENTIALS {
        match Credentials::parse(query) {
            Ok(credentials) => admit(node, credentials, source).await,
            Err(refusal) => Err(refusal),
        }
    } else {
        admit_without_credentials::<C>(node, query, source).await
    };
    let entered = admitted.and_then(|admitted| {
        let client = C::new(&admitted.key, query, source.address).map_err(Refusal::InvalidId)?;
        Ok((admitted, client))
    });
    entered.map_err(|reason| {
        let rejection = Rejection::of(reason, query, C::REALM);
        if C::HAS_CREDENTIALS { rejection } else { Rejection { id: None, ..rejection } }
    })
}

/// Decides on the credentials of a PeerJS client.
pub(super) async fn admit(
    node: &Node,
    Credentials { key, id, token, version }: Credentials,
    source: &ClientSource,
) -> Result<Admitted, Refusal> {
    let tenant = tenant(node, &key, source).await?;
    let policy = tenant.policy_full();
    let Proof { token, rooms, odd } = verify(node, &policy, (&key, &id, &token), source).await?;
    if let Some(odd) = odd {
        source.record_mistake(node, || Mistake::OddToken {
            key: key.clone(),
            id: id.clone(),
            what: odd.what(),
            hint: odd.hint(),
        });
    }
    tenant.record_use();
    Ok(Admitted {
        key: Arc::clone(&tenant),
        realm: tenant.peers(),
        id,
        token,
        leaves_on_close: policy.settings().leave_on_close,
        info: ConnectionInfo { rooms, ..source.info(version) },
        begins_anew: false,
    })
}

/// The proof of a client that may have its id. The operator is told why another one may not.
async fn verify(
    node: &Node,
    policy: &Policy,
    (key, id, token): (&ApiKey, &PeerId, &Token),
    source: &ClientSource,
) -> Result<Proof, Refusal> {
    let claimant = Claimant { key, id, token, address: source.address, origin: source.origin.as_deref() };
    policy.verify(&claimant).await.map_err(|denied| {
        source.record_mistake(node, || denied.mistake(key.clone(), Some(id.clone()), token.as_str()));
        denied.refusal()
    })
}

/// Decides on a client that sends no credentials: it gets a fresh id. The key is the one in the query, or
/// that of the root.
async fn admit_without_credentials<C: Protocol>(
    node: &Node,
    query: &str,
    source: &ClientSource,
) -> Result<Admitted, Refusal> {
    let [key] = values(query, ["key"]);
    let key = key_or_root(node, &key)?;
    let tenant = tenant(node, &key, source).await?;
    if tenant.policy().settings().auth != Auth::None {
        // Such a client has no way to prove an identity.
        let denied = Denied::Tokenless;
        source.record_mistake(node, || denied.mistake(key, None, ""));
        return Err(denied.refusal());
    }
    tenant.record_use();
    Ok(Admitted {
        key: Arc::clone(&tenant),
        realm: tenant.realm(C::REALM),
        id: C::new_id().map_err(Refusal::InvalidId)?,
        token: Token::parse(&unguessable()).map_err(Refusal::InvalidToken)?,
        leaves_on_close: false,
        info: source.info(None),
        begins_anew: false,
    })
}

/// The key of an end of a pipe, if it may use it: as a client of that key and origin may. A key whose clients
/// prove their ids wants the proof of a client, or a pipe that is in a description which such a client has
/// sent.
pub(super) async fn admit_end(
    node: &Node,
    query: &str,
    pipe: PipeId,
    source: &ClientSource,
) -> Result<Arc<KeyState>, Refusal> {
    let [key, id, token] = values(query, ["key", "peer", "token"]);
    let key = key_or_root(node, &key)?;
    let tenant = tenant(node, &key, source).await?;
    let policy = tenant.policy_full();
    if !policy.settings().pipes || node.config().load().pipes.total == 0 {
        return Err(Refusal::PipesOff);
    }
    if policy.settings().auth != Auth::None && !is_expected(node, &tenant, pipe, token.is_empty()).await {
        let id = PeerId::parse(&id).map_err(Refusal::InvalidId)?;
        let token = Token::parse(&token).map_err(Refusal::InvalidToken)?;
        verify(node, &policy, (&key, &id, &token), source).await?;
    }
    tenant.record_use();
    Ok(Arc::clone(&tenant))
}

/// The key of an end that another node has admitted.
pub(super) fn tenant_of_end(node: &Node, query: &str) -> Result<Arc<KeyState>, Refusal> {
    let [key] = values(query, ["key"]);
    let tenant = node.tenant(&key).ok_or(Refusal::InvalidKey)?;
    Ok(Arc::clone(&tenant))
}

/// Time for which the pipe of an end without a proof is sought on other nodes: the end that is known there
/// comes at about the same time.
const EXPECTATION: Duration = Duration::from_secs(5);

/// Pause before it is sought again.
const SEEK_AGAIN: Duration = Duration::from_millis(500);

/// True if an end needs no proof: its pipe is in a description that was sent here, or on another node, which
/// has asked for one.
async fn is_expected(node: &Node, tenant: &Tenant, pipe: PipeId, waits: bool) -> bool {
    let pipes = tenant.part::<Pipes>();
    if pipes.is_expected(pipe) {
        return true;
    }
    let Some(membership) = node.membership().filter(|_| waits) else { return false };
    let until = node.clock().now() + EXPECTATION;
    while node.clock().now() < until {
        let place = membership.find_name(tenant.key(), NameKind::Pipe, &pipe.to_string()).await;
        if matches!(place, Whereabouts::At(_)) || pipes.is_expected(pipe) {
            return true;
        }
        node.clock().sleep(SEEK_AGAIN).await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerbroker_core::vocabulary::InvalidName;

    fn parse(query: &str) -> Result<(String, String), Refusal> {
        Credentials::parse(query)
            .map(|credentials| (credentials.key.as_str().to_owned(), credentials.id.as_str().to_owned()))
    }

    #[test]
    fn of_repeated_names_the_last_counts_and_unknown_ones_are_ignored() {
        let credentials = parse("key=a&id=x&token=t&key=b&version=1.5.5&ts=1&id=y");
        assert_eq!(credentials, Ok(("b".into(), "y".into())));
    }

    #[test]
    fn values_are_form_encoded() {
        assert_eq!(parse("key=a+b&id=%C3%A9%zz&token=t"), Ok(("a b".into(), "é%zz".into())));
        assert_eq!(parse("key=k&id=%FF&token=t"), Ok(("k".into(), "\u{FFFD}".into())));
    }

    #[test]
    fn a_missing_or_empty_value_is_incomplete_before_all_else() {
        for query in ["", "key=k&id=x", "key=k&id=&token=t", "id=x&token=t", "KEY=k&id=x&token=t"] {
            assert_eq!(parse(query), Err(Refusal::Incomplete), "{query}");
        }
    }

    #[test]
    fn values_beyond_their_bounds_are_refused() {
        let long = |len| "x".repeat(len);
        let query = |key: &str, id: &str, token: &str| format!("key={key}&id={id}&token={token}");
        assert!(parse(&query(&long(128), &long(512), &long(4096))).is_ok());
        assert_eq!(parse(&query("k", &long(513), "t")), Err(Refusal::InvalidId(InvalidName::TooLong(512))));
        assert_eq!(
            parse(&query("k", "x", &long(4097))),
            Err(Refusal::InvalidToken(InvalidName::TooLong(4096)))
        );
        assert_eq!(
            parse(&query(&long(129), "x", "t")),
            Err(Refusal::MalformedKey(InvalidName::TooLong(128)))
        );
        assert_eq!(parse(&query("k", "a%0Ab", "t")), Err(Refusal::InvalidId(InvalidName::ControlCharacter)));
    }
}
