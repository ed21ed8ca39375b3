//! The arguments of `peerbroker keys`, and the table of the settings of a key.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf, absolute};
use std::sync::LazyLock;

use clap::{ArgMatches, Args, Command as ClapCommand, Error, FromArgMatches, Subcommand};
use peerbroker::keys::{
    Auth, Change, IdStyle, JwtKey, Origin, RANDOM_KEY_CHARS, RelayMode, Settings, TokenScope, Webhook,
    WebhookSecret, check_name,
};
use peerbroker::wire::ApiKey;
use peerbroker::{check_auth, check_webhook};

use super::failure::{Failure, failed, wrong};
use super::given::Given;
use super::row::{RowOf, plain};
use super::secret_file;
use super::values::{BYTE_RATE, COUNT, Kind, choice, key, kind, number, parsed, path, switch, text};

/// The text below the list of commands.
pub(super) const HELP: &str = "\
Give the --config, the --data_dir, or the --redis with --keys redis, of the server. It applies changes within a second.

  peerbroker keys add --data_dir data --name 'My game' --origin https://game.example.org
  peerbroker keys set KEY --data_dir data --concurrent_limit 100
  peerbroker keys list --data_dir data

`peerbroker keys add --help` lists the settings.";

/// The commands of `peerbroker keys`. The place of the keys is in flags of the server.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Add a key, and print it with the code for a client
    Add {
        #[arg(
            long,
            short,
            value_parser = key,
            help = format!(
                "The key itself, 1 to {} bytes [default: {RANDOM_KEY_CHARS} random letters and digits]",
                ApiKey::MAX_BYTES
            )
        )]
        key: Option<ApiKey>,

        #[command(flatten)]
        settings: KeySettings,
    },

    /// List all keys, oldest first
    List {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },

    /// Show one key, except its secret
    Show {
        #[command(flatten)]
        key: OneKey,

        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },

    /// Change the given settings of a key and keep the others
    #[command(
        override_usage = "peerbroker keys set <KEY> --data_dir <DIR> [OPTIONS]\n       peerbroker keys set <KEY> --redis <URL> [OPTIONS]"
    )]
    Set {
        #[command(flatten)]
        key: OneKey,

        #[command(flatten)]
        settings: KeySettings,

        /// Let pages from anywhere use the key
        #[arg(long = "no_origins", alias = "no-origins", conflicts_with = "origin")]
        no_origins: bool,
    },

    /// Let clients use a key again
    Enable(OneKey),

    /// Refuse all clients of a key, but keep its settings
    Disable(OneKey),

    /// Write all keys as JSON, with their secrets
    Export {
        /// A new file, which only you can read; `-` is stdout
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },

    /// Add the keys of an export: all of them, or none if one is not valid or exists already
    Import {
        /// A file of `peerbroker keys export`; `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// Overwrite keys that exist already; other keys stay
        #[arg(long)]
        replace: bool,
    },

    /// Remove a key, without asking
    Remove(OneKey),

    /// Tokens for the API that may do a part of it, for one key
    #[command(subcommand)]
    Token(TokenCommand),
}

/// The commands of `peerbroker keys token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Add a token, and print it. It is shown only once
    Add {
        #[command(flatten)]
        key: OneKey,

        /// Name of the token, such as that of the program that uses it
        #[arg(value_parser = |text: &str| check_name(text).map(|()| text.to_owned()))]
        name: String,

        /// Allows messages, peers:read or kick; may be repeated
        #[arg(long, required = true, value_parser = scope)]
        scope: Vec<TokenScope>,
    },

    /// List the tokens of a key, without their texts
    List(OneKey),

    /// Remove a token: it is not valid any more
    Remove {
        #[command(flatten)]
        key: OneKey,

        /// Name of the token
        name: String,
    },
}

fn scope(text: &str) -> Result<TokenScope, String> {
    let found = TokenScope::ALL.into_iter().find(|scope| scope.label() == text);
    found.ok_or_else(|| format!("expected one of {}", TokenScope::ALL.map(TokenScope::label).join(", ")))
}

/// The key that a command is about.
#[derive(Debug, Args)]
pub struct OneKey {
    /// The key
    #[arg(value_parser = key)]
    pub key: ApiKey,
}

