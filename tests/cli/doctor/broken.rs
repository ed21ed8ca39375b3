//! Ports where no broker is, and servers that are not in order.

use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use super::{examine, fake};

/// An id for every request, as from a broker that cannot open WebSockets.
const ID: &str = "an-id";

#[test]
fn a_port_where_nothing_listens_is_told() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let examined = examine(&[&format!("http://{address}")]);
    examined.expect_failed(&["tcp"]);
    let port = address.port().to_string();
    examined.expect(
        "tcp",
        "failed",
        &["127.0.0.1 refuses", &format!("Nothing listens at port {port}"), "--port"],
    );
    examined.expect("rest", "skipped", &["websocket", "because of tcp"]);
}

#[test]
fn a_name_without_an_address_is_told() {
    let examined = examine(&["nothing.invalid"]);
    examined.expect_failed(&["dns"]);
    examined.expect("dns", "failed", &["nothing.invalid", "A record"]);
}

#[test]
fn a_port_that_never_answers_is_told() {
    // The kernel accepts, and no program does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let examined = examine(&[&format!("http://{address}")]);
    examined.expect_failed(&["http"]);
    examined.expect("http", "failed", &["no answer within 10 s", "the program behind it does not answer"]);
    let examined = examine(&[&format!("https://{address}")]);
    examined.expect_failed(&["tls"]);
    examined.expect("tls", "failed", &["does not answer a handshake of TLS within 10 s"]);
}

#[test]
fn another_site_is_no_broker() {
    let page = || fake::http("200 OK", "Server: example\r\n", "<!doctype html><title>My site</title>");
    let address = fake::serve(move |_| page());
    let examined = examine(&[&format!("http://{address}")]);
    examined.expect_failed(&["path"]);
    examined.expect("path", "failed", &["another site answers", "200 from example"]);
}

#[test]
fn another_protocol_is_told() {
    let address = fake::serve(|_| b"SSH-2.0-example\r\n".to_vec());
    let examined = examine(&[&format!("http://{address}")]);
    examined.expect("http", "failed", &["is not HTTP", "another program"]);
    let examined = examine(&[&format!("https://{address}")]);
    examined.expect("tls", "failed", &["does not speak TLS", "another program"]);
}

#[test]
fn a_redirect_is_told_with_its_target() {
    let address = fake::serve(|_| fake::http("301 Moved", "Location: https://a.test/\r\n", ""));
    let examined = examine(&[&format!("http://{address}")]);
    examined.expect("path", "failed", &["redirected to https://a.test/", "do not follow redirects"]);
}

#[test]
fn old_tls_is_told() {
    // An alert: fatal, protocol_version (RFC 8446, section 6).
    let address = fake::serve(|_| vec![0x15, 3, 1, 0, 2, 2, 70]);
    let examined = examine(&[&format!("https://{address}")]);
    examined.expect_failed(&["tls"]);
    examined.expect("tls", "failed", &["only TLS 1.1 or older", "ssl_protocols"]);
}

#[test]
fn a_clock_that_is_wrong_by_an_hour_is_told() {
    for (wrong, words) in [(true, "ahead of"), (false, "behind")] {
        let address = fake::serve(move |_| {
            let hour = Duration::from_secs(3600);
            let time = if wrong { SystemTime::now() + hour } else { SystemTime::now() - hour };
            let time = jiff::Timestamp::try_from(time).unwrap();
            let date = time.strftime("%a, %d %b %Y %H:%M:%S GMT");
            fake::http("200 OK", &format!("Date: {date}\r\n"), ID)
        });
        let examined = examine(&[&format!("http://{address}")]);
        examined.expect("clock", "warning", &["s ", words, "NTP"]);
        let (_, text) = examined.of("clock");
        let seconds: u64 = text.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        // A busy machine may take some of them.
        assert!((3500..3700).contains(&seconds), "{text}");
    }
}

#[test]
fn a_header_that_a_proxy_adds_again_is_told() {
    let twice = "Access-Control-Allow-Origin: *\r\n".repeat(2);
    let address = fake::serve(move |_| fake::http("200 OK", &twice, ID));
    let examined = examine(&[&format!("http://{address}")]);
    examined.expect("cors", "failed", &["Access-Control-Allow-Origin twice", "nginx"]);
}

#[test]
fn answers_of_a_handshake_are_explained() {
    for (status, words) in [
        ("200 OK", ["answered with 200", "Upgrade"]),
        ("426 Upgrade Required", ["answered with 426", "Upgrade"]),
        ("429 Too Many Requests", ["answered with 429", "X-Forwarded-For"]),
        ("502 Bad Gateway", ["answered with 502", "another place"]),
        ("401 Unauthorized", ["answered with 401", "password"]),
        ("302 Found", ["to https://a.test/", "redirects"]),
    ] {
        let address = fake::serve(move |request| {
            let is_handshake = request.windows(9).any(|bytes| bytes == b"websocket");
            let location = "Location: https://a.test/\r\n";
            let origin = "Access-Control-Allow-Origin: *\r\n";
            if is_handshake { fake::http(status, location, "") } else { fake::http("200 OK", origin, ID) }
        });
        let examined = examine(&[&format!("http://{address}")]);
        examined.expect_failed(&["websocket"]);
        examined.expect("websocket", "failed", &words);
    }
}

#[test]
fn a_websocket_whose_messages_are_held_back_is_told() {
    let address = fake::serve(|request| {
        let Some(accept) = fake::accept(request) else { return fake::http("200 OK", "", ID) };
        let mut answer =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".to_vec();
        answer.extend_from_slice(format!("Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes());
        answer
    });
    let examined = examine(&[&format!("http://{address}")]);
    examined.expect("websocket", "failed", &["first message does not arrive", "buffer"]);
}

#[test]
fn control_characters_of_a_server_do_not_reach_the_terminal() {
    let address = fake::serve(|_| fake::http("404 Not Found", "Server: \x1b[2Jexample\r\n", ""));
    let (_, text) = super::output(&[&format!("http://{address}")]);
    assert!(!text.contains('\x1b'), "{text:?}");
}
