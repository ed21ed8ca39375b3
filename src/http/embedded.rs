//! Pages and libraries that are embedded in the binary.

use std::borrow::Cow;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "static/"]
pub(super) struct Static;

/// Published builds of the libraries that the pages use. Empty unless `make vendor` ran before the build.
#[derive(RustEmbed)]
#[folder = "vendor/dist/"]
#[allow_missing = true]
pub(super) struct Vendor;

/// The documentation, in Markdown: what those who run or use a server read.
#[derive(RustEmbed)]
#[folder = "docs/"]
#[include = "*.md"]
#[exclude = "ARCHITECTURE.md"]
#[exclude = "BENCHMARKS.md"]
pub(super) struct Docs;

/// A library of the pages. Pages load it from the binary if it is embedded, otherwise from the CDN.
pub(super) struct Library {
    pub(super) file: &'static str,
    cdn_path: &'static str,
    /// The hash for `integrity` in HTML.
    pub(super) integrity: &'static str,
}

pub(super) const CDN: &str = "https://unpkg.com";

/// The release of both builds of PeerJS.
pub(super) const PEERJS_VERSION: &str = "1.5.5";

pub(super) const PEERJS: Library = Library {
    file: "peerjs.min.js",
    cdn_path: "/peerjs@1.5.5/dist/peerjs.min.js",
    integrity: "sha384-x0YgkOr/3UOZP2CRDxGW9e0Q+2Qjyr3uJrm4xU32Y7ZCNAo7Cc7bjhrZMi/dwczu",
};

/// The same release, not minified.
pub(super) const PEERJS_READABLE: Library = Library {
    file: "peerjs.js",
    cdn_path: "/peerjs@1.5.5/dist/peerjs.js",
    integrity: "sha384-JZYCWB8nNc19LOH+qWXVtd4yoj+iRdKZu/qnRcFHld1b5YBOcy5NOxqmaMVDx8sA",
};

pub(super) const QRCODE: Library = Library {
    file: "qrcode.js",
    cdn_path: "/qrcode-generator@2.0.4/dist/qrcode.js",
    integrity: "sha384-e9EFD6BGC90bkW9aDV5xbbBfzwN7G8YImHao2lfLVKV/hPB0E0go+H3I64h7oHtA",
};

pub(super) const SIMPLE_PEER: Library = Library {
    file: "simplepeer.min.js",
    cdn_path: "/simple-peer@9.11.1/simplepeer.min.js",
    integrity: "sha384-MZ3ciGjiWCKKLGxi6Gf7uIU8N5/QSyhpZHhvn2TdHP0ofkCkbCGW1j3ZMzYhocpu",
};

impl Library {
    pub(super) fn is_embedded(&self) -> bool {
        Vendor::get(self.file).is_some()
    }

    /// The published file, if it is embedded.
    pub(super) fn text(&self) -> Option<Cow<'static, str>> {
        let file = Vendor::get(self.file)?;
        Some(match file.data {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        })
    }

    /// The same file on the CDN.
    pub(super) fn cdn(&self) -> String {
        format!("{CDN}{}", self.cdn_path)
    }

    pub(super) fn script(&self) -> String {
        let Library { file, integrity, .. } = self;
        if self.is_embedded() {
            format!(r#"<script src="vendor/{file}"></script>"#)
        } else {
            let cdn = self.cdn();
            format!(r#"<script src="{cdn}" integrity="{integrity}" crossorigin="anonymous"></script>"#)
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::digest::{SHA384, digest};

    use super::*;

    #[test]
    fn the_integrity_of_a_library_is_that_of_the_embedded_file_and_its_version_that_of_the_cdn() {
        for library in [PEERJS, PEERJS_READABLE, QRCODE, SIMPLE_PEER] {
            if let Some(file) = Vendor::get(library.file) {
                let hash = STANDARD.encode(digest(&SHA384, &file.data));
                assert_eq!(format!("sha384-{hash}"), library.integrity, "{}", library.file);
            }
        }
        for library in [PEERJS, PEERJS_READABLE] {
            assert_eq!(library.cdn(), format!("{CDN}/peerjs@{PEERJS_VERSION}/dist/{}", library.file));
        }
    }
}
