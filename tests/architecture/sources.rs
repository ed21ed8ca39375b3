//! Reads the sources, and the dependencies of the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::layers::{LAYERS, violation};
use crate::names::{Edge, edges_of, is_test, module_of, names_of};

pub struct Sources {
    /// The text of each file, by its path below the root.
    pub files: BTreeMap<PathBuf, String>,
    /// External crates, with `_` in their names.
    crates: BTreeSet<String>,
}

impl Sources {
    pub fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        let crates =
            fs::read_dir(root.join("crates")).expect("the crates").map(|entry| entry.expect("an entry"));
        let crates: Vec<_> = crates.map(|entry| Path::new("crates").join(entry.file_name())).collect();
        // The doctor is a client: its manifest keeps it from the server's code.
        let layered = crates.iter().filter(|path| !path.ends_with("doctor"));
        let mut folders: Vec<PathBuf> = layered.map(|path| path.join("src")).collect();
        folders.push(PathBuf::from("src"));
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
        let manifests =
            crates.iter().map(|path| path.join("Cargo.toml")).chain([PathBuf::from("Cargo.toml")]);
        let crates = manifests
            .flat_map(|path| dependencies(&fs::read_to_string(root.join(path)).expect("Cargo.toml")));
        Sources { files, crates: crates.collect() }
    }

    pub fn edges(&self) -> Vec<Edge> {
        self.files.iter().flat_map(|(path, text)| edges_of(path, text, &self.crates)).collect()
    }

    /// The places outside of tests that name one of these pairs of segments, such as `thread::spawn`.
    pub fn naming(&self, pairs: &[[&str; 2]]) -> Vec<String> {
        let places = self.files.iter().filter(|(path, _)| !is_test(path)).flat_map(|(path, text)| {
            let names = names_of(path, text, false).into_iter();
            let named =
                names.filter(|name| pairs.iter().any(|pair| name.segments.windows(2).any(|two| two == pair)));
            named.map(|name| format!("{}:{}", path.display(), name.line)).collect::<Vec<_>>()
        });
        places.collect()
    }

    pub fn violations(&self) -> Vec<String> {
        let mut violations: Vec<String> = self.edges().iter().filter_map(violation).collect();
        for path in self.files.keys() {
            let layer = &module_of(path)[0];
            if !LAYERS.iter().any(|known| known.name == layer) {
                violations.push(format!("{}: no layer of the table", path.display()));
            }
        }
        violations
    }
}

/// The names under `[dependencies]`, with `_`. `std` is not among them: every layer may use it.
pub fn dependencies(manifest: &str) -> BTreeSet<String> {
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
