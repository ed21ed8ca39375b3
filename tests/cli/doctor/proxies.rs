//! nginx and HAProxy in front of a broker, with the mistakes that people make.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::examine;
use crate::directory::Directory;
use crate::program::Program;
use testkit::nginx::Nginx;
use testkit::ports::free_port;
use testkit::tools::need;
use testkit::wait::wait_until;

/// A location that is right, except for what a test changes.
const RIGHT: &str = "
    server {
        listen LISTEN;
        location / {
            proxy_pass http://BROKER;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 120s;
        }
    }";

fn behind(program: &Program, lines: &str) -> Option<Nginx> {
    Nginx::start(&lines.replace("BROKER", &program.address.to_string()))
}

/// The right lines without those that have one of these words.
fn without(words: &[&str]) -> String {
    let lines = RIGHT.lines().filter(|line| !words.iter().any(|word| line.contains(word)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_is_wrong_behind_a_proxy_that_is_set_up_well() {
    let program = Program::start(&["--proxied"]);
    let Some(nginx) = behind(&program, RIGHT) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&[]);
    examined.expect("proxy", "ok", &[]);
    examined.expect("peers", "ok", &[]);
}

#[cfg(unix)]
#[test]
fn nothing_is_wrong_behind_a_proxy_that_uses_a_unix_socket() {
    let directory = Directory::new();
    let path = directory.arg("broker.sock");
    let _program = Program::start(&["--proxied", "--unix_socket", &path]);
    let lines = RIGHT.replace("BROKER", &format!("unix:{path}"));
    let Some(nginx) = Nginx::start(&lines) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&[]);
    examined.expect("proxy", "ok", &[]);
    examined.expect("peers", "ok", &[]);
}

#[test]
fn a_proxy_without_the_headers_of_the_upgrade_is_told() {
    let program = Program::start(&["--proxied"]);
    let lines = without(&["Upgrade", "Connection", "proxy_http_version"]);
    let Some(nginx) = behind(&program, &lines) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&["websocket"]);
    let words = ["answered with 404", "headers of the upgrade do not arrive", "proxy_set_header Upgrade"];
    examined.expect("websocket", "failed", &words);
}

#[test]
fn a_proxy_that_cuts_connections_is_told() {
    let program = Program::start(&["--proxied"]);
    let lines = RIGHT.replace("120s", "2s");
    let Some(nginx) = behind(&program, &lines) else { return };
    let place = nginx.address.to_string();
    let examined = examine(&[&place, "--idle", "5"]);
    examined.expect_failed(&["idle"]);
    examined.expect("idle", "failed", &["cuts connections after", "proxy_read_timeout"]);
    // The few seconds of the other checks do not show it.
    examine(&[&place]).expect_failed(&[]);
}

#[test]
fn a_limit_that_heartbeats_hide_is_a_warning() {
    let program = Program::start(&["--proxied"]);
    let lines = RIGHT.replace("120s", "8s");
    let Some(nginx) = behind(&program, &lines) else { return };
    let examined = examine(&[&nginx.address.to_string(), "--idle", "13"]);
    examined.expect("idle", "warning", &["cuts silent connections after", "throttle"]);
    assert_eq!(examined.code, Some(0));
}

#[test]
fn a_proxy_that_says_nothing_about_clients_is_told() {
    let program = Program::start(&["--proxied"]);
    let Some(nginx) = behind(&program, &without(&["X-Forwarded"])) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&[]);
    let seen = format!("clients reach it at http://{}", program.address);
    examined.expect("proxy", "warning", &[&seen, "X-Forwarded-Host", "X-Forwarded-For", "--proxied"]);
}

#[test]
fn another_site_at_the_path_itself_is_no_fault() {
    let program = Program::start(&["--proxied"]);
    let site = "location / { return 200 '<!doctype html>'; }\n        location /peerjs {";
    let Some(nginx) = behind(&program, &RIGHT.replace("location / {", site)) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&[]);
    examined.expect("path", "ok", &["/ itself shows something else"]);
    examined.expect("pipes", "warning", &["no pipe opens below /pipe/", "lead /pipe/ to the broker too"]);
}

#[test]
fn a_pipe_goes_through_a_proxy_and_is_not_missed_where_pipes_are_off() {
    let program = Program::start(&["--proxied"]);
    let Some(nginx) = behind(&program, RIGHT) else { return };
    examine(&[&nginx.address.to_string()]).expect("pipes", "ok", &["a pipe opens"]);
    let program = Program::start(&["--proxied", "--pipes", "off"]);
    let Some(nginx) = behind(&program, RIGHT) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&[]);
    examined.expect("pipes", "skipped", &["pipes are off"]);
}

#[test]
fn a_proxy_that_hides_its_tls_is_told() {
    let program = Program::start(&["--proxied"]);
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    let pair = format!("ssl_certificate {dir}/ec-chain.pem; ssl_certificate_key {dir}/ec-pkcs8.key;");
    let lines =
        without(&["X-Forwarded-Proto"]).replace("listen LISTEN;", &format!("listen LISTEN ssl; {pair}"));
    let Some(nginx) = behind(&program, &lines) else { return };
    let examined = examine(&[&format!("https://{}", nginx.address), "--ca", &format!("{dir}/root.pem")]);
    examined.expect_failed(&[]);
    let seen = format!("clients reach it at http://{}", nginx.address);
    examined.expect("proxy", "warning", &[&seen, "set X-Forwarded-Proto,"]);
}

