//! The query of a URL.

use std::borrow::Cow;

/// Values of a query string; empty if missing. The last of repeated names counts.
pub fn values<'a, const N: usize>(query: &'a str, names: [&str; N]) -> [Cow<'a, str>; N] {
    let mut values = names.map(|_| Cow::default());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if let Some((_, wanted)) = names.iter().zip(&mut values).find(|(wanted, _)| **wanted == name) {
            *wanted = value;
        }
    }
    values
}

/// The parameter that has the room which a client has named in its address.
pub const ROOM: &str = "room";

/// The parameter with the pipe of an end, which is in its path.
pub const PIPE: &str = "pipe";

/// A query with one more parameter. Of repeated ones the last counts.
pub fn with(query: &str, name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(query.to_owned()).append_pair(name, value).finish()
}
