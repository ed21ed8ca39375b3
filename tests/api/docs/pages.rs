//! The pages and their content: blocks of code, prose, text in backticks, tables.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::need;

/// A block of code in a page: the text after its language, and its lines.
pub struct Block {
    page: String,
    line: usize,
    pub settings: Vec<String>,
    pub lines: Vec<String>,
}

impl Block {
    /// The position of line `number` of the block.
    pub fn at(&self, number: usize) -> String {
        format!("{}:{}", self.page, self.line + number)
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn lines(name: &str) -> impl Iterator<Item = String> {
    read(name).lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// README and the like, all of docs/, and the page of each crate.
pub fn pages() -> Vec<String> {
    let mut pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).to_vec();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")));
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let names = crates.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pages.extend(names.map(|name| format!("crates/{name}/README.md")));
    pages
}

pub fn blocks(page: &str, language: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Outside of a block, in a block, or in a block of this language.
    let mut inside = None;
    for (number, line) in lines(page).enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(info), None) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                let wanted = words.next().as_deref() == Some(language);
                inside = Some(wanted);
                if wanted {
                    let page = page.to_owned();
                    let settings = words.collect();
                    blocks.push(Block { page, line: number + 1, settings, lines: Vec::new() });
                }
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => blocks.last_mut().unwrap().lines.push(line),
            (None, _) => {}
        }
    }
    assert_eq!(inside, None, "{page}: a block without an end");
    blocks
}

/// The lines outside of blocks, with their numbers.
pub fn prose(page: &str) -> impl Iterator<Item = (usize, String)> {
    let mut inside = false;
    lines(page).enumerate().filter_map(move |(number, line)| {
        let fence = line.starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((number + 1, line))
    })
}

pub fn code_spans(page: &str) -> impl Iterator<Item = (usize, String)> {
    prose(page).flat_map(|(number, line)| spans(&line).into_iter().map(move |span| (number, span)))
}

/// The texts in backticks.
pub fn spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of all tables below this heading, or with this head in the first column; of all tables if it is
/// empty.
pub fn rows(page: &str, of: &str) -> Vec<Vec<String>> {
    let mut heading = String::new();
    let mut head = None;
    let mut rows = Vec::new();
    for (_, line) in prose(page) {
        let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            head = None;
            heading = if line.starts_with('#') { line } else { heading };
            continue;
        };
        let cells = row.replace(r"\|", "\0");
        let cells: Vec<String> = cells.split('|').map(|cell| cell.trim().replace('\0', "|")).collect();
        match &head {
            None => head = Some(cells[0].clone()),
            Some(head) if !row.starts_with("--") && ["", &heading, head].contains(&of) => rows.push(cells),
            Some(_) => {}
        }
    }
    assert!(!rows.is_empty(), "{page} has no table {of:?}");
    rows
}

/// Runs a tool in a directory of the project, which has to accept its input.
pub fn tool(name: &str, arguments: &[&str], directory: &str, input: &str) {
    let Some(program) = need(name) else { return };
    let mut command = Command::new(program);
    let command = command.args(arguments).current_dir(root().join(directory)).stdin(Stdio::piped());
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}
