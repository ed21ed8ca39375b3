//! The HTTP endpoints of PeerJS: ids, the list of peers, and `GET {path}{key}/ice`, the ICE servers for
//! clients of a key with time-limited credentials.

use std::net::IpAddr;
use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::StatusCode};
use rand::seq::IndexedRandom as _;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::handler::{Mounted, NO_STORE, bare, bearer, json as json_answer, origin, plain, value, with};
use super::legacy::too_many_requests;
use super::{endpoint, forwarded};
use crate::runtime::Runtime;
use peerbroker_config::{ClientOptions, IceConfig, OwnIceServers};
use peerbroker_core::address::Network;
use peerbroker_core::vocabulary::{PeerId, RealmKind, RoomName};
use peerbroker_events::Mistake;
use peerbroker_keys::verifier::Denied;
use peerbroker_keys::{Discovery, IdStyle, Policy, RelayMode, Settings, unix_time};
use peerbroker_transport::connection::ConnectionState;

const ABOUT: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;

/// Tells the built-in pages and the doctor that no client can open with this key. PeerJS ignores it.
const UNKNOWN_KEY: (&str, &str) = ("x-peerbroker-key", "unknown");

/// Tells them that the page may not use the key.
pub(super) const FOREIGN_ORIGIN: (&str, &str) = ("x-peerbroker-key", "foreign_origin");

/// Tells them that their address is banned for the key.
pub(super) const BANNED: (&str, &str) = ("x-peerbroker-key", "banned");

/// The path of this server, in the answer to a request for an id at another one.
const RIGHT_PATH: &str = "x-peerbroker-path";

/// Tells the doctor that another program has the port of the relay.
const RELAY_WAITS: (&str, &str) = ("x-peerbroker-relay", "waits");

/// The text of peerjs-server about itself: tools search for it.
pub(super) fn about() -> HttpResponse {
    json_answer(ABOUT)
}

/// True if the page that sends the request may use a key with these settings. Browsers omit `Origin` on
/// same-origin requests, so a request without it counts as one from this server's own page.
pub(super) fn allows_origin(mounted: &Mounted, settings: &Settings, request: &HttpRequest) -> bool {
    match origin(request.headers()) {
        Some(origin) => settings.allows_origin(Some(&origin)),
        None => settings.allows_origin(None) || settings.allows_origin(Some(&own_origin(mounted, request))),
    }
}

/// The origin of this server's own pages.
pub(super) fn own_origin(mounted: &Mounted, request: &HttpRequest) -> String {
    forwarded::client_options(mounted, request).origin()
}

/// Requests for ids on one connection that only a page makes which creates clients again and again. Browsers
/// end idle connections after seconds.
const MANY_IDS: u8 = 20;

/// True once for each connection that has so many. Through a proxy, many browsers share one.
fn is_one_too_many(runtime: &Runtime, request: &HttpRequest) -> bool {
    let has = |name| request.headers().contains_key(name);
    let is_proxied = runtime.config().proxied || ["via", "forwarded", "x-forwarded-for"].into_iter().any(has);
    let connection = request.conn_data::<Rc<ConnectionState>>();
    connection.is_some_and(|connection| connection.count_id() == MANY_IDS && !is_proxied)
}

