//! Requests cannot reach hidden names, other directories, other hosts, or anything but regular files.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use peerbroker::Config;

use super::{Tree, expect_nothing_at, header};

#[test]
fn no_redirect_leads_to_another_host() {
    let tree = Tree::new().file("evil.test/index.html", "index").file("https:/index.html", "index");
    tree.serve(|server| {
        for target in ["/\\evil.test", "/%2fevil.test", "/%5cevil.test"] {
            let response = server.get(target);
            assert_eq!(response.status, 404, "{target}: {response:?}");
            assert_eq!(response.header("location"), None, "{target}");
        }
        for target in ["//evil.test", "///evil.test"] {
            assert_eq!(header(&server.get(target), "location"), "./evil.test/", "{target}");
        }
        assert_eq!(header(&server.get("/https:"), "location"), "./https:/");
        assert_eq!(header(&server.get("http://evil.test/evil.test"), "location"), "./evil.test/");
    });
}

#[test]
fn nothing_hidden_and_nothing_outside_is_served() {
    let tree = Tree::new()
        .file(".env", "hidden")
        .file(".git/config", "hidden")
        .file("a/.hidden/b.txt", "hidden")
        .file("a/b.txt", "fine")
        .file("back\\slash", "odd");
    let root = tree.root.display();
    let absolute = [format!("/{root}/secret.txt"), format!("//{root}/app/a/b.txt")];
    let long = format!("/{}", "x".repeat(5000));
    let deep = "/a".repeat(3000);
    tree.serve(|server| {
        for target in ["/a/b.txt", "/a//b.txt", "//a/b.txt"] {
            assert_eq!(server.get(target).text(), "fine", "{target}");
        }
        for target in [
            "/.env",
            "/%2eenv",
            "/.git/config",
            "/%2Egit/config",
            "/a/.hidden/b.txt",
            "/../secret.txt",
            "/a/../../secret.txt",
            "/a/../a/b.txt",
            "//../secret.txt",
            "/a//.hidden//b.txt",
            "/./a/b.txt",
            "/a/.",
            "/a/..",
            "/%2e%2e/secret.txt",
            "/.%2e/secret.txt",
            "/%2E%2E%2Fsecret.txt",
            "/..%2fsecret.txt",
            "/..%5csecret.txt",
            "/..\\secret.txt",
            "/a%2fb.txt",
            "/a%5cb.txt",
            "/back%5cslash",
            "/%252e%252e/secret.txt",
            "/%c0%ae%c0%ae/secret.txt",
            "/a/b.txt%00",
            "/a/b.txt%00.html",
            "/%00",
            "/%",
            "/%2",
            "/%zz/b.txt",
            "/a/b.txt%",
            "/%ff.txt",
            "/secret.txt",
            &absolute[0],
            &absolute[1],
            &long,
            &deep,
        ] {
            expect_nothing_at(server, target);
        }
        // This is not even HTTP.
        for target in ["../secret.txt", "/a b.txt"] {
            let response = server.get(target);
            assert_eq!(response.status, 400, "{target}: {response:?}");
        }
        assert_eq!(server.get("/a/b.txt").text(), "fine");
    });
}

#[test]
fn a_link_may_lead_within_the_directory_and_never_out_of_it() {
    let tree = Tree::new()
        .file("real/index.html", "index")
        .file("real/data.json", "{}")
        .file(".version-1/data.json", "{}");
    tree.outside("away/index.html", "secret");
    tree.outside("app-but-longer/file.txt", "secret");
    let app = tree.app();
    let root = tree.root.clone();
    let tree = tree
        .link("within.js", "real/data.json")
        .link("absolute.json", app.join("real/data.json"))
        .link("directory", "real")
        .link("current.json", ".version-1/data.json")
        .link("roundabout.json", "../app/real/data.json")
        .link("secret.txt", "../secret.txt")
        .link("absolute.txt", root.join("secret.txt"))
        .link("away", "../away")
        .link("sibling", "../app-but-longer")
        .link("chain", "secret.txt")
        .link("up", "..")
        .link("zero", "/dev/zero")
        .link("loop", "loop")
        .link("dangling", "nowhere");
    let tree = tree.file("disguised/app.js", "app").link("disguised/index.html", "../../secret.txt");
    tree.serve(|server| {
        let response = server.get("/within.js");
        assert_eq!(response.text(), "{}");
        assert_eq!(header(&response, "content-type"), "text/javascript; charset=utf-8", "by its own name");
        for target in ["/absolute.json", "/roundabout.json", "/current.json", "/directory/data.json"] {
            assert_eq!(server.get(target).text(), "{}", "{target}");
        }
        assert_eq!(server.get("/directory/").text(), "index");
        assert_eq!(header(&server.get("/directory"), "location"), "./directory/");
        for target in [
            "/secret.txt",
            "/absolute.txt",
            "/away",
            "/away/",
            "/away/index.html",
            "/sibling/file.txt",
            "/chain",
            "/up/secret.txt",
            "/zero",
            "/loop",
            "/loop/x",
            "/dangling",
            "/disguised",
            "/disguised/",
            "/disguised/index.html",
        ] {
            expect_nothing_at(server, target);
        }
    });
}

#[test]
fn the_directory_may_be_a_link_that_is_turned_while_the_server_runs() {
    let tree = Tree::new();
    tree.outside("release-1/v.txt", "1");
    tree.outside("release-2/v.txt", "2");
    let current = tree.root.join("current");
    let turn = |to: &str| {
        let new = tree.root.join("new");
        symlink(to, &new).unwrap();
        fs::rename(&new, &current).unwrap();
    };
    turn("release-1");
    let at_the_link = |config: &mut Config| config.static_dir = Some(current.clone());
    tree.serve_with(at_the_link, |server| {
        turn("release-1");
        assert_eq!(server.get("/v.txt").text(), "1");
        turn("release-2");
        assert_eq!(server.get("/v.txt").text(), "2");
        expect_nothing_at(server, "/release-1/v.txt");
    });
}

#[test]
fn only_regular_files_are_opened() {
    let tree = Tree::new().file("a.txt", "a").file("piped/a.txt", "a").file("nested/index.html/a.txt", "a");
    for name in ["fifo", "piped/index.html"] {
        assert!(Command::new("mkfifo").arg(tree.app().join(name)).status().unwrap().success());
    }
    tree.serve(|server| {
        for target in ["/fifo", "/fifo/", "/piped", "/piped/", "/nested", "/nested/"] {
            expect_nothing_at(server, target);
        }
        assert_eq!(server.get("/a.txt").text(), "a");
    });
}
