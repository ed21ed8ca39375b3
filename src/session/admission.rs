//! Reads a client's handshake, and decides whether its key may be used.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use rand::distr::{Alphanumeric, SampleString as _};

use crate::keys::verifier::Denied;
use crate::keys::{Auth, unix_time};
use crate::node::{Node, Tenant};
use peerbroker_broker::events::{ClientMistake, Count, Event, Mistake, Refused};
use peerbroker_broker::limits::ConnectionPermit;
use peerbroker_broker::router::{ConnectionInfo, Realm};
use peerbroker_core::wire::{ApiKey, ClientVersion, PeerId, Refusal, Token};

/// The parameters in the query of a PeerJS client.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) key: ApiKey,
    pub(crate) id: PeerId,
    pub(crate) token: Token,
    pub(crate) version: Option<ClientVersion>,
}

/// The origin, address and scheme of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientSource {
    /// The origin of its page, if it named one.
    pub(crate) origin: Option<String>,
    pub(crate) address: Option<IpAddr>,
    /// True if it is `peerbroker doctor`.
    pub(crate) is_doctor: bool,
}

/// A client that asks to be served.
pub(crate) struct ConnectRequest {
    /// The query of its URL.
    pub(crate) query: String,
    pub(crate) source: ClientSource,
    /// Counts it among the connections of its address.
    pub(crate) permit: Option<ConnectionPermit>,
}

/// The id, realm and token of an admitted client.
pub(crate) struct Admitted {
    pub(crate) realm: Arc<Realm>,
    pub(crate) id: PeerId,
    pub(crate) token: Token,
    /// True if its peers hear LEAVE when its page goes away.
    pub(crate) leaves_on_close: bool,
    pub(crate) info: ConnectionInfo,
    /// True if the client starts again, even if it has a stream on another node.
    pub(crate) begins_anew: bool,
}

/// A client that gets no id, and its request.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) reason: Refusal,
    pub(crate) key: Option<ApiKey>,
    pub(crate) id: Option<PeerId>,
}

impl Credentials {
    /// Reads a query string. Ignores unknown names.
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let [key, id, token, version] = values(query, ["key", "id", "token", "version"]);
        Ok(Credentials { version: ClientVersion::parse(&version), ..Credentials::check(&key, &id, &token)? })
    }

    /// True if a query has an id and a token, valid or not. At the root only PeerJS sends both.
    pub(crate) fn are_in(query: &str) -> bool {
        values(query, ["id", "token"]).iter().all(|value| !value.is_empty())
    }

    /// Checks the lengths and characters of the values.
    pub(crate) fn check(key: &str, id: &str, token: &str) -> Result<Self, Refusal> {
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
    pub(super) fn note_mistake(&self, node: &Node, mistake: impl FnOnce() -> Mistake) {
        if self.is_doctor {
            return;
        }
        node.events().emit(|| {
            let (ClientSource { origin, address, .. }, mistake) = (self.clone(), mistake());
            Event::ClientMistake(Box::new(ClientMistake { mistake, origin, address }))
        });
    }

    /// Details about a connection that opens now.
    pub(super) fn info(&self, version: Option<ClientVersion>) -> ConnectionInfo {
        ConnectionInfo { since: unix_time(), address: self.address, version, rooms: None }
    }
}

impl Rejection {
    /// A refused handshake, with the key and the id of its query if they are valid.
    pub(super) fn of(reason: Refusal, query: &str) -> Self {
        let [key, id] = values(query, ["key", "id"]);
        Rejection { reason, key: ApiKey::parse(&key).ok(), id: PeerId::parse(&id).ok() }
    }

    /// Counts and reports a client that gets no id.
    pub(super) fn note(self, node: &Node, source: &ClientSource) {
        let Rejection { reason, key, id } = self;
        node.counters().add(Count::Refused(reason), 1);
        node.events().emit(|| {
            let ClientSource { origin, address, is_doctor } = source.clone();
            Event::Refused(Box::new(Refused { reason, key, id, origin, address, is_doctor }))
        });
    }
}

/// The tenant of a key that a client may use.
pub(super) async fn tenant(node: &Node, key: &ApiKey, source: &ClientSource) -> Result<Arc<Tenant>, Refusal> {
    let tenant = node.tenant_of_client(key.as_str(), source.address).await?;
    if !tenant.policy().settings().allows_origin(source.origin.as_deref()) {
        return Err(Refusal::ForeignOrigin);
    }
    Ok(tenant)
}

/// Characters of an id or a token that we choose. As hard to guess as a UUID.
const ID_LEN: usize = 21;

/// Decides on a client that sends no credentials: it gets a fresh id. The key is the one in the query, or that of the root.
pub(super) async fn admit_without_credentials(
    node: &Node,
    query: &str,
    source: &ClientSource,
    realm: impl FnOnce(&Arc<Tenant>) -> Arc<Realm>,
) -> Result<(Admitted, Arc<Tenant>), Refusal> {
    let [key] = values(query, ["key"]);
    let key = match &*key {
        "" => node.config().load().root_key().clone(),
        key => ApiKey::parse(key).map_err(Refusal::MalformedKey)?,
    };
    let tenant = tenant(node, &key, source).await?;
    if tenant.policy().settings().auth != Auth::None {
        // Such a client has no way to prove an identity.
        let denied = Denied::Tokenless;
        source.note_mistake(node, || denied.mistake(key, None, ""));
        return Err(denied.refusal());
    }
    tenant.note_use();
    let admitted = Admitted {
        realm: realm(&tenant),
        id: fresh_id()?,
        token: Token::parse(&random()).map_err(Refusal::InvalidToken)?,
        leaves_on_close: false,
        info: source.info(None),
        begins_anew: false,
    };
    Ok((admitted, tenant))
}

/// An id that nobody guesses.
pub(super) fn fresh_id() -> Result<PeerId, Refusal> {
    PeerId::parse(&random()).map_err(Refusal::InvalidId)
}

fn random() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), ID_LEN)
}

/// Values of a query string; empty if missing. The last of repeated names counts.
pub(super) fn values<'a, const N: usize>(query: &'a str, names: [&str; N]) -> [Cow<'a, str>; N] {
    let mut values = names.map(|_| Cow::default());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if let Some((_, wanted)) = names.iter().zip(&mut values).find(|(wanted, _)| **wanted == name) {
            *wanted = value;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerbroker_core::wire::InvalidName;

    fn parse(query: &str) -> Result<(String, String), Refusal> {
        Credentials::parse(query).map(|credentials| (credentials.key.to_string(), credentials.id.to_string()))
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
