//! Tests of the decision about a handshake, which needs no server.

use std::collections::HashSet;

use HandshakeRefusal::{BadBody, BadKey, BadMethod, BadVersion, NoUpgrade, NotFound};
use actix_http::ConnectionType;
use peerbroker_config::Dialect;
use peerbroker_core::vocabulary::RealmKind;

use super::*;

const GOOD: &str = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8; 28] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request; `headers` has one header per line.
fn request(method: &str, headers: &str) -> RequestHead {
    let mut head = RequestHead::default();
    head.method = method.parse().unwrap();
    for (name, value) in headers.lines().map(|line| line.split_once(": ").unwrap()) {
        let name = HeaderName::try_from(name).unwrap();
        let value = HeaderValue::try_from(value).unwrap();
        head.headers.append(name, value);
    }
    head
}

fn decided(
    method: &str,
    headers: &str,
    route: Route<'_>,
) -> Option<Result<AcceptedHandshake, HandshakeRefusal>> {
    decide(&request(method, headers), route, Dialects::default())
}

fn accepted(
    endpoint: SocketEndpoint,
    protocol: Option<&str>,
) -> Option<Result<AcceptedHandshake, HandshakeRefusal>> {
    Some(Ok(AcceptedHandshake { endpoint, accept: *ACCEPT, protocol: protocol.map(str::to_owned) }))
}

#[test]
fn a_good_handshake_opens_the_websocket_of_its_address_if_a_dialect_is_on() {
    let dialects = |peerjs: bool, rooms: bool, calls: bool| {
        let offered = [(Dialect::PeerJs, peerjs), (Dialect::RoomCodes, rooms), (Dialect::Calls, calls)];
        offered.into_iter().filter_map(|(dialect, is_on)| is_on.then_some(dialect)).collect::<Dialects>()
    };
    let peers = accepted(SocketEndpoint::Of(RealmKind::PeerJs), None);
    let root = accepted(SocketEndpoint::Of(RealmKind::Guests), None);
    let nothing = || Some(Err(NotFound));
    for (route, dialects, decision) in [
        (Route::Socket(Dialect::PeerJs), dialects(true, true, true), peers),
        (
            Route::Socket(Dialect::PeerJs),
            dialects(true, false, false),
            accepted(SocketEndpoint::Of(RealmKind::PeerJs), None),
        ),
        (Route::Socket(Dialect::PeerJs), dialects(false, true, true), nothing()),
        (Route::Root, dialects(true, true, true), root),
        (Route::Root, dialects(false, true, false), accepted(SocketEndpoint::Of(RealmKind::Guests), None)),
        (Route::Root, dialects(false, false, true), accepted(SocketEndpoint::Of(RealmKind::Guests), None)),
        (Route::Root, dialects(true, false, false), nothing()),
        (Route::Id("k"), Dialects::default(), nothing()),
        (Route::Peers("k"), Dialects::default(), nothing()),
        (Route::Members("k", "r"), Dialects::default(), nothing()),
        (Route::Health, Dialects::default(), nothing()),
        (Route::Page(""), Dialects::default(), nothing()),
        (Route::Register, Dialects::default(), nothing()),
        (Route::File("x"), Dialects::default(), nothing()),
        (Route::Outside, Dialects::default(), nothing()),
    ] {
        assert_eq!(decide(&request("GET", GOOD), route, dialects), decision, "{route:?} {dialects:?}");
    }
}

#[test]
fn at_the_root_an_id_and_a_token_are_those_of_peerjs() {
    let all = Dialects::default();
    let without = Dialects::from_iter([Dialect::RoomCodes, Dialect::Calls]);
    let only = Dialects::from_iter([Dialect::PeerJs]);
    let target = "/?key=peerjs&id=alice&token=t&version=1.5.5";
    for (target, dialects, endpoint) in [
        (target, all, SocketEndpoint::CutPath),
        (target, only, SocketEndpoint::CutPath),
        (target, without, SocketEndpoint::PeerJsOff),
        // It is PeerJS that says what is wrong.
        ("/?id=%00&token=t", all, SocketEndpoint::CutPath),
        ("/", all, SocketEndpoint::Of(RealmKind::Guests)),
        ("/?key=peerjs", all, SocketEndpoint::Of(RealmKind::Guests)),
        ("/?id=alice", all, SocketEndpoint::Of(RealmKind::Guests)),
        ("/?token=t", without, SocketEndpoint::Of(RealmKind::Guests)),
    ] {
        let mut head = request("GET", GOOD);
        head.uri = target.parse().unwrap();
        assert_eq!(decide(&head, Route::Root, dialects), accepted(endpoint, None), "{target} {dialects:?}");
    }
}

