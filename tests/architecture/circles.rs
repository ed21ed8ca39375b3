//! Which modules of one folder import each other in a circle: a reader of one has to know them all. A name
//! that a folder's own file re-exports leads to the file that defines it. Methods are not followed, nor is a
//! folder's own file part of a circle.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The root of a crate, and the names of the modules below it.
type Module = Vec<String>;

/// A path in the code of a module, from wherever it begins, and the name by which the module calls it.
struct Name {
    within: Module,
    path: Vec<String>,
    alias: Option<String>,
    place: String,
}

#[derive(Default)]
pub struct Modules {
    names: Vec<Name>,
    /// With the module of the file that each is in.
    known: BTreeMap<Module, Module>,
    /// The names that `use` brings into a module.
    imports: BTreeMap<(Module, String), Vec<String>>,
}

/// The module of a file.
fn module_of(path: &str) -> Option<Module> {
    let program = Some("src/bin/peerbroker/").filter(|program| path.starts_with(program));
    let root = program.or_else(|| Some(&path[..path.find("src/")? + 4]))?;
    let names = path[root.len()..].trim_end_matches(".rs").split('/');
    let names = names.filter(|name| !matches!(*name, "lib" | "main"));
    Some([root].into_iter().chain(names).map(str::to_owned).collect())
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

impl Modules {
    pub fn add(&mut self, path: &str, code: &TokenStream) {
        if let Some(module) = module_of(path) {
            self.known.insert(module.clone(), module.clone());
            self.read(path, &module, code.clone());
        }
    }

    fn read(&mut self, file: &str, within: &Module, code: TokenStream) {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1);
            let is_of_tests = is_punct(Some(token), '#')
                && next.is_some_and(|next| next.to_string().replace(' ', "") == "[cfg(test)]");
            if is_of_tests {
                let is_end = |token: &TokenTree| match token {
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    token => is_punct(Some(token), ';'),
                };
                at += tokens[at..].iter().position(is_end).unwrap_or(tokens.len()) + 1;
                continue;
            }
            match token {
                TokenTree::Ident(word) if word == "use" => {
                    let end =
                        at + tokens[at..].iter().position(|token| is_punct(Some(token), ';')).unwrap_or(1);
                    let place = format!("{file}:{}", word.span().start().line);
                    self.read_use(within, &place, &[], &tokens[at + 1..end]);
                    at = end;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(name), Some(TokenTree::Group(body))) = (ident(next), tokens.get(at + 2)) {
                        let inner: Module = within.iter().cloned().chain([name]).collect();
                        self.known.insert(inner.clone(), self.known[within].clone());
                        self.read(file, &inner, body.stream());
                        at += 2;
                    }
                    at += 1;
                }
                TokenTree::Ident(word) => {
                    let place = format!("{file}:{}", word.span().start().line);
                    let mut path = vec![word.to_string()];
                    while let (true, Some(name)) = (is_colons(&tokens, at + 1), ident(tokens.get(at + 3))) {
                        path.push(name);
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.names.push(Name { within: within.clone(), path, alias: None, place });
                    }
                    at += 1;
                }
                TokenTree::Group(group) => {
                    self.read(file, within, group.stream());
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// A tree of `use`, behind its first names.
    fn read_use(&mut self, within: &Module, place: &str, before: &[String], tokens: &[TokenTree]) {
        for tree in tokens.split(|token| is_punct(Some(token), ',')) {
            let mut path = before.to_vec();
            let mut alias = None;
            for (at, token) in tree.iter().enumerate() {
                match token {
                    TokenTree::Ident(word) if word == "as" => alias = ident(tree.get(at + 1)),
                    TokenTree::Ident(word) if alias.is_none() && word != "self" => {
                        path.push(word.to_string())
                    }
                    TokenTree::Ident(word) if at == 0 && before.is_empty() => path.push(word.to_string()),
                    TokenTree::Group(group) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.read_use(within, place, &path, &inner);
                        path.clear();
                    }
                    _ => {}
                }
            }
            if let Some(last) = path.last().cloned() {
                let alias = alias.unwrap_or(last);
                self.imports.insert((within.clone(), alias.clone()), path.clone());
                let place = place.to_owned();
                self.names.push(Name { within: within.clone(), path, alias: Some(alias), place });
            }
        }
    }

    /// The file, as a module, that a path leads to from a module. `None` if that is of another crate.
    fn find(
        &self,
        within: &Module,
        path: &[String],
        alias: Option<&String>,
        depth: usize,
    ) -> Option<&Module> {
        let (first, rest) = path.split_first()?;
        let child = |of: &Module, name: &String| -> Module { of.iter().chain([name]).cloned().collect() };
        let mut here = within.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" => here.truncate(1),
            "self" => {}
            "super" => {
                here.pop();
                while let Some(("super", more)) = rest.split_first().map(|(name, more)| (name.as_str(), more))
                {
                    here.pop();
                    rest = more;
                }
            }
            _ if self.known.contains_key(&child(within, first)) => here.push(first.clone()),
            _ => {
                // `use a::b as a` does not lead to itself.
                let import =
                    self.imports.get(&(within.clone(), first.clone())).filter(|_| alias != Some(first))?;
                let path: Vec<String> = import.iter().chain(rest).cloned().collect();
                return (depth > 0).then(|| self.find(within, &path, Some(first), depth - 1))?;
            }
        }
        while let Some((name, more)) = rest.split_first() {
            let inner = child(&here, name);
            if self.known.contains_key(&inner) {
                here = inner;
                rest = more;
            } else if let Some(import) = self.imports.get(&(here.clone(), name.clone()))
                && depth > 0
            {
                let path: Vec<String> = import.iter().chain(more).cloned().collect();
                return self.find(&here, &path, Some(name), depth - 1);
            } else {
                break;
            }
        }
        self.known.get(&here)
    }

    /// The circles of each folder: its modules that lead to each other, and where they do.
    pub fn circles(&self) -> BTreeMap<BTreeSet<String>, Vec<String>> {
        let mut uses: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for Name { within, path, alias, place } in &self.names {
            let from = &self.known[within];
            let Some(to) = self.find(within, path, alias.as_ref(), 8) else { continue };
            let shared = from.iter().zip(to).take_while(|(from, to)| from == to).count();
            if shared > 0 && shared < from.len() && shared < to.len() {
                let name = |module: &Module| format!("{}{}", module[0], module[1..=shared].join("/"));
                let places = uses.entry(name(from)).or_default().entry(name(to)).or_default();
                places.insert(format!("{place}: {}", path.join("::")));
            }
        }
        let reached = |from: &String| {
            let mut reached = BTreeSet::new();
            let mut next = vec![from];
            while let Some(module) = next.pop() {
                let more = uses.get(module).into_iter().flat_map(BTreeMap::keys);
                next.extend(more.filter(|more| reached.insert((*more).clone())));
            }
            reached
        };
        let reach: BTreeMap<&String, BTreeSet<String>> =
            uses.keys().map(|from| (from, reached(from))).collect();
        let mut circles = BTreeMap::new();
        for (from, reached) in &reach {
            let circle: BTreeSet<String> = reached
                .iter()
                .filter(|to| reach.get(to).is_some_and(|back| back.contains(*from)))
                .cloned()
                .collect();
            if circle.len() > 1 && circle.contains(*from) {
                let places: &mut Vec<String> = circles.entry(circle.clone()).or_default();
                for (to, found) in uses[*from].iter().filter(|(to, _)| circle.contains(*to)) {
                    places.extend(found.iter().map(|place| format!("    {to} at {place}")));
                }
            }
        }
        circles
    }
}
