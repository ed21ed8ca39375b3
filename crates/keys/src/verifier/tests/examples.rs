//! The broker accepts the tokens of `examples/tokens`.

use std::path::Path;
use std::process::Command;

use super::*;

/// Runs an example and returns the token that it prints.
fn run(program: &str, arguments: &[&str], more: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .args(arguments)
        .args(more)
        .env("JWT_SECRET", SECRET_TEXT);
    // Cargo sets these variables for a test. Build scripts that read them would run again, here and in the
    // next build.
    let of_test = |name: &str| {
        name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for (name, _) in std::env::vars().filter(|(name, _)| of_test(name)) {
        command.env_remove(name);
    }
    let output = command.output().unwrap_or_else(|error| {
        panic!("{program} is needed to run the example {arguments:?}, and cannot be started: {error}")
    });
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Runs the example that was built with this test. Without one, as after `cargo test --lib`, Cargo builds it.
fn rust(more: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let built = profile.join("examples").join("mint").with_extension(std::env::consts::EXE_EXTENSION);
    if built.exists() {
        return run(built.to_str().unwrap(), &[], more);
    }
    let target = profile.parent().unwrap().to_str().unwrap();
    let mut arguments = vec!["run", "--quiet", "--locked", "--target-dir", target];
    if profile.ends_with("release") {
        arguments.push("--release");
    }
    arguments.extend(["--example", "mint", "--"]);
    run(env!("CARGO"), &arguments, more)
}

fn node(more: &[&str]) -> String {
    run("node", &["examples/tokens/mint.mjs"], more)
}

fn python(more: &[&str]) -> String {
    run("python3", &["examples/tokens/mint.py"], more)
}

#[tokio::test]
async fn each_example_mints_for_a_key_with_a_secret() {
    let verifier = Verifier::new(&by_secret()).unwrap();
    for (name, mint) in [("node", node as fn(&[&str]) -> String), ("python", python), ("rust", rust)] {
        let exact = mint(&["--id", "zoë", "--key", "peerjs"]);
        assert_eq!(verifier.id_of(&key(), &exact).await, Ok(Some(id("zoë"))), "{name}");
        assert!(verify_text(&verifier, "zoë", &exact).await.is_ok(), "{name}");

        let prefix = mint(&["--id", "guest-*", "--seconds", "60"]);
        assert_eq!(verify_text(&verifier, "guest-7", &prefix).await, Ok(token(&prefix)), "{name}");

        let elsewhere = mint(&["--id", "alice", "--key", "other"]);
        assert_eq!(verify_text(&verifier, "alice", &elsewhere).await, Err(Denied::Audience), "{name}");
    }
}

#[tokio::test]
async fn an_example_with_a_private_key_mints_for_its_kind() {
    let jwks = Verifier::new(&by_jwks(fixture("jwks.json"))).unwrap();
    for kind in ["rsa", "ec", "ed"] {
        let pem = Verifier::new(&by_pem(&format!("{kind}.pem"))).unwrap();
        let private = Path::new("tests/fixtures/jwt").join(format!("{kind}.key"));
        let arguments = ["--id", "alice", "--kid", kind, "--pem", private.to_str().unwrap()];
        for (name, mint) in [("node", node as fn(&[&str]) -> String), ("rust", rust)] {
            let minted = mint(&arguments);
            for verifier in [&pem, &jwks] {
                let verified = verify_text(verifier, "alice", &minted).await;
                assert!(verified.is_ok(), "{name} {kind}: {verified:?}");
            }
        }
    }
}
