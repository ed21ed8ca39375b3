//! Programs as peers (`crates/peer`): at a real server, with its keys, rooms and refusals.

use std::future::Future;
use std::time::Duration;

use peerbroker_keys::{Change, Origin};
use peerbroker_peer::{ConnectOptions, Connection, OpenError, Options, Peer, RoomEvent, Value};
use serde_json::json;

use crate::harness::keys::{key, on_own_with_keys};
use crate::harness::{TestServer, on_both, on_own};
use crate::identity::{token, with_tokens};

/// Runs it while the server runs. Every wait in it ends.
fn run<T>(running: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), running).await.expect("an end") })
}

fn url(server: &TestServer) -> String {
    format!("http://{}", server.address)
}

async fn peer(server: &TestServer, id: &str) -> Peer {
    Peer::open(&url(server), Options::with_id(id)).await.expect("a peer")
}

async fn connection(from: &Peer, to: &mut Peer) -> (Connection, Connection) {
    let id = to.id().to_owned();
    let (called, taken) = tokio::join!(from.connect(&id, ConnectOptions::default()), to.incoming());
    (called.expect("a connection"), taken.expect("a peer").expect("a connection"))
}

#[test]
fn programs_talk_over_a_pipe_and_hear_why_they_cannot() {
    on_both(|server| {
        run(async {
            let ada = peer(server, "ada").await;
            let mut bert = peer(server, "bert").await;
            let (called, mut taken) = connection(&ada, &mut bert).await;
            let message: Value = json!({ "text": "ü€😀", "numbers": [1, -1, 0.5], "none": null }).into();
            called.send(message.clone()).await.unwrap();
            assert_eq!(taken.next().await.unwrap(), Some(message));
            // In chunks, and in parts of a pipe.
            let bytes = Value::from(vec![7; 1 << 20]);
            taken.send(bytes.clone()).await.unwrap();
            let (called_sends, mut called_hears) = called.split();
            assert_eq!(called_hears.next().await.unwrap(), Some(bytes));
            called_sends.send("the last").await.unwrap();
            called_sends.close().await.unwrap();
            assert_eq!(taken.next().await.unwrap(), Some("the last".into()));
            assert_eq!(taken.next().await.unwrap(), None);

            let same = Peer::open(&url(server), Options::with_id("ada")).await.err().unwrap();
            assert!(matches!(&same, OpenError::IdTaken(id) if id == "ada"), "{same}");
            let unknown = Options { key: Some("nope".to_owned()), ..Options::default() };
            let unknown = Peer::open(&url(server), unknown).await.err().unwrap().to_string();
            assert!(unknown.contains("Invalid key") && unknown.contains("Give the key"), "{unknown}");
            let elsewhere =
                Peer::open(&format!("{}/other", url(server)), Options::default()).await.err().unwrap();
            assert!(elsewhere.to_string().contains("Wrong path: this broker is at /"), "{elsewhere}");
            let tls =
                Peer::open(&url(server).replace("http", "https"), Options::default()).await.err().unwrap();
            assert!(matches!(tls, OpenError::Dial(_)), "{tls}");
            let other = Peer::open("ftp://broker.test", Options::default()).await.err().unwrap();
            assert!(matches!(other, OpenError::Address(_)), "{other}");
        });
    });
}

#[test]
fn a_key_for_pages_and_one_with_proofs_take_programs_that_have_these() {
    let origins =
        Change { origins: Some(vec![Origin::parse("https://game.example").unwrap()]), ..Change::default() };
    on_own_with_keys(&[key("pages", origins), with_tokens()], |server, _| {
        run(async {
            let open = |id: &str, key: &str, token: Option<String>, origin: Option<&str>| {
                let key = Some(key.to_owned());
                let origin = origin.map(str::to_owned);
                let options = Options { key, token, origin, ..Options::with_id(id) };
                let url = url(server);
                async move { Peer::open(&url, options).await }
            };
            let none = open("a", "pages", None, None).await.err().unwrap().to_string();
            assert!(none.contains("give one of these as the origin"), "{none}");
            let a = open("a", "pages", None, Some("https://game.example")).await.unwrap();
            let mut b = open("b", "pages", None, Some("https://game.example")).await.unwrap();
            connection(&a, &mut b).await;

            let none = open("c", "app", None, None).await.err().unwrap().to_string();
            assert!(none.contains("requires a proof of the id as its token"), "{none}");
            let c = open("c", "app", Some(token("c", 1)), None).await.unwrap();
            let mut d = open("d", "app", Some(token("d", 2)), None).await.unwrap();
            connection(&c, &mut d).await;
        });
    });
}

#[test]
fn programs_meet_in_a_room() {
    on_own(|server| {
        run(async {
            let [ada, bert] = [peer(server, "ada").await, peer(server, "bert").await];
            let mut of_ada = ada.join("lobby", Some(json!({ "name": "Ada" }))).await.unwrap();
            let RoomEvent::Members(members) = of_ada.hear().await.unwrap() else { panic!("a list") };
            assert_eq!(members.len(), 1);
            let mut of_bert = bert.join("lobby", None).await.unwrap();
            let RoomEvent::Members(members) = of_bert.hear().await.unwrap() else { panic!("a list") };
            assert_eq!(members[0].data, Some(json!({ "name": "Ada" })));
            assert!(matches!(of_ada.hear().await.unwrap(), RoomEvent::Joined(member) if member.id == "bert"));
            of_ada.say("hello").await.unwrap();
            of_ada.say_to("bert", json!([1, 2])).await.unwrap();
            let said =
                |payload, is_private| RoomEvent::Message { from: "ada".to_owned(), payload, is_private };
            assert_eq!(of_bert.hear().await.unwrap(), said(json!("hello"), false));
            assert_eq!(of_bert.hear().await.unwrap(), said(json!([1, 2]), true));
            let refused = of_ada.say_to("carl", 1).await.unwrap_err();
            assert_eq!(refused.to_string(), "Nobody in this room has this id (no_such_member)");
            assert!(ada.join("lobby", None).await.is_err(), "twice");
            drop(of_bert);
            assert_eq!(of_ada.hear().await.unwrap(), RoomEvent::Left("bert".to_owned()));
            ada.close().await;
            assert_eq!(of_ada.hear().await, None);
        });
    });
}
