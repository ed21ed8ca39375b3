//! TURN over real sockets: at its own port, at the relay's, and at the broker's HTTPS port.
//! `crates/relay/src/turn/tests` has its rules.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use peerbroker::{BoundRelay, BoundTurn, Listen, PeerBroker};
use peerbroker_config::{PeerRule, RelayConfig, TurnConfig, TurnSecret, TurnUser};
use peerbroker_core::vocabulary::ApiKey;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use stun_types::attribute::AttributeStaticType as _;
use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteVec};
use turn_types::attribute::XorPeerAddress;

use crate::harness::http_client::{TIMEOUT, connect};
use crate::harness::ops::{with_api_on, with_everything};
use crate::harness::turn_client::{
    Datagrams, Line, SECRET, Stream, TurnClient, USERNAME, allocate_request, in_pieces, tcp,
};
use crate::harness::{RawClient, TestServer};
use crate::tls::{listen as tls_listen, trust};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub fn turn(only_stun: bool, change: impl FnOnce(&mut TurnConfig)) -> BoundTurn {
    let listen = vec![(LOCALHOST, 0).into()];
    let peers = vec![PeerRule { network: LOCALHOST.into(), allows: true }];
    let mut config = TurnConfig { listen, only_stun, peers, ..TurnConfig::default() };
    change(&mut config);
    BoundTurn::bind(config).unwrap()
}

fn with(turn: BoundTurn, relay: Option<BoundRelay>, listen: Listen) -> TestServer {
    let secret = TurnSecret::parse(SECRET).unwrap();
    let builder = PeerBroker::builder().turn(turn);
    let builder = match relay {
        Some(relay) => builder.relay(relay),
        None => builder,
    };
    TestServer::start_built_on(builder, listen, |config| config.ice.turn_secret = Some(secret))
}

fn tls(server: SocketAddr) -> Stream<StreamOwned<ClientConnection, TcpStream>> {
    let session = ClientConnection::new(trust(), "localhost".try_into().unwrap()).unwrap();
    in_pieces(StreamOwned::new(session, connect(server)))
}

/// From the addresses of TURN and of HTTPS to a line.
type Way = fn(SocketAddr, SocketAddr) -> Box<dyn Line>;

/// Both can say something to each other, of each length.
fn talk(one: &mut TurnClient, other: &mut TurnClient) {
    assert!(one.bind(other.relayed) && other.bind(one.relayed));
    for length in [1, 2, 3, 4, 1000, 1199, 1200] {
        one.send(&vec![7; length]);
        assert_eq!(other.receive(), vec![7; length]);
        other.send(&vec![8; length]);
        assert_eq!(one.receive(), vec![8; length]);
    }
}

#[test]
fn clients_meet_over_udp_tcp_tls_and_https() {
    let turn = turn(false, |_| {});
    let at = turn.addresses()[0];
    let server = with(turn, None, tls_listen("ec-pkcs8.key", "ec-chain.pem"));
    let ways: [Way; 4] = [
        |turn, _| Box::new(Datagrams::to(turn)),
        |turn, _| Box::new(tcp(turn)),
        |turn, _| Box::new(tls(turn)),
        |_, https| Box::new(tls(https)),
    ];
    let mut clients: Vec<_> =
        ways.iter().map(|way| TurnClient::allocate_as(USERNAME, way(at, server.address)).unwrap()).collect();
    while let Some(mut one) = clients.pop() {
        for other in &mut clients {
            talk(&mut one, other);
            // A channel of another peer would be in the way.
            one = TurnClient::allocate(Datagrams::to(at));
            *other = TurnClient::allocate(tls(server.address));
        }
    }
    // The port is one of HTTPS still.
    let mut http = RawClient::connect_tls(server.address, "http", trust());
    http.send_raw("GET /peerjs/id HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(http.expect_response().status, 200);
    let urls = server.turn_urls().unwrap();
    assert_eq!(urls.stun, [format!("stun:{at}")]);
    assert_eq!(urls.turn, [format!("turn:{at}?transport=udp"), format!("turn:{at}?transport=tcp")]);
    assert_eq!(urls.tls_port, Some(at.port()));
}

#[test]
fn the_relays_port_takes_turn_as_well() {
    let listen = vec![(LOCALHOST, 0).into()];
    let relay = BoundRelay::bind(RelayConfig {
        listen,
        public: Vec::new(),
        tcp: true,
        tcp_port: Some(0),
        private: true,
    })
    .unwrap();
    let turn = turn(false, |_| {});
    let at_relay = relay.addresses()[0];
    let at_turn = turn.addresses()[0];
    let server = with(turn, Some(relay), Listen::default());
    let mut one = TurnClient::allocate(Datagrams::to(at_relay));
    talk(&mut one, &mut TurnClient::allocate(Datagrams::to(at_turn)));
    // Over TCP, too.
    let mut one = TurnClient::allocate(tcp(at_relay));
    talk(&mut one, &mut TurnClient::allocate(tcp(at_turn)));
    // At the port of the broker, too.
    let mut one = TurnClient::allocate(tcp(server.address));
    talk(&mut one, &mut TurnClient::allocate(tcp(at_turn)));
    // And STUN, as before.
    let mut line = Datagrams::to(at_relay);
    line.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish());
    assert!(Message::from_bytes(&line.receive()).unwrap().is_response());
}

