//! The target of a request. No other file of the API reads a path: its segments are decoded once, here, and
//! the names that the guard authorises are those that handlers get. actix-web decodes a path twice, so with
//! `%%36f` it would find another key.

use std::future::{Ready, ready};

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::problem::Problem;
use crate::http::path;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::TokenScope;

/// Characters to escape: all but the unreserved ones (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const MALFORMED: &str = "the path has a malformed percent-escape, or is not UTF-8: write % as %25";

/// The segments of a path, decoded. The last one is empty if the path ends with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target(Vec<String>);

impl Target {
    /// Decodes the path of a request, and puts the one spelling of it that has no unnecessary escape in its
    /// place: actix-web finds the handler by that.
    pub(super) fn take(request: &mut ServiceRequest) -> Result<Self, Problem> {
        let target = Target::parse(request.path())?;
        path::set_path(request.head_mut(), target.path());
        let uri = request.uri().clone();
        request.match_info_mut().get_mut().update(&uri);
        request.extensions_mut().insert(target.clone());
        Ok(target)
    }

    fn parse(path: &str) -> Result<Self, Problem> {
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let decoded: Option<_> = segments.map(|segment| path::decode(segment).map(String::from)).collect();
        decoded.map(Target).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, MALFORMED))
    }

    /// The path in its one spelling.
    pub(super) fn path(&self) -> String {
        let encoded = self.0.iter().map(|segment| utf8_percent_encode(segment, RESERVED).to_string());
        format!("/{}", encoded.collect::<Vec<_>>().join("/"))
    }

    /// True if these are its segments.
    pub(super) fn is(&self, segments: &[&str]) -> bool {
        self.0 == segments
    }

    /// True if it is about keys, or one of them.
    pub(super) fn is_of_keys(&self) -> bool {
        matches!(self.0.as_slice(), [api, keys, ..] if api == "api" && keys == "keys")
    }

    /// The rest of the path behind a first segment.
    pub(super) fn below(&self, first: &str) -> Option<String> {
        let (found, rest) = self.0.split_first()?;
        (found == first && !rest.is_empty()).then(|| rest.join("/"))
    }

    /// The scope that a token of a key needs, and the key. `None` if tokens of keys may not send the request.
    pub(super) fn needed(&self, method: &Method) -> Option<(TokenScope, ApiKey)> {
        let segments: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let ["api", "keys", key, of_key @ ..] = segments.as_slice() else { return None };
        let scope = match (method.as_str(), of_key) {
            ("POST", ["messages"] | ["peers" | "rooms", _, "messages"]) => TokenScope::Messages,
            (
                "GET" | "HEAD",
                ["peers" | "rooms" | "topics" | "reports"] | ["peers", _] | ["rooms", _, "members"],
            ) => TokenScope::PeersRead,
            ("DELETE", ["peers", _]) => TokenScope::Kick,
            _ => return None,
        };
        Some((scope, ApiKey::parse(key).ok()?))
    }
}

/// The key in a path below `/api/keys/`, and the names of things of the key:
/// `/api/keys/{key}/peers/{name}/messages`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OfKey<const N: usize = 0> {
    pub(super) key: ApiKey,
    pub(super) names: [String; N],
}

impl<const N: usize> TryFrom<&Target> for OfKey<N> {
    type Error = Problem;

    /// An invalid key gets the same 404 as an unknown one.
    fn try_from(Target(segments): &Target) -> Result<Self, Problem> {
        let unknown = || Problem::not_found("there is no such key");
        let key = segments.get(2).and_then(|key| ApiKey::parse(key).ok()).ok_or_else(unknown)?;
        let names: Vec<String> = segments.iter().skip(4).step_by(2).cloned().collect();
        // Each handler has as many names as the pattern of its path.
        Ok(OfKey { key, names: names.try_into().map_err(|_| Problem::internal())? })
    }
}

