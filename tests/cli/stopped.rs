//! A process that is stopped and goes on, as by `docker pause` or on a machine that is suspended.

use std::thread;
use std::time::Duration;

use testkit::guests::{OFFER, join, offered};
use testkit::messages::{forwarded_offer, offer};
use testkit::wire::opcode;

use crate::program::Program;
use crate::raw_client::RawClient;

/// Longer than all timeouts of these tests.
const STOPPED: Duration = Duration::from_secs(4);

#[test]
fn clients_that_only_answer_pings_stay_if_the_server_was_stopped_for_longer_than_their_timeout() {
    let program = Program::start(&["--alive_timeout", "3000", "--expire_timeout", "3000"]);
    let target = |number| format!("/peerjs?key=peerjs&id=client-{number}&token=t");
    let mut clients: Vec<RawClient> = (0..30).map(|number| program.connect(&target(number))).collect();
    let mut screen = program.connect("/");
    screen.send(r#"{"action":"createRoom"}"#);
    let room = next_text(&mut screen);
    let room = room.split('"').nth(7).expect("a code").to_owned();
    clients[0].send(offer("absent", "1"));
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(next_text(client), r#"{"type":"OPEN"}"#);
        say_to_itself(client, number);
    }
    program.signal("-STOP");
    thread::sleep(STOPPED);
    program.signal("-CONT");
    let mut absent = program.client("absent");
    absent.expect(forwarded_offer("client-0", "absent", "1"));
    for client in &mut clients {
        // Nobody was closed before its ping.
        client.expect_ping();
        client.pong(b"");
    }
    clients.iter_mut().enumerate().for_each(|(number, client)| say_to_itself(client, number));
    screen.expect_ping();
    screen.pong(b"");
    let mut phone = program.connect("/");
    phone.send(join(&room, "anna", OFFER));
    assert_eq!(next_text(&mut screen), offered("anna"));
    program.expect_log("this process did not run for");
}

/// The next text. A busy machine is slow, so pings may come at any time.
fn next_text(client: &mut RawClient) -> String {
    loop {
        let frame = client.next_frame("a text").expect("a connection");
        match frame.opcode() {
            opcode::PING => client.pong(&frame.payload),
            _ => return String::from_utf8(frame.payload).expect("a text"),
        }
    }
}

fn say_to_itself(client: &mut RawClient, number: usize) {
    let id = format!("client-{number}");
    client.send(offer(&id, "2"));
    assert_eq!(next_text(client), forwarded_offer(&id, &id, "2"));
}
