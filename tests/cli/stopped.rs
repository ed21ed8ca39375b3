//! A process that is stopped and goes on, as by `docker pause` or on a machine that is suspended.

use std::thread;
use std::time::Duration;

use testkit::guests::{OFFER, join};
use testkit::messages::{forwarded_offer, offer};

use crate::program::Program;
use crate::raw_client::RawClient;

/// Longer than all timeouts of these tests.
const STOPPED: Duration = Duration::from_secs(4);

#[test]
fn clients_that_only_answer_pings_stay_if_the_server_was_stopped_for_longer_than_their_timeout() {
    let program = Program::start(&["--alive_timeout", "3000", "--expire_timeout", "3000"]);
    let mut clients: Vec<RawClient> =
        (0..30).map(|number| program.client(&format!("client-{number}"))).collect();
    let mut screen = program.connect("/");
    let room = screen.create_room();
    clients[0].send(offer("absent", "1"));
    clients[0].expect_nothing("client-0");
    program.signal("-STOP");
    thread::sleep(STOPPED);
    program.signal("-CONT");
    let mut absent = program.client("absent");
    absent.expect(forwarded_offer("client-0", "absent", "1"));
    for (number, client) in clients.iter_mut().enumerate() {
        // Nobody was closed before its ping.
        client.expect_ping();
        client.pong(b"");
        client.send(offer(&format!("client-{number}"), "2"));
    }
    for client in &mut clients {
        while client.next_frame("its own message").expect("a connection").payload.is_empty() {
            client.pong(b"");
        }
    }
    screen.expect_ping();
    screen.pong(b"");
    let mut phone = program.connect("/");
    phone.send(join(&room, "anna", OFFER));
    while screen.next_frame("the offer").expect("a connection").payload.is_empty() {
        screen.pong(b"");
    }
    program.expect_log("this process did not run for");
}
