//! The configuration file: what it may say, what overrides it, and reloads.

mod mistakes;
pub mod reload;

use std::fs;

use crate::directory::Directory;
use crate::program::{self, Program, command, run};
use testkit::wait::wait_until;

/// A program whose settings are in a file, which is not changed.
fn start_with(file: &str) -> Program {
    Program::start_command(&mut command(&["--config", file]))
}

/// Where a program of the tests listens.
const PLACE: &str = "host = '127.0.0.1'\nport = 0\n";

#[test]
fn a_variable_overrides_the_file_and_a_flag_overrides_both() {
    let directory = Directory::new();
    let file = directory.file("p.toml", &format!("{PLACE}path = '/file'"));
    for (args, env, path) in [
        (&["--config", &*file][..], &[][..], "/file"),
        (&[], &[("PEERBROKER_CONFIG", &*file)], "/file"),
        (&["--config", &file], &[("PEERSERVER_PATH", "/variable")], "/variable"),
        (&["--config", &file], &[("PEERBROKER_PATH", "")], "/file"),
        (&["--path=/flag", "--config", &file], &[("PEERBROKER_PATH", "/variable")], "/flag"),
        (&["--config", "/nowhere", "--help"], &[], ""),
    ] {
        if path.is_empty() {
            assert_eq!(run(args, env).status.code(), Some(0), "the help needs no file");
            continue;
        }
        let program = Program::start_command(command(args).envs(env.iter().copied()));
        assert_eq!(program.get(&format!("{path}/peerjs/id")).status, 200, "{args:?} {env:?}");
    }
}

#[test]
fn a_pipe_of_the_shell_may_be_the_file_and_the_file_of_a_token() {
    let mut shell = std::process::Command::new("bash");
    let started = r#"exec "$0" --config <(printf "$1") --admin_token_file <(echo 0123456789abcdef)"#;
    shell.args(["-c", started]).arg(program::path()).arg(format!("{PLACE}ops_port = 0\n")).env_clear();
    let mut program = Program::start_command(&mut shell);
    let (api, _) = program.expect_api();
    let api = api.with_token("0123456789abcdef");
    // Neither is read again: nothing is left in them.
    program.signal("-HUP");
    wait_until("a reload", || !api.get("/api/stats").json["configuration"]["reloaded"].is_null());
    assert_eq!(api.get("/api/keys").status, 200);
}

#[test]
fn mistakes_name_the_file_and_the_line() {
    let directory = Directory::new();
    for (text, words, code) in [
        ("port = 70000", "invalid value '70000' for 'port (", 2),
        ("\nport = 70000", "p.toml, line 2)': expected a port from 0 to 65535", 2),
        ("sslkey = 'x'", "p.toml, line 1) and --sslcert must be used together", 1),
        ("turn_secret = '0123456789abcdef'\nturn_secret_file = 'x'", "line 2)'", 2),
        ("redis_cert = 'x'", "--redis_key <FILE>", 2),
        ("log = 'a=b'", "expected a level (error, warn, info, debug, trace or off)", 2),
        ("relay = 3478", "expected an IP address with or without a port", 2),
        ("admin_token = 'short'\nops_port = 0", "admin_token (", 2),
    ] {
        let file = directory.file("p.toml", text);
        for args in [&["config", "check", "--config", &file][..], &["--config", &file]] {
            let ended = run(args, &[]);
            assert!(
                ended.stderr.starts_with("error: ") && ended.stderr.contains(words),
                "{text}: {}",
                ended.stderr
            );
            assert!(!ended.stderr.contains("short'"), "{}", ended.stderr);
            assert_eq!(ended.status.code(), Some(code), "{text}: {}", ended.stderr);
        }
    }
    let ended = run(&[], &[("PEERBROKER_CONFIG", "/nowhere/p.toml")]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.starts_with("error: cannot read the configuration file /nowhere/p.toml: No such file")
    );
}

#[test]
fn show_says_what_gave_each_setting_and_check_says_what_does_nothing() {
    let directory = Directory::new();
    let file = directory.file(
        "p.toml",
        "pipes = 5\nroom_members = 6\nmax_message_bytes = 7\nredis = 'redis://:hushhush@h'\nkeys = 'redis'\n\
         [[api_key]]\nkey = 'game'\nconcurrent_limit = 9\n\
         webhook = { url = 'https://g.test/', secrets = ['whsec_aHVzaGh1c2gtaHVzaGh1c2gtaHVzaGh1c2g='] }\n",
    );
    let args = ["--config", &file, "--room_members", "60"];
    let env = [("PEERBROKER_MAX_MESSAGE_BYTES", "70"), ("PORT", "9002")];
    let shown = run(&[&["config", "show"][..], &args].concat(), &env);
    assert_eq!((shown.status.code(), &*shown.stderr), (Some(0), ""));
    for line in [
        "port = 9002  # PORT",
        "path = \"/\"  # default",
        &format!("pipes = 5  # {file}, line 1"),
        "room_members = 60  # flag",
        "max_message_bytes = 70  # PEERBROKER_MAX_MESSAGE_BYTES",
        &format!("redis = \"(hidden)\"  # {file}, line 4"),
        "# sslkey is not set",
        "# trusted_proxy is not set: loopback and private networks",
        "[[api_key]]",
        "concurrent_limit = 9",
    ] {
        assert!(shown.stdout.iter().any(|shown| shown == line), "{line}: {:#?}", shown.stdout);
    }
    assert!(!shown.stdout.iter().any(|line| line.contains("hushhush") || line.contains("whsec_")));
    let file = directory.file("p.toml", "admin_token = '0123456789abcdef'");
    let checked = run(&["config", "check", "--config", &file], &[]);
    assert_eq!(
        (checked.status.code(), &checked.stdout[..]),
        (Some(0), &["The configuration is valid.".to_owned()][..])
    );
    assert!(
        checked.stderr.contains(&format!("admin_token ({file}, line 1) does nothing without --ops_port"))
    );
    assert_eq!(run(&["config", "show", "--port", "x"], &[]).status.code(), Some(2));
    assert_eq!(run(&["config"], &[]).status.code(), Some(2));
}

