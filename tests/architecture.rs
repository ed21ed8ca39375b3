//! Holds the rules of the house that neither the compiler nor a lint can hold: which part may use
//! which, and how large a file may grow.
//!
//! Every path in `src` is looked at, not only those of `use` items. Comments, documentation and
//! strings are not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One room: a module at the top of the library or of the program, with all that is below it.
struct Room {
    name: &'static str,
    /// The rooms that it may use. Each stands further down in [`ROOMS`], so no way leads back up.
    rooms: &'static str,
    /// The external paths that it may use, with all that is below them. `std` is free for all.
    external: &'static str,
}

const fn room(name: &'static str, rooms: &'static str, external: &'static str) -> Room {
    Room { name, rooms, external }
}

/// From high to low.
const ROOMS: &[Room] = &[
    // The program: it knows the library's public front only, and actix only as its runtime.
    room(
        "main",
        "cli console peerbroker",
        "actix_web::rt anyhow log rlimit tokio::signal tokio::select tokio::sync",
    ),
    room("console", "cli peerbroker", "env_logger qrcode serde_json"),
    room("cli", "peerbroker", "clap thiserror"),
    // The library's front: re-exports.
    room(
        "peerbroker",
        "server embed http session service transport client_options config tls lan dialect broker frame",
        "",
    ),
    // What speaks HTTP.
    room(
        "server",
        "embed http config tls lan",
        "actix_codec actix_http actix_server actix_service actix_tls actix_web log rustls socket2 thiserror \
         tokio",
    ),
    room("embed", "http service config lan broker", "actix_web"),
    room(
        "http",
        "session service transport client_options config",
        "actix_codec actix_http actix_web log mime mime_guess percent_encoding rust_embed serde_json tokio uuid",
    ),
    // One connected client.
    room("session", "service transport dialect broker frame", "form_urlencoded log tokio::time"),
    room("service", "config dialect broker", "log"),
    room(
        "transport",
        "broker frame",
        "actix_codec actix_http actix_tls actix_web actix_ws bytes bytestring futures_core futures_sink \
         thiserror tokio::io tokio::net",
    ),
    room("client_options", "config broker", "percent_encoding"),
    room("config", "tls broker", "thiserror"),
    room("tls", "", "rustls rustls_pki_types thiserror"),
    room("lan", "", ""),
    // Plain Rust: no runtime, and neither knows of the other.
    room("dialect", "frame", "serde serde_json"),
    room("broker", "frame", "dashmap thiserror tokio::sync"),
    room("frame", "", ""),
];

impl Room {
    fn rooms(&self) -> impl Iterator<Item = &'static str> {
        self.rooms.split_whitespace()
    }

    fn external(&self) -> impl Iterator<Item = &'static str> {
        self.external.split_whitespace()
    }
}

/// The rooms of the program; all others are the library's.
const PROGRAM: &[&str] = &["main", "console", "cli"];

/// A file that is longer is usually two rooms.
const MAX_LINES: usize = 400;

/// The only rooms that may know actix.
const ACTIX: &[&str] = &["main", "server", "embed", "http", "transport"];

// ---- The rules ----

#[test]
fn every_import_goes_the_way_of_the_design() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let violations = sources.violations();
    assert!(violations.is_empty(), "imports against the design:\n{}", violations.join("\n"));
}

#[test]
fn the_table_of_rooms_has_no_way_back_up() {
    for (at, room) in ROOMS.iter().enumerate() {
        for used in room.rooms() {
            let below = ROOMS[at + 1..].iter().any(|lower| lower.name == used);
            assert!(below, "{} uses {used}, which does not stand below it", room.name);
        }
        let actix = room.external().any(|path| path.starts_with("actix"));
        assert!(!actix || ACTIX.contains(&room.name), "{} may not know actix", room.name);
    }
}

