//! The broker embedded in an actix-web app, where actix-ws speaks WebSocket.

use std::time::Duration;

use actix_web::{App, HttpServer};
use anyhow::Result;
use clap::Parser;
use peerbroker::config::Limits;
use peerbroker::keys::Settings;
use peerbroker::{Config, PeerBroker};

#[derive(Parser)]
struct Cli {
    #[arg(long)]
    port: u16,
}

#[actix_web::main]
async fn main() -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    // As the flags of the other servers.
    let limits = Limits {
        alive_timeout: Duration::from_secs(1800),
        ping_interval: Duration::from_secs(600),
        ..Limits::default()
    };
    let key_settings = Settings { concurrent_limit: 100_000, messages_per_second: 0, ..Settings::default() };
    let broker = PeerBroker::builder().config(Config { limits, key_settings, ..Config::default() }).build();
    let app = move || App::new().configure(broker.mount("/"));
    HttpServer::new(app).workers(1).backlog(4096).bind(("127.0.0.1", Cli::parse().port))?.run().await?;
    Ok(())
}
