//! `peerbroker keys token`.

use super::*;

#[test]
fn a_token_is_printed_once_listed_by_its_name_and_removed() {
    let directory = Directory::new();
    done(&directory, &["add", "--key", "k"]);
    assert_eq!(done(&directory, &["token", "list", "k"]), ["The key has no tokens."]);
    let scopes = ["--scope", "messages", "--scope=peers:read"];
    let added = done(&directory, &[&["token", "add", "k", "shop"], &scopes[..]].concat());
    let [token] = &added[..] else { panic!("{added:?}") };
    assert!(token.starts_with("pbk_") && token.len() > 40, "{token}");

    let [line] = &done(&directory, &["token", "list", "k"])[..] else { panic!("one token") };
    assert!(line.ends_with("  shop  messages peers:read"), "{line}");
    let shown = shown(&directory, "k");
    assert_eq!(shown["tokens"][0]["name"], "shop");
    assert!(shown["tokens"][0].get("hash").is_none(), "{shown}");
    // Other settings are still shown.
    assert!(done(&directory, &["show", "k"]).iter().any(|line| line.contains("5000 at most")));

    assert!(refused(&directory, &["token", "add", "k", "shop", "--scope", "kick"], 1).contains("already"));
    assert!(refused(&directory, &["token", "add", "k", "x", "--scope", "all"], 2).contains("peers:read"));
    assert!(refused(&directory, &["token", "add", "none", "x", "--scope", "kick"], 1).contains("none"));
    assert!(refused(&directory, &["token", "remove", "k", "other"], 1).contains("no token"));
    assert_eq!(done(&directory, &["token", "remove", "k", "shop"]), ["Removed the token shop."]);
    assert_eq!(done(&directory, &["token", "list", "k"]), ["The key has no tokens."]);
}
