//! The help, the completions and the manual page.

use crate::program::{Program, run};

/// Rows of a usual window.
const SCREEN: usize = 32;

#[test]
fn the_short_help_fits_on_one_screen_and_the_long_one_has_groups_and_variables() {
    let short = run(&["-h"], &[]).stdout;
    assert!(short.len() <= SCREEN, "{} lines", short.len());
    let text = short.join("\n");
    assert!(text.contains("--port") && text.contains("`peerbroker --help` has all flags"), "{text}");
    let long = run(&["--help"], &[]).stdout;
    let headings: Vec<&str> = long
        .iter()
        .filter(|line| !line.starts_with(' ') && line.ends_with(':'))
        .map(|line| line.trim_end_matches(':'))
        .collect();
    let groups = [
        "Basics",
        "TLS",
        "Behind a proxy",
        "Keys and pages that may use them",
        "Many nodes",
        "Calls that cannot go directly",
        "ICE servers that clients are told",
        "Webhooks",
        "Limits",
        "Rooms and calls",
    ];
    assert_eq!(headings, [&["Commands", "Options"], &groups[..], &["API", "Output"]].concat());
    assert!(long.iter().any(|line| line.contains("[env: PEERBROKER_QUEUE_TOTAL_BYTES=")));
}

#[test]
fn completions_and_the_manual_page_have_every_flag() {
    let help = run(&["--help"], &[]).stdout;
    let flags: Vec<&str> = help
        .iter()
        .filter(|line| line.trim_start().starts_with('-') && !line.starts_with("          "))
        .filter_map(|line| line.split("--").nth(1))
        .filter_map(|rest| rest.split([' ', ',']).next())
        .collect();
    assert!(flags.len() > 40, "{flags:?}");
    for args in [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]] {
        let ended = run(args, &[("PORT", "x"), ("PEERBROKER_ADMIN_TOKEN", "hushhush")]);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{args:?}");
        let text = ended.stdout.join("\n").replace("\\-", "-");
        for flag in &flags {
            assert!(text.contains(flag), "{flag} in {args:?}");
        }
        assert!(!text.contains("hushhush"), "{args:?}");
    }
    assert_eq!(run(&["completions", "cmd"], &[]).status.code(), Some(2));
}

#[test]
fn a_quiet_server_prints_its_start_line_alone() {
    for (args, env) in [(&["--quiet"][..], &[][..]), (&[], &[("PEERBROKER_QUIET", "true")])] {
        let mut program = Program::start_with_env(args, env);
        drop(program.client("a"));
        let ended = program.stop();
        assert_eq!(ended.stdout.len(), 1, "{:?}", ended.stdout);
        assert_eq!(ended.stderr, "");
    }
}
