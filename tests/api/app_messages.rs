//! Messages of clients to the app's server: a webhook, or a hook of an embedding program.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerbroker::{Config, PeerBroker};
use peerbroker_core::vocabulary::{AppRefusal, Limit};
use peerbroker_keys::{Change, Webhook};
use serde_json::{Value, json};

use crate::harness::keys::{key, on_own_with_keys_and, plain_key};
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::receiver::{Receiver, Says, ok};
use crate::harness::{RawClient, TestServer, Transport, token_of};

/// The time limit for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Receiver {
    /// An endpoint that takes messages, and answers with their payloads.
    fn of_messages() -> Self {
        let receiver = Receiver::start();
        receiver.says(Says::Echo);
        receiver
    }

    fn for_messages(&self) -> Webhook {
        Webhook { messages: true, ..self.webhook() }
    }

    /// The next message of a client: its id and its payload.
    fn next_message(&self) -> (String, Value) {
        loop {
            let event = self.next().event;
            if event["type"] == "peer.message" {
                return (event["data"]["id"].as_str().unwrap().to_owned(), event["data"]["payload"].clone());
            }
        }
    }

    fn has_no_message(&self) -> bool {
        self.all().iter().all(|told| told.event["type"] != "peer.message")
    }
}

fn server_for(receiver: &Receiver) -> TestServer {
    TestServer::start(Transport::Own, |config| send_to(config, receiver))
}

fn send_to(config: &mut Config, receiver: &Receiver) {
    // Messages are no events, so a list of events does not matter to them.
    config.webhooks.operator = receiver.for_messages();
    config.webhooks.events = Vec::new();
}

