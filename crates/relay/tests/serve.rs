//! The relay serves without a broker: its example is a TURN server for who knows the secret.

#[path = "../examples/serve.rs"]
mod example;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use testkit::turn_client::{Datagrams, TurnClient};

#[test]
fn clients_that_know_the_secret_reach_each_other() {
    let turn = example::serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "the secret").expect("a free port");
    let at = turn.addresses()[0];
    let client =
        |secret| TurnClient::allocate_with(secret, "4102444800:anybody", Box::new(Datagrams::to(at)));
    assert_eq!(client("another one").err(), Some(401));
    let [mut one, mut other] =
        [client("the secret"), client("the secret")].map(|one| one.expect("an allocation"));
    assert!(one.bind(other.relayed) && other.bind(one.relayed));
    one.send(b"hello");
    assert_eq!(other.receive(), b"hello");
    // Without an allocation, it is a STUN server.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    binding.extend([7; 12]);
    socket.send_to(&binding, at).expect("a datagram");
    let mut answer = [0; 128];
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a bound");
    let (length, _) = socket.recv_from(&mut answer).expect("an answer");
    assert!(length > 20 && answer[..2] == [1, 1]);
}
