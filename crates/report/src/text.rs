//! Renders a document for a terminal.

use std::fmt::{self, Display, Formatter};

use crate::document::{Block, Document};
use crate::table::{Align, Grid};

/// The width at which text is wrapped. Tables and preformatted text keep their lines.
const COLUMNS: usize = 100;

/// The report as text, without plots and details: they need a page. The conclusion comes last,
/// where the eye is when a command has ended. There is no line break at the end.
impl Display for Document {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        let mut heading = None;
        for block in &self.blocks {
            let text = match block {
                Block::Heading(text) => {
                    heading = Some(format!("{text}\n{}", "-".repeat(text.chars().count())));
                    continue;
                }
                Block::Figure { .. } | Block::Details(..) => continue,
                Block::Text(text) => wrap(text),
                Block::Verdict(_, text) => text.lines().map(wrap).collect::<Vec<_>>().join("\n"),
                Block::Table(grid) => lines(grid),
                Block::Code(text) => text.trim_end().to_owned(),
            };
            // A section that has only plots is left out.
            if let Some(heading) = heading.take() {
                write!(f, "\n\n{heading}")?;
            }
            write!(f, "\n\n{text}")?;
        }
        let Some(((_, verdict), findings)) = self.conclusion.split_first() else { return Ok(()) };
        f.write_str("\n")?;
        findings.iter().try_for_each(|(_, finding)| write!(f, "\n{finding}"))?;
        write!(f, "\n{verdict}")
    }
}

/// The lines of a table. Each column is as wide as its longest cell.
fn lines(grid: &Grid) -> String {
    let head = grid.has_heads().then(|| grid.columns.iter().map(|column| column.head.clone()).collect());
    let rows = grid.rows.iter().map(|row| row.iter().map(ToString::to_string).collect());
    let rows: Vec<Vec<String>> = head.into_iter().chain(rows).collect();
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..grid.columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&grid.columns).zip(&widths).map(|((cell, column), width)| {
            if column.align == Align::Number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Wraps a paragraph. Never begins a line with a word that would make it a list item or a heading
/// in Markdown.
pub(crate) fn wrap(paragraph: &str) -> String {
    let mut lines = String::with_capacity(paragraph.len());
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > COLUMNS && !begins_block(word) {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// Whether Markdown reads a line that begins with this word as something else than text.
fn begins_block(word: &str) -> bool {
    let number = word.strip_suffix(['.', ')']).unwrap_or_default();
    let is_number = !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit());
    is_number || word.chars().all(|sign| "-+*#=|".contains(sign)) || word.starts_with('>')
}

#[cfg(test)]
mod tests {
    use super::wrap;
    use crate::testing::{document, plot};
    use crate::{Document, Table};

    #[test]
    fn a_terminal_shows_the_verdict_last_and_no_plots() {
        let expected = "\
Tux & <Uno>

Latency
-------

The `p99` is *high*.

stage   load  requests  p50 ms
steady  10/s    17,566   0.310
a|b     1/s          3   4,004

kept
twice

seed  7

BROKEN: 1 order is lost
NOT CHECKED: 3 of 5 orders
THE STORE BROKE ITS PROMISES";
        assert_eq!(document().to_string(), expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut page = Document::new("Wide");
        let rows = [("a name that is much longer than its head", 1_234_567_u64), ("é", 1)];
        page.table(Table::of(rows).text("n", |row| row.0).number("a long head", |row| row.1).text("", |_| ""));
        let text = page.to_string();
        let widths: Vec<_> = text.lines().skip(2).map(|line| line.chars().count()).collect();
        assert_eq!(widths, [53; 3], "{text}");
    }

    #[test]
    fn a_section_without_text_has_no_heading() {
        let mut page = Document::new("Plots");
        page.heading("Over time");
        page.figure("latency", "It rises.", plot());
        page.table(Table::of([(); 0]).text("none", |()| ""));
        page.code("");
        assert_eq!(page.to_string(), "Plots");
    }

    #[test]
    fn text_is_wrapped_at_spaces() {
        let (long, short) = ("x".repeat(60), "y".repeat(39));
        assert_eq!(wrap(&format!("{long} {short} {long}")), format!("{long} {short}\n{long}"));
        assert_eq!(wrap(&format!("{long} {short}y")), format!("{long}\n{short}y"));
        for mark in ["-", "##", "2.", ">"] {
            assert_eq!(wrap(&format!("{long} {short} {mark} z")), format!("{long} {short} {mark}\nz"));
        }
    }
}
