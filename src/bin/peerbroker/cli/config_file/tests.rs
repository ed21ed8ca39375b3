//! Tests of the configuration file: its mistakes, its reloads, and that `config show` writes a file with the same settings.

use std::collections::BTreeMap;

use peerbroker::keys::Settings;
use peerbroker::wire::ApiKey;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::cli::Cli;
use crate::cli::draft::Draft;
use crate::cli::table::ROWS;
use crate::cli::tests::parsed;

fn file(text: &str) -> Result<ConfigFile, String> {
    ConfigFile::parse(Path::new("p.toml"), text).map_err(|error| error.to_string())
}

fn args(file: &ConfigFile) -> Vec<String> {
    let args = |row: &Row| {
        let texts = file.given.texts(row.name).iter();
        texts.map(|text| format!("--{}={}", row.name, text.to_str().unwrap())).collect::<Vec<_>>()
    };
    ROWS.iter().flat_map(args).collect()
}

#[test]
fn the_settings_of_a_file_are_flags() {
    let file = file(
        "# A comment\nport = 9_001\nhost = 'h'\nadmin-token = \"a b\"\ncors = [\"https://a\", \"https://b\"]\npages = false\n\
         trusted_proxy = []\n\n[[api_key]]\nkey = \"game\"\nname = \"My game\"\nconcurrent_limit = 10\nrelay_calls_per_key = 3\n\n[[api_key]]\nkey = \"b\"",
    )
    .unwrap();
    let expected = [
        "--port=9001",
        "--host=h",
        "--pages=false",
        "--cors=https://a",
        "--cors=https://b",
        "--admin_token=a b",
    ];
    assert_eq!(args(&file), expected);
    let [game, b] = &file.keys[..] else { panic!("{:?}", file.keys) };
    assert_eq!((game.key.as_str(), &*game.name, game.settings.concurrent_limit), ("game", "My game", 10));
    assert_eq!((b.key.as_str(), &b.settings), ("b", &Settings::default()));
    assert_eq!(game.settings.relay_calls_per_key, Some(3));
    assert!(game.built_in);
}

