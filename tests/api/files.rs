//! The static directory.

mod confined;
mod transfer;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use peerbroker::{Config, Listen, PeerBroker, Server, StartError};
use peerbroker_config::{MountPath, PrivateFile};

use crate::harness::http_client::Response;
use crate::harness::messages::{forwarded_offer, offer};
use crate::harness::{TestServer, Transport, on_both_with, on_own, on_own_with};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
/// A directory of files and its surroundings. The drop removes both.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("files-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        // Canonical, so that tests can compare paths.
        let root = testkit::tools::scratch().join(name);
        fs::create_dir_all(root.join("app")).unwrap();
        let tree = Tree { root };
        tree.outside("secret.txt", "secret");
        tree
    }

    /// The served directory.
    fn app(&self) -> PathBuf {
        self.root.join("app")
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.outside(&format!("app/{name}"), content);
        self
    }

    fn outside(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(self, name: &str, target: impl AsRef<Path>) -> Self {
        symlink(target, self.app().join(name)).unwrap();
        self
    }

    fn serve(&self, test: impl Fn(&TestServer)) {
        self.serve_with(|_| {}, test);
    }

    fn serve_with(&self, configure: impl Fn(&mut Config), test: impl Fn(&TestServer)) {
        let configure = |config: &mut Config| {
            config.static_dir = Some(self.app());
            configure(config);
        };
        on_own_with(configure, test);
    }

    /// The same in an embedded broker as well: its connections have no timeouts of their own.
    fn serve_on_both(&self, test: impl Fn(&TestServer)) {
        on_both_with(|config| config.static_dir = Some(self.app()), test);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn at_x(config: &mut Config) {
    config.path = MountPath::parse("/x").unwrap();
}

fn header(response: &Response, name: &str) -> String {
    response.header(name).unwrap_or_default()
}

#[track_caller]
fn expect_nothing_at(server: &TestServer, target: &str) {
    let response = server.get(target);
    assert_eq!(response.status, 404, "{target}: {response:?}");
    assert!(response.text().contains("was not found"), "{target}: {}", response.text());
}

#[test]
fn files_are_served_with_their_types_and_without_our_policy() {
    let tree = Tree::new()
        .file("app.mjs", "export {}")
        .file("a/b/page.html", "<p>ü")
        .file("two words é.txt", "text")
        .file("game.zip", "zip")
        .file("empty.css", "");
    tree.serve(|server| {
        for (target, kind, content) in [
            ("/app.mjs", "text/javascript; charset=utf-8", "export {}"),
            ("/app.mjs?v=1", "text/javascript; charset=utf-8", "export {}"),
            ("/a/b/page.html", "text/html; charset=utf-8", "<p>ü"),
            ("/two%20words%20%c3%A9.txt", "text/plain; charset=utf-8", "text"),
            ("/game.zip", "application/zip", "zip"),
            ("/empty.css", "text/css; charset=utf-8", ""),
        ] {
            let response = server.get(target);
            assert_eq!((response.status, response.text()), (200, content), "{target}");
            assert_eq!(header(&response, "content-type"), kind);
            assert_eq!(header(&response, "x-content-type-options"), "nosniff");
            assert_eq!(header(&response, "cache-control"), "no-cache");
            for absent in ["content-security-policy", "content-disposition"] {
                assert_eq!(response.header(absent), None, "{target}");
            }
        }
        expect_nothing_at(server, "/app.js");
        expect_nothing_at(server, "/app.mjs/");
        expect_nothing_at(server, "/app.mjs/index.html");
    });
}

#[test]
fn files_are_served_below_the_path_and_nowhere_else() {
    let tree = Tree::new().file("app.js", "app").file("x/app.js", "inner");
    tree.serve_with(at_x, |server| {
        assert_eq!(server.get("/x/app.js").text(), "app");
        assert_eq!(server.get("/x/x/app.js").text(), "inner");
        for target in ["/app.js", "/xapp.js", "/X/app.js", "/"] {
            assert_eq!(server.get(target).status, 404, "{target}");
        }
    });
}

#[test]
fn without_the_flag_there_are_no_files() {
    on_own(|server| expect_nothing_at(server, "/Cargo.toml"));
}

#[test]
fn browsers_get_the_index_and_programs_the_json() {
    let tree = Tree::new().file("index.html", "<h1>My game</h1>");
    tree.serve(|server| {
        let page = server.request("GET", "/", BROWSER);
        assert_eq!((page.status, page.text()), (200, "<h1>My game</h1>"));
        assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
        let json = server.request("GET", "/", "Accept: */*\r\n");
        assert!(json.text().starts_with(r#"{"name":"PeerJS Server""#), "{}", json.text());
        for response in [page, json] {
            assert!(header(&response, "vary").split(", ").any(|name| name == "Accept"), "{response:?}");
        }
        assert_eq!(server.get("/index.html").text(), "<h1>My game</h1>");
        let landing = server.request("GET", "/broker/", BROWSER);
        assert_eq!(landing.status, 200);
        assert!(landing.text().contains("peerbroker"), "{}", landing.text());
    });
}

#[test]
fn without_an_index_the_landing_page_stays() {
    let tree = Tree::new().file("app.js", "app");
    tree.serve(|server| {
        let landing = server.request("GET", "/", BROWSER);
        assert_eq!(landing.status, 200);
        assert!(landing.header("content-security-policy").is_some(), "our own page");
        expect_nothing_at(server, "/index.html");
    });
}

/// As some hosts of static pages serve them.
#[test]
fn a_page_without_its_ending_is_not_found_and_the_404_names_it() {
    let tree = Tree::new().file("a/quiz.html", "quiz");
    tree.serve(|server| {
        let program = server.get("/a/quiz");
        assert_eq!(program.status, 404);
        assert!(program.text().contains("Its file is at /a/quiz.html."), "{}", program.text());
        let browser = server.request("GET", "/a/quiz", BROWSER);
        assert_eq!(browser.status, 404);
        assert!(browser.text().contains(r#"href="/a/quiz.html""#), "{}", browser.text());
        assert!(!server.get("/a/other").text().contains("Its file"));
    });
}

#[test]
fn files_need_no_pages() {
    let tree = Tree::new().file("app.js", "app");
    let without_pages = |config: &mut Config| config.pages = false;
    tree.serve_with(without_pages, |server| {
        assert!(server.request("GET", "/", BROWSER).text().starts_with('{'));
        assert_eq!(server.get("/app.js").text(), "app");
        expect_nothing_at(server, "/broker/");
    });
    let tree = tree.file("index.html", "index");
    tree.serve_with(without_pages, |server| {
        assert_eq!(server.request("GET", "/", BROWSER).text(), "index");
    });
}

#[test]
fn a_directory_is_its_index_and_has_a_final_slash() {
    let tree = Tree::new()
        .file("index.html", "top")
        .file("docs/index.html", "docs")
        .file("bare/app.js", "app")
        .file("a:b ü/index.html", "colon");
    tree.serve_with(at_x, |server| {
        assert_eq!(server.get("/x/docs/").text(), "docs");
        assert_eq!(server.get("/x/docs/?a=1").text(), "docs");
        for (target, location) in [
            ("/x/docs", "./docs/"),
            ("/x/docs?a=1&b=//evil.test", "./docs/?a=1&b=//evil.test"),
            ("/x/a:b%20%C3%BC", "./a:b%20%C3%BC/"),
            ("/x", "./x/"),
            ("/x?peer=1", "./x/?peer=1"),
        ] {
            let response = server.request("GET", target, BROWSER);
            assert_eq!(
                (response.status, header(&response, "location").as_str()),
                (307, location),
                "{target}"
            );
            assert_eq!(server.request("HEAD", target, BROWSER).status, 307);
        }
        assert!(server.get("/x").text().starts_with('{'), "programs are not sent on");
        assert_eq!(server.get("/x/docs//").text(), "docs");
        for target in ["/x/bare", "/x/bare/", "/x/docs/index.html/"] {
            expect_nothing_at(server, target);
        }
    });
}

#[test]
fn paths_of_the_broker_come_before_files() {
    let tree = Tree::new()
        .file("peerjs/id", "file")
        .file("peerjs/peers", "file")
        .file("peerjs/peerjs", "file")
        .file("peerjs/index.html", "file")
        .file("any/id/index.html", "file")
        .file("broker/index.html", "file")
        .file("broker/none.html", "file")
        .file("healthz", "file");
    tree.serve(|server| {
        for target in ["/peerjs/id", "/any/id", "/any/id/", "/healthz", "/broker/", "/broker"] {
            let response = server.request("GET", target, BROWSER);
            assert_eq!(response.status, 200, "{target}");
            assert_ne!(response.text(), "file", "{target}");
        }
        assert_eq!(server.get("/peerjs/peers").status, 401);
        for target in ["/peerjs", "/peerjs/", "/peerjs/peerjs", "/broker/none.html"] {
            expect_nothing_at(server, target);
        }
    });
}

#[test]
fn the_broker_works_beside_the_files() {
    let tree = Tree::new().file("app.js", "app");
    tree.serve(|server| {
        let mut a = server.client("a");
        let mut b = server.client("b");
        assert_eq!(server.get("/app.js").text(), "app");
        a.send(offer("b", "1"));
        b.expect(forwarded_offer("a", "b", "1"));
    });
}

#[test]
fn files_are_for_get_and_head_and_for_no_upgrade() {
    let tree = Tree::new().file("app.js", "app").file("peerjs/a/b/c", "file");
    tree.serve(|server| {
        assert_eq!(server.request("OPTIONS", "/app.js", "").status, 204);
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            for target in ["/app.js", "/peerjs/a/b/c"] {
                assert_eq!(server.request(method, target, "Content-Length: 0\r\n").status, 404, "{method}");
            }
        }
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert_eq!(server.request("GET", "/app.js", upgrade).status, 404);
    });
}

#[test]
fn a_path_with_escapes_has_files_as_any_other() {
    let tree = Tree::new().file("app.js", "app");
    let configure = |config: &mut Config| {
        config.static_dir = Some(tree.app());
        config.path = MountPath::parse("/a%20b").unwrap();
    };
    let server = TestServer::start(Transport::Own, configure);
    let response = server.request("GET", "/a%20b/app.js", "Origin: http://a.test\r\n");
    assert_eq!((response.status, response.text()), (200, "app"));
    assert_eq!(header(&response, "access-control-allow-origin"), "http://a.test");
    assert_eq!(server.request("OPTIONS", "/a%20b/app.js", "").status, 204);
    assert_eq!(server.request("POST", "/a%20b/app.js", "Content-Length: 0\r\n").status, 404);
}

#[test]
fn other_origins_may_read_files_like_everything_else() {
    let tree = Tree::new().file("app.js", "app");
    let only_a = |config: &mut Config| config.cors = vec!["http://a.test".parse().unwrap()];
    tree.serve_with(only_a, |server| {
        for (origin, allowed) in [("http://a.test", Some("http://a.test")), ("http://b.test", None)] {
            let response = server.request("GET", "/app.js", &format!("Origin: {origin}\r\n"));
            assert_eq!(response.header("access-control-allow-origin").as_deref(), allowed);
            assert_eq!(header(&response, "vary"), "Accept-Encoding, Origin");
        }
    });
}

#[test]
fn an_invalid_static_directory_is_reported_at_the_start() {
    let tree = Tree::new().file("a.txt", "a");
    for path in [tree.app().join("none"), tree.app().join("a.txt"), PathBuf::new()] {
        let config = Config { static_dir: Some(path.clone()), ..Config::default() };
        let error = config.check().unwrap_err();
        assert_eq!(error.path, path);
        let broker = PeerBroker::builder().config(config).build();
        let listen = Listen { host: "127.0.0.1".into(), port: 0, ..Listen::default() };
        let error = Server::bind(&broker, &listen).err().expect("an error");
        assert!(matches!(error, StartError::StaticDir(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("--static_dir") && text.contains(path.to_str().unwrap()), "{text}");
    }
    assert!(Config { static_dir: Some(tree.app()), ..Config::default() }.check().is_ok());
}

fn private(path: PathBuf) -> PrivateFile {
    PrivateFile { setting: "--sslkey".to_owned(), path }
}

#[test]
fn a_directory_with_a_private_file_is_refused_however_the_file_is_named() {
    let tree =
        Tree::new().file("a/key.pem", "key").file(".hidden/key.pem", "key").link("out", "../secret.txt");
    tree.outside("other/in.pem", "key");
    symlink(tree.app().join("a"), tree.root.join("to-a")).unwrap();
    let app = tree.app();
    for (file, is_refused) in [
        (app.join("a/key.pem"), true),
        (app.join("a/../a/key.pem"), true),
        (tree.root.join("to-a/key.pem"), true),
        (app.join("later/key.pem"), true),
        (app.clone(), true),
        (tree.root.clone(), true),
        (app.join(".hidden/key.pem"), false),
        (app.join("out"), false),
        (tree.root.join("secret.txt"), false),
        (tree.root.join("other/later.pem"), false),
    ] {
        let private_files = vec![private(file.clone())];
        let config = Config { static_dir: Some(app.clone()), private_files, ..Config::default() };
        let error = config.check().err().map(|error| error.to_string()).unwrap_or_default();
        let words = format!("everybody could download {} of --sslkey", file.display());
        assert_eq!(error.contains(&words), is_refused, "{file:?}: {error}");
    }
}

#[test]
fn a_private_file_that_comes_later_is_never_served() {
    let tree = Tree::new().file("app.js", "app").file(".hidden/key.pem", "key");
    let names = [".hidden/key.pem", "../secret.txt", "../data"].map(|name| private(tree.app().join(name)));
    let config = Config { static_dir: Some(tree.app()), private_files: names.to_vec(), ..Config::default() };
    config.check().unwrap();
    tree.serve_with(
        |config| config.private_files = names.to_vec(),
        |server| {
            assert_eq!(server.get("/app.js").text(), "app");
            for (file, name) in [(".hidden/key.pem", "key.txt"), ("../secret.txt", "secret")] {
                let _ = fs::remove_file(tree.app().join(name));
                fs::hard_link(tree.app().join(file), tree.app().join(name)).unwrap();
                expect_nothing_at(server, &format!("/{name}"));
            }
            let _ = fs::remove_file(tree.app().join("link"));
            symlink(".hidden/key.pem", tree.app().join("link")).unwrap();
            expect_nothing_at(server, "/link");
            let _ = fs::remove_file(tree.root.join("data"));
            fs::create_dir_all(tree.app().join("moved")).unwrap();
            symlink(tree.app().join("moved"), tree.root.join("data")).unwrap();
            fs::write(tree.app().join("moved/a.db"), "db").unwrap();
            expect_nothing_at(server, "/moved/a.db");
            fs::write(tree.app().join("b.db"), "db").unwrap();
            assert_eq!(server.get("/b.db").text(), "db");
        },
    );
}

#[test]
fn an_app_may_have_its_own_peerjs() {
    let tree = Tree::new().file("peerjs.min.js", "its own");
    tree.serve(|server| {
        assert_eq!(server.get("/peerjs.min.js").text(), "its own");
        assert_eq!(server.get("/peerjs.js").status, 200);
    });
}

#[test]
fn a_folder_with_the_name_of_a_websocket_is_served_to_requests_without_an_upgrade() {
    let tree = Tree::new()
        .file("rxdb/index.html", "<p>rxdb")
        .file("rxdb/app.js", "app")
        .file("matchbox/index.html", "<p>matchbox");
    tree.serve(|server| {
        for name in ["rxdb", "matchbox"] {
            assert_eq!(server.get(&format!("/{name}/")).text(), format!("<p>{name}"));
            assert_eq!(header(&server.get(&format!("/{name}")), "location"), format!("./{name}/"));
        }
        assert_eq!(server.get("/rxdb/app.js").text(), "app");
    });
    Tree::new().serve(|server| {
        for target in ["/rxdb/", "/rxdb"] {
            expect_nothing_at(server, target);
        }
    });
}
