//! Ways to write that save lines and cost readers. The rules look at tokens, so line breaks and comments
//! change nothing.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The lines with a habit, and which.
pub fn habits(code: &TokenStream) -> Vec<(usize, &'static str)> {
    let tokens: Vec<TokenTree> = code.clone().into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_first =
            tokens[..at].last().is_none_or(|before| is(before, ';') || is_group(before, Delimiter::Brace));
        let habit = if is_tuple(&tokens[at..], is_first) {
            Some("one statement for each variable")
        } else if is_for_each(&tokens[at..]) {
            Some("`if let` for an Option, `for` for others")
        } else {
            None
        };
        found.extend(habit.map(|habit| (token.span().start().line, habit)));
        if let TokenTree::Group(group) = token {
            found.extend(habits(&group.stream()));
        }
    }
    found
}

/// `let (…) = (…);`, or `(…) = (…)` as a statement, where both sides are tuples, and the right one is no swap
/// of the names on the left.
fn is_tuple(tokens: &[TokenTree], is_first: bool) -> bool {
    let (is_let, tokens) = match tokens {
        [TokenTree::Ident(word), rest @ ..] if word == "let" => (true, rest),
        tokens => (false, tokens),
    };
    let [left, rest @ ..] = tokens else { return false };
    // A type may be in between.
    let rest = match rest {
        [colon, _, rest @ ..] if is_let && is(colon, ':') => rest,
        rest => rest,
    };
    let [equals, right, rest @ ..] = rest else { return false };
    let ends = rest.first().map_or(!is_let, |end| is(end, ';'));
    let are_tuples = [left, right].iter().all(|side| is_group(side, Delimiter::Parenthesis));
    (is_let || is_first) && is(equals, '=') && ends && are_tuples && words(left) != words(right)
}

fn words(side: &TokenTree) -> Vec<String> {
    let TokenTree::Group(side) = side else { return Vec::new() };
    let mut words: Vec<String> = side.stream().into_iter().map(|token| token.to_string()).collect();
    words.sort();
    words
}

/// `.into_iter().for_each(…)`.
fn is_for_each(tokens: &[TokenTree]) -> bool {
    let [dot, TokenTree::Ident(into_iter), TokenTree::Group(_), then, TokenTree::Ident(for_each), ..] =
        tokens
    else {
        return false;
    };
    is(dot, '.') && into_iter == "into_iter" && is(then, '.') && for_each == "for_each"
}

fn is(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}
