//! Mistakes in the text of a value.

use std::fs;

use super::{error, expect, one_warning, warnings};
use crate::directory::Directory;
use crate::program::{Program, run};

#[test]
fn a_path_with_a_tilde_says_that_only_shells_expand_it() {
    let directory = Directory::new();
    let file = directory.file("p.toml", "data_dir = '~/data'");
    let home = [("HOME", "/home/eve")];
    for (args, env, words) in [
        (
            &["--config", &*file][..],
            &home[..],
            &["'~/data' for 'data_dir (", "write the whole path, as in /home/eve/data"][..],
        ),
        (&["--data_dir=~/x"], &home, &["'~/x' for '--data_dir <DIR>'", "as in /home/eve/x"]),
        (&["config", "check", "--static_dir=~"], &home, &["only shells expand ~"]),
        (
            &["keys", "add", "--jwt_secret_file=~/s"],
            &home,
            &["'--jwt_secret_file <FILE>': only shells expand ~"],
        ),
        (&["--config=~/p.toml"], &home, &["'--config': only shells expand ~", "/home/eve/p.toml"]),
        (&[], &[("PEERBROKER_SSLKEY", "~/lan.key")], &["for 'PEERBROKER_SSLKEY': only shells", "/lan.key"]),
    ] {
        expect(&error(args, env, 2), words);
    }
    // A directory of that name is named by another path.
    let data_dir = directory.arg("~/data");
    fs::create_dir(directory.at("~")).unwrap();
    assert_eq!(warnings(&["--data_dir", &data_dir], &[]), [""; 0]);
}

#[test]
fn a_value_with_quotes_of_its_own_is_an_error_that_shows_the_value_without() {
    let directory = Directory::new();
    let of_file = |text: &str| {
        let file = directory.file("p.toml", text);
        error(&["config", "check", "--config", &file], &[], 2)
    };
    let docker = "it has quotes of its own, as `docker --env-file` keeps them: ";
    for (env, words) in [
        (("PEERBROKER_KEY", "\"my-game\""), &["for 'PEERBROKER_KEY': ", docker, "write my-game"][..]),
        (("PEERBROKER_HOST", "'::'"), &["for 'PEERBROKER_HOST': ", docker, "write ::"]),
        (("PORT", "\"9101\""), &["for 'PORT': ", docker, "write 9101"]),
        (("PEERBROKER_DATA_DIR", "\"/data\""), &["for 'PEERBROKER_DATA_DIR': ", docker, "write /data"]),
        (
            ("PEERBROKER_PATH", "“/x”"),
            &["for 'PEERBROKER_PATH': it has typographic quotes of its own: write /x"],
        ),
        (("PEERBROKER_NODE_NAME", "\"\""), &[docker, "leave it out"]),
    ] {
        expect(&error(&[], &[env], 2), words);
    }
    expect(&error(&["--data_dir", "'x'"], &[], 2), &["'--data_dir <DIR>': ", docker, "write x"]);
    expect(&of_file("key = '“my-game”'"), &["line 1)': it has typographic quotes of its own: write my-game"]);
    expect(
        &of_file("key = “my-game”"),
        &["line 1: “ and ” are typographic quotes", ": write key = \"my-game\""],
    );
    expect(
        &of_file("admin_token = “0123456789abcdef”"),
        &["typographic quotes", "write admin_token = \"…\""],
    );
    expect(&of_file("[[api_key]]\nkey = '\"g\"'"), &["line 2: key: ", docker, "write g"]);
    let data_dir = directory.arg("data");
    expect(&error(&["keys", "add", "--key", "'g'", "--data_dir", &data_dir], &[], 2), &[docker, "write g"]);
    // peerjs-server starts with these. An apostrophe inside a text is a part of it.
    one_warning(
        &["--key", "\"my-game\""],
        &[],
        &["--key \"\\\"my-game\\\"\" has quotes of its own", "write my-game"],
    );
    one_warning(&["--path", "\"/x\""], &[], &["has quotes of its own", "write /x"]);
    assert_eq!(warnings(&["--key", "rock'n'roll"], &[]), [""; 0]);
}

#[test]
fn a_relay_at_a_host_that_passes_http_only_is_noticed() {
    let at = ["--relay", "127.0.0.1:0"];
    for host in ["RENDER", "RAILWAY_ENVIRONMENT", "DYNO", "K_SERVICE"] {
        let found = warnings(&at, &[(host, "x")]);
        assert!(found.iter().any(|text| text.contains(&format!("as its variable {host} says"))), "{found:?}");
        assert_eq!(warnings(&[], &[(host, "x")]), [""; 0]);
    }
    let found = warnings(&at, &[("FLY_APP_NAME", "x")]);
    assert!(!found.iter().any(|text| text.contains("passes")), "Fly passes UDP: {found:?}");
    let anywhere = run(&["config", "check", "--relay"], &[("FLY_APP_NAME", "x")]);
    expect(&anywhere.stderr, &["Fly.io passes UDP to its address fly-global-services only"]);
}

#[test]
fn a_proxy_that_is_everybody_is_noticed() {
    for network in ["0.0.0.0/0", "::/0"] {
        let words = [&*format!("--trusted_proxy {network} trusts everybody"), "the proxy alone"];
        one_warning(&["--proxied", "--trusted_proxy", network], &[], &words);
    }
    assert_eq!(warnings(&["--proxied", "--trusted_proxy", "10.0.0.0/8"], &[]), [""; 0]);
}

#[test]
fn a_log_that_stays_empty_is_said_whatever_the_filter_hides() {
    for filter in ["peerbroker.debug", "peerbroker:debug", "my_app=debug", "my_app=debug,other=off"] {
        for (args, env, name) in
            [(&["--log", filter][..], &[][..], "--log"), (&[], &[("RUST_LOG", filter)], "RUST_LOG")]
        {
            let words = format!("{name} {filter:?} names no module of this program");
            let found = Program::start_with_env(args, env).stop().stderr;
            assert!(found.contains(" WARN ") && found.contains(&words), "{filter}: {found}");
        }
    }
    for filter in ["off", "my_app=debug,info", "peerbroker::audit=info", "peer=warn", "peerbroker_relay"] {
        assert_eq!(
            Program::start(&["--log", filter, "--quiet"]).stop().stderr.matches("names no module").count(),
            0
        );
    }
}

#[test]
fn a_configuration_file_behind_c_says_which_flag_takes_it() {
    let directory = Directory::new();
    let file = directory.file("settings", "");
    for value in ["pb.toml", &*file] {
        for args in [&["-c", value][..], &["--concurrent_limit", value], &["config", "check", "-c", value]] {
            let words = ["-c is short for --concurrent_limit", &format!("as in '--config {value}'")];
            expect(&error(args, &[], 2), &words);
        }
    }
}
