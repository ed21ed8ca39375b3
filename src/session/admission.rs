//! Reads what a client asks for, and decides whether its key may be used.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::broker::{ConnectionInfo, Realm};
use crate::keys::unix_time;
use crate::limits::ConnectionPermit;
use crate::node::{ActiveKey, ActiveKeys};
use crate::wire::{ApiKey, ClientVersion, PeerId, Refusal, Token};

/// The parameters in the query of a PeerJS client.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) key: ApiKey,
    pub(crate) id: PeerId,
    pub(crate) token: Token,
    pub(crate) version: Option<ClientVersion>,
}

/// Where a client comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The origin of its page, if it named one.
    pub(crate) origin: Option<String>,
    pub(crate) address: Option<IpAddr>,
}

/// A client that asks to be served.
pub(crate) struct ConnectRequest {
    /// The query of its URL.
    pub(crate) query: String,
    pub(crate) source: Source,
    /// Counts it among the connections of its address.
    pub(crate) permit: Option<ConnectionPermit>,
}

/// The id, realm and token of an admitted client.
pub(crate) struct Entry {
    pub(crate) realm: Arc<Realm>,
    pub(crate) id: PeerId,
    pub(crate) token: Token,
    pub(crate) messages_per_second: u32,
    pub(crate) info: ConnectionInfo,
    /// Whether the client begins anew, also if it has a stream on another node.
    pub(crate) begins_anew: bool,
}

/// A client that gets no id, and what it asked for.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) reason: Refusal,
    pub(crate) key: Option<ApiKey>,
    pub(crate) id: Option<PeerId>,
}

impl Claim {
    /// Reads a query string. Ignores unknown names.
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let [key, id, token, version] = values(query, ["key", "id", "token", "version"]);
        Ok(Claim { version: ClientVersion::parse(&version), ..Claim::check(&key, &id, &token)? })
    }

    /// A claim that is refused, with the key and the id in it if they are such.
    pub(super) fn reject(reason: Refusal, key: &str, id: &str) -> Rejection {
        Rejection { reason, key: ApiKey::parse(key).ok(), id: PeerId::parse(id).ok() }
    }

    /// Checks the lengths and characters of the values.
    pub(crate) fn check(key: &str, id: &str, token: &str) -> Result<Self, Refusal> {
        if key.is_empty() || id.is_empty() || token.is_empty() {
            return Err(Refusal::Incomplete);
        }
        Ok(Claim {
            key: ApiKey::parse(key).map_err(Refusal::MalformedKey)?,
            id: PeerId::parse(id).map_err(Refusal::InvalidId)?,
            token: Token::parse(token).map_err(Refusal::InvalidToken)?,
            version: None,
        })
    }
}

impl Source {
    /// Details for the operator about a connection that is opened now.
    pub(super) fn info(&self, version: Option<ClientVersion>) -> ConnectionInfo {
        ConnectionInfo { since: unix_time(), address: self.address, version }
    }
}

/// Decides whether a key may be used from an origin.
pub(super) fn active_key(
    keys: &ActiveKeys,
    key: &ApiKey,
    origin: Option<&str>,
) -> Result<Arc<ActiveKey>, Refusal> {
    let active = keys.get(key.as_str()).ok_or(Refusal::InvalidKey)?;
    if !active.key.settings.admits(origin) {
        return Err(Refusal::ForeignOrigin);
    }
    Ok(active)
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
    use crate::wire::InvalidName;

    fn parse(query: &str) -> Result<(String, String), Refusal> {
        Claim::parse(query).map(|claim| (claim.key.to_string(), claim.id.to_string()))
    }

    #[test]
    fn of_repeated_names_the_last_counts_and_unknown_ones_are_ignored() {
        let claim = parse("key=a&id=x&token=t&key=b&version=1.5.5&ts=1&id=y");
        assert_eq!(claim, Ok(("b".into(), "y".into())));
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