#[test]
fn the_first_fault_of_a_handshake_is_its_refusal() {
    let without = |name: &str| {
        let lines: Vec<&str> = GOOD.lines().filter(|line| !line.starts_with(name)).collect();
        lines.join("\n")
    };
    let with = |header: &str| {
        let name = header.split_once(':').unwrap().0;
        format!("{}\n{header}", without(name))
    };
    let more = |header: &str| format!("{GOOD}\n{header}");
    let table = [
        ("POST", GOOD.into(), BadMethod),
        ("PUT", GOOD.into(), BadMethod),
        ("HEAD", GOOD.into(), BadMethod),
        ("OPTIONS", GOOD.into(), BadMethod),
        ("CONNECT", GOOD.into(), BadMethod),
        ("POST", "Upgrade: websocket".into(), BadMethod),
        ("GET", without("Connection"), NoUpgrade),
        ("GET", with("Connection: keep-alive"), NoUpgrade),
        ("GET", with("Connection: Upgrade, close"), NoUpgrade),
        ("GET", "Upgrade: websocket".into(), NoUpgrade),
        ("GET", format!("Upgrade: h2c\n{GOOD}"), NoUpgrade),
        ("GET", more("Transfer-Encoding: chunked"), BadBody),
        ("GET", without("Sec-WebSocket-Version"), BadVersion),
        ("GET", with("Sec-WebSocket-Version: 12"), BadVersion),
        ("GET", with("Sec-WebSocket-Version: 013"), BadVersion),
        ("GET", with("Sec-WebSocket-Version: 13, 8"), BadVersion),
        ("GET", with("Sec-WebSocket-Version: x"), BadVersion),
        ("GET", without("Sec-WebSocket-Key"), BadKey),
        ("GET", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), BadKey),
        ("GET", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!="), BadKey),
        ("GET", with("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), BadKey),
        ("GET", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE2aXMxNg=="), BadKey),
    ];
    for (method, headers, refusal) in table {
        for route in [Route::Socket(Dialect::PeerJs), Route::Root] {
            assert_eq!(decided(method, &headers, route), Some(Err(refusal)), "{method} {headers} {route:?}");
        }
        assert_eq!(decided(method, &headers, Route::File("x")), Some(Err(NotFound)), "{method} {headers}");
    }
}

#[test]
fn http_1_0_opens_no_websocket() {
    let mut head = request("GET", GOOD);
    head.version = Version::HTTP_10;
    head.set_connection_type(ConnectionType::Upgrade);
    assert_eq!(decide(&head, Route::Socket(Dialect::PeerJs), Dialects::default()), Some(Err(NoUpgrade)));
}

#[test]
fn headers_are_accepted_in_every_spelling_of_the_rfc() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for headers in [
        "CONNECTION: UPGRADE\nUPGRADE: WebSocket\nsec-websocket-version: 13",
        "Connection: keep-alive, Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13",
        "Connection: keep-alive\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13",
        "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 8",
        "Connection: Upgrade\nUpgrade: websocket\nUpgrade: h2c\nSec-WebSocket-Version: 13",
    ] {
        let headers = format!("{headers}\n{key}");
        assert_eq!(
            decided("GET", &headers, Route::Socket(Dialect::PeerJs)),
            accepted(SocketEndpoint::Of(RealmKind::PeerJs), None),
            "{headers}"
        );
    }
}

#[test]
fn a_request_that_asks_for_no_websocket_is_no_handshake() {
    for (method, headers, route) in [
        ("GET", "", Route::Socket(Dialect::PeerJs)),
        ("GET", "", Route::Root),
        ("POST", "", Route::Socket(Dialect::PeerJs)),
        ("CONNECT", "", Route::Root),
        // Key and version alone are not a handshake.
        (
            "GET",
            "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            Route::Socket(Dialect::PeerJs),
        ),
        // The root also serves a page.
        ("GET", "Connection: Upgrade\nUpgrade: h2c", Route::Root),
        ("GET", "Connection: Upgrade\nUpgrade: h2c", Route::File("x")),
        ("HEAD", "Connection: Upgrade\nUpgrade: h2c", Route::Socket(Dialect::PeerJs)),
        ("POST", "Connection: Upgrade\nUpgrade: h2c", Route::Socket(Dialect::PeerJs)),
    ] {
        assert_eq!(decided(method, headers, route), None, "{method} {headers} {route:?}");
    }
}

#[test]
fn another_upgrade_at_the_address_of_the_websocket_is_refused() {
    for upgrade in ["h2c", "websocket, h2c", "h2c, websocket", "websocket/13", ""] {
        let headers = format!("Connection: Upgrade\nUpgrade: {upgrade}");
        assert_eq!(
            decided("GET", &headers, Route::Socket(Dialect::PeerJs)),
            Some(Err(NoUpgrade)),
            "{upgrade:?}"
        );
    }
}

#[test]
fn the_first_subprotocol_that_is_offered_is_agreed_to() {
    for (offered, agreed) in [
        ("Sec-WebSocket-Protocol: peerjs", Some("peerjs")),
        ("Sec-WebSocket-Protocol: one, two", Some("one")),
        ("Sec-WebSocket-Protocol: , two", Some("two")),
        ("Sec-WebSocket-Protocol: one\nSec-WebSocket-Protocol: two", Some("one")),
        ("Sec-WebSocket-Protocol: ", None),
        ("Sec-WebSocket-Protocol: é", None),
    ] {
        let headers = format!("{GOOD}\n{offered}");
        assert_eq!(
            decided("GET", &headers, Route::Socket(Dialect::PeerJs)),
            accepted(SocketEndpoint::Of(RealmKind::PeerJs), agreed),
            "{offered}"
        );
    }
}

#[test]
fn an_accepted_handshake_is_answered_as_the_rfc_says() {
    let bytes = |protocol| {
        let Some(Ok(accepted)) = accepted(SocketEndpoint::Of(RealmKind::PeerJs), protocol) else {
            unreachable!()
        };
        String::from_utf8(accepted.to_bytes()).unwrap()
    };
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    assert_eq!(bytes(None), format!("{head}\r\n"));
    assert_eq!(bytes(Some("one")), format!("{head}Sec-WebSocket-Protocol: one\r\n\r\n"));
}

#[test]
fn each_refusal_has_the_status_of_its_row_and_only_one_is_worth_another_try() {
    let labels: HashSet<&str> = HandshakeRefusal::ALL.iter().map(|why| why.ending().label).collect();
    assert_eq!(labels.len(), HandshakeRefusal::ALL.len());
    for why in HandshakeRefusal::ALL {
        let row = why.ending();
        assert!(row.label.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{}", row.label);
        assert_eq!(status_of(why).as_u16(), row.status);
        assert!(status_of(why).is_client_error(), "{why:?}");
        assert_eq!(row.retry, status_of(why) == StatusCode::TOO_MANY_REQUESTS, "{why:?}");
        assert!(row.text.is_none_or(|text| text.ends_with('\n')), "{why:?}");
    }
}

#[test]
fn a_refusal_says_how_long_to_wait() {
    let too_many = LimitExceeded {
        limit: peerbroker_core::vocabulary::Limit::OpensPerSecond,
        retry_after: std::time::Duration::from_millis(9500),
    };
    assert_eq!(
        String::from_utf8(RefusedHandshake::too_many(too_many).into_bytes()).unwrap(),
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nAccess-Control-Allow-Origin: *\r\n\
         Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 39\r\nConnection: close\r\n\r\n\
         Too many connections from this address\n"
    );
}
