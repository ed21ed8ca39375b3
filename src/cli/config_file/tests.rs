use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::cli::Cli;
use crate::cli::tests::{parsed, without_variables};

fn file(text: &str) -> Result<ConfigFile, String> {
    ConfigFile::parse(Path::new("p.toml"), text, &without_variables()).map_err(|error| error.to_string())
}

fn args(file: &ConfigFile) -> Vec<String> {
    file.values.iter().flat_map(FileValue::args).collect()
}

#[test]
fn the_settings_of_a_file_are_flags() {
    let file = file(
        "# A comment\nport = 9_001\nhost = 'h'\nadmin-token = \"a b\"\ncors = [\"https://a\", \"https://b\"]\npages = false\n\
         trusted_proxy = []\n\n[[api_key]]\nkey = \"game\"\nname = \"My game\"\nconcurrent_limit = 10\n\n[[api_key]]\nkey = \"b\"",
    )
    .unwrap();
    let expected = [
        "--port=9001",
        "--host=h",
        "--admin_token=a b",
        "--cors=https://a",
        "--cors=https://b",
        "--pages=false",
    ];
    assert_eq!(args(&file), expected);
    let [game, b] = &file.keys[..] else { panic!("{:?}", file.keys) };
    assert_eq!((game.key.as_str(), &*game.name, game.settings.concurrent_limit), ("game", "My game", 10));
    assert_eq!((b.key.as_str(), &b.settings), ("b", &Settings::default()));
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
        ("port = 1\nport = 2", "line 2: duplicate key"),
        ("data_dir = 'a'\ndata-dir = 'b'", "line 2: data_dir is set twice"),
        ("port = [1]", "line 1: port takes one value, not a list"),
        ("port = 1.5", "line 1: port takes a text in quotes, a whole number, true or false"),
        ("port = {}", "line 1: port takes a text"),
        ("port = 99999999999999999999", "line 1: port is too large"),
        ("port = x", "line 1: "),
        ("turn_secret = '(hidden)'", "turn_secret is hidden in the output of `config show`"),
        ("[[key]]\nkey = 'a'", "API keys are [[api_key]] tables"),
        ("api_key = 'a'", "keys are tables that begin with [[api_key]]"),
        ("api_key = ['a']", "keys are tables that begin with [[api_key]]"),
        ("[[api_key]]\nname = 'a'", "line 1: this [[api_key]] has no key"),
        ("[[api_key]]\nkey = 5", "line 2: key takes a text in quotes"),
        ("[[api_key]]\nkey = ''", "line 2: key: "),
        (
            "[[api_key]]\nkey = 'a'\n[[api_key]]\nkey = 'a'",
            "line 3: there are two [[api_key]] tables for the key \"a\"",
        ),
        ("[[api_key]]\nkey = 'a'\ncolour = 1", "line 3: unknown field `colour`"),
        ("[[api_key]]\nkey = 'a'\nenabled = 'x'", "line 3: invalid type"),
        ("[[api_key]]\nkey = 'a'\nname = \"\\u0007\"", "line 1: a name has at most"),
        (
            "[[api_key]]\nkey = 'a'\nauth = {method = 'jwt', kind = 'secret', value = '(hidden)'}",
            "line 1: auth: ",
        ),
        ("[[api_key]]\nkey = 'a'\norigins = ['x']", "line 3: "),
    ] {
        let error = file(text).expect_err(text);
        assert!(error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn a_reload_names_the_keys_that_are_different() {
    let keys = |text: &str| file(text).unwrap().keys;
    let old = keys("[[api_key]]\nkey = 'a'\n[[api_key]]\nkey = 'b'\n[[api_key]]\nkey = 'c'");
    let new = keys("[[api_key]]\nkey = 'd'\n[[api_key]]\nkey = 'b'\n[[api_key]]\nkey = 'c'\nenabled = false");
    assert_eq!(key_differences(&old, &new), [r#"key "a" removed"#, r#"key "d" added"#, r#"key "c" changed"#]);
    assert!(key_differences(&new, &new).is_empty());
}

#[test]
fn what_needs_a_restart_keeps_the_value_of_the_old_file() {
    let (old, new) = (file("port = 1\nrooms = 1\nhost = 'a'").unwrap(), file("port = 2\nrooms = 2").unwrap());
    let mut kept = args(&new.with_values_of(Some(&old), |id| id == "port" || id == "host"));
    kept.sort_unstable();
    assert_eq!(kept, ["--host=a", "--port=1", "--rooms=2"]);
    assert_eq!(args(&new.with_values_of(None, |id| id == "port")), ["--rooms=2"]);
}

fn shown(cli: &Cli, keys: &[Key]) -> ConfigFile {
    let text = cli.effective.as_file(keys);
    file(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

proptest! {
    // Each case parses hundreds of flags several times.
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_config_show_prints_gives_the_same_settings(
        rate in any::<u32>(),
        pages in any::<bool>(),
        texts in vec("(0?[0-9]{1,3}|true|[a-z'\"\\\\ #=\u{e9}\u{2028}]{1,20})", 3),
        origins in vec("https://[a-z]{1,5}\\.example", 0..3),
        limit in 0..i64::MAX as usize,
        url in "https://[a-z]{1,5}\\.example/[a-z]{0,3}",
    ) {
        let [key, node_name, name] = &texts[..] else { unreachable!() };
        let mut flags = vec![
            format!("--messages_per_second={rate}"),
            format!("--pages={pages}"),
            format!("--key={key}"),
            format!("--node_name={node_name}"),
        ];
        flags.extend(origins.iter().map(|origin| format!("--cors={origin}")));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let cli = parsed(&flags);
        let settings = Settings {
            concurrent_limit: limit,
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            auth: peerbroker::keys::Auth::Webhook { url },
            ..Settings::default()
        };
        let key = ApiKey::parse(key).unwrap();
        let keys = [Key { created: 0, built_in: true, ..Key::new(Some(key), name, settings) }];
        let read = shown(&cli, &keys);
        let read_args = args(&read);
        let again = parsed(&read_args.iter().map(String::as_str).collect::<Vec<_>>());
        let texts = |cli: &Cli| -> Vec<_> {
            cli.effective.0.iter().map(|setting| (setting.id.clone(), setting.values.clone())).collect()
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
    let text = cli.effective.as_file(&keys);
    assert!(!text.contains("hush"), "{text}");
    assert_eq!(text.matches("\"(hidden)\"").count(), 5, "{text}");
    let defaults = parsed(&[]);
    assert_eq!(shown(&defaults, &[]).keys, []);
    assert!(defaults.effective.differences(&parsed(&[]).effective).next().is_none());
}
