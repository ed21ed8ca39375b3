//! Tokens and answers of servers that are refused, and what the log says about their cause.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use jsonwebtoken::Header;
use serde_json::json;

use super::{SECRET, line, log_of, signed};
use crate::directory::Directory;
use crate::program::run;

#[test]
fn a_token_with_the_scheme_of_the_header_is_told_to_come_alone() {
    let directory = Directory::new();
    let data = directory.arg("data");
    let file = directory.file("secret", SECRET);
    let args = ["keys", "add", "-k", "game", "--data_dir", &data, "--jwt_secret_file", &file];
    assert_eq!(run(&args, &[]).status.code(), Some(0));
    let token = signed(&Header::default(), SECRET, &json!({"sub": "a", "exp": 4_000_000_000_u64}));
    let log = log_of(&["--data_dir", &data], |program| {
        let mut client = program.connect(&format!("/peerjs?key=game&id=a&token=Bearer%20{token}"));
        assert!(client.expect_text().contains("Invalid token provided"));
        program.connect(&format!("/peerjs?key=game&id=a&token={token}")).expect_open();
    });
    let line = line(&log, "is not a JSON Web Token");
    assert!(line.ends_with(r#"it begins with "Bearer ": pass the token alone"#), "{line}");
}

#[test]
fn a_signer_that_keeps_the_line_break_of_the_file_is_told_so() {
    let directory = Directory::new();
    let data = directory.arg("data");
    for (key, end) in [("unix", "\n"), ("windows", "\r\n")] {
        let text = format!("{SECRET}{end}");
        let file = directory.file("secret", &text);
        let args = ["keys", "add", "-k", key, "--data_dir", &data, "--jwt_secret_file", &file];
        assert_eq!(run(&args, &[]).status.code(), Some(0));
        let token =
            |secret: &str| signed(&Header::default(), secret, &json!({"sub": "a", "exp": 4_000_000_000_u64}));
        let log = log_of(&["--data_dir", &data], |program| {
            let open = |token: &str| program.connect(&format!("/peerjs?key={key}&id=a&token={token}"));
            assert!(open(&token(&text)).expect_text().contains("Invalid token provided"), "{key}");
            open(&token(SECRET)).expect_open();
        });
        let line = line(&log, "made with the secret and a line break behind it");
        assert!(line.ends_with("is no part of it: have the signer trim the text"), "{line}");
        assert!(!log.concat().contains("hushhush"), "{log:#?}");
    }
}

/// A server that answers each request with this head.
fn answering(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/check", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut question = Vec::new();
            // It is an object.
            while !question.ends_with(b"}") {
                let mut read = [0; 4096];
                let length = connection.read(&mut read).unwrap();
                assert!(length > 0, "the request breaks off");
                question.extend(&read[..length]);
            }
            connection.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
        }
    });
    url
}

#[test]
fn a_server_that_takes_no_post_or_redirects_it_is_told_so() {
    for (head, what, hint) in [
        ("404 Not Found", "the webhook answered 404", "does the URL of --auth_url take POST?"),
        ("405 Method Not Allowed", "the webhook answered 405", "does the URL of --auth_url take POST?"),
        ("403 Forbidden", "the webhook answered 403", "the webhook of --auth_url decides"),
        (
            "302 Found\r\nLocation: /login",
            "the webhook answered 302, a redirect, which is not followed",
            "nothing is known against the client",
        ),
    ] {
        let directory = Directory::new();
        let data = directory.arg("data");
        let url = answering(head);
        let added = run(&["keys", "add", "-k", "game", "--auth_url", &url, "--data_dir", &data], &[]);
        assert_eq!(added.status.code(), Some(0), "{}", added.stderr);
        let log = log_of(&["--data_dir", &data], |program| {
            let mut client = program.connect("/peerjs?key=game&id=a&token=t");
            assert!(client.expect_text().contains("ERROR"), "{head}");
        });
        let line = line(&log, what);
        assert!(line.ends_with(hint), "{line}");
    }
}
