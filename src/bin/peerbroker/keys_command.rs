//! `peerbroker keys`: edits the stored keys. A running server applies the changes.

mod audit;
mod exported;
mod shown;

use std::io;
use std::path::Path;

use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Change, Key, KeyError, KeyStore, KeyToken, Origin, Settings, TokenChange};
use terminal_size::{Width, terminal_size_of};

use audit::Audit;

use crate::cli::{Cli, KeySettings, KeysCommand, OneKey, TokenCommand};
use crate::console::{print, printable};
use crate::failure::{Failure, failed, wrong};
use crate::stored_keys::number;

/// Runs a command and prints its result. The system's log, a socket, gets a line for each change.
pub fn run(command: &KeysCommand, cli: &Cli, log: &Path) -> Result<(), Failure> {
    let audit = &Audit(log);
    let text = match command {
        KeysCommand::Add { key, settings } => add(cli, key.clone(), settings, audit)?,
        KeysCommand::List { json } => {
            let keys = existing(cli)?.all()?;
            let columns = terminal_size_of(io::stdout()).map(|(Width(columns), _)| columns.into());
            if *json { shown::json(&keys)? } else { shown::list(&keys, columns) }
        }
        KeysCommand::Show { key: OneKey { key }, json } => {
            let found = store_of(cli, key)?.get(key)?.ok_or_else(|| unknown(cli, key))?;
            if *json { shown::json_of_one(&found)? } else { shown::details(&found) }
        }
        KeysCommand::Set { key: OneKey { key }, settings, no_origins } => {
            let mut change = settings.change()?;
            if *no_origins {
                change.origins = Some(Vec::new());
            }
            if change == Change::default() {
                return Err(wrong(
                    "no setting to change was given; `peerbroker keys set --help` lists the options",
                ));
            }
            cli.check_change(&change)?;
            let origins = change.origins.clone().unwrap_or_default();
            let changed = changed(cli, audit, key, change)?;
            warn(&changed, &origins);
            format!("Changed:\n{}", shown::details(&changed))
        }
        KeysCommand::Enable(OneKey { key }) | KeysCommand::Disable(OneKey { key }) => {
            let enabled = matches!(command, KeysCommand::Enable(_));
            changed(cli, audit, key, Change { enabled: Some(enabled), ..Change::default() })?;
            format!("{} {}.\n", if enabled { "Enabled" } else { "Disabled" }, shown::name_of(key))
        }
        KeysCommand::Export { file } => return export(cli, file),
        KeysCommand::Import { file, replace } => import(cli, file, *replace, audit)?,
        KeysCommand::Remove(OneKey { key }) => {
            store_of(cli, key)?.remove(key).map_err(|error| explained(cli, error))?;
            audit.write(format_args!("removed the key {key:?}"));
            format!("Removed {}.\n", shown::name_of(key))
        }
        KeysCommand::Token(command) => token(cli, command, audit)?,
    };
    print(text)
}

fn add(cli: &Cli, key: Option<ApiKey>, settings: &KeySettings, audit: &Audit<'_>) -> Result<String, Failure> {
    // First: invalid settings must not create the directory.
    let change = settings.change()?;
    cli.check_change(&change)?;
    let mut key = Key::new(key, "", Settings::default());
    key.apply(change);
    let added = shown::added(&key);
    open(cli)?.add(key.clone())?;
    audit.record("added", &key);
    warn(&key, &key.settings.origins);
    Ok(added)
}

/// Says on stderr what is probably not meant, and which given origins are also those of other people's pages.
fn warn(key: &Key, origins: &[Origin]) {
    origins.iter().filter_map(Origin::shared_with).for_each(|why| eprintln!("--origin {why}"));
    key.settings.warning().iter().for_each(|why| eprintln!("{why}"));
}

fn token(cli: &Cli, command: &TokenCommand, audit: &Audit<'_>) -> Result<String, Failure> {
    let (TokenCommand::Add { key: OneKey { key }, .. }
    | TokenCommand::List(OneKey { key })
    | TokenCommand::Remove { key: OneKey { key }, .. }) = command;
    let tokens = store_of(cli, key)?.get(key)?.ok_or_else(|| unknown(cli, key))?.settings.tokens;
    let change = |change: TokenChange| -> Result<(), Failure> {
        change.check(&tokens)?;
        let whole = Change { tokens: vec![change.clone()], ..Change::default() };
        Ok(change.check_done(&changed(cli, audit, key, whole)?.settings.tokens)?)
    };
    match command {
        TokenCommand::Add { name, scope, .. } => {
            let (token, text) = KeyToken::new(key, name, scope.clone());
            change(TokenChange::Add(token))?;
            Ok(text + "\n")
        }
        TokenCommand::List(_) => Ok(shown::tokens(&tokens)),
        TokenCommand::Remove { name, .. } => {
            change(TokenChange::Remove(name.clone()))?;
            Ok(format!("Removed the token {}.\n", printable(name)))
        }
    }
}

