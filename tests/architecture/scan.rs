//! Finds paths in a stream of tokens.

use std::path::Path;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use crate::names::{Kind, Name};

/// A token with its line. Groups are flattened: their tokens follow the opening bracket.
#[derive(Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// The tokens of a file, with those of its tests if `tests` is set.
pub fn tokens_of(path: &Path, text: &str, tests: bool) -> Vec<Token> {
    let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    if tests { tokens } else { without_tests(tokens) }
}

/// Leaves out each item behind `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        kept.push(token);
        let end = kept.len().saturating_sub(ATTRIBUTE.len());
        if !kept[end..].iter().map(|token| token.text.as_str()).eq(ATTRIBUTE) {
            continue;
        }
        kept.truncate(end);
        let mut depth = 0_usize;
        for token in tokens.by_ref() {
            match token.text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" if depth == 1 => break,
                "}" | ")" | "]" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
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
            // Only numbers matter among literals: they may be close codes.
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let number = text.starts_with(|c: char| c.is_ascii_digit());
                tokens.push(Token { text: if number { text } else { "literal".to_owned() }, line });
            }
            // `::` is the only operator of two characters that matters here.
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

pub struct Scan<'a> {
    pub tokens: &'a [Token],
    pub at: usize,
}

impl Scan<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    fn is_word(&self, ahead: usize) -> bool {
        self.text(ahead).starts_with(|c: char| c.is_alphabetic() || c == '_') && self.text(ahead) != "literal"
    }

    /// Collects names up to the closing brace of the module.
    pub fn module(&mut self, within: &[String], names: &mut Vec<Name>) {
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
                        kind: Kind::Module,
                        line,
                    });
                    let inline = self.text(2) == "{";
                    self.at += 3;
                    if inline {
                        self.module(&inner, names);
                    }
                }
                // The path in `pub(in a::b)` limits visibility and uses nothing.
                "pub" if self.text(1) == "(" && self.text(2) == "in" => {
                    while !matches!(self.text(0), ")" | "") {
                        self.at += 1;
                    }
                    self.at += 1;
                }
                // Not the `use<…>` of a type. `extern crate` below is an older `use`.
                "use" if self.text(1) != "<" => {
                    let exported = self.is_exported();
                    self.at += 1;
                    self.tree(&[], exported, within, names);
                }
                "extern" if self.text(1) == "crate" => {
                    self.at += 2;
                    self.tree(&[], false, within, names);
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
                    // The part after `>::` or `)::` continues a type, so it is not a path.
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
                _ => {
                    let before = self.at.checked_sub(1).map_or("", |at| &self.tokens[at].text);
                    if self.is_word(0) && !matches!(before, "." | "::") {
                        let segments = vec![self.text(0).to_owned()];
                        names.push(Name {
                            segments,
                            within: within.to_vec(),
                            global: false,
                            kind: Kind::Word,
                            line,
                        });
                    }
                    self.at += 1;
                }
            }
        }
    }

    /// True if the `use` here begins with `pub`, or with `pub(…)`.
    fn is_exported(&self) -> bool {
        let mut before = self.tokens[..self.at].iter().rev().map(|token| token.text.as_str());
        match before.next() {
            Some("pub") => true,
            Some(")") => before.find(|text| *text == "(").is_some() && before.next() == Some("pub"),
            _ => false,
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
            names.push(Name { segments, within: within.to_vec(), global, kind: Kind::Path, line });
        }
    }

    /// A tree of `use`, from here to its end.
    fn tree(&mut self, prefix: &[String], exported: bool, within: &[String], names: &mut Vec<Name>) {
        let mut segments = prefix.to_vec();
        let mut called = None;
        let mut global = false;
        let line = self.tokens[self.at].line;
        loop {
            match self.text(0) {
                "::" => {
                    global |= segments.is_empty();
                    self.at += 1;
                }
                "*" => {
                    called = Some("*".to_owned());
                    self.at += 1;
                    break;
                }
                "{" => {
                    self.at += 1;
                    while self.text(0) != "}" {
                        let before = names.len();
                        self.tree(&segments, exported, within, names);
                        names[before..].iter_mut().for_each(|name| name.global |= global);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    called = Some(self.text(1).to_owned());
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
        if let Some(last) = segments.last() {
            let kind = Kind::Import { called: called.unwrap_or_else(|| last.clone()), exported };
            names.push(Name { segments, within: within.to_vec(), global, kind, line });
        }
    }
}