#[test]
fn every_form_of_a_value_is_taken_and_no_secret_is_shown() {
    let directory = Directory::new();
    let file = directory.file(
        "p.toml",
        "# A comment\nport = 9_001\nhost = 'h'\nadmin-token = \"hush-hush-hush-hush\"\ncors = [\"https://a\", \"https://b\"]\n\
         pages = false\ntrusted_proxy = []\nops_port = 9002\nturn_secret = '0123456789abcdefhush'\nredis = 'redis://:hush@h'\n\n\
         [[api_key]]\nkey = \"game\"\nname = \"My game\"\nconcurrent_limit = 10\nrelay_calls_per_key = 3\n\
         auth = {method = 'jwt', kind = 'secret', value = 'hush-hush-hush-hush-hush-hush-hush'}\n\n\
         [[api_key]]\nkey = 'b'\nauth = {method = 'webhook', url = 'https://h.example/?hush'}\n",
    );
    let shown = run(&["config", "show", "--config", &file], &[]).stdout.join("\n");
    for line in [
        &format!("port = 9001  # {file}, line 2\n"),
        "\nhost = \"h\"  #",
        "\ncors = [\"https://a\", \"https://b\"]  #",
        "\npages = false  #",
        "\n# trusted_proxy is not set",
        "\n[[api_key]]\nkey = \"game\"\nname = \"My game\"\n",
        "\nconcurrent_limit = 10\nrelay_calls_per_key = 3\n",
        "\n[[api_key]]\nkey = \"b\"\nauth = ",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert!(!shown.contains("hush"), "{shown}");
    assert_eq!(shown.matches("\"(hidden)\"").count(), 5, "{shown}");
}

#[test]
fn what_config_show_prints_is_a_file_without_a_warning() {
    let directory = Directory::new();
    let shown = run(&["config", "show", "--port", "9001"], &[]).stdout.join("\n");
    assert!(shown.contains("# ops_host = \"127.0.0.1\"  # default, without --ops_port"), "{shown}");
    let file = directory.file("p.toml", &shown);
    let ended = run(&["config", "check", "--config", &file], &[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
}

#[test]
fn keys_of_the_file_are_built_in() {
    let directory = Directory::new();
    let file = directory.file(
        "p.toml",
        &format!(
            "{PLACE}ops_port = 0\ndata_dir = '{}'\nno_default_key = true\n[[api_key]]\nkey = 'game'\nname = 'My game'\norigins = ['https://g.example']\n\
             allow_no_origin = true\n",
            directory.arg("data")
        ),
    );
    let mut program = start_with(&file);
    let (api, _) = program.expect_api();
    program.connect("/peerjs?key=game&id=a&token=t").expect_open();
    let shown = api.get("/api/keys/game").json;
    assert_eq!((&shown["built_in"], &shown["name"]), (&true.into(), &"My game".into()));
    let refused = api.patch("/api/keys/game", &serde_json::json!({"enabled": false}));
    assert_eq!(refused.status, 409, "{}", refused.json);
    assert!(refused.json["detail"].as_str().unwrap().contains("the configuration file of the server"));
    // A stored key of the same text counts instead, as with the key of --key.
    assert_eq!(api.post("/api/keys", &serde_json::json!({"key": "game", "enabled": false})).status, 201);
    program.connect("/peerjs?key=game&id=b&token=t").expect_text();
    let ended = program.stop();
    assert!(!ended.stderr.contains("no client can connect"), "{}", ended.stderr);
}

#[test]
fn the_example_is_valid_and_says_what_is_the_default() {
    let example = format!("{}/deploy/peerbroker.toml", env!("CARGO_MANIFEST_DIR"));
    let ended = run(&["config", "check", "--config", &example], &[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    // Each line that is commented out is a setting as well.
    let all: String = fs::read_to_string(&example)
        .unwrap()
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|line| !line.starts_with(' ')).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    let directory = Directory::new();
    let file = directory.file("p.toml", &all);
    let ended = run(&["config", "show", "--config", &file], &[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{all}");
}
