//! Ranges, conditional requests, and huge files.
//!
//! Some run on both transports: connections of an app have no timeouts of ours.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use super::{BROWSER, Tree, header};
use crate::client::{compressed, decoded};

/// A sparse file, too long to read or to keep in memory.
const HUGE: u64 = 1 << 40;

#[test]
fn a_range_of_a_file_is_served() {
    let tree = Tree::new().file("video.mp4", "0123456789");
    tree.serve(|server| {
        let whole = server.get("/video.mp4");
        assert_eq!((whole.status, header(&whole, "accept-ranges").as_str()), (200, "bytes"));
        for (range, content, told) in [
            ("bytes=0-", "0123456789", "bytes 0-9/10"),
            ("bytes=0-0", "0", "bytes 0-0/10"),
            ("bytes=4-6", "456", "bytes 4-6/10"),
            ("bytes=7-99", "789", "bytes 7-9/10"),
            ("bytes=-3", "789", "bytes 7-9/10"),
            ("bytes=-99", "0123456789", "bytes 0-9/10"),
            ("bytes=2-3,5-6", "23", "bytes 2-3/10"),
        ] {
            let part = server.request("GET", "/video.mp4", &format!("Range: {range}\r\n"));
            assert_eq!((part.status, part.text()), (206, content), "{range}");
            assert_eq!(header(&part, "content-range"), told);
            assert_eq!(header(&part, "content-type"), "video/mp4");
        }
        for range in ["bytes=10-", "bytes=-0", "bytes=5-4", "bytes=99999999999999999999-", "bytes=x"] {
            let response = server.request("GET", "/video.mp4", &format!("Range: {range}\r\n"));
            assert_eq!((response.status, response.text()), (416, ""), "{range}");
            assert_eq!(header(&response, "content-range"), "bytes */10");
        }
        assert_eq!(server.request("GET", "/video.mp4", "Range: lines=1-2\r\n").status, 200);
        let head = server.request("HEAD", "/video.mp4", "Range: bytes=0-0\r\n");
        assert_eq!((head.status, header(&head, "content-length").as_str()), (200, "10"));
    });
}

#[test]
fn an_empty_file_has_no_ranges() {
    let tree = Tree::new().file("empty.txt", "");
    tree.serve(|server| {
        for range in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            let response = server.request("GET", "/empty.txt", &format!("Range: {range}\r\n"));
            assert_eq!((response.status, response.text()), (200, ""), "{range}");
            assert_eq!(header(&response, "content-length"), "0");
        }
    });
}

