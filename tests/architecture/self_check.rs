//! The rules can fail: what is against the design is seen, and nothing else.

use std::path::Path;

use crate::layers::violation;
use crate::names::edges_of;
use crate::sources::dependencies;

fn found(path: &str, text: &str) -> Vec<String> {
    let crates =
        ["actix_web", "actix_ws", "tokio", "serde_json", "dashmap", "rusqlite"].map(str::to_owned).into();
    let mut found: Vec<String> =
        edges_of(Path::new(path), text, &crates).iter().filter_map(violation).collect();
    found.dedup();
    found
}

#[test]
fn every_kind_of_path_is_seen() {
    for (line, target) in [
        ("use crate::broker::Outbox;", "broker"),
        ("use crate::{frame::Frame, broker::{self, Outbox}};", "broker"),
        ("use super::broker;", "broker"),
        ("use super::http::routes;", "http"),
        ("use crate as everything;", "peerbroker"),
        ("use super::*;", "peerbroker"),
        ("use crate::PeerBroker;", "peerbroker"),
        ("fn f() -> crate::broker::Outbox { todo!() }", "broker"),
        ("fn f() { g(crate::http::routes::find); }", "http"),
        ("fn f() { println!(\"{}\", crate::http::X); }", "http"),
        ("macro_rules! m { () => { $crate::http::f() } }", "http"),
        ("mod tests { fn f() { super::super::http::f(); } }", "http"),
        ("mod tests { use super::super::*; }", "peerbroker"),
        ("#[actix_web::main] async fn f() {}", "actix_web::main"),
        ("use actix_web;", "actix_web"),
        ("use ::actix_web::App;", "actix_web::App"),
        ("use {actix_web::App, std::fmt};", "actix_web::App"),
        ("extern crate actix_web as a;", "actix_web"),
        ("fn f(x: impl Into<tokio::net::TcpStream>) {}", "tokio::net::TcpStream"),
        ("fn f<T: ::dashmap::Map>() {}", "dashmap::Map"),
        ("fn f() { tokio::spawn(g::<u8>()); }", "tokio::spawn"),
    ] {
        // `dialect` may use none of them.
        let expected = vec![format!("src/dialect.rs:2: dialect may not use {target}")];
        assert_eq!(found("src/dialect.rs", &format!("\n{line}\n")), expected, "{line}");
    }
}

#[test]
fn each_rule_can_be_broken() {
    for (path, line, broken) in [
        ("src/broker/realm.rs", "use tokio::time::sleep;", true),
        ("src/broker/realm.rs", "use tokio::sync::oneshot;", false),
        ("src/broker/realm.rs", "use tokio::{sync::oneshot, net};", true),
        ("src/broker/realm.rs", "use super::super::dialect;", true),
        (
            "src/broker/realm.rs",
            "use super::queue::Queue; use crate::clock::Clock; use crate::wire::Frame;",
            false,
        ),
        ("src/dialect/peerjs.rs", "use crate::wire::PeerId;", true),
        ("src/transport.rs", "use crate::session::run;", true),
        ("src/session/run.rs", "fn f(_: actix_web::HttpRequest) {}", true),
        ("src/service.rs", "use crate::http::Mounted;", true),
        ("src/config.rs", "use crate::server::Server;", true),
        ("src/main.rs", "mod cli; use cli::Cli; use peerbroker::Config;", false),
        ("src/main.rs", "use actix_web::App;", true),
        ("src/keys/sqlite.rs", "use rusqlite::Connection;", false),
        ("src/keys/sqlite/database.rs", "use rusqlite::Connection;", false),
        ("src/keys/memory.rs", "use rusqlite::Connection;", true),
        ("src/keys/sqlite_too.rs", "use rusqlite::Connection;", true),
        ("src/service.rs", "use rusqlite::Connection;", true),
        ("src/elsewhere.rs", "use crate::broker::Outbox;", true),
    ] {
        assert_eq!(!found(path, line).is_empty(), broken, "{path}: {line}");
    }
}

#[test]
fn what_only_looks_like_a_path_is_none() {
    for line in [
        "// use crate::http::x;",
        "/* crate::http /* nested */ crate::broker */",
        "/// [`crate::http`] and `use actix_web::App;`\nfn f() {}",
        "//! crate::http",
        "const A: &str = \"crate::http\"; const B: &str = r#\"use actix_web::\"x\";\"#; const C: u8 = b'\"';",
        "fn f<'a>(x: &'a str) -> char { ':' }",
        "fn f() { x.tokio::<u8>(); Self::tokio::x(); }",
        "fn f() -> impl Sized + use<> {}",
        "mod actix_ws; fn f() { actix_ws::upgrade(); }",
        "fn f(a: u8, tokio: u8) { tokio; A { tokio: ::std::mem::take(a) } }",
    ] {
        assert_eq!(found("src/dialect.rs", line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn the_crates_come_from_the_manifest() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na-b = \"1\"\nc = { path = \"d\" }\n\
                    [dev-dependencies]\ne = \"1\"\n[target.'cfg(unix)'.dependencies]\nf = \"1\"\n";
    assert_eq!(dependencies(manifest).into_iter().collect::<Vec<_>>(), ["a_b", "c", "f"]);
}
