//! Snippets of docs/EMBEDDING.md. Others are in `tests/api/embedding.rs`.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use peerbroker::{Listen, PeerBroker, Server};
use peerbroker_events::{Event, Notice};

use crate::harness::RawClient;
use crate::harness::http_client::TIMEOUT;

#[actix_web::test]
async fn an_app_closes_its_broker_before_it_stops() {
    use actix_web::{App, HttpServer};
    use peerbroker::PeerBroker;

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
    let client = web::block(move || {
        let mut client = RawClient::connect(address, "alice");
        client.send_raw(RawClient::handshake("/myapp/peerjs?key=peerjs&id=alice&token=secret"));
        client.expect_accepted();
        client.expect_open();
        client
    });
    let mut client = client.await.unwrap();
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
    use std::time::Duration;

    use peerbroker::config::Limits;
    use peerbroker::keys::Settings;
    use peerbroker::{Config, Listen, PeerBroker, Server};

    let broker = PeerBroker::builder()
        .config(Config {
            limits: Limits { expire_timeout: Duration::from_secs(2), ..Limits::default() },
            key_settings: Settings { allow_discovery: true.into(), ..Settings::default() },
            ..Config::default()
        })
        .build();
    let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, ..Listen::default() };
    let server = Server::bind(&broker, &listen).unwrap();
    println!("listening on {}", server.address());
    server.run(async {}).await.unwrap();
}

#[actix_web::test]
async fn a_broker_of_a_program_relays_and_is_a_node() {
    let any_port = (Ipv4Addr::LOCALHOST, 0).into();
    // No Redis is there: this node serves its own clients.
    relay_as_a_node(any_port, any_port, "redis://127.0.0.1:9").await;
}

async fn relay_as_a_node(relay_address: SocketAddr, turn_address: SocketAddr, redis_url: &str) {
    use peerbroker::config::{ClusterConfig, RelayConfig, TurnConfig};
    use peerbroker::{BoundRelay, BoundTurn, PeerBroker};

    let relay = RelayConfig { listen: vec![relay_address], private: true, ..RelayConfig::default() };
    let turn = TurnConfig { listen: vec![turn_address], ..TurnConfig::default() };
    let broker = PeerBroker::builder()
        .relay(BoundRelay::bind(relay).unwrap())
        .turn(BoundTurn::bind(turn).unwrap())
        .cluster(ClusterConfig::new(redis_url, "node-1"))
        .build();
    assert!(broker.turn_urls().is_some());
    assert_eq!(broker.node().membership().unwrap().config().node_name, "node-1");
    broker.leave().await;
}

#[actix_web::test]
async fn ids_are_those_of_the_program() {
    use std::sync::atomic::{AtomicU64, Ordering};

    let guests = AtomicU64::new(1);
    let broker = PeerBroker::builder()
        .generate_id(move |_key| format!("guest-{}", guests.fetch_add(1, Ordering::SeqCst)))
        .build();
    let app = init_service(App::new().configure(broker.mount("/"))).await;
    let request = TestRequest::get().uri("/peerjs/id").to_request();
    assert_eq!(read_body(call_service(&app, request).await).await, "guest-1");
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
    actix_web::rt::time::timeout(TIMEOUT, follower).await.unwrap().unwrap();
    drop(broker);
}