/// Answers with a fresh id, never that of a connected peer of any node. If the client sends a token with a
/// subject, it gets that id. The type is `text/html`, as in peerjs-server.
pub(super) async fn new_id(
    runtime: &Runtime,
    key: &str,
    policy: Option<&Policy>,
    request: &HttpRequest,
) -> HttpResponse {
    if let Some(policy) = policy.filter(|_| is_one_too_many(runtime, request)) {
        endpoint::mistake(runtime, request.head(), Mistake::ManyIds(policy.key().key.clone()));
    }
    let style = policy.map_or(runtime.config().key_settings.id_style, |policy| policy.settings().id_style);
    let is_taken = async |id: &str| match (PeerId::parse(id), policy) {
        (Err(_), _) => true,
        (Ok(id), Some(policy)) => runtime.node.has_peer(&policy.key().key, &id).await,
        (Ok(_), None) => false,
    };
    let mut id = match &runtime.generate_id {
        Some(generate) => untaken(|| generate(key), is_taken).await,
        // Ids of this form are unique, so no node is asked.
        None if style == IdStyle::Uuid => random(style),
        None => untaken(|| random(style), is_taken).await,
    };
    if let (Some(policy), Some(token)) = (policy, bearer(request)) {
        match policy.id_of(token).await {
            Ok(Some(owned)) => owned.as_str().clone_into(&mut id),
            Ok(None) => {}
            Err(denied) => return token_refused(runtime, policy, request, &denied),
        }
    }
    let mut response = HttpResponse::Ok();
    if policy.is_none() {
        response.insert_header(UNKNOWN_KEY);
    }
    if endpoint::is_of_doctor(request.headers()) && runtime.waits_for_relay() {
        response.insert_header(RELAY_WAITS);
    }
    answer_with_id(&mut response, id)
}

/// Answers a request with a token that is not valid. The log says why.
fn token_refused(runtime: &Runtime, policy: &Policy, request: &HttpRequest, denied: &Denied) -> HttpResponse {
    let key = policy.key().key.clone();
    let mistake = denied.mistake(key, None, bearer(request).unwrap_or_default());
    endpoint::mistake(runtime, request.head(), mistake);
    bare(if denied.is_unknown() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNAUTHORIZED })
}

/// Answers a client with a wrong path as one with a wrong key: PeerJS shows no text of a 404, but that of the
/// ERROR on the WebSocket that it opens next. The header tells the doctor the right path.
pub(super) fn id_at_wrong_path(mounted: &Mounted) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((RIGHT_PATH, mounted.path.as_str()));
    answer_with_id(&mut response, random(IdStyle::Uuid))
}

/// Answers a client that may not use the key, for the same reason. No token is verified, because the
/// WebSocket is refused.
pub(super) fn id_in_vain(why: (&'static str, &'static str)) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(why);
    answer_with_id(&mut response, random(IdStyle::Uuid))
}

fn answer_with_id(response: &mut HttpResponseBuilder, id: String) -> HttpResponse {
    response.content_type("text/html; charset=utf-8").insert_header(NO_STORE).body(id)
}

/// Most ids of a page.
const MAX_PAGE: usize = 1000;

/// Answers with the ids of all peers of a key, or of those that are near, or of one page of them. Discovery
/// is on.
pub(super) async fn peers(
    runtime: &Runtime,
    policy: &Policy,
    request: &HttpRequest,
    network: Option<Network>,
) -> HttpResponse {
    let key = policy.key().key.as_str();
    // All nodes work for it, as they do for a client that opens.
    if runtime.node.membership().is_some()
        && let Err(too_many) = endpoint::count_open(runtime, request)
    {
        return too_many_requests(too_many);
    }
    let value = |name| value(request.query_string().as_bytes(), name);
    let is_near = policy.settings().allow_discovery == Discovery::Near;
    let limit = value("limit").map(|limit| limit.parse().ok().filter(|limit: &usize| *limit > 0));
    let ids = match (value("after"), limit) {
        // As PeerJS asks.
        (_, Some(None)) => return plain(StatusCode::BAD_REQUEST, "limit is a whole number from 1 on\n"),
        (None, None) if is_near => match network {
            Some(network) => runtime.node.all_near(key, network).await,
            None => Vec::new(),
        },
        (None, None) => runtime.node.all_ids(key).await,
        (after, limit) => {
            let limit = limit.flatten().unwrap_or(MAX_PAGE).min(MAX_PAGE);
            let after = after.as_deref();
            match network {
                Some(network) if is_near => runtime.node.page_near(key, network, after, limit).await,
                None if is_near => Vec::new(),
                _ => runtime.node.page(key, Some(RealmKind::PeerJs), after, limit).await,
            }
        }
    };
    json_answer(json!(ids).to_string())
}

