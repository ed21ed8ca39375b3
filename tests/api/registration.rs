//! The form that registers a key.

mod bounds;
mod sites;

use peerbroker::Config;
use peerbroker_config::{KeySignup, MountPath};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Auth, KeyStore as _};

use crate::harness::http_client::Response;
use crate::harness::keys::{INVALID_KEY, on_own_with_keys_and};
use crate::harness::legacy::post;
use crate::harness::messages::error;
use crate::harness::{TestServer, on_own, on_own_with};

const FOREIGN: &str = "This origin may not use the key";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn open(config: &mut Config) {
    config.registration.open = true;
}

/// The form data as browsers send it.
fn filled(name: &str, origin: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("name", name), ("origin", origin)])
        .finish()
}

fn post_form(server: &TestServer, target: &str, headers: &str, body: impl AsRef<[u8]>) -> Response {
    let mut http = server.http();
    http.send(post(target, headers, body.as_ref()));
    http.response(false)
}

fn register_with(server: &TestServer, headers: &str, name: &str, origin: &str) -> Response {
    let target = format!("{}broker/register", &server.root());
    post_form(server, &target, &format!("{FORM}{headers}"), filled(name, origin))
}

fn register(server: &TestServer, name: &str, origin: &str) -> Response {
    register_with(server, "", name, origin)
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("{before} in {text}")).1;
    rest.split_once(after).unwrap_or_else(|| panic!("{after} behind {before}")).0
}

/// The key to whose page a response leads.
fn key_in(response: &Response) -> String {
    assert_eq!(response.status, 303, "{response:?}");
    let location = response.header("location").unwrap();
    let key = location.strip_prefix("register?key=").unwrap_or_else(|| panic!("{location}"));
    assert_eq!(key.len(), 24, "{key}");
    key.to_owned()
}

/// The page that shows a key, for a client that sends these headers.
fn page_of(server: &TestServer, headers: &str, key: &str) -> Response {
    let target = format!("{}broker/register?key={key}", &server.root());
    server.http().request("GET", &target, headers)
}

