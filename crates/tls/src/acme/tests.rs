//! Tests of what pebble cannot show: renewal information, profiles, and servers that talk nonsense.

use std::path::PathBuf;
use std::pin::Pin;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use instant_acme::{Account, BodyWrapper, BytesResponse, CertificateIdentifier, Error, HttpClient};
use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit::directory::Directory;

use super::*;
use peerbroker_config::AcmeName;

const DIRECTORY: &str = "https://ca.test/dir";

/// An account at that directory. The key is that of instant-acme's own tests.
const ACCOUNT: &str = r#"{"id":"https://ca.test/account/1","directory":"https://ca.test/dir","key_pkcs8":
"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJVWC_QzOTCS5vtsJp2IG-UDc8cdDfeoKtxSZxaznM-mhRANCAAQenCPoGgPFTdPJ7VLLKt56RxPlYT1wNXnHc54PEyBg3LxKaH0-sJkX0mL8LyPEdsfL_Oz4TxHkWLJGrXVtNhfH"}"#;

/// An ACME server that has one answer for each URL, and records its requests.
#[derive(Clone, Default)]
struct Server {
    answers: Vec<(&'static str, u16, String)>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    /// With renewal information and profiles, or without.
    fn new(is_modern: bool) -> Self {
        let mut directory = json!({
            "newNonce": "https://ca.test/nonce", "newAccount": "https://ca.test/account",
            "newOrder": "https://ca.test/order", "revokeCert": "https://ca.test/revoke",
        });
        if is_modern {
            directory["renewalInfo"] = json!("https://ca.test/renewal");
            directory["meta"] = json!({ "profiles": { "classic": "90 days", "shortlived": "6 days" } });
        }
        let server = Server::default().answering(DIRECTORY, 200, &directory);
        let order =
            json!({ "status": "pending", "authorizations": [], "finalize": "https://ca.test/finalize" });
        server.answering("https://ca.test/nonce", 200, &json!({})).answering(
            "https://ca.test/order",
            201,
            &order,
        )
    }

    fn answering(mut self, url: &'static str, status: u16, answer: &Value) -> Self {
        self.answers.insert(0, (url, status, answer.to_string()));
        self
    }

    async fn account(&self) -> Account {
        let builder = Account::builder_with_http(Box::new(self.clone()));
        builder.from_credentials(serde_json::from_str(&ACCOUNT.replace('\n', "")).unwrap()).await.unwrap()
    }

    /// The payloads that were posted to this URL.
    fn payloads(&self, url: &str) -> Vec<Value> {
        let asked = self.asked.lock();
        asked.iter().filter(|(asked, _)| asked == url).map(|(_, payload)| payload.clone()).collect()
    }
}

impl HttpClient for Server {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let server = self.clone();
        Box::pin(async move {
            let url = request.uri().to_string();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let signed: Value = serde_json::from_slice(&body).unwrap_or_default();
            let payload = signed["payload"].as_str().unwrap_or_default();
            let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
            let payload = serde_json::from_slice(&payload).unwrap_or_default();
            server.asked.lock().push((url.clone(), payload));
            let (_, status, answer) =
                server.answers.iter().find(|(known, _, _)| url.starts_with(known)).expect("a known URL");
            let response = Response::builder()
                .status(*status)
                .header("Replay-Nonce", "n")
                .header("Location", "https://ca.test/order/1")
                .header("Retry-After", "21600");
            let body: Full<Bytes> = Full::from(answer.clone());
            Ok(BytesResponse::from(response.body(body).unwrap()))
        })
    }
}

fn config(names: &[&str]) -> AcmeConfig {
    let names = names.iter().map(|name| AcmeName::parse(name).unwrap()).collect();
    AcmeConfig { directory: DIRECTORY.to_owned(), ..AcmeConfig::new(names, PathBuf::from("unused")) }
}

fn certificate() -> CertificateIdentifier<'static> {
    CertificateIdentifier { authority_key_identifier: "aYhb".into(), serial: "AIdl".into() }
}

#[tokio::test]
async fn the_window_of_the_server_is_asked_for_by_the_name_of_the_certificate() {
    let window =
        json!({ "suggestedWindow": { "start": "2026-01-02T04:00:00Z", "end": "2026-01-03T04:00:00Z" } });
    let server = Server::new(true).answering("https://ca.test/renewal/aYhb.AIdl", 200, &window);
    let asked = order::window(&server.account().await, &certificate(), &config(&["example.org"])).await;
    let (window, pause) = asked.unwrap();
    assert_eq!(window, Some(1_767_326_400..1_767_412_800));
    // The pause is a moment less by the clock.
    assert!((21_590..=21_600).contains(&pause), "{pause}");
}

#[tokio::test]
async fn a_server_without_renewal_information_or_with_nonsense_leaves_the_two_thirds() {
    let account = Server::new(false).account().await;
    let config = config(&["example.org"]);
    let asked = order::window(&account, &certificate(), &config).await;
    assert_eq!(asked.unwrap(), (None, order::MAX_WINDOW_AGE));
    let problem = json!({ "type": "urn:ietf:params:acme:error:malformed", "detail": "no" });
    for (status, answer) in [(404, problem), (200, json!({ "suggestedWindow": 7 })), (200, json!([]))] {
        let server = Server::new(true).answering("https://ca.test/renewal", status, &answer);
        let account = server.account().await;
        assert!(order::window(&account, &certificate(), &config).await.is_err(), "{answer}");
    }
}

