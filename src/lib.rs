//! A broker that lets WebRTC clients find each other: a drop-in replacement for peerjs-server, as a
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

mod acme;
mod address;
mod admin;
mod app;
mod auth;
pub mod broker;
mod client_options;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod dialect;
pub mod directory;
mod embed;
pub mod events;
pub mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod http_client;
pub mod keys;
mod lan;
mod limits;
pub mod node;
mod ops;
mod rate_limit;
mod redis_link;
mod relay;
mod server;
mod session;
mod threads;
mod tls;
mod transport;
mod turn;
mod webhooks;
pub mod wire;

pub use acme::AcmeError;
pub use address::is_public;
pub use admin::LogControl;
pub use auth::{BadAuth, check_auth};
pub use client_options::ClientOptions;
pub use config::{Config, Listen};
pub use embed::{Builder, PeerBroker};
pub use lan::{interface_address, lan_address};
pub use relay::BoundRelay;
pub use server::{BadSocket, InheritedSockets, Server, StartError};
pub use session::{Client, Message};
pub use tls::TlsError;
pub use turn::{BadTurnAddress, BoundTurn, TurnUrls};
pub use webhooks::{BadWebhook, WebhookTotals, check_webhook};
