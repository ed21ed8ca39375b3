//! Key sets in files that change.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::jwks::parse;
use super::verifying_keys::VerifyingKey;
use super::*;
use peerbroker_system::files::FileError;

/// A file that is removed after its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("peerbroker-{}-{name}.json", std::process::id()));
        fs::write(&path, text).unwrap();
        Scratch(path)
    }

    /// Writes a version with its own modification time, however fast versions follow each other.
    fn write(&self, text: &str, version: u64) {
        fs::write(&self.0, text).unwrap();
        let written = UNIX_EPOCH + Duration::from_secs(version);
        File::options().write(true).open(&self.0).unwrap().set_modified(written).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The test may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}

/// A key set with these keys of the fixture.
fn set(kids: &[&str]) -> String {
    let mut set: Value = serde_json::from_str(&text_of("jwks.json")).unwrap();
    set["keys"].as_array_mut().unwrap().retain(|key| kids.contains(&key["kid"].as_str().unwrap()));
    set.to_string()
}

fn chosen(keys: &VerifyingKeys, kid: Option<&str>) -> Result<&'static str, Denied> {
    keys.choose(kid, "").map(VerifyingKey::algorithm)
}

fn open(path: &Path) -> Result<Jwks, BadAuth> {
    Jwks::open(path, Instant::now())
}

#[tokio::test]
async fn a_token_names_its_key() {
    let keys = open(&fixture("jwks.json")).unwrap().keys(Instant::now()).await.unwrap();
    assert_eq!(chosen(&keys, Some("rsa")), Ok("RS256"));
    assert_eq!(chosen(&keys, Some("ec")), Ok("ES256"));
    assert_eq!(chosen(&keys, Some("ed")), Ok("EdDSA"));
    // Keys for another use, algorithm or type.
    for kid in ["rsa-encrypts", "rsa-pss", "p384", "from-the-future", "", "RSA"] {
        assert_eq!(chosen(&keys, Some(kid)), Err(Denied::UnknownKeyId), "{kid}");
    }
    assert_eq!(chosen(&keys, None), Err(Denied::NoKeyId));
}

#[tokio::test]
async fn without_a_name_the_only_key_that_can_be_used_is_taken() {
    let file = Scratch::new("only", &set(&["ec", "rsa-encrypts", "p384", "from-the-future"]));
    let verifier = Verifier::new(&by_jwks(file.0.clone())).unwrap();
    let unnamed = mint("ec", "alice");
    assert!(verify_text(&verifier, "alice", &unnamed).await.is_ok());
    let claims = json!({ "sub": "alice", "exp": now() + 60.0 });
    let misnamed = sign("ec", &json!({ "alg": "ES256", "kid": "rsa" }), &claims);
    assert_eq!(verify_text(&verifier, "alice", &misnamed).await, Err(Denied::UnknownKeyId));
}