#[test]
fn the_table_of_rooms_allows_nothing_that_is_not_used() {
    let sources = Sources::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let edges = sources.edges();
    let unused: Vec<String> = ROOMS
        .iter()
        .flat_map(|room| room.rooms().chain(room.external()).map(|path| (room.name, path)))
        .filter(|(room, path)| !edges.iter().any(|edge| edge.room == *room && edge.target.allowed_by(path)))
        .map(|(room, path)| format!("{room} does not use {path}"))
        .collect();
    assert!(unused.is_empty(), "take out of the table:\n{}", unused.join("\n"));
}

#[test]
fn no_file_is_two_rooms() {
    for (path, text) in &Sources::read(Path::new(env!("CARGO_MANIFEST_DIR"))).files {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        assert!(!path.ends_with("mod.rs"), "{}: call it after its module", path.display());
    }
}

// ---- Reading the sources ----

struct Sources {
    /// Path below the root, and text.
    files: BTreeMap<PathBuf, String>,
    /// External crates, as paths name them.
    crates: BTreeSet<String>,
}

/// Something that a file names outside its own room.
struct Edge {
    place: String,
    room: String,
    target: Target,
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    Room(String),
    External(Vec<String>),
}

impl Target {
    /// Whether `path`, a room or an external path of the table, covers this.
    fn allowed_by(&self, path: &str) -> bool {
        match self {
            Target::Room(room) => room == path,
            Target::External(segments) => path
                .split("::")
                .enumerate()
                .all(|(at, wanted)| segments.get(at).is_some_and(|segment| segment == wanted)),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Room(room) => f.write_str(room),
            Target::External(segments) => f.write_str(&segments.join("::")),
        }
    }
}

impl Sources {
    fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::from("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder)).expect("a folder of sources") {
                let entry = entry.expect("an entry");
                let path = folder.join(entry.file_name());
                if entry.path().is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    files.insert(path, fs::read_to_string(entry.path()).expect("a source in UTF-8"));
                }
            }
        }
        assert!(files.len() > 20, "the sources were found");
        let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
        Sources { files, crates: dependencies(&manifest) }
    }

    fn edges(&self) -> Vec<Edge> {
        self.files.iter().flat_map(|(path, text)| edges_of(path, text, &self.crates)).collect()
    }

    fn violations(&self) -> Vec<String> {
        let mut violations: Vec<String> = self.edges().iter().filter_map(violation).collect();
        for path in self.files.keys() {
            let room = &module_of(path)[0];
            if !ROOMS.iter().any(|known| known.name == room) {
                violations.push(format!("{}: no room of the table", path.display()));
            }
        }
        violations
    }
}

fn violation(edge: &Edge) -> Option<String> {
    let Edge { place, room, target } = edge;
    let Some(known) = ROOMS.iter().find(|known| known.name == room) else {
        return Some(format!("{place}: no room of the table"));
    };
    let fine = match target {
        Target::Room(_) => known.rooms().any(|path| target.allowed_by(path)),
        Target::External(_) => known.external().any(|path| target.allowed_by(path)),
    };
    (!fine).then(|| format!("{place}: {room} may not use {target}"))
}

/// The names under `[dependencies]`, as paths spell them. `std` and its parts are free for all.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && !section.contains("dev-")
            && let Some((name, _)) = line.split_once('=')
        {
            names.insert(name.trim().replace('-', "_"));
        }
    }
    names
}

/// The module that a file is: its room first. `lib.rs` is the room of the library's front.
fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<String> = path
        .with_extension("")
        .components()
        .skip(1)
        .map(|component| component.as_os_str().to_string_lossy().into_owned())
        .collect();
    if module == ["lib"] {
        module = vec!["peerbroker".to_owned()];
    }
    module
}

// ---- Paths in a source ----

/// A token with its line; what is in brackets follows its opening bracket.
#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

