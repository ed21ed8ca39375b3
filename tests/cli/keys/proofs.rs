//! `peerbroker keys add` and `set` with what proves ids.

use serde_json::json;

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
const KEY_SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}"#;
const SECRET: &str = "hushhush-hushhush-hushhush-hushhush";

#[test]
fn a_secret_is_taken_from_its_file_and_never_shown() {
    let directory = Directory::new();
    let file = directory.file("secret", &format!("{SECRET}\n"));
    for args in [
        &["add", "-k", "added", "--auth", "jwt", "--jwt_secret_file", &file][..],
        // The file says the method.
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
        assert!(text.contains("HS256 with a secret, which is not shown"), "{text}");
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
    // Whole, for the server is started elsewhere.
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
fn what_cannot_prove_anything_ends_with_1_and_is_named_and_nothing_is_added() {
    let directory = Directory::new();
    let short = directory.file("short", "0123456789abcdef0123456789abcde\n");
    let private = directory.file("private.pem", PRIVATE_KEY);
    let other = directory.file("other", "something else");
    let no_keys = directory.file("none.json", r#"{"keys":[]}"#);
    let symmetric = directory.file("symmetric.json", r#"{"keys":[{"kty":"oct","k":"hushhush"}]}"#);
    let absent = directory.arg("absent");
    for (flag, file, why) in [
        ("--jwt_secret_file", &short, "32 bytes or more, and this one 31"),
        ("--jwt_secret_file", &absent, "cannot read"),
        ("--jwt_key_file", &private, "it is a private key"),
        ("--jwt_key_file", &other, "there is no public key in it"),
        ("--jwt_key_file", &absent, "cannot read"),
        ("--jwks_file", &other, "it is no JSON Web Key Set"),
        ("--jwks_file", &no_keys, "none of its keys can be used"),
        ("--jwks_file", &symmetric, "none of its keys can be used"),
        ("--jwks_file", &absent, "cannot read"),
    ] {
        let text = refused(&directory, &["add", "--auth", "jwt", flag, file], 1);
        assert!(text.starts_with("Error: ") && text.contains(flag) && text.contains(file), "{text}");
        assert!(text.contains(why), "{why}: {text}");
        assert!(!text.contains("hushhush") && !text.contains("0123"), "{text}");
    }
    assert!(!directory.at("data").exists());
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
        (&["--auth", "none", "--jwt_secret_file", &secret], "--jwt_secret_file goes with --auth jwt"),
        (&["--auth", "webhook", "--jwt_key_file", &key], "--jwt_key_file goes with --auth jwt"),
        (&["--auth", "jwt", "--auth_url", url], "--auth_url goes with --auth webhook"),
        (&["--auth", "none", "--auth_url", url], "--auth_url goes with --auth webhook"),
        (&["--jwt_secret_file", &secret, "--jwt_key_file", &key], "cannot be used with"),
        (&["--jwt_secret_file", &secret, "--auth_url", url], "cannot be used with"),
    ] {
        let text = refused(&directory, &[&["add"], args].concat(), 2);
        assert!(text.contains(named), "{args:?}: {text}");
    }
    assert!(!directory.at("data").exists());
}