#[test]
fn a_range_continues_only_the_file_that_was_begun() {
    let tree = Tree::new().file("video.mp4", "0123456789");
    tree.serve(|server| {
        let whole = server.get("/video.mp4");
        for (validator, status) in [
            (header(&whole, "etag"), 206),
            (header(&whole, "last-modified"), 206),
            ("\"other\"".to_owned(), 200),
            ("Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), 200),
            ("nonsense".to_owned(), 200),
        ] {
            let headers = format!("Range: bytes=5-\r\nIf-Range: {validator}\r\n");
            let response = server.request("GET", "/video.mp4", &headers);
            let content = if status == 206 { "56789" } else { "0123456789" };
            assert_eq!((response.status, response.text()), (status, content), "{validator}");
        }
    });
}

#[test]
fn files_that_the_browser_has_cached_are_not_sent_again() {
    let tree = Tree::new();
    tree.serve(|server| {
        let path = tree.app().join("app.js");
        fs::write(&path, "one").unwrap();
        let first = server.get("/app.js");
        let etag = header(&first, "etag");
        let modified = header(&first, "last-modified");
        assert!(etag.starts_with('"'), "a strong one: {etag}");
        let known = format!("If-None-Match: {etag}\r\n");
        for headers in [&known, &format!("If-Modified-Since: {modified}\r\n")] {
            let response = server.request("GET", "/app.js", &format!("Origin: http://a.test\r\n{headers}"));
            assert_eq!((response.status, response.text()), (304, ""), "{headers}");
            assert_eq!(header(&response, "etag"), etag);
            assert_eq!(header(&response, "cache-control"), "no-cache");
            assert_eq!(header(&response, "access-control-allow-origin"), "http://a.test");
        }
        fs::write(&path, "two").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        let second = server.request("GET", "/app.js", &known);
        assert_eq!((second.status, second.text()), (200, "two"));
        assert_eq!(
            server.request("GET", "/app.js", &format!("If-Modified-Since: {modified}\r\n")).status,
            200
        );
    });
}

#[test]
fn a_large_file_comes_whole() {
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let tree = Tree::new().file("large.bin", &content);
    tree.serve_on_both(|server| {
        let mut http = server.http();
        let response = http.request("GET", "/large.bin", "");
        assert!(response.body == content, "{} bytes", response.body.len());
        assert_eq!(http.request("GET", "/healthz", "").text(), "ok", "on the same connection");
    });
}

#[test]
fn a_huge_file_is_never_read_into_memory_and_only_requested_parts_are_read() {
    let tree = Tree::new().file("huge.webm", "");
    let file = File::options().write(true).open(tree.app().join("huge.webm")).unwrap();
    file.set_len(HUGE).unwrap();
    tree.serve_on_both(|server| {
        let mut slow = server.http();
        slow.send("GET /huge.webm HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut http = server.http();
        let head = http.request("HEAD", "/huge.webm", "");
        assert_eq!((head.status, header(&head, "content-length")), (200, HUGE.to_string()));
        let end = http.request("GET", "/huge.webm", "Range: bytes=-4\r\n");
        assert_eq!((end.status, end.body.as_slice()), (206, &[0; 4][..]));
        assert_eq!(header(&end, "content-range"), format!("bytes {}-{}/{HUGE}", HUGE - 4, HUGE - 1));
    });
}

#[test]
fn texts_are_compressed_but_for_short_and_long_ones_and_pieces() {
    let text = "<p>hello</p>\n".repeat(1000);
    let tree = Tree::new()
        .file("index.html", &text)
        .file("app.js", &text)
        .file("image.png", &text)
        .file("short.css", "p {}")
        .file("long.txt", "hello ".repeat(500_000));
    tree.serve(|server| {
        let get = |method, name: &str, headers: &str| {
            server.request(method, name, &format!("{BROWSER}Accept-Encoding: gzip, br\r\n{headers}"))
        };
        for name in ["/", "/app.js", "/%61pp.js"] {
            let plain = server.request("GET", name, BROWSER);
            let response = compressed(|| get("GET", name, ""));
            assert_eq!(
                decoded(&header(&response, "content-encoding"), &response.body),
                text.as_bytes(),
                "{name}"
            );
            assert!(response.body.len() < 200, "{name}: {}", response.body.len());
            assert_eq!(response.header("accept-ranges"), None, "{name}");
            assert!(header(&plain, "vary").contains("Accept-Encoding"), "{name}");
            let [tag, plain_tag] = [&response, &plain].map(|response| header(response, "etag"));
            let length = header(&get("HEAD", name, ""), "content-length");
            assert_eq!(length, response.body.len().to_string(), "{name}");
            assert_eq!(get("GET", name, &format!("If-None-Match: {tag}\r\n")).status, 304, "{name}");
            let piece = get("GET", name, &format!("Range: bytes=0-9\r\nIf-Range: {plain_tag}\r\n"));
            assert_eq!((piece.status, piece.text()), (206, &text[..10]), "{name}");
            let whole = get("GET", name, &format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n"));
            assert_eq!((whole.status, whole.body.len()), (200, response.body.len()), "{name}");
        }
        for name in ["/image.png", "/short.css", "/long.txt"] {
            let response = get("GET", name, "");
            assert_eq!((response.status, response.header("content-encoding")), (200, None), "{name}");
        }
        tree.outside("app/app.js", "other ".repeat(1000));
        let changed = compressed(|| get("GET", "/app.js", ""));
        assert!(decoded(&header(&changed, "content-encoding"), &changed.body).starts_with(b"other "));
    });
}
