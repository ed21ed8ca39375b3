//! The flags for limits per address and per client.

use std::process::Command;

use serde_json::json;
use testkit::tools::lacks;
use testkit::wait::wait_until;

use crate::directory::Directory;
use crate::program::{self, Program, run};
use crate::raw_client::RawClient;

/// The status of a handshake that a proxy passes on.
fn status(program: &Program, id: &str, forwarded: &str) -> (u16, RawClient) {
    let target = format!("/peerjs?key=peerjs&id={id}&token=t");
    let mut client = RawClient::connect(program.address, id);
    let end = format!("\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
    client.send_raw(RawClient::handshake(&target).replacen("\r\n\r\n", &end, 1));
    (client.expect_response().status, client)
}

#[test]
fn connections_of_one_address_are_bounded_by_a_flag_as_trusted_proxies_name_it() {
    for (more, env, third) in [
        (&[][..], &[][..], 429),
        (&["--trusted_proxy", "198.51.100.0/24", "127.0.0.0/8"], &[], 429),
        (&[], &[("PEERBROKER_TRUSTED_PROXY", "198.51.100.0/24 127.0.0.0/8")], 429),
        // The proxy is not trusted, and loopback itself does not count.
        (&["--trusted_proxy", "198.51.100.0/24"], &[], 101),
    ] {
        let args = [&["--proxied", "--connections_per_address", "2"], more].concat();
        let program = Program::start_with_env(&args, env);
        let [a, b, c, d] = [("a", "192.0.2.1"), ("b", "192.0.2.1"), ("c", "192.0.2.1"), ("d", "192.0.2.2")]
            .map(|(id, address)| status(&program, id, address));
        assert_eq!([a.0, b.0, c.0, d.0], [101, 101, third, 101], "{more:?} {env:?}");
    }
}

#[test]
fn new_connections_of_one_address_are_bounded_by_a_flag() {
    let program = Program::start(&["--proxied", "--connections_per_address", "20"]);
    let statuses: Vec<u16> = (0..200).map(|n| status(&program, &n.to_string(), "192.0.2.1").0).collect();
    assert!(statuses[..10].iter().all(|status| *status == 101), "ten at once: {statuses:?}");
    assert!(statuses.contains(&429), "and no two hundred");
    assert_eq!(status(&program, "another", "192.0.2.2").0, 101);
}

#[test]
fn a_proxy_without_the_secret_names_no_client() {
    const SECRET: &str = "0123456789abcdef";
    let program = Program::start_with_env(
        &["--proxied", "--connections_per_address", "1"],
        &[("PEERBROKER_PROXY_SECRET", SECRET)],
    );
    let open =
        |id: &str, secret: &str| status(&program, id, &format!("192.0.2.1\r\nX-Proxy-Secret: {secret}"));
    let clients =
        [("a", SECRET), ("b", SECRET), ("c", "0123456789abcdeF"), ("d", "0123456789abcdef0"), ("e", "")];
    // Without it, all have the proxy's own address, and loopback does not count.
    let clients = clients.map(|(id, secret)| open(id, secret));
    assert_eq!(clients.each_ref().map(|(status, _)| *status), [101, 429, 101, 101, 101]);
}

#[test]
fn messages_of_a_client_are_bounded_by_a_flag_and_none_is_lost() {
    let program = Program::start(&["--messages_per_second", "20"]);
    let mut a = program.client("a");
    for n in 0..220 {
        a.send(format!(r#"{{"type":"OFFER","dst":"a","payload":{n}}}"#));
    }
    for n in 0..220 {
        a.expect(format!(r#"{{"type":"OFFER","src":"a","dst":"a","payload":{n}}}"#));
    }
}

#[test]
fn a_proxy_that_is_not_trusted_is_told_of_once_with_the_missing_flag() {
    let named = "X-Forwarded-For: 192.0.2.1\r\n";
    let told = "a request from 127.0.0.1 has X-Forwarded-For, which is ignored";
    let no_proxy = &["--trusted_proxy", "192.0.2.0/24"][..];
    let other_proxy = &["--proxied", "--trusted_proxy", "192.0.2.0/24"][..];
    for (args, headers, remedy) in [
        (&[][..], named, Some("start the broker with --proxied")),
        (other_proxy, named, Some("add it to --trusted_proxy")),
        (
            &["--proxied", "--proxy_secret", "0123456789abcdef"],
            named,
            Some("have it send the secret of --proxy_secret"),
        ),
        // A client that is surely no proxy of this broker.
        (no_proxy, named, None),
        (&["--proxied"], named, None),
        (&[], "", None),
        (other_proxy, "", None),
    ] {
        let mut program = Program::start(args);
        open_twice(&program, headers);
        let stderr = program.stop().stderr;
        assert_eq!(
            stderr.matches(told).count(),
            usize::from(remedy.is_some()),
            "{args:?} {headers}: {stderr}"
        );
        assert!(remedy.is_none_or(|remedy| stderr.contains(remedy)), "{args:?} {headers}: {stderr}");
    }
}

/// Two clients, whose handshakes have these headers too.
fn open_twice(program: &Program, headers: &str) {
    for id in ["a", "b"] {
        let target = format!("/peerjs?key=peerjs&id={id}&token=t");
        let end = format!("\r\n{headers}\r\n");
        let mut client = RawClient::connect(program.address, id);
        client.send_raw(RawClient::handshake(&target).replacen("\r\n\r\n", &end, 1));
        client.expect_accepted();
    }
}

#[test]
fn a_trusted_proxy_that_names_no_clients_is_told_of_once() {
    let silent = "a request from the trusted proxy 127.0.0.1 has no X-Forwarded-For";
    let named = "X-Forwarded-For: 192.0.2.1\r\n";
    for (args, headers, times) in [
        (&["--proxied"][..], "", 1),
        (&["--proxied"], named, 0),
        // A client on the proxy's own machine.
        (&["--proxied"], "X-Forwarded-For: 127.0.0.1\r\n", 0),
        (&["--proxied"], "Forwarded: for=192.0.2.1\r\n", 0),
        (&["--proxied", "--trusted_proxy", "192.0.2.0/24"], "", 0),
        (&[], "", 0),
    ] {
        let mut program = Program::start(args);
        open_twice(&program, headers);
        let stderr = program.stop().stderr;
        assert_eq!(stderr.matches(silent).count(), times, "{args:?} {headers}: {stderr}");
    }
}

#[test]
fn a_key_with_rooms_that_nobody_can_fill_is_refused() {
    let directory = Directory::new();
    let data_dir = directory.arg("data");
    let low = ["--room_members", "20", "--room_deliveries_per_second", "2"];
    let mut program =
        Program::start(&[&low[..], &["--ops_port", "0", "--data_dir", &data_dir, "--quiet"]].concat());
    let (api, _) = program.expect_api();
    let refused = api.post("/api/keys", &json!({"key": "k", "room_members": 21}));
    assert_eq!(refused.status, 422);
    assert!(
        refused.json["detail"].as_str().unwrap().contains("can never have 21 members"),
        "{}",
        refused.json
    );
    assert_eq!(api.post("/api/keys", &json!({"key": "k", "room_members": 20})).status, 201);
    assert_eq!(api.patch("/api/keys/k", &json!({"room_members": 21})).status, 422);
    assert_eq!(api.patch("/api/keys/k", &json!({"name": "n"})).status, 200);
    // The command does not know the flags of the server, which warns.
    assert!(
        run(&["keys", "set", "k", "--room_members", "21", "--data_dir", &data_dir], &[]).status.success()
    );
    program.expect_log("the room_members of the key \"k\" are too many: a room can never have 21 members");
    // Where it has the file of the server, it knows.
    let file =
        directory.file("p.toml", &format!("room_deliveries_per_second = 2\ndata_dir = '{data_dir}'\n"));
    for args in [&["keys", "set", "k"][..], &["keys", "add"]] {
        let ended = run(&[args, &["--room_members", "21", "--config", &file]].concat(), &[]);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("can never have 21 members"), "{}", ended.stderr);
    }
    let text = "room_deliveries_per_second = 2\n[[api_key]]\nkey = 'k'\nroom_members = 21\n";
    let ended = run(&["config", "check", "--config", &directory.file("keys.toml", text)], &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("room_members of the [[api_key]] \"k\": a room can never"),
        "{}",
        ended.stderr
    );
}

/// A shell runs the program, with its API, after this command.
fn limited(command: &str, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let args = [&["--host", "127.0.0.1", "--port", "0", "--ops_port", "0"], args].concat();
    shell.args(["-c", &format!("{command} \"$0\" \"$@\"")]).arg(program::path()).args(args).env_clear();
    shell.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    shell
}

#[test]
fn clients_leave_the_last_descriptors_to_operators_and_the_log_says_once_what_raises_the_limit() {
    let mut program = Program::start_command(&mut limited("ulimit -n 100; exec", &[]));
    let (api, _) = program.expect_api();
    let connect = || std::net::TcpStream::connect(program.address).unwrap();
    let mut clients: Vec<_> = (0..150).map(|_| connect()).collect();
    for path in ["/healthz", "/api/stats"] {
        assert_eq!(api.get(path).status, 200, "{path}");
    }
    // The last ones are told, and not kept waiting.
    let mut told = String::new();
    std::io::Read::read_to_string(clients.last_mut().unwrap(), &mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    drop(clients);
    wait_until("a client to be accepted", || program.get("/healthz").status == 200);
    let log = program.stop().stderr;
    assert_eq!(
        log.matches("cannot accept connections: too many open files. This process may open 100,").count(),
        1,
        "{log}"
    );
    assert!(
        log.contains("this process may open 100 files, fewer than the 5000 clients"),
        "at the start: {log}"
    );
}

#[test]
fn a_limit_of_threads_is_an_error_with_what_raises_it_and_fills_no_log() {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    // Nothing limits root.
    let user = if is_root { "setpriv --reuid 54321 --clear-groups" } else { "" };
    let try_it = |threads: u32| {
        let limit = format!("exec {user} prlimit --nproc={threads} timeout -s TERM 3");
        limited(&limit, &["--workers", "2"]).output().unwrap()
    };
    for threads in [6, 8, 10] {
        let ended = try_it(threads);
        let log = String::from_utf8_lossy(&ended.stderr);
        match ended.status.code() {
            Some(126 | 127) => return lacks("this user cannot limit its threads"),
            // It was enough.
            Some(0 | 124) => {}
            _ => assert!(log.contains(": raise TasksMax= of systemd"), "{threads}: {log}"),
        }
        assert!(log.matches("<jemalloc>").count() < 3 && !log.contains("panicked"), "{threads}: {log}");
    }
}