/// The settings of a key that are given, before they are checked together. A setting that is not given has its default
/// in a new key, and does not change in an existing one.
#[derive(Debug, Default)]
pub struct KeySettings {
    change: Change,
    origins: Vec<Origin>,
    auth: Option<Method>,
    jwt_secret_file: Option<PathBuf>,
    jwt_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    auth_url: Option<String>,
    webhook: Option<String>,
    webhook_secret_file: Option<PathBuf>,
    webhook_messages: bool,
    no_webhook: bool,
}

/// The methods of `--auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    None,
    Jwt,
    Webhook,
}

type Row = RowOf<KeySettings>;

const ANY: RangeInclusive<u64> = 0..=u64::MAX;
const METHODS: [(&str, Method); 3] =
    [("none", Method::None), ("jwt", Method::Jwt), ("webhook", Method::Webhook)];

/// All settings of keys, in the order of the help.
#[rustfmt::skip]
static ROWS: LazyLock<[Row; 25]> = LazyLock::new(|| [
    Row::new("name", |k| &mut k.change.name, parsed("NAME", |text| check_name(text).map(|()| text.to_owned())),
        "Name for people, such as that of your app", ""),
    Row::new("origin", |k| &mut k.origins, parsed("ORIGIN", Origin::parse),
        "Pages that may use the key, as in https://example.org or https://*.example.org; may be repeated", "").at_most(1).unset("all"),
    Row::new("allow_no_origin", |k| &mut k.change.allow_no_origin, switch(),
        "If the key has origins: whether clients without an `Origin` (programs other than browsers) may use it too", ""),
    Row::new("concurrent_limit", |k| &mut k.change.concurrent_limit, number::<usize>(&COUNT, ANY),
        "Clients at a time", "").short('c').shown("Clients", |number| number + " at most"),
    Row::new("messages_per_second", |k| &mut k.change.messages_per_second, number::<u32>(&COUNT, ANY),
        "Messages per second and client; bursts up to ten times that; 0 means no limit", "").shown("Messages", rate),
    Row::new("allow_discovery", |k| &mut k.change.allow_discovery, switch(),
        "Let clients list the ids of its peers", "").shown("Discovery", yes_or_no),
    Row::new("leave_on_close", |k| &mut k.change.leave_on_close, switch(),
        "Tell the peers of a client when its page goes away", "").shown("Leave on close", yes_or_no),
    Row::new("allow_rooms", |k| &mut k.change.allow_rooms, switch(),
        "Let clients use rooms", "").shown("Rooms", yes_or_no),
    Row::new("private_rooms", |k| &mut k.change.private_rooms, switch(),
        "Let clients enter only rooms that the proof of their ids lists", "Without --auth, nobody enters a room.").shown("Private rooms", yes_or_no),
    Row::new("room_members", |k| &mut k.change.room_members, number::<usize>(&COUNT, ANY),
        "Members of one room at a time", "").shown("Members", |number| number + " in a room at most"),
    Row::new("id_style", |k| &mut k.change.id_style, choice("STYLE", IdStyle::ALL.map(|style| (style.label(), style))),
        "Form of the ids that the server gives to its clients: uuid, short or words", "").shown("Ids", |style| style),
    Row::new("relay", |k| &mut k.change.relay, choice("MODE", RelayMode::ALL.map(|mode| (mode.label(), mode))),
        "What the relay of the server does for calls: fallback, always or off", "").shown("Relay", |mode| mode),
    Row::new("relay_calls_per_key", |k| &mut k.change.relay_calls_per_key, or_server(number::<usize>(&COUNT, ANY)),
        "Calls of the key that the relay knows, and its allocations of TURN; `server` means the limits of the server", "").unset(SERVER).shown("Calls", |number| of_server(number, " at most")),
    Row::new("relay_bytes_per_second", |k| &mut k.change.relay_bytes_per_second, or_server(number::<u32>(&BYTE_RATE, ANY)),
        "Rate of one relayed call, and of one allocation of TURN; 0 means no limit; `server` means the limits of the server", "").unset(SERVER).shown("Call rate", |rate| of_server(rate, " bytes per second")),
    Row::new("relay_key_bytes_per_second", |k| &mut k.change.relay_key_bytes_per_second, or_server(number::<u32>(&BYTE_RATE, ANY)),
        "Rate of all relayed calls of the key, and of all its allocations of TURN; 0 means no limit; `server` means the limits of the server", "").unset(SERVER).shown("Key rate", |rate| of_server(rate, " bytes per second")),
    Row::new("ice_servers", |k| &mut k.change.ice_servers, switch(),
        "Tell its clients the ICE servers of the server, with credentials", "").shown("ICE", yes_or_no),
    Row::new("auth", |k| &mut k.auth, choice("METHOD", METHODS),
        "Proof that a client owns its id: none, jwt or webhook", "none: the first client to claim an id owns it; jwt: the token is a JSON Web Token for the id; webhook: the server asks your URL").unset("none"),
    Row::new("jwt_secret_file", |k| &mut k.jwt_secret_file, path("FILE"),
        "With --auth jwt: file with the HS256 secret that signs tokens, 32 bytes or more", "").excludes(&["jwt_key_file", "jwks_file", "auth_url"]),
    Row::new("jwt_key_file", |k| &mut k.jwt_key_file, path("PEM"),
        "With --auth jwt: file with a public key (PEM) for RS256, ES256 or EdDSA", "").excludes(&["jwks_file", "auth_url"]),
    Row::new("jwks_file", |k| &mut k.jwks_file, path("FILE"),
        "With --auth jwt: file with a JSON Web Key Set; the server reads it again when it changes", "").excludes(&["auth_url"]),
    Row::new("auth_url", |k| &mut k.auth_url, text("URL"),
        "With --auth webhook: URL that the server asks about each client", ""),
    Row::new("webhook", |k| &mut k.webhook, text("URL"),
        "URL that gets the events of its clients, by POST", "").with("webhook_secret_file"),
    Row::new("webhook_secret_file", |k| &mut k.webhook_secret_file, path("FILE"),
        "With --webhook: file with the secret that signs the events, or with several", "").with("webhook"),
    Row::new("webhook_messages", |k| &mut k.webhook_messages, switch(),
        "With --webhook: send it the messages of clients to the app too, and its answers back", "").with("webhook"),
    Row::new("no_webhook", |k| &mut k.no_webhook, switch(),
        "Send no events of its clients", "").at_most(0).excludes(&["webhook"]).unset(""),
]);

