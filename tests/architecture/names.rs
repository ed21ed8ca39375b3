//! The names in a source, and the layers or crates that they lead to.

use std::collections::BTreeSet;
use std::path::Path;

use crate::layers::{LAYERS, PROGRAM};
use crate::scan::{Scan, tokens_of};

/// A name in a file that leads outside its own layer.
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
    /// Whether `path`, a layer or an external path of the table, includes this.
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

    // A crate's name may also be that of a module, which then hides it.
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

/// The names in a file; those of its tests only if `tests` is set.
pub fn names_of(path: &Path, text: &str, tests: bool) -> Vec<Name> {
    let mut names = Vec::new();
    Scan { tokens: &tokens_of(path, text, tests), at: 0 }.module(&module_of(path), &mut names);
    names
}

/// The module of a file, starting with its layer. `lib.rs` is the layer of the library's front.
pub fn module_of(path: &Path) -> Vec<String> {
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

/// Whether a whole file is a test.
pub fn is_test(path: &Path) -> bool {
    path.with_extension("").components().any(|part| part.as_os_str() == "tests")
}

/// A path in the source, and the module that contains it.
#[derive(Debug)]
pub struct Name {
    pub segments: Vec<String>,
    pub within: Vec<String>,
    /// It begins with `::`.
    pub global: bool,
    pub kind: Kind,
    pub line: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// `use`, under the name that the item has here; `*` for all of a module.
    Import { called: String, exported: bool },
    /// `mod`
    Module,
    /// More than one segment, in code.
    Path,
    /// One word, in code.
    Word,
}

impl Name {
    /// Whether it is brought into scope: by `use`, or as a declared module.
    fn is_imported(&self) -> bool {
        matches!(self.kind, Kind::Import { .. } | Kind::Module)
    }

    /// Where it leads, unless that is the same layer, `std`, or something local.
    fn resolve(&self, layer: &str, crates: &BTreeSet<String>, hidden: &BTreeSet<&str>) -> Option<Target> {
        let front = || Some(Target::Layer(root_of(layer).to_owned()));
        let first = self.segments[0].as_str();
        let absolute: Vec<String> = match first {
            _ if self.global => self.segments.clone(),
            "crate" | "super" | "self" => self.path_from_root()?,
            "peerbroker" => Vec::new(),
            name if hidden.contains(name) || !crates.contains(name) => return None,
            _ => return Some(Target::External(self.segments.clone())),
        };
        match absolute.first() {
            // The root as a whole leads everywhere.
            None if first == "peerbroker" => Some(Target::Layer(first.to_owned())),
            None => front(),
            Some(name) if self.global => crates.contains(name).then(|| Target::External(absolute.clone())),
            Some(name) if name == layer => None,
            // An item of the root.
            Some(name) if !LAYERS.iter().any(|known| known.name == name) => front(),
            Some(name) => Some(Target::Layer(name.clone())),
        }
        .filter(|target| *target != Target::Layer(layer.to_owned()))
    }

    /// A path that begins with `crate`, `super` or `self`, as it is from the root of its crate.
    pub fn path_from_root(&self) -> Option<Vec<String>> {
        let mut module = match self.segments[0].as_str() {
            "crate" => Vec::new(),
            "super" | "self" => self.within.clone(),
            _ => return None,
        };
        // The front of the library is the root itself.
        if module == ["peerbroker"] || module == ["main"] {
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
    if PROGRAM.contains(&layer) { "main" } else { "peerbroker" }
}
