//! Design rules that the compiler cannot check. The lower layers are crates; these are about the modules of
//! this one, and about names that only some files may use.

mod circles;
mod habits;
mod street;
mod unused;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;

use circles::Modules;
use unused::Word;

/// The modules of a crate, from high to low: each may use those below it, and other crates.
struct Layers {
    sources: &'static str,
    modules: &'static [&'static str],
}

const LAYERS: &[Layers] = &[
    Layers { sources: "src/", modules: PEERBROKER },
    Layers { sources: "crates/relay/src/", modules: &["relay", "turn", "datapath"] },
];

const PEERBROKER: &[&str] = &[
    // The layers that speak HTTP.
    "server",
    "embed",
    "http",
    // The parts of a broker, put together, and everything that changes them while they run.
    "runtime",
    // The places where a part is chosen or left out.
    "backplanes",
    "redis",
    "acme",
];

/// Crates, and modules of `core`, that the library names by the last word of their paths.
const OTHERS: &[&str] = &["config", "events", "keys", "vocabulary"];

/// Names that only some files may use, by the beginnings of their paths.
const CONFINED: &[(&str, &[&str])] = &[
    ("actix_", &["src/server", "src/embed.rs", "src/http", "crates/transport/", "src/bin/peerbroker/"]),
    ("instant_acme::", &["crates/tls/src/acme"]),
    ("use redis::", &["crates/redis/"]),
    ("rusqlite::", &["crates/keys/src/sqlite"]),
    // A thread that is started elsewhere has no name, or nobody sees its panic.
    ("thread::spawn", &["crates/system/src/threads.rs"]),
    ("thread::Builder", &["crates/system/src/threads.rs"]),
    // actix-web decodes a path twice, so a guard that decodes it once would allow another name than a handler
    // gets.
    ("web::Path", &["src/http/admin/target.rs"]),
];

/// A source file, without its comments and its tests.
struct Source {
    path: String,
    lines: Vec<(usize, String)>,
    tokens: TokenStream,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    for part in fs::read_dir(root.join("crates")).expect("the crates") {
        folders.push(part.expect("a crate").path().join("src"));
    }
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path: PathBuf = entry.expect("an entry").path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                let name = path.strip_prefix(root).expect("a path below the root").display().to_string();
                sources.push(Source::read(name, &fs::read_to_string(path).expect("a source in UTF-8")));
            }
        }
    }
    assert!(sources.len() > 200, "the sources were found");
    sources
}

fn tokens(path: &str, code: &str) -> TokenStream {
    code.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust of the repository, tests included.
fn all_code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = ["src", "crates", "tests", "examples"].map(|folder| root.join(folder)).to_vec();
    let mut all = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("a path below the root").display().to_string();
                all.push((name, fs::read_to_string(path).expect("a source in UTF-8")));
            }
        }
    }
    assert!(all.len() > 500, "the code was found");
    all
}

impl Source {
    fn read(path: String, text: &str) -> Self {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned());
        let tokens = tokens(&path, code);
        Source { path, lines: lines.enumerate().map(|(at, line)| (at + 1, line)).collect(), tokens }
    }

    /// The layers of its crate, and the one that it is in. `None` for the fronts of the libraries, the
    /// program and other crates.
    fn layer(&self) -> Option<(&'static [&'static str], &str)> {
        let (layers, path) = LAYERS
            .iter()
            .find_map(|layers| Some((layers.modules, self.path.strip_prefix(layers.sources)?)))?;
        let name = path.split(['/', '.']).next()?;
        (name != "lib" && name != "bin").then_some((layers, name))
    }

    /// True if it has a word that is no part of a longer one.
    fn says(&self, word: &str) -> bool {
        let is_whole = |(at, _): (usize, &str), line: &str| {
            let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
            is_edge(line[..at].chars().next_back()) && is_edge(line[at + word.len()..].chars().next())
        };
        self.lines.iter().any(|(_, line)| line.match_indices(word).any(|found| is_whole(found, line)))
    }

    /// The places of a name that is not the end of a longer one.
    fn naming(&self, name: &str) -> Vec<String> {
        let named = |line: &str| {
            let is_whole = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            line.match_indices(name).any(|(at, _)| is_whole(at))
        };
        let lines = self.lines.iter().filter(|(_, line)| named(line));
        lines.map(|(at, line)| format!("{}:{at}: {}", self.path, line.trim())).collect()
    }
}

