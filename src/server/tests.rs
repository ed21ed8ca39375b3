//! HTTP over a connection in memory, on a clock that jumps to the next timer.

use std::path::Path;
use std::time::Duration;

use actix_service::{Service as _, ServiceFactory as _};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use super::*;
use peerbroker_config::{Config, Limits, ProxySecret, TlsFiles};

/// A client of a server that answers every request with `ok`. Its address is one of a trusted proxy, if there
/// are any.
async fn client(broker: &PeerBroker) -> DuplexStream {
    let app = App::new().default_service(actix_web::web::to(|| async { "ok" }));
    let runtime = Arc::clone(&broker.mounted(false, None).runtime);
    let service =
        http_over!(Connection<DuplexStream>, app, runtime).new_service(()).await.expect("a service");
    let (client, server) = duplex(64 << 10);
    let address = Some(([127, 0, 0, 1], 1).into());
    spawn_local(async move { service.call((Connection::new(server, None), address)).await });
    client
}

fn proxied() -> PeerBroker {
    PeerBroker::builder().config(Config { proxied: true, ..Config::default() }).build()
}

/// The bytes that the server sends until it sends nothing for `silence`. `None` if it ends the connection.
async fn received(client: &mut DuplexStream, silence: Duration) -> Option<String> {
    let mut received = Vec::new();
    loop {
        match timeout(silence, client.read_buf(&mut received)).await {
            Ok(Ok(0)) if received.is_empty() => return None,
            Ok(Ok(0)) | Err(_) => return Some(String::from_utf8(received).expect("text")),
            Ok(read) => drop(read.expect("a read")),
        }
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
/// The timeout of PROTOCOL.md.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);
const MS: Duration = Duration::from_millis(1);

/// Sends a request, and expects an answer with this time for the next one.
async fn ask(client: &mut DuplexStream, keep_alive: &str) {
    client.write_all(REQUEST).await.unwrap();
    let answer = received(client, MS).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(&format!("\r\nkeep-alive: {keep_alive}\r\n")), "{answer}");
}

/// Peers keep a connection for as long as the answer says, and the last request may be on its way then.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_a_second_after_the_time_that_its_client_was_told() {
    for (broker, seconds) in [(PeerBroker::new(), 5), (proxied(), 620)] {
        LocalSet::new()
            .run_until(async {
                let mut client = client(&broker).await;
                let told = Duration::from_secs(seconds);
                for _ in 0..3 {
                    ask(&mut client, &format!("timeout={seconds}")).await;
                    let late = told + Duration::from_millis(900);
                    assert_eq!(received(&mut client, late).await.as_deref(), Some(""), "not yet");
                }
                ask(&mut client, &format!("timeout={seconds}")).await;
                let begin = Instant::now();
                assert_eq!(received(&mut client, told * 2).await, None);
                assert!(begin.elapsed() <= told + Duration::from_secs(1), "{:?} too late", begin.elapsed());
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_does_not_keep_connections_of_proxies() {
    LocalSet::new()
        .run_until(async {
            let broker = proxied();
            let mut client = client(&broker).await;
            ask(&mut client, "timeout=620").await;
            assert_eq!(received(&mut client, HTTP_TIMEOUT * 10).await.as_deref(), Some(""));
            broker.close();
            assert_eq!(received(&mut client, HTTP_TIMEOUT * 2).await, None);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_the_secret_of_the_proxies_a_connection_is_one_of_a_client() {
    LocalSet::new()
        .run_until(async {
            let secret = ProxySecret::parse("a-secret-of-the-proxies").ok();
            let config = Config { proxied: true, proxy_secret: secret, ..Config::default() };
            let mut client = client(&PeerBroker::builder().config(config).build()).await;
            ask(&mut client, "timeout=5").await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_not_whole_after_five_seconds_is_answered_with_408() {
    LocalSet::new()
        .run_until(async {
            for begun in [&b""[..], b"GET", b"GET / HTTP/1.1\r\nHost: h\r\n"] {
                let mut client = client(&PeerBroker::new()).await;
                client.write_all(begun).await.unwrap();
                assert_eq!(received(&mut client, HTTP_TIMEOUT - MS).await.as_deref(), Some(""), "not yet");
                let begin = Instant::now();
                let answer = received(&mut client, HTTP_TIMEOUT).await.expect("an answer");
                assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
                assert!(begin.elapsed() <= 2 * MS, "{:?} too late", begin.elapsed());
            }
        })
        .await;
}

/// Sends back what clients at `/peerjs?key=peerjs&id=…&token=…&echo` send, over plain TCP and TLS, until the
/// end of its input. Prints the two ports.
#[actix_web::test]
#[ignore = "a server for tests/conformance/"]
async fn echo_for_conformance() {
    let limits = Limits { outbox_bytes: 64 << 20, ..Limits::default() };
    let mut config = Config { max_message_bytes: 16 << 20, limits, ..Config::default() };
    config.key_settings.messages_per_second = 0;
    let broker = PeerBroker::builder().config(config).build();
    let fixture = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name);
    let files = TlsFiles { cert: fixture("ec-chain.pem"), key: fixture("ec-pkcs8.key") };
    let servers = [None, Some(files)].map(|tls| {
        let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, tls, ..Listen::default() };
        let server = Server::bind(&broker, &listen).expect("a free port");
        println!("port {}", server.address().port());
        server
    });
    let ended =
        || async { drop(tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await) };
    for served in join_all(servers.map(|server| server.run(ended()))).await {
        served.expect("served");
    }
}
