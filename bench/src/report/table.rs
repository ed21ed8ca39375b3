//! Markdown tables that are readable in a terminal too.

use super::rows::{Claim, Row};

/// The table of all measures of servers with these names.
pub fn table<const N: usize>(servers: [&str; N], rows: &[Row]) -> String {
    let header = ["measure", "unit"].into_iter().chain(servers).chain(["must", "aim"]);
    let mut cells = vec![header.map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let mut line = vec![row.measure.clone(), row.unit.to_owned()];
        line.extend(row.values.iter().map(|value| value.map_or_else(|| "–".to_owned(), number)));
        line.extend([row.must, row.aim].map(|claim| claim.map_or_else(String::new, Claim::text)));
        cells.push(line);
    }
    aligned(&cells)
}

/// Three significant digits.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => thousands(value),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The first line is the header; every column but the first is aligned to the right.
pub(super) fn aligned(cells: &[Vec<String>]) -> String {
    let columns = cells.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for (index, line) in cells.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let width = *width;
            text += &if column == 0 { format!("| {cell:<width$} ") } else { format!("| {cell:>width$} ") };
        }
        text += "|\n";
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(*width);
                text += &if column == 0 { format!("| {dashes} ") } else { format!("| {}: ", &dashes[1..]) };
            }
            text += "|\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_three_digits_that_count() {
        let shown: Vec<String> = [0.5, 12.34, 123.4, 1234.5, 1_234_567.0].map(number).to_vec();
        assert_eq!(shown, ["0.50", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn a_table_is_aligned_and_is_markdown() {
        let cells = [["a", "bcd"], ["ef", "µ"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(aligned(&cells), "| a  | bcd |\n| -- | --: |\n| ef |   µ |\n");
    }
}