#[test]
fn clients_are_told_this_server_first_and_may_use_it_with_the_credentials_that_they_are_told() {
    let turn = turn(false, |_| {});
    let at = turn.addresses()[0];
    let server = with(turn, None, Listen::default());
    let answer = server.get("/peerjs/ice");
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let [stun, relay] = [0, 1].map(|entry| &told["iceServers"][entry]);
    assert_eq!(stun, &json!({"urls": [format!("stun:{at}")]}));
    assert_eq!(
        relay["urls"],
        json!([format!("turn:{at}?transport=udp"), format!("turn:{at}?transport=tcp")])
    );
    let username = relay["username"].as_str().unwrap();
    assert_eq!(relay["credential"], TurnSecret::parse(SECRET).unwrap().credential(username));
    let [mut one, mut other] =
        [(); 2].map(|()| TurnClient::allocate_as(username, Box::new(Datagrams::to(at))).unwrap());
    talk(&mut one, &mut other);
}

#[test]
fn users_of_other_servers_have_the_root_key_if_it_is_set() {
    let later = 4_102_444_800_u64;
    // As of Synapse, Nextcloud Talk and Jitsi, and one with the time behind it.
    let usernames = [
        format!("{later}:@u:example.org"),
        format!("{later}:x7Gk2"),
        later.to_string(),
        format!("u:{later}"),
    ];
    for (root_key, code) in [(None, Some(401)), (Some("peerjs"), None), (Some("of-turn"), None)] {
        let turn = turn(false, |_| {});
        let at = turn.addresses()[0];
        let builder = PeerBroker::builder().turn(turn);
        let server = TestServer::start_built_on(builder, Listen::default(), |config| {
            config.ice.turn_secret = Some(TurnSecret::parse(SECRET).unwrap());
            config.root_key = root_key.map(|key| ApiKey::parse(key).unwrap());
        });
        for username in &usernames {
            let client = TurnClient::allocate_as(username, Box::new(Datagrams::to(at)));
            assert_eq!(client.err(), code, "{username}, {root_key:?}");
        }
        // The switch of pages is theirs alone.
        server.reconfigure(|config| config.key_settings.ice_servers = false);
        for (username, code) in [(&*usernames[0], code), (USERNAME, Some(401))] {
            let client = TurnClient::allocate_as(username, Box::new(Datagrams::to(at)));
            assert_eq!(client.err(), code, "{username}, {root_key:?}");
        }
    }
}

#[test]
fn a_user_with_a_fixed_password_has_the_root_key_or_that_of_the_server() {
    for root_key in [None, Some("of-turn")] {
        let turn = turn(false, |_| {});
        let at = turn.addresses()[0];
        let (server, api) = with_api_on(PeerBroker::builder().turn(turn), |config| {
            config.ice.turn_users = vec![TurnUser::parse("bob:of:his:own").unwrap()];
            config.root_key = root_key.map(|key| ApiKey::parse(key).unwrap());
        });
        let allocate = |name: &str, password: &str| {
            TurnClient::allocate_by(name, password.to_owned(), Box::new(Datagrams::to(at)))
        };
        for (name, password) in [("bob", "of"), ("bob", ""), ("bobby", "of:his:own")] {
            assert_eq!(allocate(name, password).err(), Some(401), "{name} {password}");
        }
        let _bob = allocate("bob", "of:his:own").unwrap();
        let listed = &api.get("/api/turn/allocations").json["allocations"][0];
        assert_eq!([&listed["username"], &listed["key"]], ["bob", root_key.unwrap_or("peerjs")]);
        server.reconfigure(|config| config.ice.turn_users.clear());
        assert_eq!(allocate("bob", "of:his:own").err(), Some(401), "he is gone");
    }
}

#[test]
fn an_allocation_says_if_its_client_came_over_tls() {
    let (server, api) = with_everything();
    server.reconfigure(|config| config.ice.turn_secret = Some(TurnSecret::parse(SECRET).unwrap()));
    let at = server.turn_urls().unwrap().stun[0].strip_prefix("stun:").unwrap().parse().unwrap();
    let ways: [(Box<dyn Line>, _); 4] = [
        (Box::new(tcp(at)), "tcp"),
        (Box::new(tls(at)), "tls"),
        (Box::new(tls(server.address)), "tls"),
        (Box::new(tcp(server.address)), "tcp"),
    ];
    for (line, transport) in ways {
        let client = TurnClient::allocate_as(USERNAME, line).unwrap();
        let listed = api.get("/api/turn/allocations").json["allocations"].take();
        let own = |of: &&Value| of["relayed"] == client.relayed.to_string();
        assert_eq!(listed.as_array().unwrap().iter().find(own).unwrap()["transport"], transport);
    }
}

