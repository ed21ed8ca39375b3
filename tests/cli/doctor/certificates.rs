//! TLS: certificates with each fault, and a broker that has none yet.

use super::authority::{Authority, Wanted};
use super::{Examined, examine, url};
use crate::directory::Directory;
use crate::program::{Program, command};
use testkit::ports::free_port;

fn examine_tls(program: &Program, args: &[&str]) -> Examined {
    let place = format!("https://{}", program.address);
    examine(&[&[place.as_str()], args].concat())
}

#[test]
fn a_good_chain_is_told() {
    let authority = Authority::new("the authority");
    let program = authority.serve(&Wanted::default(), &[]);
    let examined = examine_tls(&program, &["--ca", &authority.root()]);
    examined.expect_failed(&[]);
    examined.expect("tls", "ok", &["TLS 1.3"]);
    examined.expect("chain", "ok", &["'the authority'", "complete"]);
    examined.expect("name", "ok", &["127.0.0.1"]);
    examined.expect("dates", "ok", &["valid until 4000-01-01"]);
    examined.expect("peers", "ok", &[]);
}

#[test]
fn an_authority_that_is_not_public_is_named() {
    let authority = Authority::new("the authority");
    let examined = examine_tls(&authority.serve(&Wanted::default(), &[]), &[]);
    examined.expect_failed(&["chain"]);
    examined.expect("chain", "failed", &["ends at 'peerbroker test root'", "not a public authority", "--ca"]);
    // One fault hides no other.
    examined.expect("peers", "ok", &[]);
}

#[test]
fn a_chain_without_its_issuer_is_told() {
    let authority = Authority::new("the authority");
    let program = authority.serve(&Wanted { has_chain: false, ..Wanted::default() }, &[]);
    let examined = examine_tls(&program, &["--ca", &authority.root()]);
    examined.expect_failed(&["chain"]);
    examined.expect("chain", "failed", &["its own certificate alone", "'the authority'", "fullchain.pem"]);
}

#[test]
fn an_expired_certificate_and_one_of_the_future_are_told() {
    let authority = Authority::new("the authority");
    for (years, words) in [
        ((2020, 2021), ["has expired on 2021-01-01", "Renew"]),
        ((3000, 3001), ["not valid before 3000-01-01", "clock"]),
    ] {
        let program = authority.serve(&Wanted { years, ..Wanted::default() }, &[]);
        let examined = examine_tls(&program, &["--ca", &authority.root()]);
        examined.expect("dates", "failed", &words);
        examined.expect("name", "ok", &[]);
    }
}

#[test]
fn the_names_of_a_certificate_for_another_host_are_told() {
    let authority = Authority::new("the authority");
    let program = authority.serve(&Wanted { name: "elsewhere.test", ..Wanted::default() }, &[]);
    let examined = examine_tls(&program, &["--ca", &authority.root()]);
    examined.expect_failed(&["name"]);
    examined.expect("name", "failed", &["is for elsewhere.test, not for 127.0.0.1"]);
}

#[test]
fn a_self_signed_certificate_is_fine_if_the_user_trusts_it() {
    let authority = Authority::new("unused");
    let program = authority.serve_self_signed();
    examine_tls(&program, &[]).expect("chain", "failed", &["self-signed", "--acme"]);
    let own = authority.directory.arg("cert.pem");
    examine_tls(&program, &["--ca", &own]).expect_failed(&[]);
}

#[test]
fn the_staging_server_of_lets_encrypt_is_named() {
    let authority = Authority::new("(STAGING) Counterfeit Cashew R10");
    let examined = examine_tls(&authority.serve(&Wanted::default(), &[]), &[]);
    examined.expect("chain", "failed", &["staging server of Let's Encrypt", "--acme_directory"]);
}

#[test]
fn tls_and_plain_http_are_told_apart() {
    let plain = Program::start(&[]);
    let examined = examine_tls(&plain, &[]);
    examined.expect_failed(&["tls"]);
    examined.expect("tls", "failed", &["speaks plain HTTP", &format!("{}/", url(&plain))]);

    let authority = Authority::new("the authority");
    let secure = authority.serve(&Wanted::default(), &[]);
    let examined = examine(&[&url(&secure)]);
    examined.expect_failed(&["http"]);
    examined.expect(
        "http",
        "failed",
        &["speaks TLS", &format!("https://{}/", secure.address), "secure: true"],
    );
    // Without a scheme the doctor finds out.
    let examined = examine(&[&secure.address.to_string(), "--ca", &authority.root()]);
    examined.expect_failed(&[]);
    examined.expect("tls", "ok", &[]);
}

/// A broker with `--acme` whose ACME server cannot be reached.
fn waiting(directory: &Directory, http_port: u16) -> Program {
    let dir = directory.arg("data");
    let http_port = http_port.to_string();
    Program::start_command(&mut command(&[
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--acme",
        "127.0.0.1",
        "--data_dir",
        &dir,
        "--acme_directory",
        "https://127.0.0.1:1/dir",
        "--acme_http_port",
        &http_port,
    ]))
}

#[test]
fn a_broker_that_waits_for_its_certificate_is_told_with_the_way_of_the_acme_server() {
    let directory = Directory::new();
    let port = free_port();
    let program = waiting(&directory, port);
    let examined = examine_tls(&program, &["--acme_http_port", &port.to_string()]);
    examined.expect_failed(&["acme"]);
    examined.expect("acme", "failed", &["no certificate yet", "leads to it", "log of the broker"]);
    examined.expect("peers", "ok", &[]);
    let closed = free_port();
    let examined = examine_tls(&program, &["--acme_http_port", &closed.to_string()]);
    examined.expect("acme", "failed", &["connection fails", &format!("Open TCP port {closed}")]);
    // Another web server has the port.
    let other = Program::start(&[]);
    let examined = examine_tls(&program, &["--acme_http_port", &other.address.port().to_string()]);
    examined.expect("acme", "failed", &["another program answers", "/.well-known/acme-challenge/"]);
}
