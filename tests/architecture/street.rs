//! The street of crates: what each may use, and how many lines each part of the repository may have.
//!
//! A line counts if it is neither blank nor a comment. A row goes up only in a commit that says what leaves
//! elsewhere for it, or why the house has to be larger; it goes down with what leaves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A crate: those of ours that it may use, and its lines of program and of tests.
struct Crate {
    name: &'static str,
    uses: &'static [&'static str],
    program: usize,
    tests: usize,
}

const fn row(name: &'static str, uses: &'static [&'static str], program: usize, tests: usize) -> Crate {
    Crate { name, uses, program, tests }
}

/// From low to high. `src` may use all.
const CRATES: &[Crate] = &[
    row("core", &[], 1538, 470),
    row("json", &[], 763, 195),
    row("system", &["core"], 523, 120),
    row("media-api", &["core", "system"], 286, 0),
    row("events", &["core", "system", "media-api"], 1436, 325),
    row("config", &["core", "media-api", "events"], 1727, 444),
    row("limits", &["core", "config"], 605, 425),
    row("router", &["core", "events", "config", "limits"], 3617, 3783),
    row("rooms", &["core", "events", "config", "limits", "router"], 3923, 1314),
    row("protocols", &["core", "json", "events", "config", "limits", "router", "rooms"], 6094, 2134),
    row("transport", &["core", "system", "limits", "router"], 1923, 1380),
    row("tls", &["core", "system", "events", "config"], 1744, 571),
    row("keys", &["core", "system", "events", "config", "limits", "tls"], 1961, 1414),
    row("cluster", &["core", "events", "config", "router", "rooms", "protocols"], 3564, 354),
    row("redis", &["core", "system", "config", "tls", "keys", "cluster"], 1629, 96),
    row("webhooks", &["core", "system", "events", "config", "tls", "keys"], 935, 318),
    row("relay", &["core", "system", "media-api"], 4635, 3688),
    row(
        "node",
        &[
            "core",
            "json",
            "media-api",
            "events",
            "config",
            "limits",
            "router",
            "rooms",
            "protocols",
            "transport",
            "tls",
            "keys",
            "cluster",
            "webhooks",
            "relay",
        ],
        3455,
        2418,
    ),
    row("serialization", &[], 457, 360),
    row("peer", &["serialization"], 2368, 502),
    row("doctor", &["core", "system", "peer"], 1995, 244),
    row("netcat", &["core", "system", "peer"], 1272, 585),
];

/// The program's own part, in lines of program and of tests.
const SRC: Crate = row("src", &[], 15_458, 2479);

/// Everything else: folders, the ends of the names of their files, and their lines.
const OTHERS: &[(&str, &[&str], usize)] = &[
    ("tests", &["rs"], 51_280),
    ("examples", &["rs", "js", "mjs", "py"], 264),
    ("client", &["js", "mjs", "ts"], 3711),
    ("static", &["js", "css", "html"], 10_059),
    ("npm", &["js", "mjs", "ts"], 1241),
    ("client-tests", &["js", "mjs", "ts", "html"], 17_001),
    ("scripts", &["sh", "mjs", "py"], 1297),
];

/// A row that is further above its part is lowered.
const SLACK: usize = 60;

/// Folders in which others wrote, or a tool.
const NOT_OURS: &[&str] = &["node_modules", "target", "dist", "clients"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Calls `read` with the path and the text of each file below a folder.
fn files(folder: &Path, ends: &[&str], read: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        if entry.is_dir() {
            if !NOT_OURS.contains(&name) {
                files(&entry, ends, read);
            }
        } else if ends.iter().any(|end| name.ends_with(&format!(".{end}"))) {
            let path = entry.to_str().expect("a path in UTF-8");
            read(path, &fs::read_to_string(&entry).expect("a text"));
        }
    }
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty()
        && !["//", "--", "/*", "* ", "*/", "#!"].iter().any(|mark| line.starts_with(mark))
        && line != "*"
}

/// The lines of a file of Rust, of program and of tests. An item below `#[cfg(test)]` is one of tests.
fn lines_of_rust(path: &str, text: &str) -> (usize, usize) {
    let lines: Vec<&str> = text.lines().collect();
    if path.contains("/tests/") || path.ends_with("/tests.rs") {
        return (0, lines.iter().filter(|line| is_code(line)).count());
    }
    let mut program = 0;
    let mut tests = 0;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if line.trim().starts_with("#[cfg(test)]") {
            let indent = &line[..line.len() - line.trim_start().len()];
            let is_end = |line: &&str| {
                let is_outer = line.starts_with(indent) && !line[indent.len()..].starts_with([' ', '#']);
                is_outer && line.ends_with(['}', ';'])
            };
            let length = lines[at + 1..].iter().position(is_end).map_or(0, |length| length + 1);
            tests += lines[at..=at + length].iter().filter(|line| is_code(line)).count();
            at += length;
        } else if is_code(line) && !line.trim().starts_with("#!") {
            program += 1;
        }
        at += 1;
    }
    (program, tests)
}

