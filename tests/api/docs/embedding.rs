//! The snippets and the table of events of docs/EMBEDDING.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpServer, web};
use peerbroker::clock::Clock;
use peerbroker::config::Limits;
use peerbroker::events::{Event, Notice};
use peerbroker::keys::Settings;
use peerbroker::{Config, Listen, PeerBroker, Server};

use crate::docs::pages::lines;
use crate::harness::RawClient;
use crate::harness::messages::{expired, offer};

#[actix_web::test]
async fn an_app_closes_its_broker_before_it_stops() {
    let broker = PeerBroker::new();
    let server = HttpServer::new({
        let broker = broker.clone();
        move || App::new().configure(broker.mount("/myapp"))
    })
    .bind("127.0.0.1:0")
    .unwrap()
    .disable_signals();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);
    let mut client = web::block(move || registered(address)).await.unwrap();
    let goodbye = thread::spawn(move || client.expect_closed_with(Some(1001)));

    broker.close();
    handle.stop(true).await;
    serving.await.unwrap().unwrap();
    goodbye.join().unwrap();
}

#[actix_web::test]
async fn at_the_root_it_answers_requests_that_no_other_route_answers() {
    async fn hello() -> &'static str {
        "hello"
    }
    let broker = PeerBroker::new();
    let app = App::new().route("/", web::get().to(hello)).configure(broker.mount("/"));
    let app = init_service(app).await;
    let get = async |path| {
        let request = TestRequest::get().uri(path).to_request();
        call_service(&app, request).await
    };
    assert_eq!(read_body(get("/").await).await, "hello");
    assert_eq!(read_body(get("/peerjs/id").await).await.len(), 36);
    assert_eq!(get("/other").await.status(), 404);
}

#[actix_web::test]
async fn a_broker_is_served_by_itself() {
    let broker = PeerBroker::builder()
        .config(Config {
            limits: Limits { expire_timeout: Duration::from_secs(2), ..Limits::default() },
            key_settings: Settings { allow_discovery: true, ..Settings::default() },
            ..Config::default()
        })
        .build();
    let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, ..Listen::default() };
    let server = Server::bind(&broker, &listen).unwrap();
    println!("listening on {}", server.address());
    server.run(async {}).await.unwrap();
}

#[actix_web::test]
async fn ids_are_those_of_the_program() {
    let guests = AtomicU64::new(1);
    let broker = PeerBroker::builder()
        .generate_id(move |_key| format!("guest-{}", guests.fetch_add(1, Ordering::SeqCst)))
        .build();
    let app = init_service(App::new().configure(broker.mount("/"))).await;
    let request = TestRequest::get().uri("/peerjs/id").to_request();
    assert_eq!(read_body(call_service(&app, request).await).await, "guest-1");
}

#[actix_web::test]
async fn time_passes_when_a_test_says_so() {
    let clock = Clock::manual();
    let broker = PeerBroker::builder().clock(clock.clone()).build();
    let server = HttpServer::new({
        let broker = broker.clone();
        move || App::new().configure(broker.mount("/myapp"))
    });
    let server = server.bind("127.0.0.1:0").unwrap().disable_signals();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);
    let client = web::block(move || {
        let mut alice = registered(address);
        alice.send(offer("bob", "1"));
        alice.expect_quiet();
        alice
    });
    let mut alice = client.await.unwrap();

    clock.advance(Duration::from_secs(6));
    broker.node().sweep();
    web::block(move || alice.expect(expired("bob", "alice"))).await.unwrap();
    handle.stop(false).await;
    serving.await.unwrap().unwrap();
}

/// A client of the app at `/myapp`.
fn registered(address: SocketAddr) -> RawClient {
    let mut client = RawClient::connect(address, "alice");
    client.send_raw(RawClient::handshake("/myapp/peerjs?key=peerjs&id=alice&token=secret"));
    client.expect_accepted();
    client.expect_open();
    client
}

#[actix_web::test]
async fn a_subscriber_hears_of_the_end_of_the_server() {
    let broker = PeerBroker::new();
    let mut events = broker.events().subscribe();
    let follower = actix_web::rt::spawn(async move {
        while let Some(notice) = events.next().await {
            match notice {
                Notice::Event(event) if matches!(*event, Event::Stopped) => return,
                Notice::Event(event) => println!("{event:?}"),
                Notice::Missed(missed) => println!("{missed} events are lost"),
            }
        }
    });
    let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, ..Listen::default() };
    let server = Server::bind(&broker, &listen).unwrap();
    server.run(async {}).await.unwrap();
    // It ends while the broker is here, so by the event.
    actix_web::rt::time::timeout(Duration::from_secs(20), follower).await.unwrap().unwrap();
    drop(broker);
}

#[test]
fn settings_change_while_the_broker_runs() {
    let broker = PeerBroker::new();
    let before = broker.config().key_settings.concurrent_limit;
    let mut config = Config::clone(&broker.config());
    config.key_settings.concurrent_limit = 10;
    config.pages = false;
    broker.reconfigure(config).unwrap();
    assert_ne!(before, 10);
    assert_eq!((broker.config().key_settings.concurrent_limit, broker.config().pages), (10, false));
}

#[test]
fn the_table_of_events_has_the_events_and_fields_of_the_code() {
    let table = lines("docs/EMBEDDING.md").skip_while(|line| line != "### Events");
    let rows = table.skip(1).take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    let spans = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let documented: BTreeMap<String, Vec<String>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            (spans(cells[0]).remove(0), spans(cells[2]))
        })
        .collect();
    assert_eq!(documented, events());
}

/// The variants of `Event` with their fields, read from its source.
fn events() -> BTreeMap<String, Vec<String>> {
    let body = |head: &str| -> Vec<String> {
        let body = lines("crates/broker/src/events/event.rs").skip_while(|line| line != head).skip(1);
        let items = body.take_while(|line| line != "}").map(|line| line.trim().to_owned());
        items.filter(|line| !line.starts_with("//")).collect()
    };
    let name = |line: &str| line.split([':', '(', ',', ' ']).next().unwrap().to_owned();
    let mut events = BTreeMap::<String, Vec<String>>::new();
    let mut last = String::new();
    for line in body("pub enum Event {") {
        match line.split_once('(') {
            _ if line == "}," => {}
            Some((event, inner)) => {
                let inner = inner.trim_start_matches("Box<").trim_end_matches([',', ')', '>']);
                let fields = body(&format!("pub struct {inner} {{"));
                let fields = fields.iter().map(|field| name(field.trim_start_matches("pub "))).collect();
                events.insert(event.to_owned(), fields);
            }
            None if line.contains(':') => events.get_mut(&last).unwrap().push(name(&line)),
            None => {
                last = name(&line);
                events.insert(last.clone(), Vec::new());
            }
        }
    }
    events
}
