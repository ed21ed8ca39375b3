//! Pages and libraries that are embedded in the binary.

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
    file: &'static str,
    cdn_path: &'static str,
    integrity: &'static str,
}

pub(super) const CDN: &str = "https://unpkg.com";

pub(super) const PEERJS: Library = Library {
    file: "peerjs.min.js",
    cdn_path: "/peerjs@1.5.5/dist/peerjs.min.js",
    integrity: "sha384-x0YgkOr/3UOZP2CRDxGW9e0Q+2Qjyr3uJrm4xU32Y7ZCNAo7Cc7bjhrZMi/dwczu",
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

    pub(super) fn script(&self) -> String {
        let Library { file, cdn_path, integrity } = self;
        if self.is_embedded() {
            format!(r#"<script src="vendor/{file}"></script>"#)
        } else {
            format!(
                r#"<script src="{CDN}{cdn_path}" integrity="{integrity}" crossorigin="anonymous"></script>"#
            )
        }
    }
}
