//! The files of deploy/ fit the program: their flags and variables exist, and the health check sees its
//! health.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;

use testkit::need;
use testkit::nginx::Nginx;
use testkit::tools::lacks;

use crate::docs::flags::long_flags;
use crate::docs::pages::{read, root};
use crate::docs::references::below;
use crate::harness::ops::with_api;
use crate::harness::{RawClient, TestServer, Transport, token_of};

/// All lines of deploy/, with the names of their files.
fn deploy_lines() -> Vec<(String, String)> {
    let names = below("deploy", "").into_iter();
    let with_lines = |name: String| {
        let text = read(&name);
        text.lines().map(|line| (name.clone(), line.to_owned())).collect::<Vec<_>>()
    };
    names.flat_map(with_lines).collect()
}

#[test]
fn the_flags_and_variables_of_the_files_exist() {
    let flags: BTreeSet<String> = long_flags(&[]).collect();
    let mut found = BTreeSet::new();
    for (file, line) in deploy_lines() {
        let is_command = ["peerbroker --", "command: [", "args: ["].iter().any(|start| line.contains(start));
        for word in line.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c)) {
            let exists = match word {
                _ if word.starts_with("--") && is_command => flags.contains(word),
                _ => match word.strip_prefix("PEERBROKER_") {
                    Some(name) => flags.contains(&format!("--{}", name.to_lowercase())),
                    None => continue,
                },
            };
            assert!(exists, "{file}: there is no {word}: {line}");
            found.insert(file.clone());
        }
    }
    assert!(found.len() >= 7, "{found:?}");
}

#[test]
fn the_files_of_hosts_that_pass_http_only_say_that_no_relay_works_there() {
    for file in ["deploy/fly.toml", "deploy/railway.toml", "deploy/render.yaml"] {
        let comment = "# HTTP only: no PEERBROKER_RELAY and no PEERBROKER_TURN";
        assert!(read(file).lines().any(|line| line.starts_with(comment)), "{file}");
    }
}

#[test]
fn the_image_is_built_from_files_that_are_enough() {
    let context = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    let _ = fs::remove_dir_all(&context);
    for line in read("deploy/Dockerfile.dockerignore").lines() {
        let Some(path) = line.strip_prefix('!') else { continue };
        let copy = context.join(path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        symlink(root().join(path), copy).unwrap();
    }
    let succeeds = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(&context).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    succeeds("make", &["--dry-run", "dist"]);
    succeeds("cargo", &["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]);
}

#[test]
fn the_health_check_of_the_image_asks_the_broker() {
    let file = read("deploy/Dockerfile");
    let command = file
        .lines()
        .find_map(|line| Some(line.strip_prefix("HEALTHCHECK ")?.split_once(" CMD ")?.1))
        .unwrap();
    let words: Vec<String> = serde_json::from_str(command).unwrap();
    let is_healthy = |port: u16| {
        assert_eq!(words[0], "peerbroker");
        let mut check = Command::new(testkit::program::path());
        check.args(&words[1..]).env("PORT", port.to_string()).output().unwrap().status.success()
    };
    let server = TestServer::start(Transport::Own, |_| {});
    assert!(is_healthy(server.address.port()));
    // A server that hangs up.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let hangs_up = thread::spawn(move || drop(other.accept().unwrap()));
    assert!(!is_healthy(port));
    hangs_up.join().unwrap();
}

#[test]
fn the_files_name_the_image_of_this_version() {
    let wanted = concat!("ghcr.io/peerbroker/peerbroker:", env!("CARGO_PKG_VERSION"));
    let mut found = BTreeSet::new();
    let pages = ["README.md", "docs/DEPLOY.md"]
        .map(|page| read(page).lines().map(|line| (page.to_owned(), line.to_owned())).collect::<Vec<_>>());
    for (file, line) in deploy_lines().into_iter().chain(pages.into_iter().flatten()) {
        if let Some((_, image)) = line.split_once("ghcr.io/peerbroker/") {
            assert!(line.contains(wanted), "{file}: {image}");
            found.insert(file);
        }
    }
    assert_eq!(found.len(), 6, "{found:?}");
}

#[test]
fn an_image_that_may_not_be_published_yet_can_be_made() {
    for file in
        below("deploy", "").into_iter().filter(|file| read(file).contains("image: ghcr.io/peerbroker/"))
    {
        assert!(read(&file).contains("deploy/Dockerfile"), "{file}");
        // A service in the network of another loses it when that one restarts.
        assert!(!read(&file).contains("network_mode: service:"), "{file}");
    }
}

#[test]
fn the_nginx_of_the_cluster_passes_on_the_client_of_a_proxy_in_front() {
    let (server, api) = with_api(&[], None, |config| config.proxied = true);
    let conf = read("deploy/cluster/nginx.conf").replace("broker:9000", &server.address.to_string());
    let conf = conf.replace("listen 80", "listen LISTEN");
    let behind = conf.replace("#set_real_ip_from 10.0.0.0/8", "set_real_ip_from 127.0.0.0/8");
    for (id, conf, address) in [("a", behind, "192.0.2.9"), ("b", conf, "127.0.0.1")] {
        let Some(nginx) = Nginx::start(&conf) else { return };
        let mut client = RawClient::connect(nginx.address, id);
        let handshake = RawClient::handshake(&server.target(id, &token_of(id)));
        let headers = "\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n";
        client.send_raw(handshake.replacen("\r\n", headers, 1));
        client.expect_accepted();
        client.expect_open();
        assert_eq!(api.get(&format!("/api/keys/peerjs/peers/{id}")).json["address"], address, "{id}");
    }
}

/// systemd's own judgement, from 0, which is best, to 100. Versions before 250 cannot judge a file.
#[test]
fn the_sandbox_of_the_unit_leaves_little_to_attack() {
    let Some(analyze) = need("systemd-analyze") else { return };
    let arguments = ["security", "--offline=true", "--threshold=20", "deploy/peerbroker.service"];
    let said = Command::new(analyze).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    if errors.contains("unrecognized option") {
        return lacks("this systemd-analyze cannot judge a file");
    }
    assert!(said.status.success(), "{}{errors}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn a_wrong_setting_does_not_restart_the_service_again_and_again() {
    assert!(read("deploy/peerbroker.service").lines().any(|line| line == "RestartPreventExitStatus=2"));
}

#[test]
fn the_unit_and_its_sockets_have_the_names_that_the_package_and_the_broker_know() {
    let manifest = read("Cargo.toml");
    for (unit, name) in [
        ("deploy/peerbroker.socket", "main"),
        ("deploy/optional-sockets/peerbroker-ops.socket", "ops"),
        ("deploy/optional-sockets/peerbroker-http.socket", "http"),
    ] {
        assert!(read(unit).lines().any(|line| line == format!("FileDescriptorName={name}")), "{unit}");
        let (folder, file) = unit.rsplit_once('/').unwrap();
        let entry =
            format!("unit-scripts = \"{folder}\"\nunit-name = \"{}\"", file.trim_end_matches(".socket"));
        assert!(manifest.contains(&entry), "{entry}");
    }
}
