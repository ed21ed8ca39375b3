//! Certificates and keys that clients refuse, or that do not belong together.

use super::{error, expect, fixture, warnings};
use crate::directory::Directory;
use crate::program::run;

#[test]
fn a_certificate_of_version_1_says_so_and_how_to_make_another() {
    let args = ["--sslkey", &fixture("ec-sec1.key"), "--sslcert", &fixture("version1.pem")];
    for more in [&[][..], &["config", "check"]] {
        let text = error(&[more, &args[..]].concat(), &[], 1);
        expect(
            &text,
            &["version1.pem is an X.509 certificate of version 1", "openssl req -x509", "subjectAltName"],
        );
    }
}

#[test]
fn a_key_of_another_certificate_and_swapped_files_are_told_apart() {
    let key = fixture("rsa-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let text = error(&["--sslkey", &key, "--sslcert", &cert], &[], 1);
    expect(
        &text,
        &["rsa-pkcs8.key is not the key of the first certificate in", "ec-chain.pem", "before its chain"],
    );
    let text = error(&["--sslkey", &cert, "--sslcert", &fixture("ec-sec1.key")], &[], 1);
    expect(&text, &["are --sslkey and --sslcert swapped?"]);
}

/// The warnings about a certificate, at the start and at a check.
fn warnings_of_certificate(name: &str) -> Vec<String> {
    let key = fixture("ec-sec1.key");
    let cert = fixture(name);
    let args = ["--sslkey", &key, "--sslcert", &cert];
    let checked = run(&[&["config", "check", "--host", "127.0.0.1"], &args[..]].concat(), &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    let warnings = warnings(&args, &[]);
    let text = |line: &str| line.split("] ").nth(1).expect(line).to_owned();
    let warnings: Vec<_> = warnings.iter().map(|line| text(line)).collect();
    let checked: Vec<_> = checked.stderr.lines().map(text).collect();
    assert_eq!(warnings, checked);
    warnings
}

#[test]
fn a_certificate_that_clients_will_refuse_is_served_with_a_warning() {
    for (name, words) in [
        ("expired.pem", &["expired.pem has expired on 2020-01-02: clients refuse it", "Renew it"][..]),
        (
            "elsewhere.pem",
            &[
                "elsewhere.pem is for elsewhere.test, 192.0.2.1 and for no name of this machine",
                "(localhost, ",
            ],
        ),
        ("nameless.pem", &["nameless.pem has no subjectAltName: browsers refuse it", "-addext"]),
    ] {
        let warnings = warnings_of_certificate(name);
        assert_eq!(warnings.len(), 1, "{name}: {warnings:#?}");
        expect(&warnings[0], words);
    }
    assert_eq!(warnings_of_certificate("ec-chain.pem"), [""; 0]);
}

#[test]
fn no_authority_certifies_localhost() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let check = |more: &[&str]| {
        let args = ["config", "check", "--acme", "localhost", "--data_dir", &data_dir];
        run(&[&args, more].concat(), &[]).stderr
    };
    expect(&check(&[]), &["--acme localhost: no public authority certifies this name", "use --sslcert"]);
    let own = check(&["--acme_directory", "https://ca.test/dir"]);
    assert!(!own.contains("no public authority"), "{own}");
}