fn edges_of(path: &Path, text: &str, crates: &BTreeSet<String>) -> Vec<Edge> {
    let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    let module = module_of(path);
    let mut names = Vec::new();
    Scan { tokens: &tokens, at: 0 }.module(&module, &mut names);

    // A crate's name may also be that of a module, which then hides it.
    let hidden: BTreeSet<&str> = names
        .iter()
        .filter(|name| name.imported && !crates.contains(&name.segments[0]))
        .filter_map(|name| name.segments.last().map(String::as_str))
        .collect();
    names
        .iter()
        .filter_map(|name| {
            let target = name.resolve(&module[0], crates, &hidden)?;
            Some(Edge { place: format!("{}:{}", path.display(), name.line), room: module[0].clone(), target })
        })
        .collect()
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut joint = false;
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            // What it says does not matter, only that it is no path.
            TokenTree::Literal(_) => tokens.push(Token { text: "literal".to_owned(), line }),
            // The only sign of two characters that matters here.
            TokenTree::Punct(punct) if punct.as_char() == ':' && joint => {
                if let Some(first) = tokens.last_mut() {
                    first.text.push(':');
                }
                joint = false;
                continue;
            }
            TokenTree::Punct(punct) => {
                joint = punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
                tokens.push(Token { text: punct.to_string(), line });
                continue;
            }
            TokenTree::Ident(ident) => {
                let text = ident.to_string();
                tokens.push(Token { text: text.trim_start_matches("r#").to_owned(), line });
            }
        }
        joint = false;
    }
}

/// A path as it is written, and the module that it is written in.
#[derive(Debug)]
struct Name {
    segments: Vec<String>,
    within: Vec<String>,
    /// It begins with `::`.
    global: bool,
    /// It is brought into scope: by `use`, or as a module that is declared here.
    imported: bool,
    line: usize,
}

impl Name {
    /// Where it leads, unless that is the same room, `std`, or something local.
    fn resolve(&self, room: &str, crates: &BTreeSet<String>, hidden: &BTreeSet<&str>) -> Option<Target> {
        let root = if PROGRAM.contains(&room) { "main" } else { "peerbroker" };
        let front = || Some(Target::Room(root.to_owned()));
        let first = self.segments[0].as_str();
        let absolute: Vec<String> = match first {
            _ if self.global => self.segments.clone(),
            "crate" => self.segments[1..].to_vec(),
            "super" | "self" => {
                let mut module = self.within.clone();
                let ups = self.segments.iter().take_while(|segment| *segment == "super").count();
                let rest =
                    self.segments.iter().skip_while(|segment| *segment == "super" || *segment == "self");
                // The front of the library is the root itself.
                if module == ["peerbroker"] || module == ["main"] {
                    module.clear();
                }
                module.truncate(module.len().saturating_sub(ups));
                module.into_iter().chain(rest.cloned()).collect()
            }
            "peerbroker" => Vec::new(),
            name if hidden.contains(name) || !crates.contains(name) => return None,
            _ => return Some(Target::External(self.segments.clone())),
        };
        match absolute.first() {
            // The root as a whole leads everywhere.
            None if first == "peerbroker" => Some(Target::Room(first.to_owned())),
            None => front(),
            Some(name) if self.global => crates.contains(name).then(|| Target::External(absolute.clone())),
            Some(name) if name == room => None,
            // An item of the root.
            Some(name) if !ROOMS.iter().any(|known| known.name == name) => front(),
            Some(name) => Some(Target::Room(name.clone())),
        }
        .filter(|target| *target != Target::Room(room.to_owned()))
    }
}

