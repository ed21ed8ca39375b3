//! Tests of the peers that clients may reach at relayed addresses with sockets.

use super::world::{World, addr};

/// CVE-2020-26262 of coturn and its pull requests 1945 and 1947: a relay that leads to its own machine, to
/// its network, and to the metadata of its cloud, with IPv4 in IPv6 too.
#[tokio::test]
async fn the_relays_own_machine_and_network_are_no_peers() {
    let world = World::real(40_000..=40_100);
    let client = world.client("192.0.2.1:5000");
    assert_eq!(client.allocate().code(), None);
    for peer in [
        "0.0.0.0",
        "0.0.0.1",
        "127.0.0.1",
        "127.0.1.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:0.0.0.0]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "10.1.2.3",
        "172.16.1.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let peer = addr(&format!("{peer}:53"));
        assert_eq!(client.permit(&[peer]).code(), Some(403), "{peer}");
        assert_eq!(client.bind(0x4000, peer).code(), Some(403), "{peer}");
        // All or nothing.
        assert_eq!(client.permit(&[addr("1.1.1.1:53"), peer]).code(), Some(403), "{peer}");
        client.send(peer, b"x");
    }
    for peer in ["[::]", "[::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00::1]"] {
        assert_eq!(client.permit(&[addr(&format!("{peer}:53"))]).code(), Some(443), "{peer}");
    }
    client.send(addr("1.1.1.1:53"), b"x");
    assert_eq!((world.sent_by_sockets(), world.dropped("permission")), (0, 18));
    assert_eq!(client.permit(&[addr("1.1.1.1:53"), addr("[::ffff:1.0.0.1]:53")]).code(), None);
}

/// Issue 584 of coturn: a filter of the server's own address separated the clients, whose relayed addresses
/// are there.
#[tokio::test]
async fn clients_reach_each_other_and_no_other_port_of_the_server() {
    let world = World::real(40_200..=40_300);
    let a = world.client("192.0.2.1:5000");
    let b = world.client("198.51.100.1:6000");
    let at_a = a.allocate().relayed();
    let at_b = b.allocate().relayed();
    assert!((40_200..=40_300).contains(&at_a.port()));
    a.permit(&[at_b]);
    b.permit(&[at_a]);
    a.send(at_b, b"hello");
    assert_eq!(b.received(), Some((at_a, b"hello".to_vec())));
    for port in [22, 53, 3478, 3479, 40_199] {
        a.send((at_b.ip(), port).into(), b"x");
    }
    assert_eq!(world.dropped("no_route"), 5);
}

#[tokio::test]
async fn a_range_of_ports_that_is_used_up_has_no_more() {
    let world = World::real(40_400..=40_403);
    let codes: Vec<_> =
        (1..=5).map(|port| world.client(&format!("192.0.2.1:{port}")).allocate().code()).collect();
    assert_eq!(codes, [None, None, None, None, Some(508)]);
}
