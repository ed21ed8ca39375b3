//! HTTP over a connection in memory, on a clock that jumps to the next timer.

use std::time::Duration;

use actix_service::{Service as _, ServiceFactory as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use super::*;

/// A client of a server that answers every request with `ok`.
async fn client() -> DuplexStream {
    let app = App::new().default_service(actix_web::web::to(|| async { "ok" }));
    let service = http_over!(Connection<DuplexStream>, app).new_service(()).await.expect("a service");
    let (client, server) = duplex(64 << 10);
    spawn_local(async move { service.call((Connection::new(server, None), None)).await });
    client
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
/// actix reads its clock twice a second, so an idle connection may end this much earlier.
const TICK: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_five_seconds() {
    LocalSet::new()
        .run_until(async {
            let mut client = client().await;
            for _ in 0..3 {
                client.write_all(REQUEST).await.unwrap();
                let answer = received(&mut client, HTTP_TIMEOUT - TICK).await.expect("an answer");
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
            let begin = Instant::now();
            assert_eq!(received(&mut client, HTTP_TIMEOUT).await, None);
            assert!(begin.elapsed() <= TICK + 2 * MS, "{:?} too late", begin.elapsed());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_not_whole_after_five_seconds_is_answered_with_408() {
    LocalSet::new()
        .run_until(async {
            for begun in [&b""[..], b"GET", b"GET / HTTP/1.1\r\nHost: h\r\n"] {
                let mut client = client().await;
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
