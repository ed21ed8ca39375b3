//! Dependencies between modules of one layer, and circles among them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use crate::names::{Kind, Name, is_test, module_of, names_of, root_of};

type Module = Vec<String>;

/// The uses of one module by another: each item with the first place where it is named.
type Uses = BTreeMap<Module, BTreeMap<Module, BTreeMap<String, String>>>;

/// The item, if a name leads to a module.
const ITSELF: &str = "the module itself";

/// The targets of the names in one module.
#[derive(Default)]
struct Scope {
    /// The file that the module is in, as a module: an inline module is part of its file.
    file: Module,
    /// The items that `use` brings into scope; `None` for items of other crates.
    imports: BTreeMap<String, Option<Module>>,
    /// Those of them that are re-exported.
    exports: BTreeSet<String>,
}

/// The modules of a set of files, with all names in them. Tests are left out.
pub struct Modules {
    scopes: BTreeMap<Module, Scope>,
    /// With the file that each stands in.
    names: Vec<(PathBuf, Name)>,
}

impl Modules {
    pub fn read<'a>(files: impl Iterator<Item = (&'a Path, &'a str)>) -> Self {
        let mut modules = Modules { scopes: BTreeMap::new(), names: Vec::new() };
        for (path, text) in files.filter(|(path, _)| !is_test(path)) {
            let file = module_of(path);
            modules.scopes.entry(file.clone()).or_default().file = file.clone();
            for name in names_of(path, text, false) {
                modules.scopes.entry(name.within.clone()).or_default().file = file.clone();
                modules.names.push((path.to_owned(), name));
            }
        }
        for at in 0..modules.names.len() {
            let (_, name) = &modules.names[at];
            let Kind::Import { called, exported } = &name.kind else { continue };
            let target = modules.path_from_root(name);
            let scope = modules.scopes.entry(name.within.clone()).or_default();
            if *exported {
                scope.exports.insert(called.clone());
            }
            scope.imports.insert(called.clone(), target);
        }
        modules
    }

    /// The uses within each layer.
    pub fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (path, name) in &self.names {
            let from = module_of(path);
            if let Some((to, item)) = self.used(name)
                && to[0] == from[0]
                && to != from
            {
                let place = format!("{}:{}", path.display(), name.line);
                uses.entry(from).or_default().entry(to).or_default().entry(item).or_insert(place);
            }
        }
        uses
    }

    /// The file, as a module, and the item in it that a name leads to.
    fn used(&self, name: &Name) -> Option<(Module, String)> {
        let target = match &name.kind {
            // A facade does not use the items that it re-exports.
            Kind::Module | Kind::Import { exported: true, .. } => return None,
            Kind::Word if !self.scopes[&name.within].exports.contains(&name.segments[0]) => return None,
            Kind::Word | Kind::Path | Kind::Import { .. } => self.path_from_root(name)?,
        };
        let root = vec![root_of(&name.within[0]).to_owned()];
        self.find(&root, &target, 0)
    }

    /// The path of a name from the root of its crate, unless it leads out of that or is local.
    fn path_from_root(&self, name: &Name) -> Option<Module> {
        if name.global {
            return None;
        }
        name.path_from_root().or_else(|| {
            let first = &name.segments[0];
            let here = match name.within.as_slice() {
                [root] if root == root_of(root) => Vec::new(),
                within => within.to_vec(),
            };
            let child = [here.as_slice(), std::slice::from_ref(first)].concat();
            let imported = self.scopes.get(&name.within)?.imports.get(first).cloned().flatten();
            // `use a::b;` may be followed by `use b::c;` or name `b::c` in code.
            let start = if self.scopes.contains_key(&child) { child } else { imported? };
            Some([start, name.segments[1..].to_vec()].concat())
        })
    }

    /// Follows a path from `scope` through modules and re-exports to the item's own module.
    fn find(&self, scope: &Module, path: &[String], depth: usize) -> Option<(Module, String)> {
        // A circle of re-exports does not compile, but a shadowed name might look like one.
        if depth > 16 {
            return None;
        }
        let file = || self.scopes.get(scope).map(|scope| scope.file.clone());
        let Some((first, rest)) = path.split_first() else {
            return Some((file()?, ITSELF.to_owned()));
        };
        let child: Module = match scope.as_slice() {
            [root] if root == root_of(root) => vec![first.clone()],
            within => [within, std::slice::from_ref(first)].concat(),
        };
        if self.scopes.contains_key(&child) {
            return self.find(&child, rest, depth);
        }
        match self.scopes.get(scope)?.imports.get(first) {
            Some(target) => {
                let target = [target.as_deref()?, rest].concat();
                self.find(&vec![root_of(&scope[0]).to_owned()], &target, depth + 1)
            }
            None => Some((file()?, first.clone())),
        }
    }
}

/// Modules that all lead to each other.
#[derive(Debug)]
pub struct Knot {
    pub modules: BTreeSet<String>,
    /// The circles, and below them each use between these modules with its place.
    pub text: String,
}

/// The strongly connected parts of a graph. The text of each use in one has the shortest circle through it.
pub fn knots(uses: &Uses) -> Vec<Knot> {
    let mut knots: BTreeMap<BTreeSet<Module>, BTreeSet<Vec<Module>>> = BTreeMap::new();
    for (from, to) in uses.iter().flat_map(|(from, all)| all.keys().map(move |to| (from, to))) {
        if let Some(mut circle) = way(uses, to, from) {
            let members = uses.keys().filter(|other| {
                *other == from || (way(uses, from, other).is_some() && way(uses, other, from).is_some())
            });
            let knot = knots.entry(members.cloned().collect()).or_default();
            // It starts with its smallest module, so that its text is always the same.
            let first = (0..circle.len()).min_by_key(|&at| &circle[at]).unwrap_or(0);
            circle.rotate_left(first);
            knot.insert(circle);
        }
    }
    knots.into_iter().map(|(modules, circles)| Knot::new(uses, &modules, &circles)).collect()
}

impl Knot {
    fn new(uses: &Uses, modules: &BTreeSet<Module>, circles: &BTreeSet<Vec<Module>>) -> Self {
        let mut text = String::new();
        for circle in circles {
            let round: Vec<String> =
                circle.iter().chain(circle.first()).map(|module| module.join("::")).collect();
            text += &format!("{}\n", round.join(" -> "));
        }
        for from in modules {
            for (to, items) in uses[from].iter().filter(|(to, _)| modules.contains(*to)) {
                // The import of a module is redundant if the used item follows.
                let telling = items.iter().filter(|(item, _)| items.len() == 1 || *item != ITSELF);
                let items: Vec<String> = telling.map(|(item, place)| format!("{item} ({place})")).collect();
                text += &format!("    {} uses of {}: {}\n", from.join("::"), to.join("::"), items.join(", "));
            }
        }
        Knot { modules: modules.iter().map(|module| module.join("::")).collect(), text }
    }
}

/// The shortest way from one module to another: every module on it, both ends included.
fn way(uses: &Uses, from: &Module, to: &Module) -> Option<Vec<Module>> {
    let mut before: BTreeMap<&Module, Option<&Module>> = BTreeMap::from([(from, None)]);
    let mut next = VecDeque::from([from]);
    while let Some(module) = next.pop_front() {
        if module == to {
            let mut way: Vec<Module> =
                std::iter::successors(Some(module), |module| before[module]).cloned().collect();
            way.reverse();
            return Some(way);
        }
        for used in uses.get(module).into_iter().flat_map(BTreeMap::keys) {
            before.entry(used).or_insert_with(|| {
                next.push_back(used);
                Some(module)
            });
        }
    }
    None
}
