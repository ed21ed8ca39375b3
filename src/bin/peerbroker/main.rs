//! The program: flags, server, signals, exit code.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod backup_command;
mod calls;
mod cli;
mod console;
mod failure;
mod init_command;
mod keys_command;
mod predecessor;
mod process;
mod reload;
mod stdio;
mod stored_keys;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerbroker::{InheritedSockets, PeerBroker, Server};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::KeyStore;

use calls::CallSettings;
use cli::{Cli, CliCommand, ConfigCommand, LogFormat, Settings};
use console::{Log, Style, print};
use failure::{Failure, failed, wrong};
use predecessor::PendingResources;
use process::{Hangups, Stops};
use reload::Reloader;
use stdio::Parent;

/// Time for which a stalled reader of stdout or stderr can delay the end of the program.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            let style = Style { format: LogFormat::Json, quiet: false };
            return ExitCode::from(cli::print(&error, |text| style.print_error(text)));
        }
    };
    let is_check = matches!(cli.command, Some(CliCommand::Config(ConfigCommand::Check)));
    let format = if cli.command.is_none() || is_check { cli.draft.log_format } else { LogFormat::Text };
    let style = Style { format, quiet: cli.draft.quiet };
    let given = cli.given.clone();
    let ended = match &cli.command {
        None | Some(CliCommand::Config(ConfigCommand::Check)) => serve(cli, style),
        Some(CliCommand::Config(ConfigCommand::Show)) => show(&cli).and_then(print),
        Some(CliCommand::Keys(command)) => {
            cli::unknown_variables().iter().for_each(|warning| eprintln!("warning: {warning}"));
            keys_command::run(command, &cli, Path::new(process::SYSLOG))
        }
        Some(CliCommand::Doctor(args)) => match peerbroker_doctor::run(args, cli.draft.listen.port) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(Failure { text: error.to_string(), exit_code: error.exit_code() }),
        },
        Some(CliCommand::Listen(args)) => match peerbroker_netcat::listen(args) {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(Failure { text: error.to_string(), exit_code: error.exit_code() }),
        },
        Some(CliCommand::Connect(args)) => match peerbroker_netcat::connect(args) {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(Failure { text: error.to_string(), exit_code: error.exit_code() }),
        },
        Some(CliCommand::Init { dir }) => init_command::run(dir).and_then(print),
        Some(CliCommand::Backup { to, check: true }) => backup_command::check(to).and_then(print),
        Some(CliCommand::Backup { to, check: false }) => {
            backup_command::run(cli.draft.data_dir.as_deref(), to).and_then(print)
        }
        Some(CliCommand::Completions { shell }) => print(cli::completions(*shell)),
        Some(CliCommand::Man) => cli::manual().map_err(failed).and_then(print),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { text, exit_code }) => {
            let remedy = match text.ends_with("Permission denied (os error 13)") {
                true => ". This program's user may not read it: systemd passes it on by LoadCredential",
                false => "",
            };
            style.print_error(&(given.reworded(&text) + remedy));
            ExitCode::from(exit_code)
        }
    }
}

fn serve(cli: Cli, style: Style) -> Result<(), Failure> {
    let log = console::start_log(style, cli.draft.log.as_deref());
    if let Some(warning) = cli.silence() {
        log.warn(&warning);
    }
    let mut settings = cli.settings()?;
    let of_calls = settings.calls.find_addresses();
    let warnings =
        cli::unknown_variables().into_iter().chain(cli.warnings()).chain(settings.warnings()).chain(of_calls);
    warnings.for_each(|warning| log::warn!("{warning}"));
    cli.notes().iter().for_each(|note| log::info!("{note}"));
    if cli.command.is_some() { check(&cli, &settings, style) } else { run(cli, settings, style, log) }
}

/// The active settings as a configuration file.
fn show(cli: &Cli) -> Result<String, Failure> {
    let Settings { config, calls, .. } = cli.settings()?;
    let sockets = InheritedSockets::from_environment()?;
    Ok(cli.as_file(&config.keys, &sockets) + &calls_comment(calls))
}

/// The place where calls are relayed, as a comment of a configuration file.
fn calls_comment(mut calls: CallSettings) -> String {
    let warnings = calls.find_addresses();
    let comment = |text: String| format!("# {text}\n");
    let words = calls.words(None, false).map(|words| format!("calls: {words}"));
    words.into_iter().chain(warnings).map(comment).collect()
}

/// Runs all checks that create and change nothing.
fn check(cli: &Cli, settings: &Settings, style: Style) -> Result<(), Failure> {
    let stored = settings.stored_keys.check(has_other_keys(settings))?;
    Server::check(&settings.listen)?;
    let no_file = if cli.file.is_none() { " No file was read: --config names one." } else { "" };
    let stored = stored.map(|stored| format!(" {stored}")).unwrap_or_default();
    style.print(&format!("The configuration is valid.{no_file}{stored}"));
    Ok(())
}

