//! `peerbroker keys add` and `set` with proofs of ids.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{Directory, done, refused, shown};

const PUBLIC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAeb8K6nF66YXul1GpeEvdxTZlUuAWipxLatXo6CLyMZc=\n\
-----END PUBLIC KEY-----\n";
// For this test only.
const PRIVATE_KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIPqVKlSZv3fcR9xdap5kZFqJExsv2rzk6Z/+LUPT8cZz\n\
-----END PRIVATE KEY-----\n";
const KEY_SET: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"eb8K6nF66YXul1GpeEvdxTZlUuAWipxLatXo6CLyMZc"}]}"#;
const SECRET: &str = "hushhush-hushhush-hushhush-hushhush";

#[test]
fn a_secret_is_taken_from_its_file_and_never_shown() {
    let directory = Directory::new();
    let file = directory.file("secret", &format!("{SECRET}\n"));
    for args in [
        &["add", "-k", "added", "--auth", "jwt", "--jwt_secret_file", &file][..],
        // The content of the file decides the algorithm.
        &["add", "-k", "short", "--jwt-secret-file", &file],
        &["add", "-k", "changed"],
        &["set", "changed", "--jwt_secret_file", &file],
        &["list"],
        &["list", "--json"],
        &["show", "added"],
        &["disable", "added"],
    ] {
        let text = done(&directory, args).join("\n");
        assert!(!text.contains("hushhush"), "{args:?}: {text}");
    }
    for key in ["added", "short", "changed"] {
        assert_eq!(shown(&directory, key)["auth"], json!({"method": "jwt", "kind": "secret"}));
        let text = done(&directory, &["show", key]).join("\n");
        assert!(text.contains("HS256 with a secret (not shown)"), "{text}");
    }
    let stored = std::fs::read(directory.at("data/peerbroker.db")).unwrap();
    let stored = String::from_utf8_lossy(&stored);
    assert!(stored.contains(&format!("{SECRET}\"")), "without the newline of its file");
}

#[test]
fn a_public_key_is_taken_from_its_file() {
    let directory = Directory::new();
    let file = directory.file("key.pem", PUBLIC_KEY);
    done(&directory, &["add", "-k", "k", "--auth", "jwt", "--jwt_key_file", &file]);
    assert_eq!(shown(&directory, "k")["auth"], json!({"method": "jwt", "kind": "pem", "value": PUBLIC_KEY}));
}

