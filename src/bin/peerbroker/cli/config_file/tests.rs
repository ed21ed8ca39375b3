//! `config show` writes a file with the same settings. `tests/cli/config/` has the other tests of files.

use std::collections::BTreeMap;

use peerbroker::InheritedSockets;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::Settings;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::cli::Cli;
use crate::cli::draft::Draft;
use crate::cli::odd::quotes;
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

fn shown(cli: &Cli, keys: &[Key]) -> ConfigFile {
    let text = cli.as_file(keys, &InheritedSockets::default());
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
        // Such texts are refused.
        prop_assume!(quotes(&key).is_none());
        let is_taken = |(row, text): &(&Row, String)| {
            let is_alone = row.excludes.is_empty() && row.with.is_none() && row.name != "config";
            let is_odd = row.odd.is_some_and(|odd| odd(text).is_some());
            let set = (row.set)(&mut Draft::default(), &row.split(text.into()));
            is_alone && !is_odd && quotes(text).is_none() && !row.is_secret && set.is_ok()
        };
        let given = BTreeMap::from_iter(given).into_iter().map(|(at, text)| (&ROWS[at], text)).filter(is_taken);
        let flags: Vec<String> = given.map(|(row, text)| format!("--{}={text}", row.name)).collect();
        let cli = parsed(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        let settings = Settings {
            concurrent_limit: limit,
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            auth: peerbroker_keys::Auth::Webhook { url },
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