fn wrong_uses(source: &Source) -> Vec<String> {
    let Some((layers, layer)) = source.layer() else { return Vec::new() };
    let Some(rank) = layers.iter().position(|known| *known == layer) else {
        return vec![format!("{}: no layer of the table", source.path)];
    };
    let above = layers[..rank].iter().flat_map(|above| source.naming(&format!("crate::{above}")));
    above.collect()
}

/// Modules of other crates under names of this one: the path in the code is not the path in the tree.
fn borrowed_paths(source: &Source) -> Vec<String> {
    let Some((layers, _)) = source.layer() else { return Vec::new() };
    let of_others = LAYERS.iter().flat_map(|other| other.modules).chain(OTHERS);
    let borrowed = of_others.filter(|name| !layers.contains(name));
    borrowed.flat_map(|name| source.naming(&format!("crate::{name}::"))).collect()
}

fn misplaced(source: &Source) -> Vec<String> {
    let not_there = |places: &&[&str]| !places.iter().any(|place| source.path.starts_with(place));
    let confined = CONFINED.iter().filter(|(_, places)| not_there(places));
    confined.flat_map(|(name, _)| source.naming(name)).collect()
}

/// Literal close codes of WebSockets. 1000 and 4096 are other numbers too.
fn close_codes(source: &Source) -> Vec<String> {
    // A client knows nothing of the server.
    let tables = ["crates/core/src/vocabulary", "crates/peer/src/close_codes.rs"];
    if tables.iter().any(|table| source.path.starts_with(table)) {
        return Vec::new();
    }
    let is_code = |word: &str| {
        let digits = word.trim_end_matches("_u16").replace('_', "");
        digits.parse().is_ok_and(|code: u16| matches!(code, 1001..=1015 | 4000..=4999) && code != 4096)
    };
    let has_code = |line: &str| {
        // Texts may name codes.
        let code = line.split('"').step_by(2);
        code.into_iter().any(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_').any(is_code))
    };
    let lines = source.lines.iter().filter(|(_, line)| has_code(line));
    lines.map(|(at, line)| format!("{}:{at}: {}", source.path, line.trim())).collect()
}

fn assert_none(what: &str, check: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<String> = sources().iter().flat_map(check).collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn a_layer_uses_those_below_it() {
    assert_none("imports against the design", wrong_uses);
}

#[test]
fn a_module_of_another_crate_is_named_by_that_crate() {
    assert_none("names of other crates", borrowed_paths);
}

#[test]
fn names_are_used_where_they_belong() {
    assert_none("names in other files than theirs", misplaced);
}

#[test]
fn close_codes_stand_in_the_table_of_endings_only() {
    assert_none("close codes outside of crates/core/src/vocabulary", close_codes);
}

#[test]
fn a_module_is_in_a_file_of_its_name() {
    assert_none("call it after its module", |source| {
        source.path.ends_with("/mod.rs").then(|| source.path.clone()).into_iter().collect()
    });
}

#[test]
fn modules_of_a_folder_import_each_other_in_no_circle() {
    let mut modules = Modules::default();
    for source in sources() {
        modules.add(&source.path, &source.tokens);
    }
    let circles = modules.circles();
    let texts = circles.iter().map(|(circle, places)| format!("{circle:?}:\n{}", places.join("\n")));
    assert!(circles.is_empty(), "{}", texts.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_circle_is_found_through_what_a_folder_re_exports() {
    let circles = |files: &[(&str, &str)]| {
        let mut modules = Modules::default();
        for (path, code) in files {
            modules.add(path, &tokens(path, code));
        }
        modules.circles().into_keys().map(|circle| circle.len()).collect::<Vec<_>>()
    };
    let front =
        ("crates/rooms/src/rooms.rs", "mod a; mod b; mod c; pub use a::A; use b::{self as other, B};");
    let a = ("crates/rooms/src/rooms/a.rs", "use super::B; fn f() { c::g() } #[cfg(test)] use super::c::C;");
    let b = ("crates/rooms/src/rooms/b.rs", "mod x; pub struct B;");
    let c = ("crates/rooms/src/rooms/c.rs", "pub struct A;");
    let back = |code| [front, a, b, c, ("crates/rooms/src/rooms/b/x.rs", code)];
    assert_eq!(circles(&back("use crate::rooms::{A, c};")), [2]);
    assert_eq!(circles(&back("fn f() { super::super::A::new() }")), [2]);
    assert_eq!(circles(&back("use crate::rooms::c::A;")), [] as [usize; 0]);
    assert_eq!(circles(&back("#[cfg(test)] mod tests { use crate::rooms::A; }")), [] as [usize; 0]);
}

#[test]
fn habits_that_cost_readers_are_not_taken_up_again() {
    let found = |(path, text): &(String, String)| {
        let lines = habits::habits(&tokens(path, text)).into_iter();
        lines.map(|(line, habit)| format!("{path}:{line}: {habit}")).collect::<Vec<_>>()
    };
    let found: Vec<String> = all_code().iter().flat_map(found).collect();
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
    let habits = |code: &str| habits::habits(&tokens("here", code)).len();
    assert_eq!(habits("fn f() {\n    let (a, mut b): (u8, _) =\n        (x(), // here\n        y); }"), 1);
    assert_eq!(habits("{ if now { (self.a, b) = (x(), y) } (a, b) = (1, 2); }"), 2);
    assert_eq!(habits("option.take()\n    .into_iter()\n    .for_each(|a| f(a))"), 1);
    for other in [
        "let (a, b) = (b, a);",
        "let (a, b) = f();",
        "(a, b) = (b, a);",
        "f(a, b) == (x, y);",
        "lists.iter().for_each(f);",
        "let (a, b) = (x, y) else {};",
        "if let (a, b) = (x, y) {}",
    ] {
        assert_eq!(habits(other), 0, "{other}");
    }
}

/// The width of rustfmt.toml, which leaves comments as they are.
const WIDTH: usize = 110;

#[test]
fn comments_are_no_wider_than_code() {
    for (path, text) in all_code() {
        for (at, line) in text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            assert!(!is_comment || line.chars().count() <= WIDTH, "{path}:{}: {line}", at + 1);
        }
    }
}

/// Words whose noun stands elsewhere.
const PRONOUNS: &[&str] = &["It", "They", "Those", "This", "One", "The same", "As well"];

#[test]
fn docs_begin_with_their_noun() {
    let is_program = |path: &str| !path.split('/').any(|folder| ["tests", "tests.rs"].contains(&folder));
    for (path, text) in all_code().into_iter().filter(|(path, _)| is_program(path)) {
        let mut was_doc = false;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim_start);
            let is_pronoun = |word: &&str| {
                let rest = doc.filter(|_| !was_doc).and_then(|doc| doc.strip_prefix(*word));
                rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '-'))
            };
            assert!(!PRONOUNS.iter().any(is_pronoun), "{path}:{}: {line}", at + 1);
            was_doc = doc.is_some();
        }
    }
}