fn expect_page(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(response.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(response.header("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(response.header("referrer-policy").as_deref(), Some("same-origin"));
    let policy = response.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(!response.text().contains("{{"), "a placeholder that nothing filled: {}", response.text());
}

fn expect_plain(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type").as_deref(), Some("text/plain; charset=utf-8"));
}

#[test]
fn the_form_is_on_the_landing_page_if_registration_is_open() {
    on_own_with(open, |server| {
        let page = server.get("/broker/");
        let form = between(page.text(), r#"<form method="post" action="/broker/register">"#, "</form>");
        for part in [r#"name="name" value="""#, r#"name="origin" value="""#, r#"type="submit""#] {
            assert!(form.contains(part), "{part} in {form}");
        }
        assert!(page.text().contains("It is removed when nobody uses it for 90 days."));
        assert!(!page.text().contains("{{"));
    });
    on_own(|server| assert!(!server.get("/broker/").text().contains("<form")));
}

#[test]
fn fragments_of_pages_are_not_served() {
    on_own_with(open, |server| {
        for name in ["frame.html", "register.html", "key.html", "no-key.html", "one-snippet.html", ""] {
            assert_eq!(server.get(&format!("/broker/parts/{name}")).status, 404, "{name}");
        }
    });
}

#[test]
fn a_registered_key_works_at_once_for_pages_of_its_origin_alone() {
    on_own_with(open, |server| {
        let response = register(server, "My game", "https://game.example.org/play/?x#y");
        let key = key_in(&response);
        let page = page_of(server, "", &key);
        expect_page(&page, 200);
        assert_eq!(between(page.text(), r#"<code id="key">"#, "</code>"), key);
        assert!(page.text().contains("<code>https://game.example.org</code>"), "{}", page.text());
        for (origin, fine) in [
            ("Origin: https://game.example.org\r\n", true),
            ("Origin: https://example.org\r\n", false),
            ("Origin: http://game.example.org\r\n", false),
            ("Origin: null\r\n", false),
            ("", false),
        ] {
            let mut client = server.begin_with(&server.target_of(&key, "a"), origin);
            client.expect_accepted();
            if fine {
                client.expect_open();
                client.expect_closed_by_us(Some(1000));
            } else {
                client.expect_refused(error(FOREIGN));
            }
        }
    });
}

#[test]
fn the_answer_has_the_snippet_with_the_key() {
    let configure = |config: &mut Config| {
        open(config);
        config.path = MountPath::parse("/x").unwrap();
        config.default_key = false;
    };
    on_own_with(configure, |server| {
        let page = server.get("/x/broker/");
        assert!(page.text().contains(r#"action="/x/broker/register""#));
        let response = register(server, "My game", "https://a.test");
        let key = key_in(&response);
        let page = page_of(server, "", &key);
        let text = page.text();
        for (option, value) in [
            ("host", "&quot;server.test&quot;".to_owned()),
            ("port", "80".to_owned()),
            ("path", "&quot;/x/&quot;".to_owned()),
            ("key", format!("&quot;{key}&quot;")),
            ("secure", "false".to_owned()),
        ] {
            let shown = between(text, &format!(r#"data-option="{option}">"#), "</span>");
            assert_eq!(shown.replace('"', "&quot;"), value);
        }
        assert!(text.contains(&format!(r#"data-path="/x/" data-key="{key}""#)));
        assert!(!text.contains("YOUR-KEY"));
    });
}

#[test]
fn a_stranger_sets_a_name_and_an_origin_and_nothing_else() {
    let configure = |config: &mut Config| {
        open(config);
        config.key_settings.concurrent_limit = 7;
        config.key_settings.allow_discovery = true.into();
    };
    on_own_with_keys_and(configure, &[], |server, keys| {
        let body =
            "key=mine&auth_url=http%3A%2F%2Flocalhost&allow_discovery=true&registered=false&name=first&"
                .to_owned()
                + &filled("  My game  ", "HTTPS://A.test:443/");
        let key = key_in(&post_form(server, "/broker/register", FORM, body));
        let key = keys.store.get(&ApiKey::parse(&key).unwrap()).unwrap().unwrap();
        assert_eq!((key.name.as_str(), key.registered, key.used), ("My game", true, None));
        let settings = key.settings;
        assert_eq!(
            settings.origins.iter().map(|origin| origin.as_str()).collect::<Vec<_>>(),
            ["https://a.test"]
        );
        assert!(settings.enabled && settings.allow_discovery == false.into() && !settings.allow_no_origin);
        assert_eq!((settings.concurrent_limit, settings.auth), (7, Auth::None));
        assert_eq!(settings.messages_per_second, 200);
    });
}

#[test]
fn wrong_input_is_answered_with_the_form_and_what_was_typed() {
    let long = "n".repeat(101);
    on_own_with_keys_and(open, &[], |server, keys| {
        for (name, origin, wrong) in [
            ("", "https://a.test", "name"),
            (" \t", "https://a.test", "name"),
            ("a\nb", "https://a.test", "name"),
            ("a\0b", "https://a.test", "name"),
            (&long, "https://a.test", "name"),
            ("My game", "", "origin"),
            ("My game", "a.test", "origin"),
            ("My game", "null", "origin"),
            ("My game", "*", "origin"),
            ("My game", "https://*.a.test", "origin"),
            ("My game", "https://me@a.test", "origin"),
        ] {
            let response = register(server, name, origin);
            expect_page(&response, 422);
            let text = response.text();
            let problem = |field: &str| {
                between(text, &format!(r#"<span id="register-{field}-problem" class="problem">"#), "<")
            };
            assert_eq!(problem("name").is_empty(), wrong != "name", "{name:?} {origin:?}");
            assert_eq!(problem("origin").is_empty(), wrong != "origin", "{name:?} {origin:?}");
            assert!(text.contains(&format!(r#"name="name" value="{name}""#)), "{name:?} in {text}");
            assert!(text.contains(&format!(r#"name="origin" value="{origin}""#)), "{origin:?} in {text}");
            assert_eq!(text.matches(r#"aria-invalid="true""#).count(), 1);
        }
        expect_page(&post_form(server, "/broker/register", FORM, b"\xff%zz&&="), 422);
        assert_eq!(keys.store.all().unwrap(), []);
    });
}

#[test]
fn typed_input_is_shown_as_text() {
    let name = r#"</title><script>alert("1")</script>'&amp; {{key}}"#;
    let shown = "&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;amp; {{key}}";
    on_own_with(open, |server| {
        let page = page_of(server, "", &key_in(&register(server, name, "https://a.test")));
        let refused = register(server, name, r#"">'<b>{{name}}"#);
        for (response, status) in [(page, 200), (refused, 422)] {
            assert_eq!(response.status, status);
            let text = response.text();
            assert!(text.contains(shown), "{text}");
            assert!(!text.contains("<script>") && !text.contains("<b>") && !text.contains("&amp;amp;amp;"));
        }
    });
}

#[test]
fn only_a_small_form_is_read() {
    on_own_with(open, |server| {
        let fitting = filled("My game", "https://a.test") + "&rest=";
        let fitting = fitting.clone() + &"x".repeat(4096 - fitting.len());
        key_in(&post_form(server, "/broker/register", FORM, &fitting));
        expect_plain(&post_form(server, "/broker/register", FORM, fitting + "x"), 413);
        for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/form-data; boundary=x\r\n"]
        {
            expect_plain(
                &post_form(server, "/broker/register", kind, filled("My game", "https://a.test")),
                415,
            );
        }
        let with_charset = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n";
        key_in(&post_form(server, "/broker/register", with_charset, filled("My game", "https://a.test")));
    });
}

#[test]
fn where_registration_is_closed_or_has_no_page_there_is_nothing() {
    let closed = |_: &mut Config| {};
    let without_pages = |config: &mut Config| {
        open(config);
        config.pages = false;
    };
    let configurations: [fn(&mut Config); 2] = [closed, without_pages];
    for configure in configurations {
        on_own_with_keys_and(configure, &[], |server, keys| {
            let response = register(server, "My game", "https://a.test");
            assert_eq!(response.status, 404);
            assert!(response.text().contains("POST /broker/register was not found"), "{}", response.text());
            assert_eq!(server.get("/broker/register").status, 404);
            assert_eq!(keys.store.all().unwrap(), []);
        });
    }
}

#[test]
fn the_page_of_a_key_can_be_loaded_again_without_a_second_key() {
    on_own_with_keys_and(open, &[], |server, keys| {
        let key = key_in(&register(server, "My game", "https://a.test"));
        for _ in 0..2 {
            expect_page(&page_of(server, "", &key), 200);
        }
        assert_eq!(keys.store.all().unwrap().len(), 1);
    });
}

#[test]
fn without_a_registered_key_the_address_of_the_answer_leads_to_the_form() {
    on_own_with(open, |server| {
        // `peerjs` is the built-in key.
        for query in ["", "?", "?key", "?key=unknown", "?key=peerjs", "?kez=peerjs", "?key=%00%zz"] {
            for method in ["GET", "HEAD"] {
                let response = server.request(method, &format!("/broker/register{query}"), "");
                assert_eq!(
                    (response.status, response.header("location").as_deref()),
                    (303, Some("./")),
                    "{query}"
                );
            }
        }
        assert_eq!(server.request("PUT", "/broker/register", "").status, 404);
    });
}

#[test]
fn a_registered_key_can_be_taken_back() {
    on_own_with_keys_and(open, &[], |server, keys| {
        let key = key_in(&register(server, "My game", "https://a.test"));
        let mut client = server.begin_with(&server.target_of(&key, "a"), "Origin: https://a.test\r\n");
        client.expect_accepted();
        client.expect_open();
        keys.remove(&key);
        client.expect_closed_with(Some(4004));
        server.newcomer_of(&key, "a").expect_refused(error(INVALID_KEY));
    });
}

#[test]
fn by_default_it_is_closed_and_bounded() {
    let expected = KeySignup { open: false, per_day: 5, limit: 10_000, ttl_days: 90 };
    assert_eq!(Config::default().registration, expected);
}
