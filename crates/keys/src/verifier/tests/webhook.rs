//! Tests of webhooks.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::{advance, sleep, timeout};

use super::server::{Reply, Server, answer};
use super::*;
use crate::verifier::webhook::{AnswerCache, MAX_ANSWERS, MAX_QUESTIONS, Verdict};
use peerbroker_core::vocabulary::RoomRight;

/// A verifier with a long timeout, because a machine that runs tests may be busy.
fn verifier(server: &Server) -> Verifier {
    custom(&server.url, RootCertStore::empty(), Duration::from_secs(60))
}

async fn ask(server: &Server) -> Result<Token, Denied> {
    verify_text(&verifier(server), "alice", "sesame").await
}

fn tls(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "fixtures", "tls", name].iter().collect()
}

fn tls_server() -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(tls("ec-chain.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(tls("ec-pkcs8.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    builder.with_single_cert(chain, key).unwrap()
}

fn tls_client(roots: RootCertStore) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn custom(url: &str, roots: RootCertStore, timeout: Duration) -> Verifier {
    let webhook = Webhook::custom(url, tls_client(roots), timeout).unwrap();
    Verifier(Method::Webhook(Box::new(webhook)))
}

#[tokio::test]
async fn the_owner_of_the_key_is_told_all_that_counts() {
    let server = Server::new(|_| answer("204 No Content", ""));
    let verifier = verifier(&server);
    let key = key();
    let id = id("alice");
    let token = token("sesame");
    let address = Some("::ffff:192.0.2.7".parse().unwrap());
    let claimant = Claimant { key: &key, id: &id, token: &token, address, origin: Some("https://a.test") };
    // A yes keeps the client's own token, with which it may reconnect.
    assert_eq!(verifier.verify(&claimant).await.map(|verified| verified.token), Ok(token.clone()));
    assert_eq!(verifier.id_of(&key, "sesame").await, Ok(None));

    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].head.starts_with("post /hook?secret=1 http/1.1\r\n"), "{}", asked[0].head);
    assert!(asked[0].head.contains("\r\ncontent-type: application/json\r\n"), "{}", asked[0].head);
    let question = json!({
        "key": "peerjs", "id": "alice", "token": "sesame", "address": "192.0.2.7", "origin": "https://a.test",
    });
    assert_eq!(asked[0].body, question);
}

#[tokio::test]
async fn unknown_values_are_null() {
    let server = Server::new(|_| answer("200 OK", ""));
    ask(&server).await.unwrap();
    let body = &server.asked()[0].body;
    assert_eq!([&body["address"], &body["origin"]], [&Value::Null, &Value::Null]);
    assert_eq!(body.as_object().unwrap().len(), 5);
}

