//! Pages and libraries that are embedded in the binary.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "static/"]
// For operators, on their own port.
#[exclude = "dashboard/*"]
pub(super) struct Static;

/// The documentation, in Markdown: what those who run or use a server read.
#[derive(RustEmbed)]
#[folder = "docs/"]
#[include = "*.md"]
#[exclude = "ARCHITECTURE.md"]
#[exclude = "BENCHMARKS.md"]
pub(super) struct Docs;

/// A published build of a library that the pages use.
pub(super) struct Library {
    pub(super) file: &'static str,
    pub(super) text: &'static str,
    /// The hash for `integrity` in HTML.
    pub(super) integrity: &'static str,
}

/// A file of `vendor/dist`, which `make vendor` makes.
macro_rules! vendored {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/vendor/dist/", $file))
    };
}

/// The release of both builds of PeerJS.
pub(super) const PEERJS_VERSION: &str = "1.5.5";

pub(super) const PEERJS: Library = Library {
    file: "peerjs.min.js",
    text: vendored!("peerjs.min.js"),
    integrity: "sha384-x0YgkOr/3UOZP2CRDxGW9e0Q+2Qjyr3uJrm4xU32Y7ZCNAo7Cc7bjhrZMi/dwczu",
};

/// The same release, not minified.
pub(super) const PEERJS_READABLE: Library = Library {
    file: "peerjs.js",
    text: vendored!("peerjs.js"),
    integrity: "sha384-JZYCWB8nNc19LOH+qWXVtd4yoj+iRdKZu/qnRcFHld1b5YBOcy5NOxqmaMVDx8sA",
};

pub(super) const QRCODE: Library = Library {
    file: "qrcode.js",
    text: vendored!("qrcode.js"),
    integrity: "sha384-e9EFD6BGC90bkW9aDV5xbbBfzwN7G8YImHao2lfLVKV/hPB0E0go+H3I64h7oHtA",
};

pub(super) const SIMPLE_PEER: Library = Library {
    file: "simplepeer.min.js",
    text: vendored!("simplepeer.min.js"),
    integrity: "sha384-MZ3ciGjiWCKKLGxi6Gf7uIU8N5/QSyhpZHhvn2TdHP0ofkCkbCGW1j3ZMzYhocpu",
};

impl Library {
    pub(super) fn script(&self) -> String {
        format!(r#"<script src="vendor/{}"></script>"#, self.file)
    }
}

/// A file that pages find below `vendor/`.
pub(super) fn vendored(name: &str) -> Option<&'static str> {
    match name {
        "LICENSES.txt" => Some(vendored!("LICENSES.txt")),
        _ => [PEERJS, PEERJS_READABLE, QRCODE, SIMPLE_PEER]
            .into_iter()
            .find(|library| library.file == name)
            .map(|library| library.text),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::digest::{SHA384, digest};

    use super::*;

    #[test]
    fn the_integrity_of_a_library_is_that_of_its_file() {
        for library in [PEERJS, PEERJS_READABLE, QRCODE, SIMPLE_PEER] {
            let hash = STANDARD.encode(digest(&SHA384, library.text.as_bytes()));
            assert_eq!(format!("sha384-{hash}"), library.integrity, "{}", library.file);
        }
    }
}
