//! The broker in an actix-web app, and the calls of hooks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use peerbroker::{Config, Listen, LogControl, PeerBroker, Server};
use peerbroker_config::ListenOps;
use peerbroker_core::vocabulary::{CloseReason, PeerId, Refusal};
use peerbroker_events::{Event, Notice, ReportedKind};
use serde_json::json;

use crate::harness::api::Api;
use crate::harness::http_client::{HttpConnection, TIMEOUT};
use crate::harness::messages::{expired, forwarded_offer, message, offer};
use crate::harness::wire::opcode;
use crate::harness::{RawClient, Told, on_both, wait_until};

/// Serves an app with its own routes and two brokers, and passes the address to a test.
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
        let mut a = client(address, "/one", "a");
        let mut b = client(address, "/two", "a");
        a.send(offer("a", "1"));
        a.expect(forwarded_offer("a", "a", "1"));
        b.expect_nothing("a");
        assert_eq!((one.node().peers(), two.node().peers()), (1, 1));
        drop(a);
        wait_until("one to be empty", || one.node().peers() == 0);
        b.expect_nothing("a");
    });
}

#[test]
fn all_workers_share_one_broker() {
    with_app(|address, [one, _]| {
        let ids: Vec<String> = (0..16).map(|n| format!("peer-{n}")).collect();
        let mut clients: Vec<_> = ids.iter().map(|id| client(address, "/one", id)).collect();
        assert_eq!(one.node().peers(), ids.len());
        for (n, from) in ids.iter().enumerate() {
            let to = (n + 1) % ids.len();
            clients[n].send(offer(&ids[to], "1"));
            clients[to].expect(forwarded_offer(from, &ids[to], "1"));
        }
    });
}

