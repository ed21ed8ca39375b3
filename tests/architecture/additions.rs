//! The table of `docs/ARCHITECTURE.md` that says which files a change touches.

use std::path::Path;

const PAGE: &str = "docs/ARCHITECTURE.md";
/// More than three files for one change are a sign that a concern has no module.
const MAX_FILES: usize = 3;

/// The faults of the table.
fn faults(page: &str, root: &Path) -> Vec<String> {
    let Some(rows) = rows(page) else { return vec![format!("no table `| To add | touch |` in {PAGE}")] };
    let mut faults = Vec::new();
    if rows.len() < 10 {
        faults.push(format!("only {} rows", rows.len()));
    }
    for row in rows {
        let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [change, touched] = cells[..] else {
            faults.push(format!("not two columns: {row}"));
            continue;
        };
        let files: Vec<&str> = touched.split('`').skip(1).step_by(2).collect();
        if change.is_empty() || files.is_empty() || files.len() > MAX_FILES {
            faults.push(format!("{change:?} names {} files", files.len()));
        }
        for file in files {
            let there = match file.strip_prefix("new: ") {
                Some(new) => {
                    !root.join(new).exists() && root.join(new).parent().is_some_and(|folder| folder.is_dir())
                }
                None => root.join(file).is_file(),
            };
            if !there {
                faults.push(format!("{change:?} names {file}"));
            }
        }
    }
    faults
}

/// The rows of the table under the heading that begins with "To add".
fn rows(page: &str) -> Option<Vec<&str>> {
    let mut lines = page.lines().skip_while(|line| !line.trim_start_matches('#').starts_with(" To add"));
    lines.next()?;
    let mut lines =
        lines.take_while(|line| !line.starts_with('#')).skip_while(|line| *line != "| To add | touch |");
    lines.next()?;
    lines.next()?;
    Some(lines.take_while(|line| line.starts_with('|')).collect())
}

#[test]
fn each_addition_touches_at_most_three_files_and_they_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join(PAGE)).expect(PAGE);
    assert_eq!(faults(&page, root), Vec::<String>::new());
}

#[test]
fn each_fault_of_the_table_of_additions_is_seen() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = |row: &str| {
        let good = "| a thing | `src/lib.rs`, `new: src/http/thing.rs` |\n".repeat(9);
        format!(
            "## To add this, touch that\n\nWords.\n\n| To add | touch |\n|---|---|\n{good}{row}\n\n## Next\n"
        )
    };
    assert_eq!(
        faults(&table("| a | `src/lib.rs`, `src/main.rs` and `build.rs` |"), root),
        Vec::<String>::new()
    );
    for (row, expected) in [
        ("| a | `src/lib.rs`, `src/main.rs`, `build.rs`, `Makefile` |", "\"a\" names 4 files"),
        ("| a | nothing |", "\"a\" names 0 files"),
        ("| a | `src/gone.rs` |", "\"a\" names src/gone.rs"),
        ("| a | `src` |", "\"a\" names src"),
        ("| a | `new: src/lib.rs` |", "\"a\" names new: src/lib.rs"),
        ("| a | `new: src/gone/new.rs` |", "\"a\" names new: src/gone/new.rs"),
        ("| a | `src/lib.rs` | b |", "not two columns: | a | `src/lib.rs` | b |"),
        ("", "only 9 rows"),
    ] {
        assert_eq!(faults(&table(row), root), [expected], "{row}");
    }
    for page in ["", "## To add\n", "| To add | touch |\n|---|---|\n| a | `src/lib.rs` |\n"] {
        assert_eq!(faults(page, root), ["no table `| To add | touch |` in docs/ARCHITECTURE.md"], "{page}");
    }
}
