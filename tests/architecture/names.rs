//! The names in a source file, and the layer or crate that each leads to.

use std::collections::BTreeSet;
use std::path::Path;

use crate::layers::{CRATES, LAYERS, PROGRAM};
use crate::scan::{Scan, tokens_of};

/// A use of another layer or an external crate.
pub struct Edge {
    pub place: String,
    pub layer: String,
    pub target: Target,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    Layer(String),
    External(Vec<String>),
}

impl Target {
    /// True if `path`, a layer or an external path of the table, allows this.
    pub fn allowed_by(&self, path: &str) -> bool {
        match self {
            Target::Layer(layer) => layer == path,
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
            Target::Layer(layer) => f.write_str(layer),
            Target::External(segments) => f.write_str(&segments.join("::")),
        }
    }
}

pub fn edges_of(path: &Path, text: &str, crates: &BTreeSet<String>) -> Vec<Edge> {
    let module = module_of(path);
    let mut names = names_of(path, text, true);
    names.retain(|name| name.kind != Kind::Word);

    // A module may have the name of a crate, and hides it.
    let hidden: BTreeSet<&str> = names
        .iter()
        .filter(|name| name.is_imported() && !crates.contains(&name.segments[0]))
        .filter_map(|name| name.segments.last().map(String::as_str))
        .collect();
    names
        .iter()
        .filter_map(|name| {
            let target = name.resolve(&module[0], crates, &hidden)?;
            Some(Edge {
                place: format!("{}:{}", path.display(), name.line),
                layer: module[0].clone(),
                target,
            })
        })
        .collect()
}

/// The names in a file, with those in its tests if `tests` is set.
pub fn names_of(path: &Path, text: &str, tests: bool) -> Vec<Name> {
    let mut names = Vec::new();
    Scan { tokens: &tokens_of(path, text, tests), at: 0 }.module(&module_of(path), &mut names);
    names
}

/// The module of a file, beginning with its layer. `lib.rs` is the layer of its crate's public API.
pub fn module_of(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let parts: Vec<String> =
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["src", "lib"] => vec!["peerbroker".to_owned()],
        ["crates", folder, "src", "lib"] => vec![format!("peerbroker_{folder}")],
        ["crates", _, "src", ..] | ["src", "bin", "peerbroker", ..] => parts[3..].to_vec(),
        _ => parts[1..].to_vec(),
    }
}

/// True if the whole file is a test.
pub fn is_test(path: &Path) -> bool {
    path.with_extension("").components().any(|part| part.as_os_str() == "tests")
}

/// A path as written, and the module that contains it.
#[derive(Debug)]
pub struct Name {
    pub segments: Vec<String>,
    pub within: Vec<String>,
    /// The path begins with `::`.
    pub global: bool,
    pub kind: Kind,
    pub line: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A `use` item, with the local name of the import; `*` for a glob.
    Import { called: String, exported: bool },
    /// A `mod` item.
    Module,
    /// A path of several segments, in code.
    Path,
    /// A single identifier, in code.
    Word,
}

impl Name {
    /// True if `use` or `mod` brings the name into scope.
    fn is_imported(&self) -> bool {
        matches!(self.kind, Kind::Import { .. } | Kind::Module)
    }

    /// The target of the name. `None` for the same layer, `std`, and local names.
    fn resolve(&self, layer: &str, crates: &BTreeSet<String>, hidden: &BTreeSet<&str>) -> Option<Target> {
        let front = || Some(Target::Layer(root_of(layer).to_owned()));
        let first = self.segments[0].as_str();
        let absolute: Vec<String> = match first {
            _ if self.global => self.segments.clone(),
            "crate" | "super" | "self" => self.path_from_root()?,
            "peerbroker" => Vec::new(),
            // A module of another crate of ours, or what its front re-exports.
            name if CRATES.iter().any(|(front, _)| *front == name) => {
                let module = self.segments.get(1).filter(|module| is_layer(module));
                return Some(Target::Layer(module.unwrap_or(&self.segments[0]).clone()));
            }
            name if hidden.contains(name) || !crates.contains(name) => return None,
            _ => return Some(Target::External(self.segments.clone())),
        };
        match absolute.first() {
            // The root gives access to everything.
            None if first == "peerbroker" => Some(Target::Layer(first.to_owned())),
            None => front(),
            Some(name) if self.global => crates.contains(name).then(|| Target::External(absolute.clone())),
            Some(name) if name == layer => None,
            // An item of the root.
            Some(name) if !is_layer(name) => front(),
            Some(name) => Some(Target::Layer(name.clone())),
        }
        .filter(|target| *target != Target::Layer(layer.to_owned()))
    }

    /// The path from the root of the crate, if it begins with `crate`, `super` or `self`.
    pub fn path_from_root(&self) -> Option<Vec<String>> {
        let mut module = match self.segments[0].as_str() {
            "crate" => Vec::new(),
            "super" | "self" => self.within.clone(),
            _ => return None,
        };
        // These layers are the roots of their crates.
        if matches!(&module[..], [root] if root == root_of(root)) {
            module.clear();
        }
        let ups = self.segments.iter().take_while(|segment| *segment == "super").count();
        module.truncate(module.len().saturating_sub(ups));
        let rest =
            self.segments.iter().skip_while(|segment| matches!(segment.as_str(), "crate" | "super" | "self"));
        module.extend(rest.cloned());
        Some(module)
    }
}

/// The layer that is the root of the crate of `layer`.
pub fn root_of(layer: &str) -> &'static str {
    let of_crate =
        CRATES.iter().find(|(front, layers)| *front == layer || layers.split(' ').any(|own| own == layer));
    match of_crate {
        Some((front, _)) => front,
        None if PROGRAM.contains(&layer) => "main",
        None => "peerbroker",
    }
}

fn is_layer(name: &str) -> bool {
    LAYERS.iter().any(|known| known.name == name)
}
