//! Literal close codes in the sources.

use std::path::Path;

use crate::scan::tokens_of;

/// The literal close codes of a file, its tests left out.
pub fn close_codes(path: &Path, text: &str) -> Vec<String> {
    let tokens = tokens_of(path, text, false);
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let digits = token.text.replace('_', "");
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let is_code = match digits[..end].parse() {
            // A round number too: a close code only as `Some(1000)`, or as the first of a pair.
            Ok(1000) => at > 1 && word(at - 1) == "(" && matches!(word(at - 2), "Some" | "("),
            // A size.
            Ok(4096) => false,
            Ok(1001..=1015 | 4000..=4999) => true,
            _ => false,
        };
        if is_code {
            found.push(format!("{}:{}: {}", path.display(), token.line, token.text));
        }
    }
    found
}
