//! The program: flags, server, signals, exit code.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod backup_command;
mod cli;
mod console;
mod keys_command;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use peerbroker::keys::KeyStore;
use peerbroker::keys::redis::RedisKeys;
use peerbroker::keys::sqlite::SqliteKeys;
use peerbroker::{BoundRelay, BoundTurn, PeerBroker, Server};
use tokio::signal::unix::{SignalKind, signal};

use cli::{Cli, Command, LogFormat, NotRead, Settings, StoredKeys};
use console::Style;

/// Returns freed memory to the system after some seconds: a flood can reuse its memory, and the memory of an attack does
/// not stay. glibc's allocator does one or the other.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long a stalled reader of stdout or stderr can delay the end of the program.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(not_read) => return refuse(&not_read),
    };
    match &cli.command {
        None => serve(&cli),
        Some(Command::Keys(command)) => {
            cli::unknown_variables().iter().for_each(|warning| eprintln!("warning: {warning}"));
            exit_code(keys_command::run(command).map_err(|error| {
                eprintln!("error: {}", cli.given.reworded(&error.to_string()));
                error.exit_code()
            }))
        }
        Some(Command::Backup(args)) => match backup_command::run(args) {
            Ok(made) => print(Ok(made.into_bytes())),
            Err(error) => {
                eprintln!("error: {}", cli.given.reworded(&error.to_string()));
                ExitCode::FAILURE
            }
        },
        Some(Command::Completions { shell }) => print(Ok(cli::completions(*shell))),
        Some(Command::Man) => print(cli::manual()),
    }
}

fn refuse(not_read: &NotRead) -> ExitCode {
    match not_read.for_json() {
        Some(error) => Style { format: LogFormat::Json, quiet: false }.print_error(&error),
        // If nobody reads it, there is nobody to tell.
        None => drop(not_read.print()),
    }
    ExitCode::from(not_read.exit_code())
}

fn exit_code(ended: Result<(), u8>) -> ExitCode {
    ended.map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
}

fn print(text: io::Result<Vec<u8>>) -> ExitCode {
    exit_code(match text.and_then(|text| io::stdout().write_all(&text)) {
        // The reader, such as `head -1`, has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to stdout: {error}");
            Err(1)
        }
        _ => Ok(()),
    })
}

fn serve(cli: &Cli) -> ExitCode {
    let style = Style { format: cli.log_format, quiet: cli.quiet };
    console::start_log(style);
    let failed = |error: &str| style.print_error(&cli.given.reworded(error));
    exit_code(match cli.settings() {
        Ok(settings) => {
            let warnings =
                cli::unknown_variables().into_iter().chain(cli.warnings()).chain(settings.warnings());
            warnings.for_each(|warning| log::warn!("{warning}"));
            let ended = if cli.check_config { check(&settings, style) } else { run(settings, style) };
            ended.map_err(|error| {
                failed(&format!("{error:#}"));
                1
            })
        }
        Err(error) => {
            failed(&error.to_string());
            Err(error.exit_code())
        }
    })
}

/// Checks everything that can be checked without creating or changing anything.
fn check(settings: &Settings, style: Style) -> anyhow::Result<()> {
    if let StoredKeys::Directory(dir) = &settings.stored_keys {
        SqliteKeys::check(dir)?;
    }
    Server::check(&settings.listen)?;
    style.print("The configuration is valid.");
    Ok(())
}

fn run(settings: Settings, style: Style) -> anyhow::Result<()> {
    let Settings { config, listen, .. } = &settings;
    let store = open_keys(&settings)?;
    // As Node does: the usual soft limit of 1024 files would be a limit of 1000 clients.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        log::warn!("cannot raise the limit of open files: {error}");
    }
    let mut builder = PeerBroker::builder().config(config.clone());
    if let Some(store) = store {
        builder = builder.keys(store);
    }
    if let Some(cluster) = &settings.cluster {
        builder = builder.cluster(cluster.clone());
    }
    if let Some(relay) = &settings.relay {
        builder = builder.relay(BoundRelay::bind(relay.clone())?);
    }
    if let Some(turn) = &settings.turn {
        match BoundTurn::bind(turn.clone()) {
            Ok(turn) => builder = builder.turn(turn),
            // Nobody has asked for it, and calls do not need it.
            Err(error) if turn.only_stun => log::warn!("{error}. So pages have no STUN server here"),
            Err(error) => return Err(error.into()),
        }
    }
    let broker = builder.build();
    let server = Server::bind(&broker, listen)?;
    console::follow(broker.events(), style, settings)?;
    actix_web::rt::System::new().block_on(async {
        let stop = stop_signal().context("cannot listen for signals")?;
        server.run(stop).await.context("the server failed")
    })?;
    broker.events().wait_for_followers(PATIENCE);
    Ok(())
}

/// Opens the stored keys. Warns if another server uses the same ones without being a node of the same cluster, or if there
/// is no key for any client.
fn open_keys(settings: &Settings) -> anyhow::Result<Option<Arc<dyn KeyStore>>> {
    let (store, place): (Arc<dyn KeyStore>, String) = match &settings.stored_keys {
        StoredKeys::InMemory => return Ok(None),
        StoredKeys::Redis(redis) => (Arc::new(RedisKeys::open(redis.clone())?), "--redis …".to_owned()),
        StoredKeys::Directory(dir) => {
            let (store, dir) = (SqliteKeys::open(dir)?, dir.display());
            if !store.claim()? {
                log::warn!(
                    "another server uses --data_dir {dir}: both accept its keys, but their peers never meet. Stop one of \
                     them, or give each a directory of its own"
                );
            }
            (Arc::new(store), format!("--data_dir {dir}"))
        }
    };
    let Settings { config, .. } = settings;
    if !config.default_key && !config.registration.open && store.all().is_ok_and(|keys| keys.is_empty()) {
        log::warn!(
            "no client can connect yet: {place} has no keys. Add one with `peerbroker keys add {place}`"
        );
    }
    Ok(Some(store))
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