fn ask(client: &mut RawClient, number: usize) {
    client.send(format!(r#"{{"type":"SERVER-MESSAGE","payload":{number},"request":{number}}}"#));
}

fn answered(number: usize) -> String {
    format!(r#"{{"type":"SERVER-MESSAGE","request":{number},"payload":{number}}}"#)
}

fn refused(request: Option<&str>, refusal: AppRefusal) -> String {
    let label = refusal.ending().label;
    let text = refusal.ending().text;
    let request = request.map(|request| format!(r#","request":{request}"#)).unwrap_or_default();
    format!(r#"{{"type":"SERVER-REFUSED"{request},"payload":{{"type":"{label}","msg":"{text}"}}}}"#)
}

fn refused_number(number: usize, refusal: AppRefusal) -> String {
    refused(Some(&number.to_string()), refusal)
}

fn limit_hits(server: &TestServer) -> u64 {
    let hits =
        server.node().counters().hits_by_limit().find(|(label, _)| *label == Limit::AppMessages.row().label);
    hits.unwrap().1
}

#[test]
fn the_app_gets_the_message_as_it_was_written_and_its_answer_goes_back() {
    let receiver = Receiver::start();
    let server = server_for(&receiver);
    let mut a = server.client("a");
    let mut b = server.client("b");
    let odd = r#"{ "n": 12345678901234567890, "n": [ ] }"#;
    receiver.says(Says::Body(odd.into()));
    a.send(format!(r#"{{"request":"\u0031","t\u0079pe":"SERVER-MESSAGE","dst":"b","payload":{odd}}}"#));
    a.expect(format!(r#"{{"type":"SERVER-MESSAGE","request":"\u0031","payload":{odd}}}"#));
    let told = receiver.next();
    let connection = &told.event["data"]["connection"];
    let expected = json!({
        "key": "peerjs", "realm": "peerjs", "id": "a", "connection": connection, "request": "1",
        "payload": serde_json::from_str::<Value>(odd).unwrap()
    });
    assert_eq!((&told.event["type"], &told.event["data"]), (&json!("peer.message"), &expected));
    assert!(told.text.contains(odd) && told.text.contains(r#""\u0031""#), "{}", told.text);

    // Without a payload, an answer, or a request.
    receiver.says(ok());
    a.send(r#"{"type":"SERVER-MESSAGE","request":-1.50}"#);
    a.expect(r#"{"type":"SERVER-MESSAGE","request":-1.50}"#);
    let told = receiver.next();
    assert!(told.event["data"].get("payload").is_none(), "{}", told.text);
    receiver.says(Says::Body(b"this is not JSON".to_vec()));
    a.send(r#"{"type":"SERVER-MESSAGE","payload":"no request"}"#);
    assert_eq!(receiver.next_message(), ("a".to_owned(), json!("no request")));
    a.expect_nothing("a");
    b.expect_nothing("b");
}

#[test]
fn messages_are_off_by_default_and_a_key_has_an_endpoint_of_its_own() {
    let operator = Receiver::of_messages();
    let owner = Receiver::of_messages();
    let to = |webhook| key("game", Change { webhook: Some(webhook), ..Change::default() });
    let configure = |config: &mut Config| {
        config.webhooks.operator = operator.webhook();
        config.webhooks.private = true;
    };
    on_own_with_keys_and(configure, &[to(owner.for_messages()), plain_key("other")], |server, keys| {
        let mut a = server.client_of("game", "a");
        let mut other = server.client_of("other", "a");
        ask(&mut other, 1);
        other.expect(refused_number(1, AppRefusal::Off));
        ask(&mut a, 1);
        a.expect(answered(1));
        assert_eq!(owner.next_message(), ("a".to_owned(), json!(1)));

        server.reconfigure(|config| config.webhooks.operator = operator.for_messages());
        ask(&mut other, 2);
        other.expect(answered(2));
        ask(&mut a, 2);
        a.expect(answered(2));
        assert_eq!(owner.next_message(), ("a".to_owned(), json!(2)));
        // The operator takes the messages of keys that do not.
        keys.change("game", Change { webhook: Some(owner.webhook()), ..Change::default() });
        ask(&mut a, 3);
        a.expect(answered(3));
        let all = [operator.next_message(), operator.next_message()];
        assert_eq!(all, [2, 3].map(|number| ("a".to_owned(), json!(number))));
        assert!(owner.has_no_message());
    });
}

#[test]
fn the_messages_of_a_client_keep_their_order_and_nobody_else_waits_for_them() {
    let receiver = Receiver::of_messages();
    receiver.says(Says::Nothing);
    let server = server_for(&receiver);
    let mut a = server.client("a");
    let mut b = server.client("b");
    (0..16).for_each(|number| ask(&mut a, number));
    assert_eq!(receiver.next_message(), ("a".to_owned(), json!(0)));
    ask(&mut b, 99);
    assert_eq!(receiver.next_message(), ("b".to_owned(), json!(99)));
    a.send(offer("b", "1"));
    b.expect(forwarded_offer("a", "b", "1"));
    b.send(offer("a", "1"));
    a.expect(forwarded_offer("b", "a", "1"));
    assert!(receiver.has_no_message());

    receiver.says(Says::Echo);
    (0..16).for_each(|number| a.expect(answered(number)));
    (1..16).for_each(|number| assert_eq!(receiver.next_message(), ("a".to_owned(), json!(number))));
    b.expect(answered(99));
}

#[test]
fn a_message_that_is_too_long_or_has_an_odd_request_is_refused() {
    let receiver = Receiver::of_messages();
    let server = server_for(&receiver);
    let mut a = server.client("a");
    let of_bytes = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    a.send(format!(r#"{{"type":"SERVER-MESSAGE","payload":{},"request":1}}"#, of_bytes((64 << 10) + 1)));
    a.expect(refused_number(1, AppRefusal::TooLong));
    a.send(format!(r#"{{"type":"SERVER-MESSAGE","payload":{}}}"#, of_bytes(64 << 10)));
    assert_eq!(receiver.next_message().0, "a");
    for odd in ["null", "[1]", "{}", "true", &of_bytes(65)] {
        a.send(format!(r#"{{"type":"SERVER-MESSAGE","payload":1,"request":{odd}}}"#));
        a.expect(refused(None, AppRefusal::InvalidRequest));
    }
    let longest = of_bytes(64);
    a.send(format!(r#"{{"type":"SERVER-MESSAGE","payload":1,"request":{longest}}}"#));
    a.expect(format!(r#"{{"type":"SERVER-MESSAGE","request":{longest},"payload":1}}"#));
    assert_eq!(limit_hits(&server), 0);
}

#[test]
fn messages_that_wait_are_bounded_for_a_client_a_key_and_all() {
    let receiver = Receiver::start();
    receiver.says(Says::Nothing);
    let all: Vec<_> = (0..9).map(|number| plain_key(&format!("key-{number}"))).collect();
    on_own_with_keys_and(
        |config| send_to(config, &receiver),
        &all,
        |server, _| {
            let mut clients = Vec::new();
            for key in &all[..8] {
                for id in ["a", "b", "c", "d"] {
                    let mut client = server.client_of(key.key.as_str(), id);
                    (0..17).for_each(|number| ask(&mut client, number));
                    client.expect(refused_number(16, AppRefusal::TooMany));
                    clients.push(client);
                }
            }
            // A client or a key with fewer messages takes the place of another one's latest.
            let keys = all.iter().map(|key| key.key.as_str());
            let mut newcomers: Vec<_> = keys.map(|key| server.client_of(key, "newcomer")).collect();
            for newcomer in &mut newcomers {
                ask(newcomer, 1);
                newcomer.expect_nothing("newcomer");
            }
            assert_eq!(limit_hits(server), 8 * 4 + 9);

            // All wait no longer than the first, and then there is room.
            server.advance(TIMEOUT);
            newcomers
                .iter_mut()
                .for_each(|newcomer| newcomer.expect(refused_number(1, AppRefusal::NoAnswer)));
            let mut given_up = 0;
            for client in &mut clients {
                let mut answers: Vec<String> = (0..16).map(|_| client.expect_text()).collect();
                answers.sort_by_key(|answer| answer.contains(AppRefusal::TooMany.ending().label));
                for (number, answer) in answers.into_iter().enumerate() {
                    let has_waited = answer == refused_number(number, AppRefusal::NoAnswer);
                    assert!(has_waited || answer == refused_number(number, AppRefusal::TooMany), "{answer}");
                    given_up += usize::from(!has_waited);
                }
            }
            assert_eq!(given_up, 9);
            receiver.says(Says::Echo);
            for client in clients.iter_mut().chain(&mut newcomers) {
                ask(client, 20);
                client.expect(answered(20));
            }
        },
    );
}

#[test]
fn an_address_leaves_half_of_the_places_of_a_key_to_others() {
    let receiver = Receiver::start();
    receiver.says(Says::Nothing);
    let server = TestServer::start(Transport::Own, |config| {
        send_to(config, &receiver);
        config.proxied = true;
    });
    let clients = |address: &str, count: usize| {
        let opens = |n: usize| {
            let id = format!("{address} {n}");
            let headers = format!("X-Forwarded-For: {address}\r\n");
            let mut client = server.begin_with(&server.target(&id, &token_of(&id)), &headers);
            client.expect_accepted();
            client.expect_open();
            (client, id)
        };
        (0..count).map(opens).collect::<Vec<_>>()
    };
    // All are here before the first one asks: its place is free again after a while.
    let mut crowd = clients("192.0.2.1", 33);
    let mut others = clients("192.0.2.2", 32);
    let (mut last, _) = crowd.pop().unwrap();
    let all_wait = |clients: &mut [(RawClient, String)]| {
        for (n, (client, _)) in clients.iter_mut().enumerate() {
            ask(client, n);
        }
        // Only then are all read: each is on one of several threads.
        for (client, id) in clients {
            client.expect_nothing(id);
        }
    };
    all_wait(&mut crowd);
    ask(&mut last, 32);
    last.expect(refused_number(32, AppRefusal::TooMany));
    all_wait(&mut others);
    assert_eq!(limit_hits(&server), 1);
}

#[test]
fn an_endpoint_that_fails_or_answers_garbage_gives_no_answer_and_the_next_message_goes_on() {
    let receiver = Receiver::start();
    let server = server_for(&receiver);
    let mut a = server.client("a");
    let elsewhere = Receiver::of_messages();
    let redirect = format!("location: http://{}/\r\n", elsewhere.address);
    let too_long = format!("\"{}\"", "x".repeat(16 << 10)).into_bytes();
    let bad = [
        Says::Answer("500 Internal Server Error", String::new()),
        Says::Answer("410 Gone", String::new()),
        Says::Answer("307 Temporary Redirect", redirect),
        Says::Body(b"ok".to_vec()),
        Says::Body(b"1 2".to_vec()),
        Says::Body(b"{\"a\":".to_vec()),
        Says::Body(b"\"\xFF\"".to_vec()),
        Says::Body(br#"{"connectionId":"dc_1"}"#.to_vec()),
        Says::Body(too_long),
        Says::Body(vec![b'1'; 10 << 20]),
    ];
    for (number, says) in bad.into_iter().enumerate() {
        receiver.says(says);
        ask(&mut a, number);
        a.expect(refused_number(number, AppRefusal::NoAnswer));
    }
    receiver.says(Says::Answer("503 Service Unavailable", String::new()));
    a.send(r#"{"type":"SERVER-MESSAGE","payload":1}"#);
    a.expect(refused(None, AppRefusal::NoAnswer));

    receiver.says(Says::Echo);
    ask(&mut a, 100);
    a.expect(answered(100));
    assert!(elsewhere.has_no_message());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    server.reconfigure(|config| config.webhooks.operator.url = format!("http://{gone}/"));
    ask(&mut a, 101);
    a.expect(refused_number(101, AppRefusal::NoAnswer));
}

#[test]
fn an_endpoint_of_a_key_with_a_private_address_gets_no_message() {
    let receiver = Receiver::of_messages();
    let game = key("game", Change { webhook: Some(receiver.for_messages()), ..Change::default() });
    on_own_with_keys_and(
        |_| {},
        &[game],
        |server, _| {
            let mut a = server.client_of("game", "a");
            ask(&mut a, 1);
            a.expect(refused_number(1, AppRefusal::NoAnswer));
            assert!(receiver.has_no_message());
        },
    );
}

#[test]
fn a_waiting_message_does_not_go_to_an_endpoint_that_takes_none_any_more() {
    let receiver = Receiver::start();
    receiver.says(Says::Nothing);
    let server = server_for(&receiver);
    let mut a = server.client("a");
    (1..3).for_each(|number| ask(&mut a, number));
    assert_eq!(receiver.next_message(), ("a".to_owned(), json!(1)));
    server.reconfigure(|config| config.webhooks.operator.messages = false);
    receiver.says(Says::Echo);
    a.expect(answered(1));
    a.expect(refused_number(2, AppRefusal::NoAnswer));
    ask(&mut a, 3);
    a.expect(refused_number(3, AppRefusal::Off));
    assert!(receiver.has_no_message());
}

#[test]
fn a_key_that_is_revoked_meanwhile_ends_its_clients_and_leaves_no_trace() {
    let receiver = Receiver::start();
    receiver.says(Says::Nothing);
    on_own_with_keys_and(
        |config| send_to(config, &receiver),
        &[plain_key("game")],
        |server, keys| {
            let mut a = server.client_of("game", "a");
            (0..15).for_each(|number| ask(&mut a, number));
            assert_eq!(receiver.next_message(), ("a".to_owned(), json!(0)));
            keys.remove("game");
            a.expect_closed_with(Some(4004));
            receiver.says(Says::Echo);
            keys.add(plain_key("game"));
            // Its turn comes after those of the client before.
            let mut again = server.client_of("game", "a");
            ask(&mut again, 20);
            again.expect(answered(20));
        },
    );
}

#[test]
fn a_client_that_has_gone_has_sent_its_messages_and_another_one_with_its_id_gets_no_answer() {
    let receiver = Receiver::start();
    receiver.says(Says::Nothing);
    let server = server_for(&receiver);
    let mut a = server.client("a");
    (1..4).for_each(|number| ask(&mut a, number));
    a.expect_nothing("a");
    assert_eq!(receiver.next_message(), ("a".to_owned(), json!(1)));
    a.reset();
    server.wait_until_gone("a");
    let mut stranger = server.client_with_token("a", "another");
    receiver.says(Says::Echo);
    ask(&mut stranger, 4);
    stranger.expect(answered(4));
    (2..5).for_each(|number| assert_eq!(receiver.next_message(), ("a".to_owned(), json!(number))));
    stranger.expect_nothing("a");
}

#[test]
fn a_client_of_an_http_stream_sends_to_the_app_too() {
    let receiver = Receiver::of_messages();
    let server = server_for(&receiver);
    let mut stream = server.stream("a");
    let sent = server.post("a", "offer", r#"{"type":"SERVER-MESSAGE","payload":1,"request":1}"#);
    assert_eq!(sent.status, 200);
    stream.expect(answered(1));
}

/// A server whose hook answers with the id and the payload, or panics.
fn embedded(heard: &Arc<Mutex<Vec<String>>>, receiver: &Receiver) -> TestServer {
    let heard = Arc::clone(heard);
    let builder = PeerBroker::builder().on_app_message(move |message| {
        let heard = Arc::clone(&heard);
        async move {
            assert_ne!(message.payload.as_deref(), Some("\"panic\""));
            heard.lock().unwrap().push(format!(
                "{} {} {:?}",
                message.key.as_str(),
                message.id.as_str(),
                message.request
            ));
            tokio::task::yield_now().await;
            message.payload.filter(|payload| payload != "null")
        }
    });
    TestServer::start_built(builder, |config| send_to(config, receiver))
}

#[test]
fn a_hook_of_an_embedding_program_gets_the_messages_instead_of_webhooks_and_may_answer() {
    let receiver = Receiver::of_messages();
    let heard = Arc::default();
    let server = embedded(&heard, &receiver);
    let mut a = server.client("a");
    (0..10).for_each(|number| ask(&mut a, number));
    (0..10).for_each(|number| a.expect(answered(number)));
    a.send(r#"{"type":"SERVER-MESSAGE","payload":1}"#);
    a.send(r#"{"type":"SERVER-MESSAGE","payload":null,"request":"x"}"#);
    a.expect(r#"{"type":"SERVER-MESSAGE","request":"x"}"#);
    for _ in 0..2 {
        a.send(r#"{"type":"SERVER-MESSAGE","payload":"panic","request":1}"#);
        a.expect(refused_number(1, AppRefusal::NoAnswer));
    }
    ask(&mut a, 11);
    a.expect(answered(11));
    let heard = heard.lock().unwrap();
    assert_eq!((&*heard[0], &*heard[10]), ("peerjs a Some(\"0\")", "peerjs a None"));
    assert_eq!(heard.len(), 13);
    assert!(receiver.has_no_message());
}
