//! Mistakes that would show a secret, or make another text one.

use std::fs;

use super::{error, expect, fixture, warnings};
use crate::directory::Directory;
use crate::program::{Program, command};

#[test]
fn a_static_directory_with_a_secret_of_the_server_is_refused() {
    let directory = Directory::new();
    let dir = directory.arg("app");
    fs::create_dir(&dir).unwrap();
    let token = directory.file("app/admin.token", "0123456789abcdef");
    let config = directory.file("app/p.toml", &format!("ops_port = 0\nstatic_dir = '{dir}'"));
    let outside = directory
        .file("p.toml", &format!("ops_port = 0\nadmin_token_file = '{token}'\nstatic_dir = '{dir}'"));
    let data = directory.arg("app/data");
    let key = directory.arg("app/key.pem");
    fs::copy(fixture("rsa-pkcs8.key"), &key).unwrap();
    for (args, words) in [
        (&["--config", &*config][..], &["of --config. Move it"][..]),
        (&["--config", &outside], &[&*outside, "line 3", &token, "of admin_token_file", "line 2"]),
        (
            &["--static_dir", &dir, "--data_dir", &data],
            &["data/peerbroker.db of --data_dir", "has only your app"],
        ),
        (
            &["--static_dir", &dir, "--sslkey", &key, "--sslcert", &fixture("rsa-chain.pem")],
            &["key.pem of --sslkey"],
        ),
    ] {
        let args = [args, &["--host", "127.0.0.1", "--port", "0"]].concat();
        for args in [&args[..], &[&["config", "check"], &*args].concat()] {
            expect(&error(args, &[], 1), &[&["cannot serve", "everybody could download"], words].concat());
        }
    }
    // The data directory may have the app: the files in it are named.
    fs::create_dir(&data).unwrap();
    let app = directory.arg("app/data/www");
    fs::create_dir(&app).unwrap();
    assert_eq!(warnings(&["--static_dir", &app, "--data_dir", &data], &[]), [""; 0]);
}

#[test]
fn a_reload_refuses_a_static_directory_with_a_secret_too() {
    let directory = Directory::new();
    let dir = directory.arg("app");
    fs::create_dir(&dir).unwrap();
    let token = directory.file("app/admin.token", "0123456789abcdef");
    let before = format!("host = '127.0.0.1'\nport = 0\nops_port = 0\nadmin_token_file = '{token}'\n");
    let file = directory.file("p.toml", &before);
    let program = Program::start_command(&mut command(&["--config", &file]));
    directory.file("p.toml", &format!("{before}static_dir = '{dir}'\n"));
    program.expect_log("everybody could download");
    assert_eq!(program.get("/admin.token").status, 404);
}

#[test]
fn a_text_in_place_of_the_name_of_its_file_is_not_printed() {
    let pem = fs::read_to_string(fixture("ec-pkcs8.key")).unwrap();
    let in_one_line = pem.replace('\n', " ");
    let body = pem.lines().nth(1).unwrap();
    let token = "0123456789abcdefSECRET";
    let directory = Directory::new();
    let file = directory.file("p.toml", &format!("sslkey = '{token}'"));
    let itself = "it has the text itself: it must name a file";
    let unnamed = "no file has this name. If it is the text itself, write that to a file and give its name";
    for (args, env, words) in [
        (
            &[][..],
            &[("PEERBROKER_SSLKEY", &*pem)][..],
            &["invalid value for 'PEERBROKER_SSLKEY': ", itself][..],
        ),
        (&[], &[("PEERBROKER_SSLCERT", &in_one_line)], &["'PEERBROKER_SSLCERT': ", itself]),
        (&[], &[("PEERBROKER_ADMIN_TOKEN_FILE", token)], &["'PEERBROKER_ADMIN_TOKEN_FILE': ", unnamed]),
        (&[], &[("PEERBROKER_CONFIG", &pem)], &["'PEERBROKER_CONFIG': ", itself]),
        (&["--config", &in_one_line], &[], &["'--config': ", itself]),
        (&["--data_dir", &pem], &[], &["'--data_dir': ", itself]),
        (&["--sslcert", "x", &format!("--sslkey={pem}")], &[], &["'--sslkey <FILE>': ", itself]),
        (&["--redis_key", &pem], &[], &["'--redis_key': ", itself]),
        (&["--config", &file], &[], &["p.toml, line 1)': ", unnamed]),
        (&["keys", "add", "--jwt_secret_file", token], &[], &["'--jwt_secret_file <FILE>': ", unnamed]),
        (&["keys", "add", "--jwks_file", &pem], &[], &["'--jwks_file': ", itself]),
    ] {
        let text = error(args, env, 2);
        expect(&text, words);
        assert!(!text.contains(body) && !text.contains(token), "{text}");
    }
    // A missing file, and a directory that the server makes.
    let missing = error(&["--ops_port", "0", "--admin_token_file", "/run/secrets/token1234567890"], &[], 1);
    expect(&missing, &["cannot read --admin_token_file /run/secrets/token1234567890: No such file"]);
    let here = std::env::current_dir().expect("a directory").join("no/token").display().to_string();
    let relative = error(&["--ops_port", "0", "--admin_token_file", "no/token"], &[], 1);
    expect(&relative, &["cannot read --admin_token_file no/token, which is ", &here, " here: No such file"]);
}

/// The warnings of a server about its tokens.
fn of_tokens(args: &[&str], env: &[(&str, &str)]) -> String {
    let mut found = warnings(args, env);
    found.retain(|text| !text.contains("--data_dir keeps them"));
    found.join("\n")
}

#[test]
fn the_name_of_a_file_in_place_of_a_token_is_noticed() {
    let directory = Directory::new();
    let file = directory.file("a-long-name-of-admin.token", "0123456789abcdef");
    let env = [("PEERBROKER_ADMIN_TOKEN", &*file), ("PEERBROKER_OPS_PORT", "0")];
    let words = ["PEERBROKER_ADMIN_TOKEN is the name of a file", "did you mean --admin_token_file?"];
    expect(&of_tokens(&[], &env), &words);
    expect(
        &of_tokens(&["--ops_port", "0", "--read_token", &file], &[]),
        &["did you mean --read_token_file?"],
    );
    let env = [("PEERBROKER_ADMIN_TOKEN", "/run/no-such-file/token"), ("PEERBROKER_OPS_PORT", "0")];
    assert_eq!(of_tokens(&[], &env), "");
}

#[test]
fn a_token_with_quotes_or_the_name_of_a_variable_is_noticed_and_not_shown() {
    let directory = Directory::new();
    let token = "0123456789abcdef";
    for (text, words) in [
        (format!("\"{token}\"\n"), "admin_token, or of its file, has quotes of its own"),
        (format!("ADMIN_TOKEN={token}\n"), "admin_token, or of its file, begins with ADMIN_TOKEN="),
    ] {
        let file = directory.file("token", &text);
        let found = of_tokens(&["--ops_port", "0", "--admin_token_file", &file], &[]);
        expect(&found, &[words, "Leave it out"]);
        assert!(!found.contains(token), "{found}");
    }
    // Base64 may end with an equals sign.
    let file = directory.file("token", "Zm9vYmFyYmF6QUJDREVG_QQ==");
    assert_eq!(of_tokens(&["--ops_port", "0", "--admin_token_file", &file], &[]), "");
}