#[tokio::test]
async fn a_name_that_points_to_another_key_does_not_help() {
    let verifier = Verifier::new(&by_jwks(fixture("jwks.json"))).unwrap();
    let claims = json!({ "sub": "alice", "exp": now() + 60.0 });
    for (alg, kid, why) in [
        ("EdDSA", "rsa", Denied::Algorithm("RS256")),
        ("EdDSA", "ec", Denied::Algorithm("ES256")),
        ("HS256", "ed", Denied::Algorithm("EdDSA")),
        ("RS256", "rsa", Denied::Signature),
        ("ES256", "ec", Denied::Signature),
    ] {
        let token = sign("ed", &json!({ "alg": alg, "kid": kid }), &claims);
        assert_eq!(verify_text(&verifier, "alice", &token).await, Err(why), "{alg} {kid}");
    }
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_at_most_once_a_second() {
    let file = Scratch::new("changes", &set(&["rsa"]));
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let jwks = Jwks::open(&file.0, start).unwrap();
    let algorithm = async |now| chosen(&jwks.keys(now).await.unwrap(), None);

    file.write(&set(&["ec"]), 1);
    assert_eq!(algorithm(after(999)).await, Ok("RS256"));
    assert_eq!(algorithm(after(1000)).await, Ok("ES256"));
    file.write(&set(&["ed"]), 2);
    assert_eq!(algorithm(after(1999)).await, Ok("ES256"));
    assert_eq!(algorithm(after(2000)).await, Ok("EdDSA"));

    // Also if a copy keeps the time and the size.
    let padded = |kid| format!("{:4096}", set(&[kid]));
    file.write(&padded("ec"), 3);
    assert_eq!(algorithm(after(3000)).await, Ok("ES256"));
    file.write(&padded("ed"), 3);
    assert_eq!(algorithm(after(4000)).await, Ok("EdDSA"));
}

#[tokio::test]
async fn a_broken_version_leaves_the_keys_as_they_were() {
    let file = Scratch::new("breaks", &set(&["rsa"]));
    let start = Instant::now();
    let jwks = Jwks::open(&file.0, start).unwrap();
    let mut second = 0;
    let mut algorithm = async || {
        second += 1;
        chosen(&jwks.keys(start + Duration::from_secs(second)).await.unwrap(), None)
    };
    for (version, broken) in ["", "{", r#"{"keys":[]}"#, &set(&["p384"])].into_iter().enumerate() {
        file.write(broken, 10 + version as u64);
        assert_eq!(algorithm().await, Ok("RS256"), "{broken}");
    }
    fs::remove_file(&file.0).unwrap();
    assert_eq!(algorithm().await, Ok("RS256"));
    assert_eq!(algorithm().await, Ok("RS256"));
    file.write(&set(&["ed"]), 20);
    assert_eq!(algorithm().await, Ok("EdDSA"));
}

#[tokio::test]
async fn a_file_that_is_missing_or_broken_at_first_is_read_when_it_changes() {
    let file = Scratch::new("late", "");
    fs::remove_file(&file.0).unwrap();
    let start = Instant::now();
    let jwks = Jwks::awaited(&file.0, start);
    let keys = async |second| jwks.keys(start + Duration::from_secs(second)).await;
    let unread = keys(1).await.err().unwrap();
    assert!(unread.is_unknown(), "the client may come back");
    assert!(unread.to_string().contains(file.0.to_str().unwrap()), "{unread}");
    file.write("{", 1);
    assert_eq!(keys(2).await.err(), Some(unread.clone()));
    file.write(&set(&["ec"]), 2);
    assert_eq!(chosen(&keys(3).await.unwrap(), None), Ok("ES256"));
    // A policy has such a verifier, not the one that its settings cannot make.
    fs::remove_file(&file.0).unwrap();
    let auth = by_jwks(file.0.clone());
    assert!(Verifier::new(&auth).is_err());
    let verifier = Verifier::awaiting(&auth).unwrap();
    assert_eq!(verify_text(&verifier, "alice", &mint("ec", "alice")).await.err(), Some(unread));
    assert!(Verifier::awaiting(&by_secret()).is_none());
}

#[test]
fn a_set_that_cannot_be_used_is_refused_and_says_why() {
    let rsa = || serde_json::from_str::<Value>(&set(&["rsa"])).unwrap()["keys"][0].clone();
    let with = |key: Value, name: &str, value: Value| {
        let mut key = key;
        key[name] = value;
        key
    };
    let secret = json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlc2FtZQ" });
    for (keys, why) in [
        (json!([]), "no key for"),
        (json!([secret]), "is symmetric"),
        (json!([with(rsa(), "n", "AQAB".into())]), "has 17 bits"),
        (json!([with(rsa(), "n", "!".into())]), "not supported"),
        (json!([with(rsa(), "e", "AQ".into())]), "verifies nothing"),
        (json!([with(rsa(), "e", "BA".into())]), "verifies nothing"),
        (json!([with(rsa(), "e", "AgAAAAE".into())]), "verifies nothing"),
        (json!([with(rsa(), "n", encode([0xfe; 256]).into())]), "verifies nothing"),
        (json!([{ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }]), "not supported"),
        (
            json!([{ "kty": "EC", "crv": "P-256", "x": encode([1; 32]), "y": encode([1; 32]) }]),
            "not on the curve",
        ),
        (json!([{ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }]), "not supported"),
        (json!([{ "kty": "OKP", "crv": "X25519", "x": "AAAA" }]), "no key for"),
        (json!([with(rsa(), "kid", 7.into())]), "has a wrong type"),
        (json!([7]), "is no JSON Web Key"),
        (json!({}), "not a JSON Web Key Set: line 1"),
    ] {
        let file = Scratch::new("refused", &json!({ "keys": keys }).to_string());
        let error = open(&file.0).err().unwrap().to_string();
        assert!(error.contains(why), "{error}, not {why}");
        assert!(!error.contains("sesame") && !error.contains("c2Vj"), "{error}");
    }
    assert!(matches!(open(&fixture("nothing.json")), Err(BadAuth::Unreadable { .. })));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_skipped_at_first_and_at_a_rotation() {
    let key = |kid: &str| serde_json::from_str::<Value>(&set(&[kid])).unwrap()["keys"][0].clone();
    let with = |mut key: Value, name: &str, value: Value| {
        key[name] = value;
        key
    };
    let start = Instant::now();
    for (at, odd) in [
        with(key("rsa"), "n", encode([0xff; 128]).into()),
        with(key("rsa"), "e", "AQAC".into()),
        with(key("ec"), "y", encode([1; 32]).into()),
        with(key("ec"), "kid", 5.into()),
        with(key("ed"), "alg", 5.into()),
        json!("no key"),
        key("rsa"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("odd{at}");
        for keys in [json!([odd, key("rsa")]), json!([key("rsa"), odd])] {
            let both = json!({ "keys": keys }).to_string();
            assert_eq!(
                chosen(&parse(Path::new("set"), both.as_bytes()).unwrap(), None),
                Ok("RS256"),
                "{odd}"
            );
            let file = Scratch::new(&name, &set(&["ed"]));
            let jwks = Jwks::open(&file.0, start).unwrap();
            file.write(&both, 1);
            let keys = jwks.keys(start + Duration::from_secs(1)).await.unwrap();
            assert_eq!(chosen(&keys, None), Ok("RS256"), "{odd}");
        }
    }
}

#[tokio::test]
async fn keys_of_one_name_differ_by_their_algorithm_and_ed25519_has_two_names() {
    let mut set: Value = serde_json::from_str(&set(&["rsa", "ed"])).unwrap();
    set["keys"][1]["kid"] = "rsa".into();
    let claims = json!({ "sub": "alice", "exp": now() + 60.0 });
    for of_key in [Value::Null, "EdDSA".into(), "Ed25519".into()] {
        set["keys"][1]["alg"] = of_key;
        let file = Scratch::new("named", &set.to_string());
        let verifier = Verifier::new(&by_jwks(file.0.clone())).unwrap();
        for (signer, alg) in [("rsa", "RS256"), ("ed", "EdDSA"), ("ed", "Ed25519")] {
            let token = sign(signer, &json!({ "alg": alg, "kid": "rsa" }), &claims);
            let verified = verify_text(&verifier, "alice", &token).await;
            assert!(verified.is_ok(), "{alg} with {set}: {verified:?}");
        }
    }
}

/// Opens a path that could block forever.
fn open_in_time(path: &Path) -> Result<(), BadAuth> {
    let path = path.to_owned();
    let (done, opened) = mpsc::channel();
    thread::spawn(move || done.send(open(&path).map(drop)));
    opened.recv_timeout(Duration::from_secs(10)).expect("an answer")
}

#[test]
fn only_a_regular_file_of_a_mebibyte_is_read() {
    let padded = |size: usize| {
        let set = set(&["rsa"]);
        format!("{set}{}", " ".repeat(size - set.len()))
    };
    let fitting = Scratch::new("fitting", &padded(1 << 20));
    assert!(open(&fitting.0).is_ok());
    for size in [(1 << 20) + 1, 2 << 20] {
        let long = Scratch::new("long", &padded(size));
        assert!(
            matches!(open_in_time(&long.0), Err(BadAuth::Unreadable { error: FileError::TooLong(_), .. })),
            "{size}"
        );
    }
    let sparse = Scratch::new("sparse", "");
    File::options().write(true).open(&sparse.0).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(open_in_time(&sparse.0), Err(BadAuth::Unreadable { error: FileError::TooLong(_), .. })));
    // Its reported size is 0.
    assert!(matches!(open_in_time(Path::new("/proc/self/environ")), Err(BadAuth::NoKeySet { .. })));
    for device in ["/dev/zero", "/dev/null", "/"] {
        assert!(
            matches!(
                open_in_time(Path::new(device)),
                Err(BadAuth::Unreadable { error: FileError::NotRegular, .. })
            ),
            "{device}"
        );
    }
    let pipe = Scratch::new("pipe", "");
    fs::remove_file(&pipe.0).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    assert!(matches!(open_in_time(&pipe.0), Err(BadAuth::Unreadable { error: FileError::NotRegular, .. })));
    let link = Scratch::new("link", "");
    fs::remove_file(&link.0).unwrap();
    symlink("/dev/zero", &link.0).unwrap();
    assert!(matches!(open_in_time(&link.0), Err(BadAuth::Unreadable { error: FileError::NotRegular, .. })));
}

#[tokio::test]
async fn a_file_that_becomes_endless_leaves_the_keys_as_they_were() {
    let file = Scratch::new("endless", &set(&["rsa"]));
    let start = Instant::now();
    let jwks = Jwks::open(&file.0, start).unwrap();
    fs::remove_file(&file.0).unwrap();
    symlink("/dev/zero", &file.0).unwrap();
    let later = jwks.keys(start + Duration::from_secs(1));
    let later = tokio::time::timeout(Duration::from_secs(10), later).await.expect("an answer").unwrap();
    assert_eq!(chosen(&later, None), Ok("RS256"));
}

#[tokio::test]
async fn a_symmetric_key_of_a_set_is_never_used() {
    let mut set: Value = serde_json::from_str(&set(&["rsa"])).unwrap();
    let secret = json!({ "kty": "oct", "kid": "s", "alg": "HS256", "k": encode(SECRET_TEXT) });
    set["keys"].as_array_mut().unwrap().push(secret);
    let file = Scratch::new("symmetric", &set.to_string());
    let verifier = Verifier::new(&by_jwks(file.0.clone())).unwrap();
    let claims = json!({ "sub": "alice", "exp": now() + 60.0 });
    let named = sign("secret", &json!({ "alg": "HS256", "kid": "s" }), &claims);
    assert_eq!(verify_text(&verifier, "alice", &named).await, Err(Denied::UnknownKeyId));
    let unnamed = sign("secret", &json!({ "alg": "HS256" }), &claims);
    assert_eq!(verify_text(&verifier, "alice", &unnamed).await, Err(Denied::Algorithm("RS256")));
}

#[tokio::test]
async fn numbers_may_be_written_with_leading_zeros() {
    let mut set: Value = serde_json::from_str(&set(&["rsa"])).unwrap();
    let n = URL_SAFE_NO_PAD.decode(set["keys"][0]["n"].as_str().unwrap()).unwrap();
    set["keys"][0]["n"] = encode([vec![0, 0], n].concat()).into();
    let file = Scratch::new("zeros", &set.to_string());
    let verifier = Verifier::new(&by_jwks(file.0.clone())).unwrap();
    let verified = verify_text(&verifier, "alice", &mint("rsa", "alice")).await;
    assert!(verified.is_ok(), "{verified:?}");
}