#[test]
fn events_tell_of_every_connection_and_of_its_end() {
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
fn any_number_of_hooks_hear_of_a_client_and_one_that_waits_delays_nobody() {
    let told = Arc::<Mutex<Vec<String>>>::default();
    let hook = |name: &'static str| {
        let told = Arc::clone(&told);
        move |what: String| told.lock().unwrap().push(format!("{name}: {what}"))
    };
    let one = hook("one");
    let other = hook("other");
    let ends = hook("ends");
    let joins = hook("joins");
    let leaves = hook("leaves");
    let (release, released) = std::sync::mpsc::channel::<()>();
    let broker = PeerBroker::builder()
        .on_connect(move |client| one(format!("{} {}", client.key, client.id.as_str())))
        .on_connect(move |client| other(format!("{} {}", client.key, client.id.as_str())))
        .on_event(move |_| assert!(released.recv().is_err()))
        .on_disconnect(move |client, why| ends(format!("{} {why:?}", client.id.as_str())))
        .on_room_joined(move |client, room| joins(format!("{} {}", client.id.as_str(), room)))
        .on_room_left(move |client, room| leaves(format!("{} {} {}", client.key, client.id.as_str(), room)))
        .build();
    let (address, stop) = serve(&broker);
    let mut a = client(address, "", "a");
    a.send(r#"{"type":"ROOM-JOIN","room":"lobby"}"#);
    a.send(r#"{"type":"ROOM-LEAVE","room":"lobby"}"#);
    a.expect(r#"{"type":"ROOM-MEMBERS","room":"lobby","members":[{"id":"a"}]}"#);
    drop(a);
    let told = || {
        let mut told = told.lock().unwrap().clone();
        told.sort();
        told
    };
    wait_until("the hooks", || told().len() == 5);
    let all =
        ["ends: a Left", "joins: a lobby", "leaves: peerjs a lobby", "one: peerjs a", "other: peerjs a"];
    assert_eq!(told(), all);
    drop(release);
    stop();
}

#[test]
fn an_event_tells_what_a_client_was_and_did() {
    let broker = PeerBroker::new();
    let mut events = broker.events().subscribe();
    let (address, stop) = serve(&broker);
    let mut a = client(address, "", "a");
    a.send(message("OFFER", "b", "{}"));
    a.send(r#"{"type":"HEARTBEAT"}"#);
    a.expect_nothing("a");
    drop(a);
    let _refused = begin(address, "/peerjs?key=wrong&id=c&token=t");
    let mut seen = Vec::new();
    wait_until("four events", || {
        seen.extend(std::iter::from_fn(|| events.try_next()).filter_map(|notice| match notice {
            Notice::Event(event) => Some(event),
            Notice::Missed(_) => None,
        }));
        seen.iter().filter(|event| !matches!(***event, Event::Started { .. })).count() == 4
    });
    let wanted = seen.iter().find_map(|event| match &**event {
        Event::PeerWanted { peer, from, kind } => Some((peer.id.as_str(), from.as_str(), *kind)),
        _ => None,
    });
    assert_eq!(wanted, Some(("b", "a", ReportedKind::Data)));
    let connected = seen.iter().find_map(|event| match &**event {
        Event::PeerConnected(connected) => Some(connected),
        _ => None,
    });
    let gone = seen.iter().find_map(|event| match &**event {
        Event::PeerDisconnected(disconnected) => Some(disconnected),
        _ => None,
    });
    let refused = seen.iter().find_map(|event| match &**event {
        Event::Refused(refused) => Some(refused),
        _ => None,
    });
    let connected = connected.unwrap();
    let gone = gone.unwrap();
    let refused = refused.unwrap();
    assert_eq!((connected.peer.id.as_str(), connected.address), ("a", Some(address.ip())));
    assert_eq!((&gone.peer, gone.connection), (&connected.peer, connected.connection));
    // The third message is the marker: everything before it has been handled.
    assert_eq!((gone.reason, gone.messages), (CloseReason::Left, 3));
    assert!(gone.bytes > 50);
    assert_eq!(refused.reason, Refusal::InvalidKey);
    assert_eq!(refused.key.as_ref().map(|key| key.as_str()), Some("wrong"));
    assert_eq!(refused.id.as_ref().map(|id| id.as_str()), Some("c"));
    stop();
}

fn lower_the_limit(broker: &PeerBroker) {
    use peerbroker::Config;

    let mut config = Config::clone(&broker.config());
    config.key_settings.concurrent_limit = 10;
    config.pages = false;
    broker.reconfigure(config).unwrap();
}

#[test]
fn a_limit_that_is_changed_while_clients_are_connected_counts_at_once() {
    let broker = PeerBroker::new();
    let (address, stop) = serve(&broker);
    let _clients: Vec<_> = (0..10).map(|n| client(address, "", &format!("peer-{n}"))).collect();
    lower_the_limit(&broker);
    let mut b = begin(address, "/peerjs?key=peerjs&id=b&token=t");
    b.expect_accepted();
    b.expect(r#"{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}"#);
    assert_eq!((broker.node().peers(), broker.config().pages), (10, false));
    stop();
}

#[test]
fn time_passes_when_a_test_says_so() {
    use peerbroker::PeerBroker;
    use peerbroker_core::clock::Clock;

    let clock = Clock::manual();
    let broker = PeerBroker::builder().clock(clock.clone()).build();
    let (address, stop) = serve(&broker);
    let mut a = client(address, "", "a");
    a.send(offer("b", "1"));
    a.expect_nothing("a");
    clock.advance(Duration::from_secs(6));
    broker.node().sweep();
    a.expect(expired("b", "a"));
    drop(a);
    stop();
}

/// A client that has sent its handshake.
fn begin(address: SocketAddr, target: &str) -> RawClient {
    let mut client = RawClient::connect(address, target);
    client.send_raw(RawClient::handshake(target));
    client
}

/// Serves a broker on a free port until the second value is called.
fn serve(broker: &PeerBroker) -> (SocketAddr, impl FnOnce() + use<>) {
    let listen = Listen { host: "127.0.0.1".into(), port: 0, workers: 1, ..Listen::default() };
    let (address, _, end) = serve_on(broker, &listen);
    (address, || end().unwrap())
}

/// Serves a broker until the last value is called, which gives how it ended. The second one is the address of
/// the API.
fn serve_on(
    broker: &PeerBroker,
    listen: &Listen,
) -> (SocketAddr, Option<SocketAddr>, impl FnOnce() -> std::io::Result<()> + use<>) {
    let server = Server::bind(broker, listen).unwrap();
    let address = server.address();
    let api = server.ops_address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = thread::spawn(move || {
        let run = server.run(async { drop(stopped.await) });
        actix_web::rt::System::new().block_on(run)
    });
    let end = move || {
        drop(stop);
        thread.join().unwrap()
    };
    (address, api, end)
}

/// A log whose filter can be changed, but not back.
struct Irrevocable(mpsc::Sender<()>);

impl LogControl for Irrevocable {
    fn configured(&self) -> String {
        "info".to_owned()
    }

    fn set_temporary(&self, filter: Option<&str>) -> Result<(), String> {
        if filter.is_none() {
            self.0.send(()).unwrap();
            panic!("the filter cannot be changed back");
        }
        Ok(())
    }
}

#[test]
fn a_hook_that_panics_in_the_sweep_ends_neither_expiry_nor_pings() {
    let mut config = Config::default();
    config.limits.expire_timeout = Duration::from_millis(200);
    config.limits.alive_timeout = Duration::from_secs(3);
    let (called, panicked) = mpsc::channel();
    let broker = PeerBroker::builder().config(config).log(Arc::new(Irrevocable(called))).build();
    let ops = ListenOps::default();
    let listen =
        Listen { host: "127.0.0.1".into(), port: 0, workers: 1, ops: Some(ops), ..Listen::default() };
    let (address, api, end) = serve_on(&broker, &listen);
    let api = Api { address: api.unwrap(), headers: String::new() };
    let until_soon = json!({"filter": "debug", "seconds": 1});
    assert_eq!(api.call("PUT", "/api/log", Some(&until_soon)).status, 200);
    panicked.recv_timeout(TIMEOUT).expect("the filter ends");
    let mut a = client(address, "", "a");
    a.send(offer("nobody", "1"));
    let mut has_expired = false;
    let mut is_pinged = false;
    while !(has_expired && is_pinged) {
        let frame = a.next_frame("an EXPIRE and a ping").expect("an EXPIRE and a ping");
        has_expired |= frame.payload == expired("nobody", "a").as_bytes();
        is_pinged |= frame.opcode() == opcode::PING;
    }
    assert_eq!(api.get("/readyz").json, json!({"ready": true, "reasons": []}));
    drop(a);
    end().unwrap();
}

#[test]
fn a_hook_that_panics_is_called_for_the_next_event() {
    let (called, seen) = mpsc::channel();
    let broker = PeerBroker::builder()
        .on_connect(move |client| {
            called.send(client.id.as_str().to_owned()).unwrap();
            assert!(client.id.as_str() != "a", "a hook has panicked");
        })
        .build();
    let (address, end) = serve(&broker);
    let clients = ["a", "b"].map(|id| client(address, "", id));
    let ids = [(); 2].map(|()| seen.recv_timeout(TIMEOUT).expect("a call"));
    assert_eq!(ids, ["a", "b"]);
    drop(clients);
    end();
}

#[test]
fn a_thread_that_panics_again_and_again_ends_the_server_with_its_reason() {
    let broker = PeerBroker::new();
    let listen = Listen { host: "127.0.0.1".into(), port: 0, workers: 1, ..Listen::default() };
    let (_, _, end) = serve_on(&broker, &listen);
    broker.keep_thread("work", || panic!("no work")).unwrap();
    let why = "the thread work has panicked: no work, 6 times within 10 minutes";
    let failed = actix_web::rt::System::new().block_on(broker.failed());
    assert_eq!(failed, why);
    assert_eq!(end().unwrap_err().to_string(), why);
}

#[test]
fn a_hook_sees_each_message_as_it_was_sent() {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let told = Arc::clone(&seen);
    let broker = PeerBroker::builder()
        .config(Config::default())
        .on_message(move |client, message| {
            let from = client.id.as_str();
            let kind = message.kind.as_str();
            let text = format!("{} {from} {kind} {} {:?}", client.key, message.dst, message.payload);
            told.lock().unwrap().push(text);
        })
        .build();
    let (address, stop) = serve(&broker);
    let mut a = client(address, "", "a");
    a.send(message("OFFER", "b", "{ \"x\": 1.0 }"));
    a.send(r#"{"type":"LEAVE","dst":"b"}"#);
    a.send(r#"{"type":"HEARTBEAT"}"#);
    a.expect_nothing("a");
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen[..2], [r#"peerjs a OFFER b Some("{ \"x\": 1.0 }")"#, "peerjs a LEAVE b None"]);
    assert_eq!(seen.len(), 3, "and the marker: {seen:?}");
    drop(a);
    stop();
}

#[test]
fn a_hook_sees_each_text_and_the_program_sends_its_own() {
    let (told, seen) = mpsc::channel();
    let broker = PeerBroker::builder()
        .on_text(move |client, _, text| {
            told.send(format!("{} {} {text}", client.key, client.id.as_str())).unwrap()
        })
        .build();
    let (address, stop) = serve(&broker);
    let mut a = client(address, "", "a");
    let texts = [r#"{"type":"HEARTBEAT"}"#, r#"{"type":"unknown"}"#, "no JSON"];
    for text in texts {
        a.send(text);
        assert_eq!(seen.recv_timeout(TIMEOUT).unwrap(), format!("peerjs a {text}"));
    }
    let tenant = broker.node().tenant("peerjs").unwrap();
    let [here, absent] = ["a", "b"].map(|id| PeerId::parse(id).unwrap());
    assert!(tenant.send(&here, r#"{"type":"x"}"#));
    a.expect(r#"{"type":"x"}"#);
    assert!(!tenant.send(&absent, "x"));
    drop(a);
    stop();
}

#[test]
fn a_path_that_is_no_path_is_refused() {
    let broker = PeerBroker::new();
    assert!(broker.try_mount("/a?b").is_err());
    assert!(broker.try_mount("/a b").is_err());
    assert!(broker.try_mount("//a//b//").is_ok());
}
