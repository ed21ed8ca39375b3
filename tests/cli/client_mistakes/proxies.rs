//! Proxies and health checks that ask for what is not there.

use super::{line, log_of, raw};

#[test]
fn a_health_check_at_another_path_is_told_the_path_of_this_server() {
    for path in ["/health", "/healthcheck", "/status", "/ping", "/ready", "/live", "/app/health"] {
        let log = log_of(&["--path", "/app"], |program| {
            let answer = program.get(path);
            assert_eq!(answer.status, 404, "{path}");
            assert!(answer.text().contains("The health check of this server is at /healthz."), "{path}");
            assert_eq!(program.get("/healthz").status, 200);
        });
        let line = line(&log, &format!("asked for {path:?} (GET), which is not here"));
        assert!(line.ends_with("the health check of this server is at /healthz"), "{line}");
        assert!(!log.concat().contains("harmless"), "{log:#?}");
    }
}

#[test]
fn a_proxy_with_the_wrong_scheme_is_told_the_right_one() {
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let key = fixture("ec-pkcs8.key");
    let cert = fixture("ec-chain.pem");
    let log = log_of(&["--proxied", "--sslkey", &key, "--sslcert", &cert], |program| {
        raw(program, b"GET /peerjs/id HTTP/1.1\r\nHost: localhost\r\n\r\n");
    });
    let plain = line(&log, "speaks plain HTTP to the TLS port");
    let advice = "at the address of a proxy (from 127.0.0.1): have the proxy speak HTTPS to this server (nginx: proxy_pass https://…), \
                  or leave --sslkey and --sslcert out";
    assert!(plain.ends_with(advice), "{plain}");
    // The start of a ClientHello.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let log = log_of(&["--proxied"], |program| {
        raw(program, hello);
    });
    let tls = line(&log, "speaks TLS to the plain port");
    let advice = "at the address of a proxy (from 127.0.0.1): have the proxy speak plain HTTP to this server (nginx: proxy_pass \
                  http://…), or give --sslkey and --sslcert";
    assert!(tls.ends_with(advice), "{tls}");
    let log = log_of(&["--proxied", "--trusted_proxy", "192.0.2.1"], |program| {
        raw(program, hello);
    });
    assert!(!line(&log, "speaks TLS to the plain port").contains("proxy"), "{log:#?}");
}