#[tokio::test]
async fn an_answer_decides_by_its_status_and_by_the_id_in_it() {
    for (status, body, why) in [
        ("200 OK", "", None),
        ("200 OK", r#"{"id":"alice"}"#, None),
        ("201 Created", r#"{"id":"alice","name":"Alice"}"#, None),
        ("200 OK", "{}", None),
        ("200 OK", "welcome", None),
        ("200 OK", r#"[{"id":"bob"}]"#, None),
        ("200 OK", "<html>", None),
        ("200 OK", r#"{"id":"bob"}"#, Some(Denied::OtherId)),
        ("200 OK", r#"{"id":"Alice"}"#, Some(Denied::OtherId)),
        ("200 OK", r#"{"id":""}"#, Some(Denied::OtherId)),
        ("200 OK", "\u{feff} {\"id\":\"bob\"}", Some(Denied::OtherId)),
        ("200 OK", r#"{"id":null}"#, Some(Denied::BadAnswer)),
        ("200 OK", r#"{"id":["alice"]}"#, Some(Denied::BadAnswer)),
        ("200 OK", r#"{"id":"alice","id":"bob"}"#, Some(Denied::BadAnswer)),
        ("200 OK", r#"{"id":"alice""#, Some(Denied::BadAnswer)),
        ("200 OK", r#"  {"id":"alice"} more"#, Some(Denied::BadAnswer)),
        ("401 Unauthorized", r#"{"id":"alice"}"#, Some(Denied::Refused(401))),
        ("404 Not Found", "", Some(Denied::Refused(404))),
        ("500 Oh", "", Some(Denied::Refused(500))),
        ("304 Not Modified", "", Some(Denied::Refused(304))),
    ] {
        let server = Server::new(move |_| answer(status, body));
        assert_eq!(ask(&server).await.err(), why, "{status} {body}");
    }
}

#[tokio::test]
async fn an_answer_lists_the_private_rooms_also_when_it_is_known() {
    let key = key();
    let id = id("alice");
    let token = token("sesame");
    let claimant = Claimant { key: &key, id: &id, token: &token, address: None, origin: None };
    for (body, lobby) in [
        (r#"{"id":"alice","rooms":{"lobby":"join","hall":"listen"}}"#, Some(RoomRight::Join)),
        (r#"{"rooms":{"lobby":"listen"}}"#, Some(RoomRight::Listen)),
        (r#"{"rooms":{"lobby":"Join","hall":"join"}}"#, None),
        (r#"{"rooms":{"lobby":"join","hall":true}}"#, None),
        (r#"{"rooms":["lobby"]}"#, None),
        (r#"{"rooms":null}"#, None),
        ("yes", None),
    ] {
        let server = Server::new(move |_| answer("200 OK", body));
        let verifier = verifier(&server);
        for _ in 0..2 {
            let verified = verifier.verify(&claimant).await.unwrap();
            assert_eq!(verified.rooms.right_in("lobby"), lobby, "{body}");
        }
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_a_no_and_is_not_followed() {
    let elsewhere = Server::new(|_| answer("200 OK", ""));
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let head = format!("HTTP/1.1 {status}\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", elsewhere.url);
        let server = Server::new(move |_| Reply::Bytes(head.clone().into_bytes()));
        let code = status[..3].parse().unwrap();
        assert_eq!(ask(&server).await, Err(Denied::Refused(code)));
        assert_eq!(server.asked().len(), 1);
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn no_more_than_a_short_answer_is_read() {
    let long = Server::new(|_| answer("200 OK", &" ".repeat(4097)));
    assert_eq!(ask(&long).await, Err(Denied::LongAnswer));
    let fits = Server::new(|_| answer("200 OK", &" ".repeat(4096)));
    assert!(ask(&fits).await.is_ok());
    let endless = Server::new(|_| {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::Bytes(format!("{head}{}", chunk.repeat(1000)).into_bytes())
    });
    assert_eq!(ask(&endless).await, Err(Denied::LongAnswer));
    let talkative = Server::new(|_| {
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(64 << 10)).into_bytes())
    });
    let denied = ask(&talkative).await;
    assert!(matches!(denied, Err(Denied::Unreachable(_))), "{denied:?}");
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_is_a_no() {
    let silent = Server::new(|_| Reply::Silence);
    let verifier = custom(&silent.url, RootCertStore::empty(), Duration::from_millis(20));
    assert_eq!(verify_text(&verifier, "alice", "sesame").await, Err(Denied::TimedOut));

    for cut in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"id\":\"alice\"",
        "SSH-2.0",
    ] {
        let server = Server::new(move |_| Reply::Bytes(cut.as_bytes().to_vec()));
        let denied = ask(&server).await.unwrap_err();
        assert!(matches!(denied, Denied::Unreachable(_)), "{cut:?}: {denied:?}");
        assert!(!format!("{denied:?} {denied}").contains("sesame"), "{denied}");
    }

    // Nothing listens on this port.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let verifier =
        custom(&format!("http://127.0.0.1:{port}/"), RootCertStore::empty(), Duration::from_secs(60));
    let denied = verify_text(&verifier, "alice", "sesame").await;
    assert!(matches!(denied, Err(Denied::Unreachable(_))), "{denied:?}");
}

#[tokio::test]
async fn over_tls_only_a_trusted_certificate_is_asked() {
    let server = Server::with_tls(tls_server(), |_| answer("200 OK", r#"{"id":"alice"}"#));
    let denied = ask(&server).await;
    let is_distrust = |why: &str| why.contains("certificate");
    assert!(matches!(&denied, Err(Denied::Unreachable(why)) if is_distrust(why)), "{denied:?}");
    assert_eq!(server.asked().len(), 0);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls("root.pem")).unwrap()).unwrap();
    let verifier = custom(&server.url, roots, Duration::from_secs(60));
    assert_eq!(verify_text(&verifier, "alice", "sesame").await, Ok(token("sesame")));
}

#[tokio::test]
async fn the_same_is_asked_once_and_anything_else_again() {
    let server = Server::new(|body| answer(if body["id"] == "eve" { "403 No" } else { "200 OK" }, ""));
    let verifier = verifier(&server);
    let ask = async |id: &str, token: &str| verify_text(&verifier, id, token).await;
    let (one, other) = tokio::join!(ask("alice", "sesame"), ask("alice", "sesame"));
    assert!(one.is_ok() && other.is_ok());
    assert!(ask("alice", "sesame").await.is_ok());
    assert_eq!(server.asked().len(), 1);

    assert!(ask("alice", "another").await.is_ok());
    assert!(ask("bob", "sesame").await.is_ok());
    assert_eq!(server.asked().len(), 2);

    assert_eq!(ask("eve", "sesame").await, Err(Denied::Refused(403)));
    assert_eq!(ask("eve", "sesame").await, Err(Denied::Refused(403)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn if_the_asking_client_leaves_a_waiting_one_asks_again() {
    let server = Server::new(|_| answer("200 OK", ""));
    let verifier = verifier(&server);
    let alice = id("alice");
    let sesame = token("sesame");
    let mut first = Box::pin(verify(&verifier, &alice, &sesame));
    let mut second = pin!(verify(&verifier, &alice, &sesame));
    poll_fn(|cx| {
        assert!(first.as_mut().poll(cx).is_pending());
        assert!(second.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(first);
    assert_eq!(second.await, Ok(sesame.clone()));
}

#[test]
fn only_an_address_on_the_web_can_be_asked() {
    for (url, why) in [
        ("", "cannot be read"),
        ("ftp://example.org/", "must begin with http"),
        ("file:///etc/passwd", "cannot be read"),
        ("example.org/hook", "cannot be read"),
        ("/hook", "must begin with http"),
        ("https://", "cannot be read"),
        ("https://:443/", "must have a host"),
        ("https://user:sesame@example.org/", "user name"),
        ("https://example.org:x/", "port"),
        ("https://example.org:0/", "port"),
        ("https://example.org:65536/", "port"),
        ("https://example.org/#a", "fragment"),
        ("https://example.org/a b", "percent-encode"),
        ("https://example.org/\u{fc}", "percent-encode"),
    ] {
        let error =
            Verifier::new(&Auth::Webhook { url: url.to_owned() }).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(why)), "{url}: {error:?}");
        assert!(!error.unwrap().contains("sesame"));
    }
    for url in ["http://localhost:3000", "https://example.org/hook?x=1", "HTTP://[::1]:80/"] {
        assert!(Verifier::new(&Auth::Webhook { url: url.to_owned() }).is_ok(), "{url}");
    }
}

fn hash(number: usize) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    hash
}

/// Asks and answers a question.
async fn answered(answers: &AnswerCache, number: usize, answer: Verdict) {
    let given = answers.find(hash(number), None, async || answer.clone()).await;
    assert_eq!(given, answer, "it was not known");
}

/// The answer, if no question is needed for it.
async fn known(answers: &AnswerCache, number: usize) -> Option<Verdict> {
    timeout(Duration::ZERO, answers.find(hash(number), None, pending)).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_yes_counts_for_half_a_minute_and_a_no_for_two_seconds() {
    let answers = AnswerCache::default();
    answered(&answers, 1, Ok(RoomRights::default())).await;
    answered(&answers, 2, Err(Denied::TimedOut)).await;
    advance(Duration::from_millis(1_999)).await;
    assert_eq!(known(&answers, 2).await, Some(Err(Denied::TimedOut)));
    advance(Duration::from_millis(1)).await;
    assert_eq!(known(&answers, 2).await, None);
    advance(Duration::from_millis(27_990)).await;
    assert_eq!(known(&answers, 1).await, Some(Ok(RoomRights::default())));
    advance(Duration::from_millis(10)).await;
    assert_eq!(known(&answers, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_questions_are_open_at_once() {
    let answers = AnswerCache::default();
    let mut open: Vec<_> =
        (0..MAX_QUESTIONS).map(|number| Box::pin(answers.find(hash(number), None, pending))).collect();
    for question in &mut open {
        assert!(timeout(Duration::ZERO, question).await.is_err());
    }
    assert_eq!(known(&answers, MAX_QUESTIONS).await, Some(Err(Denied::Overloaded)));
    // A client that waits for an open question opens no new one.
    assert_eq!(known(&answers, 0).await, None);
    // An abandoned question makes room, and leaves no answer.
    open.pop();
    assert_eq!(known(&answers, MAX_QUESTIONS).await, None);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_answers_are_kept_and_a_no_goes_first() {
    let answers = AnswerCache::default();
    answered(&answers, 0, Err(Denied::Refused(403))).await;
    for number in 1..=MAX_ANSWERS {
        answered(&answers, number, Ok(RoomRights::default())).await;
    }
    assert_eq!(known(&answers, 0).await, None);
    assert_eq!(answers.len(), MAX_ANSWERS);
    answered(&answers, 2000, Ok(RoomRights::default())).await;
    assert_eq!(answers.len(), MAX_ANSWERS);
}

#[tokio::test(start_paused = true)]
async fn clients_that_wait_for_an_answer_do_not_make_it_count_longer() {
    let answers = AnswerCache::default();
    let slow = async || {
        sleep(Duration::from_secs(1)).await;
        Err(Denied::TimedOut)
    };
    let mut first = Box::pin(answers.find(hash(1), None, slow));
    let mut second = Box::pin(answers.find(hash(1), None, pending));
    assert!(timeout(Duration::ZERO, &mut first).await.is_err());
    assert!(timeout(Duration::ZERO, &mut second).await.is_err());
    assert_eq!(first.await, Err(Denied::TimedOut));
    advance(Duration::from_secs(1)).await;
    assert_eq!(second.await, Err(Denied::TimedOut));
    advance(Duration::from_secs(1)).await;
    assert_eq!(known(&answers, 1).await, None);
}