/// Parts of what all protocols share that any protocol may need, though only one does today: rooms in an
/// address, messages that are no text, ids of a form, seats that end. They may outlive it.
const GENERAL: &[&str] = &[
    "Address::Room",
    "Ask::SeatEnd",
    "Mistake::OddParameter",
    "is_room",
    "lapse",
    "new_id",
    "odd_parameter",
    "on_binary",
    "state",
];

#[test]
fn each_word_that_protocols_share_is_said_by_somebody() {
    let sources = sources();
    let code = |path: &str| &sources.iter().find(|source| source.path == path).expect("the file").tokens;
    let mut words = unused::words();
    for (path, of, tables) in [
        // Only its table says an address, of a protocol that has it.
        ("crates/core/src/vocabulary/protocol.rs", "Address", &["src/", "crates/protocols/"][..]),
        (PROTOCOL, "Ask", &[PROTOCOL, "crates/node/"]),
        ("crates/events/src/event.rs", "Mistake", &["crates/events/", "src/runtime/mistakes"]),
    ] {
        let variants = unused::variants(code(path), of, tables);
        assert!(variants.len() > 2, "{of} was found");
        words.extend(variants);
    }
    let is_said = |word: &Word| {
        let is_table = |source: &Source| word.tables.iter().any(|table| source.path.starts_with(table));
        sources.iter().any(|source| !is_table(source) && source.says(&word.name))
    };
    let unsaid = words.into_iter().filter(|word| !GENERAL.contains(&&*word.name) && !is_said(word));
    let unsaid: Vec<String> = unsaid.map(|word| word.name).collect();
    assert!(unsaid.is_empty(), "remove these words: {unsaid:?}");
}

