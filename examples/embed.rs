//! A broker inside an actix-web app, with hooks.
//!
//! `cargo run --example embed [ADDRESS]`, then point a client at it:
//! `new Peer({host: "localhost", port: 9000, path: "/myapp", key: "peerjs"})`.

use actix_web::{App, HttpServer, Responder, web};
use peerbroker::PeerBroker;
use peerbroker::events::{Event, Notice};

async fn hello() -> impl Responder {
    "This is the app. Its broker is at /myapp.\n"
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());

    // Built once, outside the factory, so that all workers share it.
    let broker = PeerBroker::builder()
        .on_connect(|client| println!("{:?} is here", client.id))
        .on_message(|client, message| {
            println!("{:?} sends {:?} to {:?}", client.id, message.kind, message.dst)
        })
        .on_app_message(|message| async move { message.payload })
        .on_disconnect(|client, why| println!("{:?} is gone: {why:?}", client.id))
        .on_event(|notice| match notice {
            Notice::Event(event) => {
                if let Event::Refused(refused) = &**event {
                    println!("{:?} got no id: {}", refused.id, refused.reason.ending().label);
                }
            }
            Notice::Missed(missed) => println!("{missed} events are lost"),
        })
        .build();

    let mounted = broker.clone();
    let server = HttpServer::new(move || {
        App::new().route("/", web::get().to(hello)).configure(mounted.mount("/myapp"))
    })
    .bind(&address)?
    .disable_signals();
    for address in server.addrs() {
        println!("listening on {address}");
    }

    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if actix_web::rt::signal::ctrl_c().await.is_ok() {
            // Otherwise actix-web's graceful stop would wait for the WebSockets.
            broker.close();
            handle.stop(true).await;
        }
    });
    server.await
}
