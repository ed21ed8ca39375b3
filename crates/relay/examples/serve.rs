//! STUN and TURN for clients that know one secret, without a broker:
//! `cargo run -p peerbroker-relay --example serve 0.0.0.0:3478 SECRET`. A username is `EXPIRY:ANYTHING`, its
//! password the HMAC of that, as coturn's `static-auth-secret` has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use peerbroker_core::clock::Clock;
use peerbroker_media_api::{LiveLimits, MediaContext, MediaHost, TurnConfig};
use peerbroker_relay::{BoundTurn, Turn};
use peerbroker_system::threads::Threads;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

/// Interval at which allocations that are over end.
const SWEEP: Duration = Duration::from_secs(1);

struct Secret(Key);

impl MediaHost for Secret {
    fn turn_password(&self, username: &str) -> Option<String> {
        Some(BASE64_STANDARD.encode(sign(&self.0, username.as_bytes())))
    }
}

/// Serves until the drop. Somebody has to call [`Turn::sweep`].
pub fn serve(listen: SocketAddr, secret: &str) -> Result<Turn, Box<dyn std::error::Error>> {
    let host = Arc::new(Secret(Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes())));
    let limits = LiveLimits::default();
    let threads = Threads::default();
    let bound = BoundTurn::bind(TurnConfig { listen: vec![listen], ..TurnConfig::default() })?;
    bound
        .start(MediaContext { host, limits, clock: Clock::system(), threads })
        .ok_or_else(|| "no thread".into())
}

#[allow(dead_code, reason = "its test calls the rest")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (listen, secret) = words.next().zip(words.next()).ok_or("serve ADDRESS SECRET")?;
    let turn = serve(listen.parse()?, &secret)?;
    println!("{}", turn.urls().turn.join("\n"));
    loop {
        std::thread::sleep(SWEEP);
        turn.sweep();
    }
}