/// Answers with the ids of all members of a room, of all nodes, sorted by their bytes. Discovery is on.
pub(super) fn members(
    runtime: &Runtime,
    policy: &Policy,
    room: &str,
    network: Option<Network>,
) -> HttpResponse {
    let tenant = runtime.node.tenant(policy.key().key.as_str());
    let rooms = tenant.and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs));
    let room = RoomName::parse(room).ok().and_then(|room| match network {
        // A list would tell if a PIN is right.
        _ if room.has_pin() => None,
        network if room.is_near() => Some(room.in_network(network?)),
        _ if policy.settings().allow_discovery == Discovery::Near => None,
        _ => Some(room),
    });
    let members = rooms.zip(room).map(|(rooms, room)| rooms.members(room.as_str())).unwrap_or_default();
    let ids: Vec<&str> = members.iter().map(|id| id.as_str()).collect();
    json_answer(json!(ids).to_string())
}

/// Small letters and digits without those that look alike: 0 and o, 1, i and l.
const ALPHABET: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";

/// Characters of a short id.
const SHORT: usize = 8;

/// 1024 plain words of three to six letters, one in each line, from the English list of BIP 39 (MIT).
const WORDS: &str = include_str!("words.txt");

/// Number of words in an id.
const WORDS_PER_ID: usize = 4;

/// Maximum attempts to make an id that is not taken.
const MAX_TRIES: usize = 100;

/// An id that is not taken. If `make` finds none soon, the id is a UUID.
async fn untaken(make: impl FnMut() -> String, is_taken: impl AsyncFn(&str) -> bool) -> String {
    for id in std::iter::repeat_with(make).take(MAX_TRIES) {
        if !is_taken(&id).await {
            return id;
        }
    }
    Uuid::new_v4().to_string()
}

/// A random id.
fn random(style: IdStyle) -> String {
    let mut rng = rand::rng();
    match style {
        IdStyle::Uuid => Uuid::new_v4().to_string(),
        IdStyle::Short => {
            (0..SHORT).filter_map(|_| ALPHABET.choose(&mut rng)).map(|&letter| char::from(letter)).collect()
        }
        IdStyle::Words => {
            let words: Vec<&str> = WORDS.lines().collect();
            let chosen = (0..WORDS_PER_ID).filter_map(|_| words.choose(&mut rng).copied());
            chosen.collect::<Vec<_>>().join("-")
        }
    }
}

/// Answers with the servers, in the form that `RTCPeerConnection` takes.
pub(super) async fn ice_servers(mounted: &Mounted, policy: &Policy, request: &HttpRequest) -> HttpResponse {
    let runtime = &mounted.runtime;
    if !policy.settings().ice_servers {
        return plain(StatusCode::FORBIDDEN, "ICE servers are turned off for this key\n");
    }
    if let Err(too_many) = endpoint::count_open(runtime, request) {
        return too_many_requests(too_many);
    }
    if let Some(token) = bearer(request)
        && let Err(denied) = policy.id_of(token).await
    {
        return token_refused(runtime, policy, request, &denied);
    }
    let servers = servers(mounted, request, policy.key().key.as_str());
    let answer = json!({ "iceServers": servers, "ttl": runtime.config().ice.ttl.as_secs() });
    with(json_answer(answer.to_string()), [NO_STORE])
}

/// True if clients of the key in the query, or of the built-in key, are told any server. If not, no page
/// asks.
pub(super) fn has_servers(mounted: &Mounted, request: &HttpRequest) -> bool {
    let is_on = setting(mounted, request, |key| key.ice_servers).unwrap_or(true);
    is_on && !servers(mounted, request, "").is_empty()
}

