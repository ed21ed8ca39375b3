//! The broker in somebody's actix-web app, and what hooks are told.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use actix_web::{App, HttpResponse, HttpServer, web};
use peerbroker::wire::CloseReason;
use peerbroker::{Config, Listen, PeerBroker, Server};

use crate::harness::http_client::HttpConnection;
use crate::harness::messages::{message, offer, relayed_offer};
use crate::harness::{RawClient, Told, on_both, wait_until};

/// Serves an app with routes of its own and two brokers, and gives the address to a test.
fn with_app(test: impl FnOnce(std::net::SocketAddr, [&PeerBroker; 2])) {
    let [one, two] = [PeerBroker::new(), PeerBroker::new()];
    let mounts = (one.mount("/one"), two.mount("two/"));
    let (started, address) = mpsc::channel();
    let thread = thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                App::new()
                    .route("/", web::get().to(|| async { "the app" }))
                    .configure(mounts.0.clone())
                    .configure(mounts.1.clone())
                    .route("/onelike", web::get().to(|| async { "also the app" }))
                    .default_service(web::to(|| async { HttpResponse::ImATeapot().finish() }))
            });
            let server = server.workers(2).disable_signals().bind(("127.0.0.1", 0)).unwrap();
            let address = server.addrs()[0];
            let serving = server.run();
            started.send((address, serving.handle())).unwrap();
            serving.await.unwrap();
        });
    });
    let (address, handle) = address.recv().unwrap();
    test(address, [&one, &two]);
    drop(handle.stop(false));
    thread.join().unwrap();
}

fn client(address: std::net::SocketAddr, path: &str, id: &str) -> RawClient {
    let mut client = RawClient::connect(address, id);
    client.ends_its_side = true;
    client.send_raw(RawClient::handshake(&format!("{path}/peerjs?key=peerjs&id={id}&token=t")));
    client.expect_accepted();
    client.expect_open();
    client
}

#[test]
fn an_embedded_broker_leaves_the_rest_of_the_app_alone() {
    with_app(|address, _| {
        let get = |target| HttpConnection::open(address).request("GET", target, "");
        assert_eq!(get("/").text(), "the app");
        assert_eq!(get("/onelike").text(), "also the app");
        assert_eq!(get("/else").status, 418);
        assert_eq!(get("/peerjs/id").status, 418);
        assert_eq!(get("/one/peerjs/id").body.len(), 36);
        assert_eq!(get("/two").status, 200);
        assert_eq!(get("/one/nothing").status, 404);
        assert!(get("/two/nothing").text().contains("path: \"/two/\""));
    });
}

#[test]
fn two_brokers_of_one_app_do_not_know_each_others_peers() {
    with_app(|address, [one, two]| {
        let (mut a, mut b) = (client(address, "/one", "a"), client(address, "/two", "a"));
        a.send(offer("a", "1"));
        a.expect(relayed_offer("a", "a", "1"));
        b.expect_nothing("a");
        assert_eq!((one.broker().peers(), two.broker().peers()), (1, 1));
        drop(a);
        wait_until("one to be empty", || one.broker().peers() == 0);
        b.expect_nothing("a");
    });
}

#[test]
fn all_workers_share_one_broker() {
    with_app(|address, [one, _]| {
        let ids: Vec<String> = (0..16).map(|n| format!("peer-{n}")).collect();
        let mut clients: Vec<_> = ids.iter().map(|id| client(address, "/one", id)).collect();
        assert_eq!(one.broker().peers(), ids.len());
        for (n, from) in ids.iter().enumerate() {
            let to = (n + 1) % ids.len();
            clients[n].send(offer(&ids[to], "1"));
            clients[to].expect(relayed_offer(from, &ids[to], "1"));
        }
    });
}

#[test]
fn hooks_are_told_of_every_connection_and_of_its_end() {
    on_both(|server| {
        let mut first = server.client("a");
        let mut second = server.client("a");
        first.expect_closed_with(Some(4001));
        second.expect_closed_by_us(None);
        wait_until("two ends", || server.told_about("a").len() == 4);
        let told = server.told_about("a");
        for wanted in [
            Told::Connected("a".into()),
            Told::Disconnected("a".into(), CloseReason::Replaced),
            Told::Disconnected("a".into(), CloseReason::Left),
        ] {
            assert!(told.contains(&wanted), "{wanted:?} in {told:?}");
        }
        assert_eq!(told.last(), Some(&Told::Disconnected("a".into(), CloseReason::Left)));
    });
}

#[test]
fn a_hook_sees_each_message_as_it_was_sent() {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let told = Arc::clone(&seen);
    let broker = PeerBroker::builder()
        .config(Config::default())
        .on_message(move |client, message| {
            let (from, kind) = (client.id, message.kind.as_str());
            let text = format!("{} {from} {kind} {} {:?}", client.key, message.dst, message.payload);
            told.lock().unwrap().push(text);
        })
        .build();
    let listen = Listen { host: "127.0.0.1".into(), port: 0, workers: 1, ..Listen::default() };
    let server = Server::bind(&broker, &listen).unwrap();
    let address = server.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = thread::spawn(move || {
        let run = server.run(async { drop(stopped.await) });
        actix_web::rt::System::new().block_on(run)
    });
    let mut a = client(address, "", "a");
    a.send(message("OFFER", "b", "{ \"x\": 1.0 }"));
    a.send(r#"{"type":"LEAVE","dst":"b"}"#);
    a.send(r#"{"type":"HEARTBEAT"}"#);
    a.expect_nothing("a");
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen[..2], [r#"peerjs a OFFER b Some("{ \"x\": 1.0 }")"#, "peerjs a LEAVE b None"]);
    assert_eq!(seen.len(), 3, "and the marker: {seen:?}");
    drop((a, stop));
    thread.join().unwrap().unwrap();
}

#[test]
fn a_path_that_is_no_path_is_refused() {
    let broker = PeerBroker::new();
    assert!(broker.try_mount("/a?b").is_err());
    assert!(broker.try_mount("/a b").is_err());
    assert!(broker.try_mount("//a//b//").is_ok());
}
