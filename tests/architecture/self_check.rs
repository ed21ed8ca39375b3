//! Checks that the rules can fail: they report violations, and only those.

use std::path::Path;

use crate::circles::{Knot, Modules, knots};
use crate::close_codes::close_codes;
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
        ("use crate::router::Outbox;", "router"),
        ("use crate::{wire::Frame, router::{self, Outbox}};", "router"),
        ("use super::router;", "router"),
        ("use super::http::routes;", "http"),
        ("use crate as everything;", "peerbroker"),
        ("use super::*;", "peerbroker"),
        ("use crate::PeerBroker;", "peerbroker"),
        ("fn f() -> crate::router::Outbox { todo!() }", "router"),
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
        ("src/router/realm.rs", "use tokio::time::sleep;", true),
        ("src/router/realm.rs", "use tokio::sync::oneshot;", false),
        ("src/router/realm.rs", "use tokio::{sync::oneshot, net};", true),
        ("src/router/realm.rs", "use super::super::dialect;", true),
        (
            "src/router/realm.rs",
            "use super::queue::Queue; use crate::clock::Clock; use crate::wire::Frame;",
            false,
        ),
        ("src/dialect/peerjs.rs", "use crate::wire::PeerId;", false),
        ("src/dialect/peerjs.rs", "use crate::router::Realm;", true),
        ("src/transport.rs", "use crate::session::run;", true),
        ("src/session/run.rs", "fn f(_: actix_web::HttpRequest) {}", true),
        ("src/runtime.rs", "use crate::http::public::Mounted;", true),
        ("src/config.rs", "use crate::server::Server;", true),
        ("src/bin/peerbroker/main.rs", "mod cli; use cli::Cli; use peerbroker::Config;", false),
        ("src/bin/peerbroker/main.rs", "use actix_web::App;", true),
        ("src/keys/sqlite.rs", "use rusqlite::Connection;", false),
        ("src/keys/sqlite/file.rs", "use rusqlite::Connection;", false),
        ("src/keys/memory.rs", "use rusqlite::Connection;", true),
        ("src/keys/sqlite_too.rs", "use rusqlite::Connection;", true),
        ("src/runtime.rs", "use rusqlite::Connection;", true),
        ("src/elsewhere.rs", "use crate::router::Outbox;", true),
    ] {
        assert_eq!(!found(path, line).is_empty(), broken, "{path}: {line}");
    }
}

