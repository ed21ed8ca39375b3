//! A self-hosted signalling server for PeerJS and WebRTC: a drop-in replacement for peerjs-server, as a
//! program and as a library.
//!
//! Mount it in an actix-web app with [`PeerBroker::mount`], or serve it by itself:
//!
//! ```no_run
//! use peerbroker::{Listen, PeerBroker, Server};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = PeerBroker::new();
//! let server = Server::bind(&broker, &Listen::default())?;
//! println!("listening on {}", server.address());
//! server.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
// Without a feature, the code that only this feature uses is dead.
#![cfg_attr(
    not(all(feature = "acme", feature = "redis", feature = "sqlite")),
    allow(dead_code, unused_imports)
)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

#[cfg_attr(not(feature = "acme"), path = "acme/absent.rs")]
mod acme;
mod backplanes;
pub mod cluster;
mod descriptions;
mod embed;
pub mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../tests/fuzz/targets.rs"]
pub mod fuzzing;
mod http;
pub mod keys;
mod lan;
mod media;
pub mod node;
mod outbound;
#[cfg_attr(not(feature = "redis"), path = "redis/absent.rs")]
pub mod redis;
mod runtime;
mod server;
pub mod session;
mod single_flight;
mod system;
mod tls;
mod transport;
mod webhooks;

pub use acme::AcmeError;
pub use backplanes::{BadBackplane, check_backplane};
pub use config::{ClientOptions, Config, Listen};
pub use embed::{Builder, PeerBroker};
pub use keys::verifier::{BadAuth, check_auth};
pub use lan::{interface_addresses, lan_address, lan_addresses, public_address};
#[cfg(feature = "media")]
pub use media::BadMediaAddress;
pub use media::{BoundRelay, BoundTurn};
pub use node::{AppMessage, Client, Message};
pub use peerbroker_core::address::{is_of_machine, is_public};
pub use peerbroker_core::media_api::TurnUrls;
pub use peerbroker_core::{clock, vocabulary};
pub use runtime::control::LogControl;
pub use server::{BadSocket, InheritedSockets, Server, StartError};
pub use tls::{CertifiedHosts, TlsError, certified_hosts};
pub use webhooks::{BadWebhook, WebhookTotals, check_webhook};
pub use {
    peerbroker_config as config, peerbroker_events as events, peerbroker_protocols as protocols,
    peerbroker_rooms as rooms, peerbroker_router as router,
};