#[test]
fn operators_list_allocations_and_end_one() {
    let turn = turn(false, |_| {});
    let at = turn.addresses()[0];
    let (_server, api) = with_api_on(PeerBroker::builder().turn(turn), |config| {
        config.ice.turn_secret = Some(TurnSecret::parse(SECRET).unwrap());
    });
    let mut one = TurnClient::allocate(Datagrams::to(at));
    let mut other = TurnClient::allocate(tcp(at));
    talk(&mut one, &mut other);
    let list = |query: &str| api.get(&format!("/api/turn/allocations{query}")).json;
    for (client, transport) in [(&one, "udp"), (&other, "tcp")] {
        let all = list("?search=127.0.0.1");
        let relayed = client.relayed.to_string();
        let shown =
            all["allocations"].as_array().unwrap().iter().find(|of| of["relayed"] == relayed).unwrap();
        // The lengths of `talk`, each way.
        let expected = json!([USERNAME, "peerjs", transport, 2 * (1 + 2 + 3 + 4 + 1000 + 1199 + 1200)]);
        assert_eq!(json!([shown["username"], shown["key"], shown["transport"], shown["bytes"]]), expected);
    }
    let first = list("?limit=1");
    let second = list(&format!("?limit=1&after={}", first["next"].as_str().unwrap()));
    let mut relayed = [&first, &second].map(|page| page["allocations"][0]["relayed"].clone());
    assert_eq!((&first["next"], &second["next"]), (&relayed[0], &Value::Null));
    relayed.sort_by_key(|relayed| *relayed != one.relayed.to_string());
    assert_eq!(relayed, [&one, &other].map(|client| json!(client.relayed.to_string())));
    assert_eq!(list("?search=nobody")["allocations"], json!([]));

    let end = |relayed: &str| api.delete(&format!("/api/turn/allocations/{relayed}")).status;
    let of_one = one.relayed.to_string();
    assert_eq!([end("x"), end(&of_one), end(&of_one)], [422, 204, 404]);
    assert!(!one.bind(other.relayed), "its allocation is over");
    assert!(other.bind(one.relayed), "the other is there");
    assert_eq!(list("")["allocations"].as_array().unwrap().len(), 1);
}

#[test]
fn a_stun_server_has_no_turn() {
    let turn = turn(true, |_| {});
    let at = turn.addresses()[0];
    let server = with(turn, None, Listen::default());
    assert!(server.turn_urls().unwrap().turn.is_empty());
    let mut line = Datagrams::to(at);
    line.send(&allocate_request());
    line.send(&Message::builder_request(BINDING, MessageWriteVec::new()).finish());
    assert!(Message::from_bytes(&line.receive()).unwrap().has_method(BINDING), "the first is not answered");
    assert!(TcpStream::connect(at).is_err());
}

#[test]
fn real_addresses_reach_peers_outside_and_only_permitted_ones_reach_the_client() {
    let turn = turn(false, |config| config.ports = Some(41_000..=41_999));
    let at = turn.addresses()[0];
    let _server = with(turn, None, Listen::default());
    let mut client = TurnClient::allocate(Datagrams::to(at));
    let [peer, other] = [(); 2].map(|()| UdpSocket::bind((LOCALHOST, 0)).unwrap());
    peer.set_read_timeout(Some(TIMEOUT)).unwrap();
    assert!(client.bind(peer.local_addr().unwrap()));
    client.send(b"question");
    let mut buffer = [0; 100];
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"question"[..], client.relayed));
    // The other peer has the same address, and another port: that is permitted, but has no channel.
    peer.send_to(b"answer", client.relayed).unwrap();
    assert_eq!(client.receive(), b"answer");
    other.send_to(b"from another port", client.relayed).unwrap();
    let data = client.line.receive();
    assert!(Message::from_bytes(&data).unwrap().has_attribute(XorPeerAddress::TYPE));
    assert!(!client.bind(at), "not the server itself");
}

#[test]
fn connections_with_nonsense_end() {
    let turn = turn(false, |_| {});
    let at = turn.addresses()[0];
    let _server = with(turn, None, Listen::default());
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x80; 64],
        &[0, 3, 0xFF, 0xFF, 0x21, 0x12, 0xA4, 0x42],
        &[0x16; 64],
    ] {
        let mut stream = tcp(at).stream;
        stream.write_all(nonsense).unwrap();
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "{nonsense:?}");
    }
    // Others are served.
    talk(&mut TurnClient::allocate(tcp(at)), &mut TurnClient::allocate(tcp(at)));
}
