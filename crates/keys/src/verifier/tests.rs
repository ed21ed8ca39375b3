//! Tests of [`Verifier`], and helpers that its other tests share.

mod attacks;
mod claims;
mod examples;
mod files;
mod server;
mod webhook;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::*;
use peerbroker_core::vocabulary::InvalidName;

const SECRET_TEXT: &str = "thirty-two bytes, or a few more of them";

fn key() -> ApiKey {
    ApiKey::parse("peerjs").unwrap()
}

fn id(text: &str) -> PeerId {
    PeerId::parse(text).unwrap()
}

fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "fixtures", "jwt", name].iter().collect()
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).unwrap()
}

fn by_secret() -> Auth {
    Auth::Jwt { verify: JwtKey::Secret(SECRET_TEXT.to_owned()) }
}

fn by_pem(name: &str) -> Auth {
    Auth::Jwt { verify: JwtKey::Pem(text_of(name)) }
}

fn by_jwks(path: PathBuf) -> Auth {
    Auth::Jwt { verify: JwtKey::Jwks(path) }
}

/// The key that signs for this fixture.
fn signer(name: &str) -> (Algorithm, EncodingKey) {
    let pem = || std::fs::read(fixture(&format!("{name}.key"))).unwrap();
    match name {
        "secret" => (Algorithm::HS256, EncodingKey::from_secret(SECRET_TEXT.as_bytes())),
        "rsa" => (Algorithm::RS256, EncodingKey::from_rsa_pem(&pem()).unwrap()),
        "ec" => (Algorithm::ES256, EncodingKey::from_ec_pem(&pem()).unwrap()),
        "ed" => (Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem()).unwrap()),
        _ => panic!("no fixture {name}"),
    }
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// Signs exactly this text.
fn sign_text(name: &str, header: &str, claims: &str) -> String {
    let (algorithm, signer) = signer(name);
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn sign(name: &str, header: &Value, claims: &Value) -> String {
    sign_text(name, &header.to_string(), &claims.to_string())
}

/// A valid token that expires in an hour.
fn mint(name: &str, subject: &str) -> String {
    mint_with(name, json!({ "sub": subject, "exp": now() + 3600.0 }))
}

fn mint_with(name: &str, claims: Value) -> String {
    let (algorithm, _) = signer(name);
    sign(name, &json!({ "alg": algorithm, "typ": "JWT" }), &claims)
}

async fn verify(verifier: &Verifier, id: &PeerId, token: &Token) -> Result<Token, Denied> {
    let claimant = Claimant { key: &key(), id, token, address: None, origin: None };
    verifier.verify(&claimant).await.map(|verified| verified.token)
}

async fn verify_text(verifier: &Verifier, id: &str, text: &str) -> Result<Token, Denied> {
    verify(verifier, &self::id(id), &token(text)).await
}

#[tokio::test]
async fn without_a_method_the_clients_own_token_is_kept() {
    let verifier = Verifier::new(&Auth::None).unwrap();
    assert_eq!(verify_text(&verifier, "alice", "anything").await, Ok(token("anything")));
    assert_eq!(verifier.id_of(&key(), "anything").await, Ok(None));
}

#[test]
fn any_worker_may_ask_and_go_on_elsewhere() {
    fn is_send(_: impl Send) {}
    let verifier: &(dyn Send + Sync) = &Verifier::new(&Auth::None).unwrap();
    is_send(verifier);
    let verifier = Verifier::new(&by_secret()).unwrap();
    is_send(verify(&verifier, &id("alice"), &token("x")));
    is_send(verifier.id_of(&key(), "x"));
}

#[tokio::test]
async fn all_tokens_of_one_subject_are_one_owner() {
    let verifier = Verifier::new(&by_secret()).unwrap();
    let first = verify_text(&verifier, "alice", &mint("secret", "alice")).await.unwrap();
    let later = mint_with("secret", json!({ "sub": "alice", "exp": now() + 7200.0 }));
    assert_eq!(verify_text(&verifier, "alice", &later).await, Ok(first.clone()));

    // Also with another key, because the settings may have changed.
    let other = Verifier::new(&by_pem("ed.pem")).unwrap();
    assert_eq!(verify_text(&other, "alice", &mint("ed", "alice")).await, Ok(first.clone()));

    let bob = verify_text(&verifier, "bob", &mint("secret", "bob")).await.unwrap();
    assert_ne!(bob, first);
}

#[tokio::test]
async fn no_client_can_send_the_token_of_a_subject() {
    let verifier = Verifier::new(&by_secret()).unwrap();
    let kept = verify_text(&verifier, "alice", &mint("secret", "alice")).await.unwrap();
    assert_eq!(Token::parse(kept.as_str()), Err(InvalidName::ControlCharacter));
    // Without `auth`, no token that a client can send makes it the same owner.
    let open = Verifier::new(&Auth::None).unwrap();
    for sent in ["alice", kept.as_str().trim_matches(char::is_control), &mint("secret", "alice")] {
        assert_ne!(verify_text(&open, "alice", sent).await, Ok(kept.clone()), "{sent:?}");
    }
}

#[tokio::test]
async fn of_a_prefix_only_the_same_token_is_the_same_owner() {
    let verifier = Verifier::new(&by_secret()).unwrap();
    let one = mint("secret", "guest-*");
    let other = mint_with("secret", json!({ "sub": "guest-*", "exp": now() + 7200.0 }));
    assert_eq!(verify_text(&verifier, "guest-1", &one).await, Ok(token(&one)));
    assert_eq!(verify_text(&verifier, "guest-1", &other).await, Ok(token(&other)));
    assert_eq!(verify_text(&verifier, "alice", &one).await, Err(Denied::Subject));
}

#[tokio::test]
async fn a_token_says_the_id_that_it_is_for() {
    let verifier = Verifier::new(&by_secret()).unwrap();
    let id_of = async |subject: &str| verifier.id_of(&key(), &mint("secret", subject)).await;
    assert_eq!(id_of("alice").await, Ok(Some(id("alice"))));

    let [one, other] = [id_of("guest-*").await, id_of("guest-*").await].map(|id| id.unwrap().unwrap());
    assert_ne!(one, other);
    let fresh = one.as_str().strip_prefix("guest-").unwrap();
    assert!(Uuid::parse_str(fresh).is_ok(), "{one:?}");

    assert_eq!(id_of("a\nb").await, Err(Denied::UnusableSubject(InvalidName::ControlCharacter)));
    let long = format!("{}*", "x".repeat(500));
    assert_eq!(id_of(&long).await, Err(Denied::UnusableSubject(InvalidName::TooLong(512))));
    let expired = mint_with("secret", json!({ "sub": "alice", "exp": now() - 3600.0 }));
    assert_eq!(verifier.id_of(&key(), &expired).await, Err(Denied::Expired));
    assert_eq!(verifier.id_of(&key(), "").await, Err(Denied::NoToken(InvalidName::Empty)));
    let huge = "x".repeat(4097);
    assert_eq!(verifier.id_of(&key(), &huge).await, Err(Denied::NoToken(InvalidName::TooLong(4096))));
}

#[tokio::test]
async fn every_kind_of_key_verifies_what_was_signed_for_it() {
    let jwks = by_jwks(fixture("jwks.json"));
    let commented = format!("What openssl says of it.\n{}\n", text_of("ec.pem"));
    let commented = Auth::Jwt { verify: JwtKey::Pem(commented) };
    for (auth, name, kid) in [
        (&by_secret(), "secret", None),
        (&by_pem("rsa.pem"), "rsa", None),
        (&by_pem("rsa-pkcs1.pem"), "rsa", None),
        (&by_pem("ec.pem"), "ec", None),
        (&commented, "ec", None),
        // The kid does not matter if there is only one key.
        (&by_pem("ed.pem"), "ed", Some("whatever")),
        (&jwks, "rsa", Some("rsa")),
        (&jwks, "ec", Some("ec")),
        (&jwks, "ed", Some("ed")),
    ] {
        let verifier = Verifier::new(auth).unwrap();
        let (algorithm, _) = signer(name);
        let mut header = json!({ "alg": algorithm, "typ": "JWT" });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let token = sign(name, &header, &json!({ "sub": "alice", "exp": now() + 60.0 }));
        let verified = verify_text(&verifier, "alice", &token).await;
        assert!(verified.is_ok(), "{auth:?} {name}: {verified:?}");
    }
}

#[test]
fn settings_that_cannot_verify_are_refused_with_the_reason() {
    let secret = |text: &str| Auth::Jwt { verify: JwtKey::Secret(text.to_owned()) };
    let pem = |text: &str| Auth::Jwt { verify: JwtKey::Pem(text.to_owned()) };
    let ed = text_of("ed.pem");
    let cut = ed.replace("MCowBQYDK2VwAyEA", "MCowBQYDK2Vw");
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (auth, why) in [
        (secret(""), "has 0 bytes: at least 32"),
        (secret(&"x".repeat(31)), "has 31 bytes: at least 32"),
        (secret(&text_of("rsa.pem")), "is PEM text"),
        (secret(&text_of("jwks.json")), "is a JSON Web Key"),
        (pem(""), "'BEGIN PUBLIC KEY' is needed"),
        (pem("nonsense"), "'BEGIN PUBLIC KEY' is needed"),
        (pem(certificate), "certificate"),
        (pem(&text_of("rsa.key")), "private key"),
        (pem(&text_of("ec.key")), "private key"),
        (pem(&format!("{ed}{}", text_of("ed.key"))), "private key"),
        (pem(&cut), "not supported"),
        (by_pem("tiny.pem"), "has 512 bits"),
        (by_pem("small.pem"), "has 1024 bits"),
        (by_pem("compressed.pem"), "compressed"),
        (by_pem("p384.pem"), "not supported"),
        (by_pem("k256.pem"), "not supported"),
        (by_pem("ed448.pem"), "not supported"),
    ] {
        let error = Verifier::new(&auth).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(why)), "{auth:?}: {error:?}, not {why}");
    }
}
