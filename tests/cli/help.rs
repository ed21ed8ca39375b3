//! The help, the completions and the manual page.

use crate::directory::Directory;
use crate::program::{Program, command, run};

/// Rows and columns of a usual window.
const SCREEN: (usize, usize) = (40, 80);

#[test]
fn the_short_help_fits_on_one_screen_and_ends_with_examples_that_are_valid() {
    let directory = Directory::new();
    let short = run(&["-h"], &[]).stdout;
    let widest = short.iter().map(|line| line.chars().count()).max().unwrap();
    assert!((24..=SCREEN.0).contains(&short.len()) && widest <= SCREEN.1, "{} x {widest}", short.len());
    let text = short.join("\n");
    assert!(text.contains("--port") && text.ends_with("`peerbroker --help` lists all flags."), "{text}");
    let examples: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "Examples:")
        .filter_map(|line| line.strip_prefix("  peerbroker "))
        .collect();
    assert_eq!(examples.len(), 3, "{text}");
    for example in examples {
        let (flags, _) = example.rsplit_once("  ").unwrap();
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let ended = command(&[&["config", "check"], &flags[..]].concat())
            .current_dir(directory.at(""))
            .output()
            .unwrap();
        assert!(ended.status.success(), "{example}: {ended:?}");
    }
}

#[test]
fn the_long_help_has_one_line_for_each_flag_in_groups_and_no_variables() {
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
        "Data without WebRTC",
        "ICE servers that clients are told",
        "Webhooks",
        "Limits",
        "Rooms and calls",
    ];
    assert_eq!(headings, [&["Commands", "Options"], &groups[..], &["API", "Output"]].concat());
    assert!(!long.join("\n").contains("[env: "));
    // Besides the flags there are the commands, the headings and the text at both ends.
    let flags = long.iter().filter(|line| line.trim_start().starts_with('-')).count();
    assert!(flags > 90 && long.len() < flags + 60, "{flags} of {}", long.len());
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
