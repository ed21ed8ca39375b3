//! Words that nothing says any more, and questions that nobody answers: no compiler tells what a protocol
//! that was removed has left in what all protocols share.

use std::collections::BTreeSet;
use std::fmt::Debug;

use peerbroker_core::vocabulary::{
    AppRefusal, CloseReason, ConnectionKind, Dialect, DropReason, HandshakeRefusal, Limit, MessageKind,
    NameKind, RealmKind, Refusal, RoomRefusal, RoomRight,
};
use peerbroker_media_api::{CallFailure, Dropped, RelayedOver, TurnRefusal};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A variant of an enum that the crates share, as the code names it.
pub struct Word {
    pub name: String,
    /// The beginnings of the paths of files that say all of them.
    pub tables: Vec<String>,
}

/// The variants of the tables of the vocabulary.
pub fn words() -> Vec<Word> {
    let words = [
        names("core/src/vocabulary/endings.rs", "AppRefusal", &AppRefusal::ALL),
        names("media-api/src/lib.rs", "CallFailure", &CallFailure::ALL),
        names("core/src/vocabulary/endings.rs", "CloseReason", &CloseReason::ALL),
        names("core/src/vocabulary/connection.rs", "ConnectionKind", &ConnectionKind::ALL),
        names("core/src/vocabulary/protocol.rs", "Dialect", &Dialect::ALL),
        names("core/src/vocabulary/message.rs", "DropReason", &DropReason::ALL),
        names("media-api/src/lib.rs", "Dropped", &Dropped::ALL),
        names("core/src/vocabulary/endings.rs", "HandshakeRefusal", &HandshakeRefusal::ALL),
        names("core/src/vocabulary/limit.rs", "Limit", &Limit::ALL),
        names("core/src/vocabulary/message.rs", "MessageKind", &MessageKind::ALL),
        names("core/src/vocabulary/protocol.rs", "NameKind", &NameKind::ALL),
        names("core/src/vocabulary/protocol.rs", "RealmKind", &RealmKind::ALL),
        names("core/src/vocabulary/endings.rs", "Refusal", &Refusal::ALL),
        names("media-api/src/lib.rs", "RelayedOver", &RelayedOver::ALL),
        names("core/src/vocabulary/endings.rs", "RoomRefusal", &RoomRefusal::ALL),
        names("core/src/vocabulary/room_rights.rs", "RoomRight", &RoomRight::ALL),
        names("media-api/src/lib.rs", "TurnRefusal", &TurnRefusal::ALL),
    ];
    words.into_iter().flatten().collect()
}

fn names(file: &str, of: &str, variants: &[impl Debug]) -> Vec<Word> {
    let word = |variant| {
        let text = format!("{variant:?}");
        let variant = text.split('(').next().unwrap_or_default();
        Word { name: format!("{of}::{variant}"), tables: vec![format!("crates/{file}")] }
    };
    variants.iter().map(word).collect()
}

/// The variants of an enum in this code, which is no table.
pub fn variants(code: &TokenStream, of: &str, tables: &[&str]) -> Vec<Word> {
    let tables: Vec<String> = tables.iter().map(|table| (*table).to_owned()).collect();
    let Some(body) = body_of(code, &["enum", of]) else { return Vec::new() };
    let mut words = Vec::new();
    let mut begins = true;
    for token in body {
        match &token {
            TokenTree::Ident(name) if begins => {
                words.push(Word { name: format!("{of}::{name}"), tables: tables.clone() });
                begins = false;
            }
            TokenTree::Punct(comma) if comma.as_char() == ',' => begins = true,
            _ => {}
        }
    }
    words
}

/// The methods of a trait in this code that have a default.
pub fn defaults(code: &TokenStream, of: &str) -> Vec<String> {
    let body: Vec<TokenTree> = body_of(code, &["trait", of]).into_iter().flatten().collect();
    let mut method = None;
    let mut defaults = Vec::new();
    for at in 0..body.len() {
        match (&body[at], body.get(at + 1)) {
            (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if word == "fn" => {
                method = Some(name.to_string());
            }
            (TokenTree::Punct(end), _) if end.as_char() == ';' => method = None,
            (TokenTree::Group(body), _) if body.delimiter() == Delimiter::Brace => {
                defaults.extend(method.take());
            }
            _ => {}
        }
    }
    defaults
}

/// The methods that implementations of a trait in this code have.
pub fn implemented(code: &TokenStream, of: &str) -> BTreeSet<String> {
    let tokens: Vec<TokenTree> = code.clone().into_iter().collect();
    let mut methods = BTreeSet::new();
    let is_word = |token: &TokenTree, wanted: &str| matches!(token, TokenTree::Ident(word) if word == wanted);
    for at in tokens.iter().enumerate().filter(|(_, token)| is_word(token, "impl")).map(|(at, _)| at) {
        let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(body) if body.delimiter() == Delimiter::Brace);
        let Some(length) = tokens[at..].iter().position(is_body) else { continue };
        let header = &tokens[at..at + length];
        let named = header.iter().position(|token| is_word(token, of));
        let is_of_trait = named.is_some_and(|name| header[name..].iter().any(|token| is_word(token, "for")));
        if let (true, TokenTree::Group(body)) = (is_of_trait, &tokens[at + length]) {
            let body: Vec<TokenTree> = body.stream().into_iter().collect();
            let names =
                body.windows(2).filter(|pair| is_word(&pair[0], "fn")).map(|pair| pair[1].to_string());
            methods.extend(names);
        }
    }
    methods
}

/// The body behind these words.
fn body_of(code: &TokenStream, words: &[&str; 2]) -> Option<TokenStream> {
    let tokens: Vec<TokenTree> = code.clone().into_iter().collect();
    let is_named = |pair: &[TokenTree]| {
        pair.iter().zip(words).all(|(token, word)| matches!(token, TokenTree::Ident(name) if name == word))
    };
    let at = tokens.windows(2).position(is_named)?;
    tokens[at..].iter().find_map(|token| match token {
        TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => Some(body.stream()),
        _ => None,
    })
}