fn run(cli: Cli, settings: Settings, style: Style, log: &'static Log) -> Result<(), Failure> {
    let Settings { config, listen, .. } = &settings;
    if let Some(why) = process::unusable_variable() {
        return Err(wrong(why));
    }
    // Before other threads run: it removes variables.
    let sockets = InheritedSockets::from_environment()?;
    cli.overridden_by(&sockets).iter().for_each(|warning| log::warn!("{warning}"));
    let runtime = actix_web::rt::System::new();
    // Before all slow steps: until there is a handler, SIGHUP ends the process.
    let cannot_listen = |error| failed(format!("cannot listen for signals: {error}"));
    let mut hangups = runtime.block_on(async { Hangups::listen() }).map_err(cannot_listen)?;
    let has_predecessor = listen.reuse_port || !sockets.is_empty();
    let mut pending = PendingResources::default();
    let store = open_keys(&settings, has_predecessor.then_some(&mut pending))?;
    let bans_in_vain = bans_in_vain(&settings, store.as_deref());
    bans_in_vain.for_each(|warning| log::warn!("{}", cli.given.reworded(&warning)));
    // As Node does: the usual soft limit of 1024 files would limit clients to 1000.
    match process::raise_file_limit() {
        Ok(limit) => settings.too_many_clients(limit).iter().for_each(|warning| log::warn!("{warning}")),
        Err(error) => log::warn!("cannot raise the limit of open files: {error}"),
    }
    let mut builder = PeerBroker::builder().config(config.clone()).log(Arc::new(log));
    let parent = cli.draft.stdio.then(|| Parent::new(config.key.as_str()));
    if let Some(parent) = &parent {
        builder = builder.on_text(parent.on_text());
    }
    if let Some(store) = &store {
        builder = builder.keys(Arc::clone(store));
    }
    if let Some(cluster) = &settings.cluster {
        builder = builder.cluster(cluster.clone());
    }
    let mut calls = settings.calls.clone();
    builder = calls.bind(builder, has_predecessor.then_some(&mut pending))?;
    let broker = builder.build();
    if calls.is_pending {
        broker.expect_relay();
    }
    let mut shown = settings.clone();
    // A socket of the service manager has an address of its own.
    if let Some(at) = sockets.main.as_ref().and_then(|socket| socket.local_addr().ok()) {
        shown.listen.host = at.ip().to_string();
    }
    let mut server = Server::bind_with(&broker, listen, sockets)?;
    let (has_relays, relays) = tokio::sync::oneshot::channel::<()>();
    if pending.is_a_relay() {
        // Ready at the drop.
        server = server.begin_when(async { drop(relays.await) });
    }
    process::follow(&broker, listen)?;
    let relay_drain = listen.relay_drain();
    let parent = parent.map(|parent| parent.follow(&broker)).transpose()?;
    if parent.is_none() {
        console::follow(broker.events(), style, Settings { calls: calls.clone(), ..shown })?;
    }
    let reload = Reloader::new(broker.clone(), cli, settings, log).start()?;
    runtime.block_on(async {
        let stops = Stops::listen().map_err(cannot_listen)?;
        actix_web::rt::spawn(async move {
            // An error means that the thread has ended.
            while hangups.next().await && reload.send(()).is_ok() {}
        });
        actix_web::rt::spawn(process::report(broker.clone()));
        actix_web::rt::spawn(calls.follow_addresses(broker.clone()));
        let taking = actix_web::rt::spawn(pending.take(broker.clone(), relay_drain, has_relays));
        let stop = async move {
            match parent {
                // Signals for a whole group of processes, such as that of Ctrl-C, are for the parent to
                // decide on. An error means that stdin has ended, too.
                Some(ended) => drop(ended.await),
                None => stop_signal(stops).await,
            }
            // The next server takes them.
            taking.abort();
        };
        server.run(stop).await.map_err(|error| failed(format!("the server failed: {error}")))
    })?;
    broker.events().wait_for_followers(FLUSH_TIMEOUT);
    if let Some(store) = store {
        store.close();
    }
    Ok(())
}

/// Opens the stored keys, and warns if there is no key for any client. With `pending`, the predecessor may
/// use them for a while.
fn open_keys(
    settings: &Settings,
    pending: Option<&mut PendingResources>,
) -> Result<Option<Arc<dyn KeyStore>>, Failure> {
    let Some((store, place)) = settings.stored_keys.open(pending)? else { return Ok(None) };
    if !has_other_keys(settings) && is_empty(&*store) {
        log::warn!(
            "no client can connect yet: {place} has no keys. Add one with `peerbroker keys add {place}`"
        );
    }
    Ok(Some(store))
}

/// Warnings about bans for keys that nobody has.
fn bans_in_vain<'a>(
    Settings { config, .. }: &'a Settings,
    store: Option<&'a dyn KeyStore>,
) -> impl Iterator<Item = String> + 'a {
    let is_configured = |key: &ApiKey| {
        config.default_key && *key == config.key || config.keys.iter().any(|known| known.key == *key)
    };
    config.bans.iter().filter_map(move |ban| {
        let key = ban.key.as_ref().filter(|key| !is_configured(key))?;
        let is_stored = store.is_some_and(|store| !matches!(store.get(key), Ok(None)));
        (!is_stored).then(|| format!("--ban {ban} bans nobody: there is no key {key:?}"))
    })
}

/// True if clients have keys besides the stored ones, or make them.
fn has_other_keys(Settings { config, .. }: &Settings) -> bool {
    config.default_key || !config.keys.is_empty() || config.registration.open
}

/// True if a store certainly has no keys.
fn is_empty(store: &dyn KeyStore) -> bool {
    let mut is_empty = true;
    store.for_each(&mut |_| is_empty = false).is_ok() && is_empty
}

/// Time in which the same signal counts once: a process group and its launcher, such as npm's, may both pass
/// it on.
const SAME_SIGNAL: Duration = Duration::from_millis(300);

/// Ready at the first signal to stop; the second ends the process at once.
async fn stop_signal(mut stops: Stops) {
    let kind = stops.next().await;
    let at = Instant::now();
    actix_web::rt::spawn(async move {
        while stops.next().await == kind && at.elapsed() < SAME_SIGNAL {}
        std::process::exit(130);
    });
}
