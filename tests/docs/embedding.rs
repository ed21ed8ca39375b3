//! The snippets of docs/EMBEDDING.md.

use std::thread;
use std::time::Duration;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpServer, web};
use peerbroker::clock::Clock;
use peerbroker::config::Limits;
use peerbroker::{Config, Listen, PeerBroker, Server};

use crate::api::harness::RawClient;

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
    let client = thread::spawn(move || {
        let target = "/myapp/peerjs?key=peerjs&id=alice&token=secret";
        let mut client = RawClient::connect(address, "alice");
        client.send_raw(RawClient::handshake(target));
        client.expect_accepted();
        client.expect_open();
        client
    });
    let client = web::block(|| client.join().unwrap());
    let mut client = client.await.unwrap();
    let goodbye = thread::spawn(move || client.expect_closed_with(Some(1001)));

    broker.node().close();
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
            allow_discovery: true,
            ..Config::default()
        })
        .build();
    let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, ..Listen::default() };
    let server = Server::bind(&broker, &listen).unwrap();
    println!("listening on {}", server.address());
    server.run(async {}).await.unwrap();
}

#[test]
fn time_passes_when_a_test_says_so() {
    let clock = Clock::manual();
    let broker = PeerBroker::builder().clock(clock.clone()).build();
    // … clients connect …
    clock.advance(Duration::from_secs(6));
    broker.node().sweep();
    assert_eq!(broker.node().peers(), 0);
}
