//! The file of `peerbroker keys export` and `import`: one JSON document, so that a part of it is never taken
//! for the whole.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use peerbroker::{check_auth, check_webhook};
use peerbroker_core::vocabulary::printable;
use peerbroker_keys::{Auth, JwtKey, Key, Settings, check_name};
use peerbroker_system::files;

use crate::failure::{Failure, cannot, failed};
use crate::stored_keys::number;

/// The name of a file that means stdout or stdin.
pub(super) const STDIO: &str = "-";

/// The version of the format. A new setting of keys needs no new one: a program that does not know it refuses
/// the file.
const VERSION: u32 = 1;

/// Longest file. 10,000 keys have about 5 MB.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<K> {
    #[serde(default = "version")]
    peerbroker_keys: u32,
    keys: Vec<K>,
}

fn version() -> u32 {
    VERSION
}

pub(super) fn json(keys: &[Key]) -> serde_json::Result<String> {
    let document = Document { peerbroker_keys: VERSION, keys: keys.iter().collect() };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Writes a new file. A partly written file is removed.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let cannot = cannot("write", path);
    let file = files::new_private().open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            failed(format!("{} exists already, and is not overwritten", path.display()))
        }
        _ => cannot(error),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // The first error says why.
        let _ = fs::remove_file(path);
        cannot(error)
    })
}

pub(super) fn summary(keys: &[Key]) -> String {
    let has_secret = |key: &&Key| {
        matches!(key.settings.auth, Auth::Jwt { verify: JwtKey::Secret(_) })
            || !key.settings.webhook.secrets.is_empty()
    };
    let secrets = match keys.iter().filter(has_secret).count() {
        0 => "none of them has a secret".to_owned(),
        secrets => format!("with the secret of {secrets}: whoever can read it can sign tokens or events"),
    };
    format!("Exported {}, {secrets}.", number(keys.len()))
}

/// Reads and checks all keys. They have to be valid for `peerbroker keys add`.
pub(super) fn read(path: &Path) -> Result<Vec<Key>, Failure> {
    let is_stdin = path == Path::new(STDIO);
    let text = if is_stdin { files::read_stdin(MAX_BYTES) } else { files::read_text(path, MAX_BYTES) };
    let path = path.display();
    let text = text.map_err(|error| failed(format!("cannot read {path}: {error}")))?;
    let document = read_document(&text).map_err(|why| {
        failed(format!(
            "{path} is not a whole export of keys: {why}. `peerbroker keys export FILE` makes one, as \
             {{\"peerbroker_keys\":1,\"keys\":[…]}}"
        ))
    })?;
    if document.peerbroker_keys != VERSION {
        return Err(failed(format!(
            "{path} has version {} of the format, and this program knows {VERSION}: use the program that wrote it, or a newer one",
            document.peerbroker_keys
        )));
    }
    let mut known = BTreeSet::new();
    let read = |(index, entry)| {
        let key = read_key(entry).and_then(|key| match known.insert(key.key.clone()) {
            true => Ok(key),
            false => {
                Err(failed(format!("the key {} is in an earlier entry, too", printable(key.key.as_str()))))
            }
        });
        key.map_err(|why| failed(format!("entry {} of {path} is not a key: {}", index + 1, why.text)))
    };
    document.keys.into_iter().enumerate().map(read).collect()
}

fn read_document(text: &str) -> Result<Document<Value>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match document.get("keys") {
        Some(Value::Array(_)) => serde_json::from_value(document).map_err(|error| error.to_string()),
        Some(_) => Err("its member `keys` is not a list".to_owned()),
        None => Err("it is not an object with a list `keys`".to_owned()),
    }
}

/// The members of a key that it must have.
const REQUIRED: [&str; 2] = ["key", "name"];

/// The members of a key that are no settings and may be missing.
const OTHERS: [&str; 5] = ["created", "used", "registered", "built_in", "tokens"];

/// Reads a key. All faults of its entry are one error. A setting without effect could open a key to
/// everybody, so an unknown one is a fault.
fn read_key(entry: Value) -> Result<Key, Failure> {
    let Value::Object(members) = entry else {
        return Err(failed("it is not an object with `key` and `name`"));
    };
    let missing = REQUIRED.iter().filter(|name| !members.contains_key(**name));
    let mut faults: Vec<String> = missing.map(|name| format!("it lacks `{name}`")).collect();
    let is_known = |name: &str| Settings::NAMES.iter().chain(&REQUIRED).chain(&OTHERS).any(|it| *it == name);
    let unknown = members.keys().filter(|name| !is_known(name));
    let unknown: Vec<String> = unknown.map(|name| name.escape_debug().to_string()).collect();
    if !unknown.is_empty() {
        faults.push(format!(
            "there is no setting {}: correct its name, or use a newer program, if one wrote the file",
            unknown.join(", ")
        ));
    }
    let mut whole = defaults();
    whole.extend(members.clone());
    let key = match serde_json::from_value::<Key>(whole.into()) {
        Ok(key) if faults.is_empty() => Key { built_in: false, ..key },
        read => {
            faults.extend(members.iter().filter_map(|(name, value)| fault_of(name, value)));
            let of_whole = read.err().filter(|_| faults.is_empty()).map(|error| error.to_string());
            faults.extend(of_whole);
            return Err(failed(faults.join("; ")));
        }
    };
    check_name(&key.name)?;
    check_auth(&key.settings.auth).map_err(|why| failed(format!("its auth cannot be used: {why}")))?;
    check_webhook(&key.settings.webhook, true)
        .map_err(|why| failed(format!("its webhook cannot be used: {why}")))?;
    Ok(key)
}

/// The members that a new key has.
fn defaults() -> Map<String, Value> {
    let new = Key::new(None, "", Settings::default());
    [("created".to_owned(), new.created.into()), ("registered".to_owned(), new.registered.into())]
        .into_iter()
        .collect()
}

/// The error of one member, with its name, which errors of the whole lack.
fn fault_of(name: &str, value: &Value) -> Option<String> {
    let mut sole = defaults();
    sole.extend(REQUIRED.map(|name| (name.to_owned(), "k".into())));
    sole.insert(name.to_owned(), value.clone());
    let error = serde_json::from_value::<Key>(sole.into()).err()?;
    Some(format!("{name}: {error}"))
}