/// The addresses of the relay, for people; empty if there is none.
pub(super) fn relay_at(mounted: &Mounted) -> String {
    let addresses = mounted.runtime.node.relay().map(|relay| relay.addresses()).unwrap_or_default();
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// True if calls of the key in the query, or of the built-in key, can go through a relay of this server.
pub(super) fn has_relay(mounted: &Mounted, request: &HttpRequest) -> bool {
    let is_on = setting(mounted, request, |key| key.relay != RelayMode::Off).unwrap_or(true);
    is_on && mounted.runtime.node.relay().is_some()
}

/// The clients that find each other, of the key in the query or the built-in key.
pub(super) fn discovery(mounted: &Mounted, request: &HttpRequest) -> Discovery {
    setting(mounted, request, |key| key.allow_discovery).unwrap_or_default()
}

/// True if the key in the query of a script, or the built-in key, takes call reports; and if any other one
/// does.
#[derive(Clone, Copy, Serialize)]
pub(super) struct TakesReports {
    pub(super) own: bool,
    pub(super) others: bool,
}

pub(super) fn takes_reports(mounted: &Mounted, request: &HttpRequest) -> TakesReports {
    let own = setting(mounted, request, |key| key.call_reports).unwrap_or(false);
    TakesReports { own, others: mounted.runtime.node.takes_reports() }
}

/// A setting of the key in the query of a page or script, or of the built-in key, if it exists.
fn setting<T>(mounted: &Mounted, request: &HttpRequest, of: impl Fn(&Settings) -> T) -> Option<T> {
    let tenant = match value(request.query_string().as_bytes(), "key") {
        Some(key) => mounted.runtime.node.tenant(&key),
        None => mounted.runtime.node.tenant(mounted.runtime.config().key.as_str()),
    };
    tenant.map(|tenant| of(tenant.policy().settings()))
}

/// The servers for a client that sends this request, with credentials for a key.
fn servers(mounted: &Mounted, request: &HttpRequest, key: &str) -> Vec<Value> {
    let runtime = &mounted.runtime;
    let here = forwarded::client_options(mounted, request);
    let mut own = runtime.own_ice();
    // A proxy that ends TLS does not pass that of TURN.
    own.tls_at_broker &= own.tls_port.is_none() || !forwarded::is_by_proxy(&runtime.config(), request.head());
    let address = forwarded::client_address(runtime, request.peer_addr(), request.headers());
    if let Some(address) = address {
        own.turn_urls = of_family(own.turn_urls, address);
    }
    listed(&runtime.config().ice, &own, &here, key, unix_time())
}

/// The URLs with addresses of a client's family, or all if there are none. A browser makes an allocation with
/// each URL, for each connection that it prepares.
fn of_family(urls: Vec<String>, client: IpAddr) -> Vec<String> {
    let is_of_family = |url: &String| url.contains('[') == client.is_ipv6();
    let (own, others): (Vec<String>, Vec<String>) = urls.into_iter().partition(is_of_family);
    if own.is_empty() { others } else { own }
}

/// STUN servers, then TURN servers; of each, this program's own first. One entry for all servers of a kind:
/// they share their credentials. `here` is how the client reaches the broker, `now` in seconds since 1970.
fn listed(config: &IceConfig, own: &OwnIceServers, here: &ClientOptions, key: &str, now: u64) -> Vec<Value> {
    let stun: Vec<&String> = own.stun_urls.iter().chain(&config.stun_urls).collect();
    // Firewalls let out the port by which the client has come.
    let tls_port = own.tls_at_broker.then_some(here.port).or(own.tls_port);
    let over_tls = tls_port.map(|port| format!("turns:{}:{port}?transport=tcp", here.host));
    let turn: Vec<String> =
        own.turn_urls.iter().cloned().chain(over_tls).chain(config.turn_urls.iter().cloned()).collect();
    let mut servers = Vec::new();
    if !stun.is_empty() {
        servers.push(json!({ "urls": stun }));
    }
    // Without credentials, browsers throw an error.
    if let Some(secret) = config.turn_secret.as_ref().filter(|_| !turn.is_empty()) {
        let (username, credential) = secret.credentials(key, now.saturating_add(config.ttl.as_secs()));
        servers.push(json!({ "urls": turn, "username": username, "credential": credential }));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerbroker_config::{Config, TurnSecret};
    use std::collections::HashSet;

    #[test]
    fn there_are_1024_different_words_that_can_be_typed() {
        let words: HashSet<&str> = WORDS.lines().collect();
        assert_eq!((words.len(), WORDS.lines().count()), (1024, 1024));
        for word in words {
            assert!((3..=6).contains(&word.len()) && word.bytes().all(|c| c.is_ascii_lowercase()), "{word}");
        }
    }

    #[test]
    fn ids_have_the_form_of_their_style_and_do_not_repeat() {
        for style in IdStyle::ALL {
            let ids: HashSet<String> = (0..500).map(|_| random(style)).collect();
            assert_eq!(ids.len(), 500, "{style:?}");
            for id in ids {
                let fits = match style {
                    IdStyle::Uuid => Uuid::parse_str(&id).is_ok(),
                    IdStyle::Short => id.len() == 8 && id.bytes().all(|c| ALPHABET.contains(&c)),
                    IdStyle::Words => {
                        let words: Vec<&str> = id.split('-').collect();
                        words.len() == 4 && words.iter().all(|word| WORDS.lines().any(|known| known == *word))
                    }
                };
                assert!(fits, "{style:?}: {id}");
            }
        }
    }

    #[tokio::test]
    async fn an_id_that_is_taken_is_never_given() {
        let mut numbers = 0..;
        let mut next = || format!("peer {}", numbers.next().unwrap());
        assert_eq!(untaken(&mut next, async |id| id != "peer 7").await, "peer 7");
        let only = untaken(|| "the only one".to_owned(), async |id| id == "the only one").await;
        assert!(Uuid::parse_str(&only).is_ok(), "{only}");
    }

    fn here(host: &str) -> ClientOptions {
        let Config { path, key, .. } = Config::default();
        ClientOptions::new(host.to_owned(), 8443, &path, &key, true)
    }

    fn urls(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn own() -> OwnIceServers {
        OwnIceServers {
            stun_urls: urls(&["stun:192.0.2.1:3479"]),
            turn_urls: urls(&["turn:192.0.2.1:3479?transport=udp"]),
            tls_port: Some(3479),
            tls_at_broker: true,
        }
    }

    fn configured() -> IceConfig {
        IceConfig {
            stun_urls: urls(&["stun:stun.example.org"]),
            turn_urls: urls(&["turn:turn.example.org"]),
            turn_secret: Some(TurnSecret::parse("0123456789abcdef0123456789abcdef").unwrap()),
            ..IceConfig::default()
        }
    }

    #[test]
    fn own_servers_come_first_and_all_turn_servers_share_their_credentials() {
        let servers = listed(&configured(), &own(), &here("example.org"), "peerjs", 1_735_603_200);
        let expected = json!([
            { "urls": ["stun:192.0.2.1:3479", "stun:stun.example.org"] },
            {
                "urls": [
                    "turn:192.0.2.1:3479?transport=udp",
                    "turns:example.org:8443?transport=tcp",
                    "turn:turn.example.org",
                ],
                "username": "1735689600:peerjs",
                "credential": "XooFo5KLJawITxUueayB0WI+YJg=",
            },
        ]);
        assert_eq!(json!(servers), expected);
    }

    #[test]
    fn a_client_is_told_one_address_of_the_server_for_each_transport() {
        let both = urls(&["turn:192.0.2.1:3479", "turn:[2001:db8::1]:3479"]);
        for (client, expected) in [("198.51.100.1", &both[..1]), ("2001:db8::9", &both[1..])] {
            assert_eq!(of_family(both.clone(), client.parse().unwrap()), expected, "{client}");
        }
        assert_eq!(of_family(both[..1].to_vec(), "2001:db8::9".parse().unwrap()), &both[..1]);
    }

    #[test]
    fn a_turn_server_without_credentials_is_not_listed() {
        let config = IceConfig { turn_secret: None, ..configured() };
        let servers = listed(&config, &OwnIceServers::default(), &here("example.org"), "peerjs", 0);
        assert_eq!(json!(servers), json!([{ "urls": ["stun:stun.example.org"] }]));
        assert_eq!(
            listed(&IceConfig::default(), &OwnIceServers::default(), &here("h"), "peerjs", 0),
            [json!(null); 0]
        );
    }
}