struct Scan<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Scan<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    fn is_word(&self, ahead: usize) -> bool {
        self.text(ahead).starts_with(|c: char| c.is_alphabetic() || c == '_') && self.text(ahead) != "literal"
    }

    /// Collects what is named up to the end of a module's bracket.
    fn module(&mut self, within: &[String], names: &mut Vec<Name>) {
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            let line = self.tokens[self.at].line;
            match self.text(0) {
                "mod" if self.is_word(1) => {
                    let inner = [within, &[self.text(1).to_owned()]].concat();
                    let segments = vec!["self".to_owned(), self.text(1).to_owned()];
                    names.push(Name {
                        segments,
                        within: within.to_vec(),
                        global: false,
                        imported: true,
                        line,
                    });
                    let inline = self.text(2) == "{";
                    self.at += 3;
                    if inline {
                        self.module(&inner, names);
                    }
                }
                // Not the `use<…>` of a type, and `extern crate` is nothing but an older `use`.
                "use" if self.text(1) != "<" => {
                    self.at += 1;
                    self.tree(&[], within, names);
                }
                "extern" if self.text(1) == "crate" => {
                    self.at += 2;
                    self.tree(&[], within, names);
                }
                "{" | "(" | "[" => {
                    depth += 1;
                    self.at += 1;
                }
                "}" | ")" | "]" if depth == 0 => {
                    self.at += 1;
                    return;
                }
                "}" | ")" | "]" => {
                    depth -= 1;
                    self.at += 1;
                }
                "::" if self.is_word(1) => {
                    // What follows `>::` or `)::` is no path of its own.
                    let before = self.at.checked_sub(1).map_or("", |at| &self.tokens[at].text);
                    let global = !matches!(before, ">" | ")" | "]");
                    self.at += 1;
                    self.path(global, within, names);
                }
                _ if self.is_word(0) && self.text(1) == "::" => {
                    let member = self.at > 0 && self.tokens[self.at - 1].text == ".";
                    let before = names.len();
                    self.path(false, within, names);
                    if member {
                        names.truncate(before);
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// A path in an expression or a type.
    fn path(&mut self, global: bool, within: &[String], names: &mut Vec<Name>) {
        let line = self.tokens[self.at].line;
        let mut segments = Vec::new();
        while self.is_word(0) {
            segments.push(self.text(0).to_owned());
            self.at += 1;
            if self.text(0) != "::" || !(1..2).any(|ahead| self.is_word(ahead)) {
                break;
            }
            self.at += 1;
        }
        if !segments.is_empty() {
            names.push(Name { segments, within: within.to_vec(), global, imported: false, line });
        }
    }

    /// A tree of `use`, from here to its end.
    fn tree(&mut self, prefix: &[String], within: &[String], names: &mut Vec<Name>) {
        let mut segments = prefix.to_vec();
        let mut global = false;
        let line = self.tokens[self.at].line;
        loop {
            match self.text(0) {
                "::" => {
                    global |= segments.is_empty();
                    self.at += 1;
                }
                "*" => {
                    self.at += 1;
                    break;
                }
                "{" => {
                    self.at += 1;
                    while self.text(0) != "}" {
                        let before = names.len();
                        self.tree(&segments, within, names);
                        names[before..].iter_mut().for_each(|name| name.global |= global);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    // The new name hides nothing that the old one did not.
                    self.at += 2;
                    break;
                }
                "self" if !segments.is_empty() => self.at += 1,
                _ if self.is_word(0) => {
                    segments.push(self.text(0).to_owned());
                    self.at += 1;
                }
                _ => break,
            }
        }
        if !segments.is_empty() {
            names.push(Name { segments, within: within.to_vec(), global, imported: true, line });
        }
    }
}

// ---- The rules can fail ----

fn found(path: &str, text: &str) -> Vec<String> {
    let crates = ["actix_web", "actix_ws", "tokio", "serde_json", "dashmap"].map(str::to_owned).into();
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
            "use super::queue::Queue; use crate::broker::Clock; use crate::frame::Frame;",
            false,
        ),
        ("src/dialect/peerjs.rs", "use crate::broker::PeerId;", true),
        ("src/transport.rs", "use crate::session::run;", true),
        ("src/session/run.rs", "fn f(_: actix_web::HttpRequest) {}", true),
        ("src/service.rs", "use crate::http::Mounted;", true),
        ("src/config.rs", "use crate::server::Server;", true),
        ("src/main.rs", "mod cli; use cli::Cli; use peerbroker::Config;", false),
        ("src/main.rs", "use actix_web::App;", true),
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
