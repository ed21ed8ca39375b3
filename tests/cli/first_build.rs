//! What `make run` says where a build cannot begin.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use testkit::tools::find;

use crate::directory::Directory;

/// The exit code and the errors of `scripts/rust.sh` on a system that has these programs, and no packages.
fn on_a_system_with(programs: &[(&str, &str)]) -> (Option<i32>, String) {
    let system = Directory::new();
    for tool in ["sh", "sed", "cut", "sort", "head", "uname", "dirname"] {
        symlink(find(tool).expect(tool), system.arg(tool)).unwrap();
    }
    for (name, says) in programs {
        system.file(name, &format!("#!/bin/sh\necho '{says}'\n"));
        fs::set_permissions(system.arg(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rust.sh");
    let ended =
        Command::new(script).env("PATH", system.arg(".")).env("HOME", system.arg(".")).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn what_a_build_lacks_is_named_with_a_command_before_cargo_reads_anything() {
    let (code, said) = on_a_system_with(&[("cargo", "cargo 1.95.0 (f2d3ce0bd 2026-03-21)")]);
    assert!(code == Some(1) && said.contains("a C compiler is missing: "), "{said}");
    let (code, said) = on_a_system_with(&[("cc", "")]);
    assert!(
        code == Some(1) && said.contains("needs Rust 1.95 or later. ") && said.contains("sh.rustup.rs"),
        "{said}"
    );
    let (code, said) = on_a_system_with(&[("cc", ""), ("cargo", "cargo 1.63.0")]);
    assert!(code == Some(1) && said.contains("or later, and here is cargo 1.63.0. "), "{said}");
    for version in ["1.95.0", "1.100.0 (f2d3ce0bd 2026-03-21)"] {
        let (code, said) = on_a_system_with(&[("cc", ""), ("cargo", &format!("cargo {version}"))]);
        assert_eq!(code, Some(0), "{said}");
    }
}