#[test]
fn a_proxy_in_front_of_nothing_is_told() {
    let Some(nginx) = Nginx::start(&RIGHT.replace("BROKER", "127.0.0.1:1")) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&["path"]);
    examined.expect("path", "failed", &["502 from nginx", "does not reach the broker", "proxy_pass"]);
}

#[test]
fn a_proxy_that_speaks_plain_http_to_a_broker_with_tls_is_told_by_its_text() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    let key = format!("{dir}/ec-pkcs8.key");
    let cert = format!("{dir}/ec-chain.pem");
    let program = Program::start(&["--proxied", "--sslkey", &key, "--sslcert", &cert]);
    let Some(nginx) = behind(&program, RIGHT) else { return };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&["path"]);
    let words =
        ["gives 400: this port speaks HTTPS, and the request came as plain HTTP.", "proxy_pass https://…"];
    examined.expect("path", "failed", &words);
}

#[test]
fn a_location_of_nginx_that_redirects_is_told() {
    let program = Program::start(&["--proxied"]);
    let Some(nginx) = behind(
        &program,
        &RIGHT
            .replace("location / {", "location / { proxy_pass http://BROKER; }\n        location /peerjs/ {"),
    ) else {
        return;
    };
    let examined = examine(&[&nginx.address.to_string()]);
    examined.expect_failed(&["websocket"]);
    let words =
        ["is answered with 301", "nginx redirects to a location with a / at its end: write it without"];
    examined.expect("websocket", "failed", &words);
}

#[test]
fn a_proxy_that_strips_the_path_is_told() {
    let program = Program::start(&["--proxied", "--path", "/broker"]);
    let lines = RIGHT.replace("location /", "location /broker/").replace("http://BROKER", "http://BROKER/");
    let Some(nginx) = behind(&program, &lines) else { return };
    let examined = examine(&[&format!("{}/broker", nginx.address)]);
    examined.expect_failed(&["path"]);
    examined.expect(
        "path",
        "failed",
        &["its path is /broker/", "pass the path unchanged", "Caddy: handle, not handle_path"],
    );
}

#[test]
fn two_brokers_that_do_not_know_each_other_are_told() {
    // nginx takes them in turn, so the two clients of the doctor come to different ones.
    let brokers = [(); 2].map(|()| Program::start(&["--proxied"]));
    let [one, other] = brokers.each_ref().map(|broker| broker.address);
    let lines =
        format!("upstream both {{ server {one}; server {other}; }}\n{RIGHT}").replace("BROKER", "both");
    let Some(nginx) = Nginx::start(&lines) else { return };
    let examined = examine(&[&format!("http://{}", nginx.address)]);
    examined.expect_failed(&["peers"]);
    examined.expect("peers", "failed", &["OFFER does not arrive", "must be a cluster"]);
}

#[test]
fn a_port_of_nginx_that_wants_tls_is_told() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    let lines = format!(
        "server {{ listen LISTEN ssl; ssl_certificate {dir}/ec-chain.pem; ssl_certificate_key {dir}/ec-pkcs8.key; return 404; }}"
    );
    let Some(nginx) = Nginx::start(&lines) else { return };
    let examined = examine(&[&format!("http://{}", nginx.address)]);
    examined.expect_failed(&["http"]);
    examined.expect("http", "failed", &["speaks TLS", "https://"]);
}

/// HAProxy as a TCP proxy. The drop ends it.
struct HaProxy {
    child: Child,
    address: SocketAddr,
    _directory: Directory,
}

impl HaProxy {
    /// `None` if it is missing.
    fn start(program: &Program, options: &str) -> Option<Self> {
        let haproxy = need("haproxy")?;
        let directory = Directory::new();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen broker\n bind {address}\n server broker {} {options}\n",
            program.address
        );
        let config = directory.file("haproxy.cfg", &config);
        let child = Command::new(haproxy).args(["-f", &config]).stderr(Stdio::null()).spawn().unwrap();
        let haproxy = HaProxy { child, address, _directory: directory };
        wait_until("HAProxy listens", || TcpStream::connect(address).is_ok());
        Some(haproxy)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_proxy_protocol_works_or_is_named_with_tls_and_without() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    let [key, cert, root] = ["ec-pkcs8.key", "ec-chain.pem", "root.pem"].map(|name| format!("{dir}/{name}"));
    for (scheme, tls, refused_by) in
        [("http", &[][..], "path"), ("https", &["--sslkey", &key, "--sslcert", &cert], "tls")]
    {
        for version in ["send-proxy", "send-proxy-v2"] {
            let place = |proxy: &HaProxy| format!("{scheme}://localhost:{}", proxy.address.port());
            let program = Program::start(&[&["--proxy_protocol"], tls].concat());
            let Some(proxy) = HaProxy::start(&program, version) else { return };
            examine(&[&place(&proxy), "--ca", &root]).expect_failed(&[]);
            let program = Program::start(tls);
            let Some(proxy) = HaProxy::start(&program, version) else { return };
            let words = ["sends the PROXY protocol", "--proxy_protocol"];
            examine(&[&place(&proxy), "--ca", &root]).expect(refused_by, "failed", &words);
        }
    }
}
