//! The program: flags, server, signals, exit code.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod cli;
mod console;
mod keys_command;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use peerbroker::keys::sqlite::SqliteKeys;
use peerbroker::{Config, Listen, PeerBroker, Server};
use tokio::signal::unix::{SignalKind, signal};

use cli::{Cli, Command, Settings};

/// Returns freed memory to the system after some seconds: a flood can reuse its memory, and the memory of an attack does
/// not stay. glibc's allocator does one or the other.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long a stalled reader of stdout or stderr can delay the end of the program.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::read();
    if let Some(Command::Keys(command)) = &cli.command {
        return match keys_command::run(command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("Error: {error}");
                ExitCode::from(error.exit_code())
            }
        };
    }
    console::start_log(cli.log_format);
    let settings = match cli.settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    let ended = run(&cli, &settings);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, settings: &Settings) -> anyhow::Result<()> {
    let Settings { config, listen, data_dir, .. } = settings;
    let store = data_dir.as_deref().map(SqliteKeys::open).transpose()?;
    if cli.check_config {
        Server::check(listen)?;
        println!("The configuration is valid.");
        return Ok(());
    }
    // As Node does: the usual soft limit of 1024 files would be a limit of 1000 clients.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        log::warn!("cannot raise the limit of open files: {error}");
    }
    if store.is_none() {
        warn_of_lost_keys(config, listen);
    }
    let mut builder = PeerBroker::builder().config(config.clone());
    if let Some(store) = store {
        builder = builder.keys(Arc::new(store));
    }
    if let Some(cluster) = &settings.cluster {
        builder = builder.cluster(cluster.clone());
    }
    let broker = builder.build();
    console::follow(broker.events(), started(settings.clone()))?;
    let server = Server::bind(&broker, listen)?;
    actix_web::rt::System::new().block_on(async {
        let stop = stop_signal().context("cannot listen for signals")?;
        server.run(stop).await.context("the server failed")
    })?;
    broker.events().wait_for_followers(PATIENCE);
    Ok(())
}

/// The text that is printed once the server listens.
fn started(settings: Settings) -> impl Fn(SocketAddr, Option<SocketAddr>) -> String {
    move |address, ops_address| {
        let Settings { config, listen, given_path, .. } = &settings;
        let mut text = console::welcome(config, listen, address, given_path) + "\n";
        if let (Some(ops), Some(address)) = (&listen.ops, ops_address) {
            text += &console::api(address, ops.token.is_some());
        }
        text
    }
}

/// Warns if keys can be made while the server runs: there is no store, so nothing keeps them.
fn warn_of_lost_keys(config: &Config, listen: &Listen) {
    if config.registration.open || listen.ops.is_some() {
        log::warn!(
            "keys that are registered or added while the server runs are lost when it stops: --data_dir keeps them"
        );
    }
}

/// Ready at the first SIGTERM or SIGINT; the second ends the process at once.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (first, stopped) = tokio::sync::oneshot::channel::<()>();
    actix_web::rt::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            match first.take() {
                Some(first) => drop(first),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async move { drop(stopped.await) })
}