impl<const N: usize> FromRequest for OfKey<N> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // The guard has put it there.
        ready(request.extensions().get::<Target>().ok_or_else(Problem::internal).and_then(OfKey::try_from))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A path with a key and a name, in which each byte is escaped, in small or capital letters, or not,
    /// where that is allowed.
    fn spelled(names: [&str; 2], spellings: &[u8]) -> String {
        let mut spellings = spellings.iter().cycle();
        let mut spell = |name: &str| {
            let byte = |byte: u8| match spellings.next().map(|spelling| spelling % 3) {
                Some(1) => format!("%{byte:02x}"),
                Some(0) if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            };
            name.bytes().map(byte).collect::<String>()
        };
        let [key, name] = names.map(&mut spell);
        let [api, keys, peers] = ["api", "keys", "peers"].map(&mut spell);
        format!("/{api}/{keys}/{key}/{peers}/{name}")
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof!["[%/fo6625 .~+é]{1,12}", "[^\\p{C}]{1,20}"]
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_name_is_that_name(key in names(), name in names(), spellings in vec(any::<u8>(), 1..50)) {
            prop_assume!(ApiKey::parse(&key).is_ok());
            let target = Target::parse(&spelled([&key, &name], &spellings)).unwrap();
            let (_, authorized) = target.needed(&Method::DELETE).unwrap();
            let OfKey { key: found, names: [found_name] } = OfKey::try_from(&target).unwrap();
            prop_assert_eq!((authorized.as_str(), found.as_str(), &found_name), (&*key, &*key, &name));
            prop_assert_eq!(Target::parse(&target.path()).unwrap(), target);
        }

        /// A path of escapes, whole and broken, has one meaning or none.
        #[test]
        fn no_path_has_two_meanings(path in "(/|/api/keys/)[%/fo6025]{0,20}(/peers)?") {
            if let Ok(target) = Target::parse(&path) {
                prop_assert_eq!(Target::parse(&target.path()).unwrap(), target.clone());
                // actix-web decodes once or twice, and gives no more than that.
                let encoded = target.path();
                let escapes = encoded.split('%').skip(1);
                prop_assert!(escapes.into_iter().all(|rest| rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit)));
            }
        }
    }

    #[test]
    fn a_malformed_escape_is_no_path() {
        for path in ["/api/keys/%%36%36oo/peers", "/%", "/%2", "/%zz", "/a%ff"] {
            assert!(Target::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_token_of_a_key_may_send_these_requests_and_no_others() {
        let needed = |method: &str, path: &str| {
            let target = Target::parse(path).unwrap();
            let needed = target.needed(&method.parse().unwrap());
            needed.map(|(scope, key)| (scope.label(), key.as_str().to_owned()))
        };
        for (method, path, scope) in [
            ("POST", "/api/keys/k/messages", Some("messages")),
            ("POST", "/api/keys/k/peers/a/messages", Some("messages")),
            ("POST", "/api/keys/k/rooms/messages/messages", Some("messages")),
            ("HEAD", "/api/keys/k/peers", Some("peers:read")),
            ("GET", "/api/keys/k/peers/a", Some("peers:read")),
            ("GET", "/api/keys/k/reports", Some("peers:read")),
            ("GET", "/api/keys/k/rooms", Some("peers:read")),
            ("GET", "/api/keys/k/rooms/r/members", Some("peers:read")),
            ("DELETE", "/api/keys/k/peers/a", Some("kick")),
            // A slash in a name does not end it.
            ("DELETE", "/api/keys/k/peers/a%2Fb", Some("kick")),
            ("DELETE", "/api/keys/k%2Fpeers%2Fa", None),
            ("GET", "/api/keys/k", None),
            ("GET", "/api/keys/k/peers/a/", None),
            ("GET", "/api/keys/k/rooms/r", None),
            ("POST", "/api/keys/k/tokens", None),
            ("DELETE", "/api/keys/k", None),
            ("GET", "/metrics", None),
        ] {
            assert_eq!(needed(method, path), scope.map(|scope| (scope, "k".to_owned())), "{method} {path}");
        }
    }
}
