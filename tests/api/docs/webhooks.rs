//! The listing of docs/WEBHOOKS.md that verifies a request without a library: it accepts a real one, and
//! refuses a changed one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;
use testkit::need;

use crate::docs::pages::blocks;
use crate::harness::receiver::{Receiver, SECRET};
use crate::harness::{TestServer, Transport};

/// The only listing of a language.
fn listing(language: &str) -> String {
    let blocks = blocks("docs/WEBHOOKS.md", language);
    let [block] = &blocks[..] else { panic!("{} listings of {language}", blocks.len()) };
    block.lines.join("\n")
}

/// The output of a program that gets a request as JSON.
fn judge(program: &mut Command, secret: &str, headers: &BTreeMap<String, String>, body: &str) -> String {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let request = json!({"secret": secret, "headers": headers, "body": body}).to_string();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_ascii_lowercase()
}

fn expect_good(mut program: impl FnMut() -> Command) {
    let receiver = Receiver::start();
    let _server = TestServer::start(Transport::Own, |config| config.webhooks.operator = receiver.webhook());
    let told = receiver.next();
    // As while a secret is replaced: the signatures of both are there.
    let mut two = told.headers.clone();
    let signature = two.get_mut("webhook-signature").unwrap();
    *signature = format!("v1,bm8gc2lnbmF0dXJl {signature}");
    let mut later = told.headers.clone();
    later.insert("webhook-timestamp".to_owned(), "1800000000".to_owned());
    let changed = told.text.replace("server.started", "server.stopping");
    let other = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA==";
    for (secret, headers, body, is_good) in [
        (SECRET, &told.headers, &told.text, "true"),
        (SECRET, &two, &told.text, "true"),
        (SECRET, &told.headers, &changed, "false"),
        (SECRET, &later, &told.text, "false"),
        (other, &told.headers, &told.text, "false"),
    ] {
        assert_eq!(judge(&mut program(), secret, headers, body), is_good, "{secret} {headers:?} {body}");
    }
}

#[test]
fn the_listing_in_python_verifies_a_request() {
    let Some(python) = need("python3") else { return };
    let code = format!(
        "import json, sys\nrequest = json.load(sys.stdin)\nsecret = request['secret']\nheaders = request['headers']\n\
         body = request['body'].encode()\n{}\nprint(is_ours)",
        listing("python")
    );
    expect_good(|| {
        let mut command = Command::new(&python);
        command.args(["-c", &code]);
        command
    });
}