#[test]
fn text_that_only_looks_like_a_path_is_ignored() {
    for line in [
        "// use crate::http::x;",
        "/* crate::http /* nested */ crate::router */",
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

/// The uses between these files, which are named below `src`, as `from > to: item`.
fn used(files: &[(&str, &str)]) -> Vec<String> {
    let uses = modules(files).uses();
    let mut used = Vec::new();
    for (from, to, items) in
        uses.iter().flat_map(|(from, all)| all.iter().map(move |(to, items)| (from, to, items)))
    {
        used.extend(items.keys().map(|item| format!("{} > {}: {item}", from.join("::"), to.join("::"))));
    }
    used
}

fn modules(files: &[(&str, &str)]) -> Modules {
    let paths: Vec<_> = files.iter().map(|(path, text)| (Path::new("src").join(path), *text)).collect();
    Modules::read(paths.iter().map(|(path, text)| (path.as_path(), *text)))
}

fn circles(files: &[(&str, &str)]) -> Vec<Knot> {
    knots(&modules(files).uses())
}

#[test]
fn each_way_to_use_a_module_of_the_same_layer_is_seen() {
    for line in [
        "use super::b::Thing;",
        "use crate::a::b::Thing;",
        "use crate::a::{self, b::{Thing as Other}};",
        "pub struct Mine(super::b::Thing);",
        "fn f() { crate::a::b::Thing::new(); }",
        "use super::b; fn f() { b::Thing::new(); }",
        "use super::b as other; fn f() { other::Thing::new(); }",
        "use super::super::a; fn f() { a::b::Thing::new(); }",
        "fn f() { use super::b::Thing; }",
        "mod inner { use super::super::b::Thing; }",
        "mod inner { pub(super) use crate::a::b::Thing; } fn f() { inner::Thing::new(); }",
        "use super::Thing;",
        "use crate::a::Thing;",
        "use super::Renamed;",
        "use super::Hidden;",
        "use super::deep::Thing;",
        "use crate::Everywhere;",
    ] {
        let files = [
            ("lib.rs", "mod a; pub use a::Thing as Everywhere;"),
            (
                "a.rs",
                "mod b; mod c; mod deep; pub use b::Thing; pub(crate) use b::Thing as Renamed; use b::Thing as Hidden;",
            ),
            ("a/b.rs", "pub struct Thing;"),
            ("a/deep.rs", "pub(super) use super::Thing;"),
            ("a/c.rs", line),
        ];
        let found = used(&files);
        assert!(found.contains(&"a::c > a::b: Thing".to_owned()), "{line}: {found:?}");
        assert!(!found.iter().any(|used| used.starts_with("a::c > a::deep")), "{line}: {found:?}");
    }
}

#[test]
fn an_item_of_a_parent_is_a_use_of_the_parent() {
    let child = "use super::{Own, Shown}; use crate::a::f; fn g() { super::h(); }";
    let files = [
        ("a.rs", "mod b; mod c; pub use b::Shown; pub struct Own; fn f() {} fn h() {}"),
        ("a/b.rs", ""),
        ("a/c.rs", child),
    ];
    assert_eq!(used(&files), ["a::c > a: Own", "a::c > a: f", "a::c > a: h", "a::c > a::b: Shown"]);
}

#[test]
fn a_facade_uses_what_it_shows_only_if_its_own_code_names_it() {
    let child = ("a/b.rs", "pub struct Thing;");
    for (parent, expected) in [
        ("mod b; pub use b::Thing;", false),
        ("mod b; pub(crate) use b::Thing;", false),
        ("mod b; pub(super) use self::b::Thing;", false),
        ("pub mod b;", false),
        ("mod b; pub use b::Thing; fn f(_: Thing) {}", true),
        ("mod b; pub use b::Thing; fn f() { Thing::new(); }", true),
        ("mod b; pub use b::Thing; fn f(x: X) { x.Thing }", false),
        ("mod b; use b::Thing;", true),
        ("mod b; fn f(_: b::Thing) {}", true),
    ] {
        let found = used(&[("a.rs", parent), child]);
        assert_eq!(found, if expected { vec!["a > a::b: Thing"] } else { vec![] }, "{parent}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_no_uses() {
    for line in [
        "mod tests { } #[cfg(test)] mod more { use super::super::b::Thing; }",
        "#[cfg(test)] fn f(_: [u8; 2]) { crate::a::b::f(); }",
        "#[cfg(test)] #[allow(dead_code)] use super::b::Thing;",
        "#[cfg(test)] impl X { fn f() { crate::a::b::f(); } }",
        "// use super::b::Thing;",
        "/// [`super::b::Thing`]\nfn f() {}",
        "use crate::other::Thing;",
        "use ::b::Thing;",
        "use std::b::Thing; fn f() { b::Thing::new(); x.b::<u8>(); }",
        "struct b; fn f() { b::new(); Self::b(); }",
        "fn f() { self::g(); }",
        "pub(in crate::a) fn f() {}",
        "struct Own { pub(in crate::a) field: u8, pub(in super::super) other: u8 }",
    ] {
        let files = [("a.rs", ""), ("a/b.rs", ""), ("other.rs", ""), ("a/c.rs", line)];
        assert_eq!(used(&files), Vec::<String>::new(), "{line}");
    }
    let test = [
        ("a.rs", "#[cfg(test)] mod tests;"),
        ("a/tests.rs", "use super::f;"),
        ("a/tests/b.rs", "use super::super::f;"),
    ];
    assert_eq!(used(&test), Vec::<String>::new());
    // Code after the test counts again.
    let after = "#[cfg(test)] fn f() {} #[cfg(test)] use x::{y}; fn g() { super::b::h(); }";
    assert_eq!(used(&[("a.rs", ""), ("a/b.rs", ""), ("a/c.rs", after)]), ["a::c > a::b: h"]);
}

#[test]
fn each_circle_is_shown_with_its_places() {
    let files = [
        ("a.rs", "mod b; mod c; mod d;\npub use b::B;"),
        ("a/b.rs", "\nuse super::c::C;\nuse super::d::D;"),
        ("a/c.rs", "use super::B;"),
        ("a/d.rs", "\n\nuse super::c::C;"),
        // Circles between layers are forbidden by their table.
        ("e.rs", "use crate::f::F;"),
        ("f.rs", "use crate::e::E;"),
    ];
    let found = circles(&files);
    let [knot] = &found[..] else { panic!("{found:?}") };
    assert_eq!(knot.modules.iter().collect::<Vec<_>>(), ["a::b", "a::c", "a::d"]);
    assert_eq!(
        knot.text,
        "a::b -> a::c -> a::b\n\
         a::b -> a::d -> a::c -> a::b\n    \
         a::b uses of a::c: C (src/a/b.rs:2)\n    \
         a::b uses of a::d: D (src/a/b.rs:3)\n    \
         a::c uses of a::b: B (src/a/c.rs:1)\n    \
         a::d uses of a::c: C (src/a/d.rs:3)\n"
    );
}

#[test]
fn a_parent_and_its_child_can_be_a_circle_and_a_tree_is_not() {
    let found = circles(&[("a.rs", "mod b; use b::B; struct A;"), ("a/b.rs", "use super::A;")]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].modules.iter().collect::<Vec<_>>(), ["a", "a::b"]);

    let tree = [("a.rs", "use b::B; use c::C;"), ("a/b.rs", "use super::c::C;"), ("a/c.rs", "")];
    assert!(circles(&tree).is_empty());
}

#[test]
fn a_literal_close_code_is_found_and_a_size_is_not() {
    for (line, code) in [
        ("const A: u16 = 1001;", Some("1001")),
        ("const A: u16 = 1_009;", Some("1_009")),
        ("f(4002_u16)", Some("4002_u16")),
        ("match code { 4_999 => {} }", Some("4_999")),
        ("Some(1000)", Some("1000")),
        ("Some((1000, \"\"))", Some("1000")),
        ("const A: usize = 1000; f(1000); a[1000];", None),
        ("const A: usize = 4096;", None),
        ("f(10010, 999, 1016, 5000, 3999, 0x1001, \"1001\")", None),
        ("// 1001", None),
        ("#[cfg(test)] mod tests { const A: u16 = 1001; }", None),
    ] {
        let expected: Vec<String> = code.iter().map(|code| format!("src/session.rs:2: {code}")).collect();
        assert_eq!(close_codes(Path::new("src/session.rs"), &format!("\n{line}")), expected, "{line}");
    }
}