#[test]
fn a_key_set_is_remembered_by_where_it_is() {
    let directory = Directory::new();
    let file = directory.file("keys.json", KEY_SET);
    let data_dir = directory.arg("data");
    let args = ["keys", "add", "-k", "k", "--jwks_file", "keys.json", "--data_dir", &data_dir];
    let output = crate::program::command(&args).current_dir(directory.at("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // An absolute path, because the server starts in another directory.
    assert_eq!(shown(&directory, "k")["auth"], json!({"method": "jwt", "kind": "jwks", "value": file}));
}

#[test]
fn ids_can_be_left_unproved_again() {
    let directory = Directory::new();
    done(&directory, &["add", "-k", "k", "--auth_url", "http://localhost:3000/auth"]);
    assert_eq!(shown(&directory, "k")["auth"]["method"], "webhook");
    done(&directory, &["set", "k", "--auth", "none"]);
    assert_eq!(shown(&directory, "k")["auth"], json!({"method": "none"}));
}

#[test]
fn invalid_proofs_end_with_1_and_are_named_and_nothing_is_added() {
    let directory = Directory::new();
    let short = directory.file("short", "0123456789abcdef0123456789abcde\n");
    let private = directory.file("private.pem", PRIVATE_KEY);
    let other = directory.file("other", "something else");
    let no_keys = directory.file("none.json", r#"{"keys":[]}"#);
    let symmetric = directory.file("symmetric.json", r#"{"keys":[{"kty":"oct","k":"hushhush"}]}"#);
    let absent = directory.arg("absent");
    let long = directory.file("long", &"x".repeat((64 << 10) + 1));
    for (flag, file, why) in [
        ("--jwt_secret_file", &short, "has 31 bytes: at least 32"),
        ("--jwt_secret_file", &absent, "cannot read"),
        ("--jwt_secret_file", &long, "more than 65536 bytes"),
        ("--jwt_key_file", &private, "has a private key"),
        ("--jwt_key_file", &other, "there is no public key in it"),
        ("--jwt_key_file", &absent, "cannot read"),
        ("--jwt_key_file", &"/dev/zero".to_owned(), "it is not a regular file"),
        ("--jwks_file", &other, "is not a JSON Web Key Set"),
        ("--jwks_file", &no_keys, "has no key for"),
        ("--jwks_file", &symmetric, "is symmetric"),
        ("--jwks_file", &absent, "cannot read"),
    ] {
        let text = refused(&directory, &["add", "--auth", "jwt", flag, file], 1);
        assert!(text.starts_with("error: ") && text.contains(flag) && text.contains(file), "{text}");
        assert!(text.contains(why), "{why}: {text}");
        assert!(!text.contains("hushhush") && !text.contains("0123"), "{text}");
    }
    assert!(!directory.at("data").exists());
}

#[test]
fn invalid_proofs_are_refused_by_the_command_and_the_api_in_the_same_words() {
    let directory = Directory::new();
    let fixture = |name: &str| {
        let path = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", "jwt", name].iter().collect::<PathBuf>();
        path.to_str().unwrap().to_owned()
    };
    let pipe = directory.arg("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = |name: &str, content: &str| directory.file(name, content);
    let weak = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#;
    let jwk = KEY_SET.replace(r#"{"keys":["#, "").replace("]}", "");
    let odd = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}"#;
    // With this point anybody can forge signatures.
    let forgeable = odd.replace("AA", &format!("AQ{}", "A".repeat(41)));
    let proofs = [
        ("secret", file("short", "0123456789abcdef0123456789abcde"), "has 31 bytes"),
        ("secret", fixture("rsa.pem"), "is PEM text"),
        ("secret", file("jwk", &jwk), "is a JSON Web Key"),
        ("secret", file("jwks", KEY_SET), "is a JSON Web Key"),
        ("pem", fixture("tiny.pem"), "has 512 bits"),
        ("pem", fixture("small.pem"), "has 1024 bits"),
        ("pem", fixture("compressed.pem"), "compressed"),
        ("pem", fixture("p384.pem"), "not supported"),
        ("pem", file("private", PRIVATE_KEY), "private key"),
        ("pem", file("none", "something else"), "no public key"),
        ("jwks", file("empty.json", ""), "not a JSON Web Key Set"),
        ("jwks", file("none.json", r#"{"keys":[]}"#), "has no key for"),
        ("jwks", file("weak.json", weak), "has 17 bits"),
        ("jwks", file("odd.json", odd), "not supported"),
        ("jwks", file("forgeable.json", &forgeable), "small order"),
        (
            "jwks",
            file("long.json", &format!("{KEY_SET}{}", " ".repeat(2 << 20))),
            "has more than 1048576 bytes",
        ),
        ("jwks", directory.arg("absent.json"), "No such file"),
        ("jwks", pipe, "not a regular file"),
        ("jwks", directory.arg("data"), "not a regular file"),
        ("jwks", "/dev/zero".to_owned(), "not a regular file"),
        ("webhook", "example.org".to_owned(), "must begin with http"),
        ("webhook", "example.org/hook".to_owned(), "http:// or https:// and a host"),
        ("webhook", "ftp://example.org/".to_owned(), "must begin with http"),
        ("webhook", "https://".to_owned(), "cannot be read"),
        ("webhook", "http://:80/".to_owned(), "must have a host"),
        ("webhook", "http://a:b@example.org/".to_owned(), "must not have a user name"),
        ("webhook", "http://example.org:99999/".to_owned(), "port"),
        ("webhook", "http://example.org/#a".to_owned(), "fragment"),
        ("webhook", "http://example.org/a b".to_owned(), "percent-encode"),
    ];
    let data_dir = directory.arg("data");
    done(&directory, &["add", "-k", "there"]);
    let (_program, api, _) = crate::ops::start(&["--ops_port", "0", "--data_dir", &data_dir], &[]);
    for (kind, value, why) in &proofs {
        let (flag, auth) = match *kind {
            "secret" => ("--jwt_secret_file", jwt(kind, &fs::read_to_string(value).unwrap())),
            "pem" => ("--jwt_key_file", jwt(kind, &fs::read_to_string(value).unwrap())),
            "jwks" => ("--jwks_file", jwt(kind, value)),
            _ => ("--auth_url", json!({"method": "webhook", "url": value})),
        };
        let added = ["add", flag, value];
        let set = ["set", "there", flag, value];
        let code = if *kind == "webhook" { 2 } else { 1 };
        let text = refused(&directory, &added, code);
        assert_eq!(refused(&directory, &set, code), text);
        assert!(text.contains(flag) && text.contains(why), "{value}: {text}");
        let body = json!({ "auth": auth });
        for refused in [api.post("/api/keys", &body), api.patch("/api/keys/there", &body)] {
            let detail = refused.problem(422).strip_prefix("auth: ").unwrap();
            assert!(text.trim_end().ends_with(&format!(": {detail}")), "{text} and {detail}");
        }
    }
    assert_eq!(shown(&directory, "there")["auth"], json!({"method": "none"}));
    assert_eq!(done(&directory, &["list", "--json"]).concat().matches("created").count(), 1);
}

fn jwt(kind: &str, value: &str) -> Value {
    json!({"method": "jwt", "kind": kind, "value": value})
}

#[test]
fn methods_and_files_that_do_not_fit_together_end_with_2() {
    let directory = Directory::new();
    let secret = directory.file("secret", SECRET);
    let key = directory.file("key.pem", PUBLIC_KEY);
    let url = "https://example.org/";
    for (args, named) in [
        (&["--auth", "jwt"][..], "--auth jwt needs --jwt_secret_file, --jwt_key_file or --jwks_file"),
        (&["--auth", "webhook"], "--auth webhook needs --auth_url"),
        (&["--auth", "none", "--jwt_secret_file", &secret], "--jwt_secret_file needs --auth jwt"),
        (&["--auth", "webhook", "--jwt_key_file", &key], "--jwt_key_file needs --auth jwt"),
        (&["--auth", "jwt", "--auth_url", url], "--auth_url needs --auth webhook"),
        (&["--auth", "none", "--auth_url", url], "--auth_url needs --auth webhook"),
        (&["--jwt_secret_file", &secret, "--jwt_key_file", &key], "cannot be used with"),
        (&["--jwt_secret_file", &secret, "--auth_url", url], "cannot be used with"),
    ] {
        let text = refused(&directory, &[&["add"], args].concat(), 2);
        assert!(text.contains(named), "{args:?}: {text}");
    }
    assert!(!directory.at("data").exists());
}

#[test]
fn a_url_in_place_of_the_file_of_a_key_set_says_to_download_it() {
    let directory = Directory::new();
    let url = "https://issuer.test/.well-known/jwks.json";
    let text = refused(&directory, &["add", "-k", "k", "--jwks_file", url], 1);
    assert!(text.contains("is a URL, and a key set is a file of the server"), "{text}");
    assert!(text.contains(&format!("`curl -o keys.jwks {url}`")), "{text}");
}
