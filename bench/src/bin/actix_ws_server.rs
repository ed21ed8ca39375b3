//! The broker embedded in an actix-web app, where actix-ws speaks WebSocket.

use actix_web::{App, HttpServer};
use anyhow::Result;
use clap::Parser;
use peerbroker::config::Limits;
use peerbroker::{Config, PeerBroker};
use std::time::Duration;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[arg(long)]
    port: u16,
    #[arg(long, default_value_t = 1)]
    workers: usize,
    #[arg(long = "concurrent_limit", default_value_t = 5000)]
    concurrent_limit: usize,
    #[arg(long = "alive_timeout", default_value_t = 60_000, value_name = "MS")]
    alive_timeout: u64,
    #[arg(long = "ping_interval", default_value_t = 20_000, value_name = "MS")]
    ping_interval: u64,
}

#[actix_web::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    rlimit::increase_nofile_limit(u64::MAX)?;
    let limits = Limits {
        concurrent_limit: cli.concurrent_limit,
        alive_timeout: Duration::from_millis(cli.alive_timeout),
        ping_interval: Duration::from_millis(cli.ping_interval),
        ..Limits::default()
    };
    let broker =
        PeerBroker::builder().config(Config { limits, messages_per_second: 0, ..Config::default() }).build();
    HttpServer::new(move || App::new().configure(broker.mount("/")))
        .workers(cli.workers)
        .backlog(4096)
        .bind(("127.0.0.1", cli.port))?
        .run()
        .await?;
    Ok(())
}