const PROTOCOL: &str = "crates/protocols/src/client.rs";
const NAMES: &str = "crates/protocols/src/names.rs";

#[test]
fn each_question_with_a_default_has_another_answer() {
    let sources = sources();
    for (path, of) in [
        (PROTOCOL, "Protocol"),
        (NAMES, "Names"),
        (NAMES, "GivenSeat"),
        ("crates/protocols/src/key_state.rs", "KeyPart"),
    ] {
        let code = &sources.iter().find(|source| source.path == path).expect("the file").tokens;
        let mut questions = unused::defaults(code, of);
        assert!(!questions.is_empty(), "{of} was found");
        let answered: BTreeSet<String> =
            sources.iter().flat_map(|source| unused::implemented(&source.tokens, of)).collect();
        questions.retain(|question| !GENERAL.contains(&&**question) && !answered.contains(question));
        assert!(questions.is_empty(), "no implementation of {of} answers {questions:?}");
    }
}

#[test]
fn each_rule_can_be_broken() {
    let source = |path: &str, text: &str| Source::read(path.to_owned(), text);
    let broken = |path: &str, text: &str| {
        let source = source(path, text);
        [wrong_uses, borrowed_paths, misplaced, close_codes].map(|rule| rule(&source)).concat().len()
    };
    assert_eq!(broken("src/runtime/control.rs", "use crate::http::Routes;"), 1);
    assert_eq!(broken("src/runtime/control.rs", "use crate::backplanes::join_cluster; // crate::http"), 0);
    assert_eq!(broken("src/odd.rs", ""), 1);
    assert_eq!(broken("crates/rooms/src/rooms/room.rs", "use crate::router::Realm;"), 0);
    assert_eq!(broken("src/runtime.rs", "use crate::vocabulary::PeerId;"), 1);
    assert_eq!(broken("crates/node/src/session/run.rs", "use actix_web::App;"), 1);
    assert_eq!(broken("crates/keys/src/memory.rs", "fn f() -> rusqlite::Result<()>;"), 1);
    assert_eq!(broken("crates/keys/src/sqlite.rs", "fn f() -> rusqlite::Result<()>;"), 0);
    assert_eq!(broken("crates/relay/src/turn.rs", "std::thread::spawn(f);"), 1);
    assert_eq!(broken("crates/node/src/session.rs", "const GONE: u16 = 4_002; const SIZE: usize = 4096;"), 1);
    assert_eq!(broken("crates/node/src/session.rs", "log(\"4002\"); #[cfg(test)]\nmod tests { 4002 }"), 0);
}
