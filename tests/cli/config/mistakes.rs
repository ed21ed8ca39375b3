//! Mistakes in the configuration file.

use crate::directory::Directory;
use crate::program::run;

/// The error of a file with a mistake.
fn mistake(directory: &Directory, text: &str) -> String {
    let ended = run(&["config", "check", "--config", &directory.file("p.toml", text)], &[]);
    assert_eq!(ended.status.code(), Some(2), "{text:?}: {}", ended.stderr);
    ended.stderr
}

#[test]
fn a_mistake_names_the_line_and_what_is_expected() {
    let directory = Directory::new();
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
        let error = mistake(&directory, text);
        assert!(error.contains(words), "{text:?}: {error}");
    }
    let below = "ops_port is a setting of the server, and all below [[api_key]] belongs to a key: write it above line 2";
    for (text, words) in [
        ("[[api_key]]\nkey = 'a'", "line 4: there are two [[api_key]] tables for the key \"a\""),
        ("colour = 1", "line 4: unknown setting \"colour\": a key has key, "),
        ("origin = 'x'", "line 4: unknown setting \"origin\" of a key: did you mean origins?"),
        ("enabled = 'x'", "line 4: enabled: expected true or false, not \"x\""),
        ("webhook = {secrets = 'x'}", "line 4: webhook: expected a list. "),
        ("[api_key.webhook]\nurl = ''\nmessages = 1", "line 6: webhook: expected true or false. "),
        ("concurrent_limit = 99999999999999999999", "line 4: it is too large"),
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
        let error = mistake(&directory, &text);
        assert!(error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn a_setting_below_an_empty_line_of_a_key_warns_if_the_server_has_it_too() {
    let directory = Directory::new();
    for (text, line) in [
        ("[[api_key]]\nkey = 'a'\n\nconcurrent_limit = 9", Some(4)),
        ("[[api_key]]\nkey = 'a'\n\n# Of all.\n  id_style = 'words'\nname = 'x'", Some(5)),
        (
            "[[api_key]]\n  key = 'a'\n  # A few.\n  concurrent_limit = 9\n\n[[api_key]]\nkey = 'b'\nrelay = 'off'",
            None,
        ),
        ("[[api_key]]\n\nkey = 'a'\n\nname = 'x'\n\norigins = []", None),
    ] {
        let ended = run(&["config", "check", "--config", &directory.file("p.toml", text)], &[]);
        assert_eq!(ended.status.code(), Some(0), "{text}: {}", ended.stderr);
        let place = line.map(|line| format!("p.toml, line {line}) is a setting of the key \"a\""));
        assert_eq!(ended.stderr.lines().count(), usize::from(place.is_some()), "{text}: {}", ended.stderr);
        assert!(place.is_none_or(|place| ended.stderr.contains(&place)), "{text}: {}", ended.stderr);
    }
}