fn rate(number: String) -> String {
    if number == "0" { "no limit".to_owned() } else { number + " per second and client" }
}

/// The value with which a key has the server's limit.
const SERVER: &str = "server";

/// A number, or the word for the server's limit.
fn or_server<T: 'static>(Kind { value_name, parse, show, .. }: Kind<T>) -> Kind<Option<T>> {
    let parse = move |text: &str| if text == SERVER { Ok(None) } else { parse(text.as_ref()).map(Some) };
    kind(value_name, parse, move |limit| limit.as_ref().map_or_else(|| SERVER.to_owned(), &show))
}

fn of_server(limit: String, unit: &str) -> String {
    match limit.as_str() {
        "" => "as the server has it".to_owned(),
        "0" if unit != " at most" => "no limit".to_owned(),
        limit => limit.to_owned() + unit,
    }
}

fn yes_or_no(value: String) -> String {
    if value == "true" { "yes" } else { "no" }.to_owned()
}

impl Args for KeySettings {
    fn augment_args(command: ClapCommand) -> ClapCommand {
        let mut new = Self::of(&Settings::default());
        command.args(ROWS.iter().map(|row| {
            let default = row.default(&mut new).map(|default| format!(". A new key: {default}"));
            let help = plain(row.help) + &default.unwrap_or_default();
            let more = if row.more.is_empty() { String::new() } else { format!("\n\n{}", row.more) };
            row.arg(help.clone()).long_help(help + &more)
        }))
    }

