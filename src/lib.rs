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

#[cfg(not(feature = "acme"))]
mod acme;
mod backplanes;
mod embed;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../tests/fuzz/targets.rs"]
pub mod fuzzing;
mod http;
#[cfg(not(feature = "redis"))]
mod redis;
mod runtime;
mod server;

pub use acme::AcmeError;
pub use backplanes::{BadBackplane, check_backplane};
pub use config::{ClientOptions, Config, Listen};
pub use embed::{Builder, PeerBroker};
pub use peerbroker_core::address::{is_of_machine, is_public};
pub use peerbroker_core::vocabulary;
pub use peerbroker_keys::verifier::{BadAuth, check_auth};
pub use peerbroker_media_api::TurnUrls;
#[cfg(feature = "media")]
pub use peerbroker_node::media::BadMediaAddress;
pub use peerbroker_node::media::{BoundRelay, BoundTurn};
pub use peerbroker_node::{Client, Message};
#[cfg(feature = "redis")]
use peerbroker_redis as redis;
pub use peerbroker_system::lan::{interface_addresses, lan_address, lan_addresses, public_address};
#[cfg(feature = "acme")]
use peerbroker_tls::acme;
pub use peerbroker_tls::{CertifiedHosts, TlsError, certified_hosts};
pub use peerbroker_webhooks::{AppMessage, BadWebhook, WebhookTotals, check_webhook};
pub use runtime::control::LogControl;
pub use server::{BadSocket, InheritedSockets, Server, StartError};
pub use {peerbroker_config as config, peerbroker_events as events, peerbroker_keys as keys};