/// Reports written files on stderr, because stdout may be the export.
fn export(cli: &Cli, file: &Path) -> Result<(), Failure> {
    let keys = existing(cli)?.all()?;
    let text = exported::json(&keys)?;
    if file == Path::new(exported::STDIO) {
        print(text)?
    } else {
        exported::write(file, &text)?
    }
    eprintln!("{}", exported::summary(&keys));
    Ok(())
}

fn import(cli: &Cli, file: &Path, replace: bool, audit: &Audit<'_>) -> Result<String, Failure> {
    // First: an invalid file must not create the directory.
    let keys = exported::read(file)?;
    let number = number(keys.len());
    open(cli)?.import(keys.clone(), replace).map_err(|error| match error {
        KeyError::Exists(key) => failed(format!(
            "the key {} exists already, so nothing was imported; --replace overwrites keys that exist",
            printable(key.as_str())
        )),
        error => error.into(),
    })?;
    match &keys[..] {
        [key] => audit.record("imported", key),
        _ => audit.write(format_args!("imported {number}")),
    }
    Ok(format!("Imported {number}.\n"))
}

fn changed(cli: &Cli, audit: &Audit<'_>, key: &ApiKey, change: Change) -> Result<Key, Failure> {
    let changed = store_of(cli, key)?.change(key, change).map_err(|error| explained(cli, error))?;
    audit.record("changed", &changed);
    Ok(changed)
}

/// The failure of a change. If the key is not stored, it says where it is.
fn explained(cli: &Cli, error: KeyError) -> Failure {
    match error {
        KeyError::Unknown(key) => unknown(cli, &key),
        error => error.into(),
    }
}

fn unknown(cli: &Cli, key: &ApiKey) -> Failure {
    let keys = existing(cli).ok().and_then(|keys| keys.all().ok()).unwrap_or_default();
    if let Some(named) = keys.iter().find(|other| other.name == key.as_str()) {
        let [name, key] = [key, &named.key].map(|key| printable(key.as_str()));
        return failed(format!("{name} is the name of the key {key}: give that"));
    }
    let place = match cli.place_of(key) {
        Some(place) => format!(": {place}"),
        None if cli.file.is_none() => {
            ". A key of the configuration file is changed there, and --config names the file".to_owned()
        }
        None => String::new(),
    };
    failed(format!("there is no stored key {}{place}", printable(key.as_str())))
}

/// The store of a key. Without a store, the error says where the key is, if it is elsewhere.
fn store_of(cli: &Cli, key: &ApiKey) -> Result<Box<dyn KeyStore>, Failure> {
    existing(cli).map_err(|error| if cli.place_of(key).is_some() { unknown(cli, key) } else { error })
}

fn existing(cli: &Cli) -> Result<Box<dyn KeyStore>, Failure> {
    cli.keys_to_edit()?.open_to_edit(false)
}

fn open(cli: &Cli) -> Result<Box<dyn KeyStore>, Failure> {
    cli.keys_to_edit()?.open_to_edit(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::{fs, process};

    use testkit::directory::Directory;

    use super::run as run_command;
    use crate::cli::{CliCommand, parsed};

    #[test]
    fn the_log_of_the_system_hears_who_changed_which_key() {
        let dir = Directory::new();
        let socket = dir.at("log");
        let data = dir.arg("data");
        let log = UnixDatagram::bind(&socket).unwrap();
        log.set_nonblocking(true).unwrap();
        let run = |args: &[&str]| {
            let cli = parsed(&[&["keys"], args, &["--data_dir", &data]].concat());
            let Some(CliCommand::Keys(command)) = &cli.command else { panic!("a command for keys") };
            run_command(command, &cli, &socket)
        };
        let lines = || {
            let mut buffer = vec![0; 1 << 16];
            let lines = std::iter::from_fn(|| {
                let len = log.recv(&mut buffer).ok()?;
                Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
            });
            lines.collect::<Vec<_>>()
        };
        let export = dir.arg("keys.json");
        run(&["add", "--key", "k", "--auth_url", "https://a.test/?s=secret"]).unwrap();
        let added = lines().concat();
        let head = format!("<86>peerbroker[{}]: ", process::id());
        assert!(added.starts_with(&head) && added.contains(" (uid "), "{added}");
        assert!(added.contains(r#", with `peerbroker keys`, added the key "k": {"#), "{added}");
        assert!(!added.contains("secret") && !added.contains('\n'), "{added}");
        for (args, what) in [
            (&["set", "k", "--concurrent_limit", "7"][..], r#"changed the key "k": {"#),
            (&["disable", "k"], r#""enabled":false"#),
            (&["enable", "k"], r#""enabled":true"#),
            (&["export", &export], ""),
            (&["list"], ""),
            (&["import", "--replace", &export], r#"imported the key "k": {"#),
            (&["remove", "k"], r#"removed the key "k""#),
        ] {
            run(args).unwrap();
            let lines = lines();
            assert_eq!(lines.len(), usize::from(!what.is_empty()), "{args:?}: {lines:?}");
            assert!(lines.concat().contains(what), "{args:?}: {lines:?}");
        }
        assert!(run(&["remove", "k"]).is_err());
        assert!(lines().is_empty(), "nothing was changed");
        fs::remove_file(&socket).unwrap();
        run(&["add", "--key", "k"]).unwrap();
    }
}