    fn augment_args_for_update(command: ClapCommand) -> ClapCommand {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeySettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Given::of(ROWS.iter(), matches, |_| None).draft(&*ROWS, Self::default())
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl KeySettings {
    /// The settings of a key, except its origins, its proofs and its webhook.
    fn of(settings: &Settings) -> Self {
        // A change has the fields of the settings.
        let settings = Settings { tokens: Vec::new(), ..settings.clone() };
        let change = serde_json::to_value(&settings).and_then(serde_json::from_value);
        KeySettings { change: change.unwrap_or_default(), ..Self::default() }
    }

    /// The values that people see as they are, each with its label.
    pub fn shown(settings: &Settings) -> impl Iterator<Item = (&'static str, String)> {
        let mut of_key = Self::of(settings);
        ROWS.iter().filter_map(move |row| {
            let (label, words) = row.shown?;
            Some((label, words((row.texts)(&mut of_key).concat())))
        })
    }

    /// The change that the options ask for; reads and checks the files.
    pub fn change(&self) -> Result<Change, Failure> {
        let origins = Some(self.origins.clone()).filter(|origins| !origins.is_empty());
        Ok(Change { origins, auth: self.auth()?, webhook: self.webhook()?, ..self.change.clone() })
    }

    /// A file or a URL implies the method, so a new secret needs no `--auth`.
    fn auth(&self) -> Result<Option<Auth>, Failure> {
        let jwt = [
            ("jwt_secret_file", &self.jwt_secret_file),
            ("jwt_key_file", &self.jwt_key_file),
            ("jwks_file", &self.jwks_file),
        ];
        let jwt = jwt.into_iter().find_map(|(flag, path)| Some((flag, path.as_deref()?)));
        match (self.auth, jwt, &self.auth_url) {
            (None, None, None) => Ok(None),
            (Some(Method::None), None, None) => Ok(Some(Auth::None)),
            (Some(Method::Jwt), None, None) => {
                Err(wrong("--auth jwt needs --jwt_secret_file, --jwt_key_file or --jwks_file"))
            }
            (Some(Method::Webhook), None, None) => Err(wrong("--auth webhook needs --auth_url")),
            (None | Some(Method::Jwt), Some((flag, path)), _) => jwt_auth(flag, path).map(Some),
            (_, Some((flag, _)), _) => Err(wrong(format!("--{flag} needs --auth jwt"))),
            (None | Some(Method::Webhook), None, Some(url)) => {
                let auth = Auth::Webhook { url: url.clone() };
                check_auth(&auth)
                    .map_err(|why| wrong(format!("invalid value {url:?} for --auth_url: {why}")))?;
                Ok(Some(auth))
            }
            (_, None, Some(_)) => Err(wrong("--auth_url needs --auth webhook")),
        }
    }

    /// The webhook, if one is given. The server decides whether it may have http:// or a private address.
    fn webhook(&self) -> Result<Option<Webhook>, Failure> {
        let (Some(url), Some(path)) = (&self.webhook, &self.webhook_secret_file) else {
            return Ok(self.no_webhook.then(Webhook::default));
        };
        let flag = "webhook_secret_file";
        let secrets = WebhookSecret::parse_all(&secret_file::of_flag(flag, path)?)
            .map_err(|why| failed(format!("--{flag} {} cannot be used: {why}", path.display())))?;
        let webhook = Webhook { url: url.clone(), secrets, messages: self.webhook_messages };
        check_webhook(&webhook, true)
            .map_err(|why| wrong(format!("invalid value {url:?} for --webhook: {why}")))?;
        Ok(Some(webhook))
    }
}

fn jwt_auth(flag: &str, path: &Path) -> Result<Auth, Failure> {
    let verify = match flag {
        "jwt_secret_file" => JwtKey::secret(secret_file::of_flag(flag, path)?),
        "jwt_key_file" => JwtKey::Pem(secret_file::of_flag(flag, path)?),
        // Absolute, because the server runs in another directory. Links are kept, so that they can be switched.
        _ => JwtKey::Jwks(absolute(path)?),
    };
    let auth = Auth::Jwt { verify };
    check_auth(&auth).map_err(|why| failed(format!("--{flag} {} cannot be used: {why}", path.display())))?;
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_have_every_setting_of_keys_with_its_default() {
        let page = include_str!("../../../../docs/KEYS.md");
        let mut new = KeySettings::of(&Settings::default());
        for row in ROWS.iter() {
            let default = row.default(&mut new).unwrap_or_else(|| "–".to_owned());
            let line = page.lines().find(|line| line.starts_with(&format!("| `--{}`", row.name)));
            let told = line.and_then(|line| line.split(" | ").nth(1)).unwrap_or_default();
            assert_eq!(told.trim_matches('`'), default, "--{} in docs/KEYS.md", row.name);
        }
    }

    #[test]
    fn a_change_has_the_given_settings_only() {
        let line = KeySettings::augment_args(ClapCommand::new("set"));
        let matches = line.get_matches_from(["set", "--concurrent-limit", "7", "--origin", "https://a.test"]);
        let change = KeySettings::from_arg_matches(&matches).unwrap().change().unwrap();
        let origins = Some(vec![Origin::parse("https://a.test").unwrap()]);
        assert_eq!(change, Change { concurrent_limit: Some(7), origins, ..Change::default() });
    }
}