#[test]
fn a_mistake_names_the_line_and_what_is_expected() {
    for (text, words) in [
        ("\n\nprot = 1", "p.toml, line 3: unknown setting \"prot\": did you mean port?"),
        ("api_kye = 1", "did you mean api_key?"),
        ("xyzzy = 1", "`peerbroker --help` lists the flags"),
        ("config = 'x'", "unknown setting \"config\""),
        ("check_config = true", "unknown setting \"check_config\""),
        ("port = 1\nport = 2", "line 2: \"port\" is set twice"),
        ("data_dir = 'a'\ndata-dir = 'b'", "line 2: data_dir is set twice"),
        ("port = [1]", "line 1: port takes one value, not a list"),
        ("port = 1.5", "line 1: port takes a text in quotes, a whole number, true or false"),
        ("port = {}", "line 1: port takes a text"),
        ("port = 99999999999999999999", "line 1: port is too large"),
        ("port = x", "line 1: this line is not valid TOML: write port = \"x\""),
        ("port", "line 1: port has no value"),
        ("host = 'a'\nport 9001", "line 2: this line is not valid TOML: write port = 9001"),
        ("port: 9001;", "write port = 9001"),
        ("--port 9001", "write port = 9001"),
        ("host = localhost # mine", "write host = \"localhost\""),
        ("host = \"localhost", "write host = 'localhost'"),
        ("expire_timeout = 10s", "write expire_timeout = \"10s\""),
        ("proxied = True", "write proxied = true"),
        ("pages = no", "write pages = false"),
        ("data_dir = \"C:\\qa\"", "write data_dir = 'C:\\qa'"),
        ("admin_token = hushhush", "write admin_token = \"…\""),
        ("[[api_key]]\nname = My game", "write name = \"…\""),
        ("// mine", "a comment begins with #"),
        ("cors = ['https://a'", "(unclosed array, expected `]`)"),
        ("{\"port\": 9001}", "a setting is written as in port = 9001"),
        ("PEERBROKER_PORT = 1", "did you mean port?"),
        ("PORT = 1", "did you mean port?"),
        ("server = 1", "unknown setting \"server\": `peerbroker --help`"),
        ("[server]\nport = 1", "unknown section [server]: the file has no sections but [[api_key]]"),
        ("[[api_keys]]\nkey = 'a'", "did you mean api_key?"),
        ("turn_secret = '(hidden)'", "turn_secret is hidden in the output of `config show`"),
        ("[[key]]\nkey = 'a'", "API keys are [[api_key]] tables"),
        ("api_key = 'a'", "keys are tables that begin with [[api_key]]"),
        ("api_key = ['a']", "keys are tables that begin with [[api_key]]"),
        ("[[api_key]]\nname = 'a'", "line 1: this [[api_key]] has no key"),
        ("[[api_key]]\nkey = 5", "line 2: key takes a text in quotes"),
        ("[[api_key]]\nkey = ''", "line 2: key: "),
    ] {
        let error = file(text).err().expect(text);
        assert!(error.contains(words), "{text:?}: {error}");
    }
    let below = "ops_port is a setting of the server, and all below [[api_key]] belongs to a key: write it above line 2";
    for (text, words) in [
        ("[[api_key]]\nkey = 'a'", "line 4: there are two [[api_key]] tables for the key \"a\""),
        ("colour = 1", "line 4: unknown setting \"colour\": a key has key, "),
        ("origin = 'x'", "line 4: unknown setting \"origin\" of a key: did you mean origins?"),
        ("enabled = 'x'", "line 4: enabled: expected true or false, not string \"x\""),
        ("webhook = {secrets = 'x'}", "line 4: webhook: expected a list. "),
        ("ops_port = 1", below),
        ("relay = '198.51.100.7'", "The setting relay of the server stands above line 2"),
        (
            "[api_key.auth]\nmethod = 'webhook'\nurl = 'https://a'\nconcurrent_limit = 3",
            "line 7: concurrent_limit is no setting of auth",
        ),
        ("name = \"\\u0007\"", "line 2: a name has at most"),
        ("auth = {method = 'jwt', kind = 'secret', value = '(hidden)'}", "line 2: auth: "),
        ("origins = ['x']", "line 4: "),
    ] {
        let text = format!("\n[[api_key]]\nkey = 'a'\n{text}");
        let error = file(&text).err().expect(&text);
        assert!(error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn a_setting_below_an_empty_line_of_a_key_warns_if_the_server_has_it_too() {
    let warnings = |text: &str| file(text).unwrap().warnings;
    for (text, line) in [
        ("[[api_key]]\nkey = 'a'\n\nconcurrent_limit = 9", 4),
        ("[[api_key]]\nkey = 'a'\n\n# Of all.\n  id_style = 'words'\nname = 'x'", 5),
    ] {
        let found = warnings(text);
        let place = format!("(p.toml, line {line}) is a setting of the key \"a\"");
        assert!(found.len() == 1 && found[0].contains(&place), "{text}: {found:?}");
    }
    for text in [
        "[[api_key]]\n  key = 'a'\n  # A few.\n  concurrent_limit = 9\n\n[[api_key]]\nkey = 'b'\nrelay = 'off'",
        "[[api_key]]\n\nkey = 'a'\n\nname = 'x'\n\norigins = []",
    ] {
        assert_eq!(warnings(text), [""; 0], "{text}");
    }
}

fn shown(cli: &Cli, keys: &[Key]) -> ConfigFile {
    let text = cli.as_file(keys);
    file(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The number of a setting, and texts of which it takes some.
fn setting(at: usize) -> (Just<usize>, &'static str) {
    let texts = match ROWS[at].value_name {
        "N" => "[0-9]{1,5}",
        "MS" | "S" | "DAYS" => "[0-9]{1,5}(ms|s|m|h|d)?",
        "BYTES" => "[0-9]{1,5}([kKM]?B|[KMG]iB)?",
        "BYTES/S" => "[0-9]{1,5}([kM]?bit/s|B/s|KiB/s|MB/s)?",
        "ORIGIN" => "https://[a-z]{1,5}\\.example( https://[a-z]{1,5}\\.example)?",
        _ => TEXTS,
    };
    (Just(at), texts)
}

const TEXTS: &str = "0?[0-9]{1,3}|true|[a-z'\"\\\\ #=\u{e9}\u{2028}]{1,20}";

proptest! {
    // Each case parses hundreds of flags several times.
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn what_config_show_prints_gives_the_same_settings(
        given in vec((0..ROWS.len()).prop_flat_map(setting), 1..30),
        (key, name) in (TEXTS, TEXTS),
        origins in vec("https://[a-z]{1,5}\\.example", 0..3),
        limit in 0..i64::MAX as usize,
        url in "https://[a-z]{1,5}\\.example/[a-z]{0,3}",
    ) {
        let is_taken = |(row, text): &(&Row, String)| {
            let is_alone = row.excludes.is_empty() && row.with.is_none() && row.name != "config";
            let is_odd = row.odd.is_some_and(|odd| odd(text).is_some());
            let set = (row.set)(&mut Draft::default(), &row.split(text.into()));
            is_alone && !is_odd && !row.is_secret && set.is_ok()
        };
        let given = BTreeMap::from_iter(given).into_iter().map(|(at, text)| (&ROWS[at], text)).filter(is_taken);
        let flags: Vec<String> = given.map(|(row, text)| format!("--{}={text}", row.name)).collect();
        let cli = parsed(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        let settings = Settings {
            concurrent_limit: limit,
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            auth: peerbroker::keys::Auth::Webhook { url },
            ..Settings::default()
        };
        let key = ApiKey::parse(&key).unwrap();
        let keys = [Key { created: 0, built_in: true, ..Key::new(Some(key), &name, settings) }];
        let read = shown(&cli, &keys);
        let read_args = args(&read);
        let again = parsed(&read_args.iter().map(String::as_str).collect::<Vec<_>>());
        let texts = |cli: &Cli| -> Vec<_> {
            cli.effective().iter().map(|setting| (setting.row.name, setting.values.clone())).collect()
        };
        prop_assert_eq!(texts(&cli), texts(&again));
        prop_assert_eq!(&keys[..], &read.keys[..]);
    }
}

#[test]
fn no_secret_is_shown_and_a_file_without_settings_is_that_of_the_defaults() {
    let secrets = ["hush-hush-hush-hush", "redis://:hush@h", "0123456789abcdefhush"];
    let [token, redis, turn] = secrets;
    let cli = parsed(&["--admin_token", token, "--redis", redis, "--turn_secret", turn]);
    let keys = file(
        "[[api_key]]\nkey = 'a'\nauth = {method = 'jwt', kind = 'secret', value = 'hush-hush-hush-hush-hush-hush-hush'}\n\
         [[api_key]]\nkey = 'b'\nauth = {method = 'webhook', url = 'https://h.example/?hush'}",
    )
    .unwrap()
    .keys;
    let text = cli.as_file(&keys);
    assert!(!text.contains("hush"), "{text}");
    assert_eq!(text.matches("\"(hidden)\"").count(), 5, "{text}");
    let defaults = parsed(&[]);
    assert_eq!(shown(&defaults, &[]).keys, []);
}
