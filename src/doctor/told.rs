//! What a peerbroker says about itself in its 404: its path, its key, and how clients reach it.

/// What the text has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) path: String,
    /// The built-in key, if there is one.
    pub(super) key: Option<String>,
    /// The client options as the server sees them: host, port and whether they are secure.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) secure: bool,
}

impl Told {
    /// `None` if the text is not that of a peerbroker.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (_, text) = text.split_once("This is a peerbroker")?;
        let path = quoted(text, "Its path is ")?;
        let key = quoted(text, "its key is ");
        let (_, options) = text.split_once("new Peer(")?;
        let (_, port) = options.split_once(" port: ")?;
        let digits = port.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Told {
            path,
            key,
            host: quoted(options, "host: ")?,
            port: digits.parse().ok()?,
            secure: options.contains("secure: true"),
        })
    }
}

/// The string literal behind a word. JSON reads those of Rust that have no unusual escape.
fn quoted(text: &str, word: &str) -> Option<String> {
    let (_, literal) = text.split_once(word)?;
    let mut values = serde_json::Deserializer::from_str(literal).into_iter();
    values.next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_the_404_is_read() {
        let text = "404: GET /y was not found.\n\nThis is a peerbroker, a server for PeerJS. Its path is \"/x/\" and its key is \"a \\\"b\".\n\
                    A client finds it with\n\n    new Peer({host: \"h\", port: 443, path: \"/x/\", key: \"a\", secure: true})\n";
        let told = Told::read(text).unwrap();
        let expected = ("/x/", Some("a \"b"), "h", 443, true);
        assert_eq!((&*told.path, told.key.as_deref(), &*told.host, told.port, told.secure), expected);
        for other in
            ["", "Cannot GET /peerjs", "This is a peerbroker", "This is a peerbroker Its path is 7 new Peer("]
        {
            assert_eq!(Told::read(other), None, "{other}");
        }
    }
}
