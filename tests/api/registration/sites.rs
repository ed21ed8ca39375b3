//! Pages of other sites, which may not register keys.

use peerbroker::Config;

use super::{expect_plain, key_in, open, page_of, register_with};
use crate::harness::{TestServer, on_own_with};

#[test]
fn other_sites_cannot_have_their_visitors_register_keys() {
    on_own_with(open, |server| {
        for headers in [
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\n",
            "Sec-Fetch-Site: \r\n",
            "Sec-Fetch-Site: cross-site\r\nOrigin: http://server.test\r\n",
            "Origin: https://evil.test\r\n",
            "Origin: null\r\n",
            "Origin: https://server.test\r\n",
            "Origin: http://server.test:8080\r\n",
            "Origin: http://server.test.evil.test\r\n",
        ] {
            expect_plain(&register_with(server, headers, "My game", "https://a.test"), 403);
        }
        for headers in [
            "",
            "Origin: http://server.test\r\n",
            "Sec-Fetch-Site: same-origin\r\n",
            "Sec-Fetch-Site: none\r\n",
            // Behind a proxy without `--proxied`.
            "Sec-Fetch-Site: same-origin\r\nOrigin: https://public.test\r\n",
        ] {
            key_in(&register_with(server, headers, "My game", "https://a.test"));
        }
    });
}

#[test]
fn behind_a_proxy_the_servers_own_origin_is_what_clients_see() {
    let configure = |config: &mut Config| {
        open(config);
        config.proxied = true;
    };
    on_own_with(configure, |server| {
        let proxy = "X-Forwarded-Host: public.test\r\nX-Forwarded-Proto: https\r\n";
        let from = |origin: &str| {
            register_with(server, &format!("{proxy}Origin: {origin}\r\n"), "My game", "https://a.test")
        };
        let response = from("https://public.test");
        let page = page_of(server, proxy, &key_in(&response));
        assert!(page.text().contains(r#""public.test""#) && page.text().contains(">443<"));
        for other in ["http://server.test", "http://public.test", "https://evil.test"] {
            expect_plain(&from(other), 403);
        }
    });
}

#[test]
fn a_host_that_a_client_writes_itself_does_not_make_a_page_one_of_this_server() {
    let configure = |trusted: &'static str| {
        move |config: &mut Config| {
            open(config);
            config.proxied = true;
            config.trusted_proxies = vec![trusted.parse().unwrap()];
        }
    };
    let from = |server: &TestServer, forwarded: &str| {
        let headers = format!("Origin: https://evil.test\r\n{forwarded}");
        register_with(server, &headers, "My game", "https://a.test")
    };
    let proto = "X-Forwarded-Proto: https\r\n";
    on_own_with(configure("127.0.0.0/8"), |server| {
        for host in ["evil.test, public.test", "evil.test\r\nX-Forwarded-Host: public.test", "public.test"] {
            expect_plain(&from(server, &format!("{proto}X-Forwarded-Host: {host}\r\n")), 403);
        }
    });
    on_own_with(configure("192.0.2.0/24"), |server| {
        expect_plain(&from(server, &format!("{proto}X-Forwarded-Host: evil.test\r\n")), 403);
        let page = server.http().request("GET", "/broker/", "X-Forwarded-Host: evil.test\r\n");
        assert!(!page.text().contains("evil.test"), "{}", page.text());
    });
}

#[test]
fn no_page_may_send_other_headers_with_the_form() {
    on_own_with(open, |server| {
        let asked = "Origin: https://evil.test\r\nAccess-Control-Request-Method: POST\r\n\
                     Access-Control-Request-Headers: x-forwarded-host\r\n";
        let allowed = |path: &str| {
            let answer = server.http().request("OPTIONS", path, asked);
            assert_eq!(answer.status, 204);
            answer.header("access-control-allow-headers")
        };
        assert_eq!(allowed("/broker/register"), None);
        assert_eq!(allowed("/peerjs/id").as_deref(), Some("x-forwarded-host"));
    });
}