#[tokio::test]
async fn an_address_is_ordered_with_the_short_lived_profile_where_there_is_one() {
    for (names, is_modern, profile) in [
        (&["example.org", "198.51.100.7"][..], true, json!("shortlived")),
        (&["example.org"], true, Value::Null),
        (&["198.51.100.7"], false, Value::Null),
    ] {
        let server = Server::new(is_modern);
        let account = server.account().await;
        assert!(order::new_order(&config(names), &account, None).await.is_ok());
        let payloads = server.payloads("https://ca.test/order");
        assert_eq!(payloads.len(), 1);
        assert_eq!(payloads[0]["profile"], profile, "{names:?}");
        assert_eq!(payloads[0]["identifiers"].as_array().unwrap().len(), names.len());
    }
}

#[tokio::test]
async fn a_server_that_does_not_take_a_replacement_is_asked_without_it() {
    // The answer does not repeat the `replaces` field, so the server did not understand it.
    let server = Server::new(true);
    let account = server.account().await;
    assert!(order::new_order(&config(&["example.org"]), &account, Some(certificate())).await.is_ok());
    let payloads = server.payloads("https://ca.test/order");
    assert_eq!(payloads.len(), 2);
    assert_eq!((&payloads[0]["replaces"], &payloads[1]["replaces"]), (&json!("aYhb.AIdl"), &Value::Null));
}

#[tokio::test]
async fn a_refusal_says_what_to_do_in_one_line() {
    for (kind, todo) in [
        ("rateLimited", "give the staging server in --acme_directory"),
        ("rejectedIdentifier", "Check the names in --acme (example.org)"),
        ("externalAccountRequired", "choose another --acme_directory"),
        ("caa", "A CAA record of example.org"),
        ("somethingNew", "It is tried again"),
    ] {
        let problem = json!({
            "type": format!("urn:ietf:params:acme:error:{kind}"),
            "detail": format!("Line\r\n\u{1b}[31mtwo{}.", "x".repeat(9000)),
        });
        let server = Server::new(true).answering("https://ca.test/order", 429, &problem);
        let account = server.account().await;
        let Err(failure) = order::new_order(&config(&["example.org"]), &account, None).await else {
            panic!("{kind}")
        };
        let text = failure.to_string();
        assert!(text.contains(todo), "{text}");
        assert!(text.len() < 1000 && !text.contains(char::is_control), "{text:?}");
    }
}

#[tokio::test]
async fn a_url_that_is_no_directory_says_how_one_looks() {
    let temporary = Directory::new();
    let store = Store::open(&temporary.at("acme"), DIRECTORY).unwrap();
    let site = Server::default().answering(DIRECTORY, 404, &json!("a page"));
    let Err(failure) = order::account(&config(&["example.org"]), &store, site).await else {
        panic!("an account")
    };
    let text = failure.to_string();
    assert!(text.contains("--acme_directory takes the whole URL of the directory"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_every_nonce_is_at_fault_itself() {
    let problem = json!({ "type": "urn:ietf:params:acme:error:badNonce", "detail": "no" });
    let server = Server::new(true).answering("https://ca.test/order/1", 400, &problem);
    let config = config(&["example.org"]);
    let answers = ChallengeResponses::new(
        &[],
        Certificates::new(challenge_responses::provisional(&config.names).unwrap()),
    );
    let account = server.account().await;
    let ordered = order::order(&config, &account, ChallengeKind::Http01, &answers, None).await;
    let Err(failure) = ordered else { panic!("ordered") };
    assert_eq!(failure.kind(), schedule::FailureKind::Outage, "{failure}");
}

#[tokio::test]
async fn nothing_is_ordered_that_could_not_be_kept_and_a_certificate_in_use_is_kept_later() {
    let temporary = Directory::new();
    let store = Store::open(&temporary.at("acme"), DIRECTORY).unwrap();
    // The file cannot be written, as on a full disk.
    let in_the_way = std::path::Path::new(&store.place()).with_extension("pem.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let config = config(&["example.org"]);
    let certificates = Certificates::new(challenge_responses::provisional(&config.names).unwrap());
    let answers = ChallengeResponses::new(&[], Arc::clone(&certificates));
    let mut acme = Acme {
        config,
        store,
        client: AcmeClient::new(None).unwrap(),
        certificates: Arc::clone(&certificates),
        schedule: Schedule::default(),
        current: None,
        unkept: None,
        http: None,
        ask_at: 0,
    };
    const NOW: u64 = 1_700_000_000;
    let Err(failure) = acme.locked(&answers, NOW).await else { panic!("ordered") };
    assert!(failure.to_string().contains("cannot write"), "the ACME server was asked first: {failure}");
    acme.schedule.failed(failure.kind(), NOW, 0);
    assert!(acme.schedule.next() <= NOW + 60);

    acme.unkept = Some("a certificate".to_owned());
    acme.keep();
    assert!(acme.unkept.is_some() && certificates.problem().is_some());
    assert!(!acme.adopt_stored().unwrap(), "an older one is not used again");
    std::fs::remove_dir(in_the_way).unwrap();
    acme.keep();
    assert!(acme.unkept.is_none() && certificates.problem().is_none());
    assert_eq!(acme.store.certificate().unwrap().unwrap(), b"a certificate");
}