fn lines_of(folder: &str) -> (usize, usize) {
    let mut sum = (0, 0);
    files(&root().join(folder), &["rs", "lua"], &mut |path, text| {
        let (program, tests) = lines_of_rust(path, text);
        sum = (sum.0 + program, sum.1 + tests);
    });
    sum
}

/// Says what is wrong about a row.
fn compare(part: &str, row: usize, lines: usize) -> Option<String> {
    if lines > row {
        return Some(format!("{part} has {lines} lines, {} more than its row of {row}", lines - row));
    }
    (row - lines > SLACK).then(|| format!("{part} has only {lines} lines: lower its row of {row}"))
}

#[test]
fn each_part_keeps_to_its_budget() {
    let mut wrong = Vec::new();
    let crates =
        CRATES.iter().map(|of| (format!("crates/{}", of.name), of)).chain([("src".to_owned(), &SRC)]);
    for (folder, of) in crates {
        let (program, tests) = lines_of(&folder);
        wrong.extend(compare(&format!("{folder}, program,"), of.program, program));
        wrong.extend(compare(&format!("{folder}, tests,"), of.tests, tests));
    }
    for (folder, ends, row) in OTHERS {
        let mut lines = 0;
        files(&root().join(folder), ends, &mut |_, text| {
            lines += text.lines().filter(|line| is_code(line)).count()
        });
        wrong.extend(compare(folder, *row, lines));
    }
    assert!(wrong.is_empty(), "what leaves for it? CONTRIBUTING.md, budgets:\n{}", wrong.join("\n"));
}

#[test]
fn lines_of_tests_are_told_from_those_of_the_program() {
    let text = "//! About.\nuse a;\n\n#[cfg(test)]\nfn only() {\n    there\n}\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";
    assert_eq!(lines_of_rust("src/a.rs", text), (2, 8));
    assert_eq!(lines_of_rust("src/a/tests.rs", text), (0, 10));
    assert_eq!(lines_of_rust("src/a.rs", "    #[cfg(test)]\n    pub fn len() {}\n    fn f() {}\n"), (1, 2));
    assert!(compare("a", 10, 11).is_some() && compare("a", 10 + SLACK, 9).is_some());
    assert!(compare("a", 10, 10).is_none());
}

#[test]
fn a_crate_uses_those_that_its_row_names() {
    let folders = fs::read_dir(root().join("crates")).expect("the crates");
    let found: BTreeSet<String> =
        folders.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(found, CRATES.iter().map(|of| of.name.to_owned()).collect());
    for (at, of) in CRATES.iter().enumerate() {
        let manifest = root().join("crates").join(of.name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("a manifest");
        // Tests of a crate may use those above it.
        let program = manifest.lines().take_while(|line| *line != "[dev-dependencies]");
        let names = program.filter_map(|line| line.split(" = ").next()?.strip_prefix("peerbroker-"));
        assert_eq!(names.collect::<BTreeSet<_>>(), of.uses.iter().copied().collect(), "{}", of.name);
        let is_below = |used: &&str| CRATES[..at].iter().any(|below| below.name == *used);
        assert!(of.uses.iter().all(is_below), "{} stands below what it uses", of.name);
    }
}

/// The table of ARCHITECTURE, for readers.
#[test]
fn the_table_of_the_documents_is_this_one() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the page");
    for of in CRATES.iter().chain([&SRC]) {
        let folder = if of.name == "src" { "src".to_owned() } else { format!("crates/{}", of.name) };
        let uses = if of.uses.is_empty() { "–".to_owned() } else { of.uses.join(", ") };
        let uses = if of.name == "src" { "all".to_owned() } else { uses };
        let row = format!("| {uses} | {} | {} |", of.program, of.tests);
        let line = page.lines().find(|line| line.starts_with(&format!("| [`{folder}`]")));
        let line = line.unwrap_or_else(|| panic!("no row of {folder} in docs/ARCHITECTURE.md"));
        assert!(line.ends_with(&row), "in docs/ARCHITECTURE.md, the row of {folder} ends with {row}");
    }
}
