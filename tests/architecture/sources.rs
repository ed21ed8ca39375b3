//! The sources on the disk, and the crates of the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::layers::{LAYERS, violation};
use crate::names::{Edge, edges_of, module_of};

pub struct Sources {
    /// Path below the root, and text.
    pub files: BTreeMap<PathBuf, String>,
    /// External crates, as paths name them.
    crates: BTreeSet<String>,
}

impl Sources {
    pub fn read(root: &Path) -> Self {
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

    pub fn edges(&self) -> Vec<Edge> {
        self.files.iter().flat_map(|(path, text)| edges_of(path, text, &self.crates)).collect()
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

/// The names under `[dependencies]`, as paths spell them. All layers may use `std`.
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
