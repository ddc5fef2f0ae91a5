//! Renders a document as Markdown, to be read beside the code.

use std::fmt::Write;

use crate::document::{Block, Document};

/// The width at which text is wrapped. Tables and preformatted text keep their lines.
const COLUMNS: usize = 100;

impl Document {
    /// Renders Markdown that embeds the plots as `<figures>/<name>.svg`, relative to its own file.
    pub fn markdown(&self, figures: &str) -> String {
        format!("# {}\n\n{}", self.title, self.markdown_body(figures))
    }

    /// Like [`Document::markdown`], without the title: a section of another page.
    pub fn markdown_body(&self, figures: &str) -> String {
        let block = |block| {
            let mut text = String::new();
            write_block(&mut text, block, figures);
            text
        };
        self.blocks.iter().map(block).collect::<Vec<_>>().join("\n")
    }
}

fn write_block(text: &mut String, block: &Block, figures: &str) {
    let written = match block {
        Block::Heading(heading) => writeln!(text, "## {heading}"),
        Block::Text(paragraph) => writeln!(text, "{}", wrap(paragraph)),
        Block::Verdict { text: sentence, .. } => writeln!(text, "{}", wrap(&format!("**{sentence}**"))),
        Block::Table { head, rows } => {
            let line = |cells: &[String]| {
                let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                format!("| {} |\n", cells.join(" | "))
            };
            let rule = format!("|---|{}", "---:|".repeat(head.len().saturating_sub(1)));
            write!(text, "{}{rule}\n{}", line(head), rows.iter().map(|row| line(row)).collect::<String>())
        }
        Block::Figure { name, description, .. } => {
            let image = format!("![{}]({figures}/{name}.svg)", description.replace(['[', ']'], ""));
            writeln!(text, "{}\n\n{}", wrap(&image), wrap(&format!("*{description}*")))
        }
        Block::Code(code) => writeln!(text, "```\n{}\n```", code.trim_end()),
    };
    written.expect("writing to a string cannot fail");
}

/// Wraps a paragraph. Never begins a line with a word that would make it a list item or a heading.
fn wrap(paragraph: &str) -> String {
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
    use crate::Document;

    #[test]
    fn text_is_wrapped_at_spaces() {
        let (long, short) = ("x".repeat(60), "y".repeat(39));
        assert_eq!(wrap(&format!("{long} {short} {long}")), format!("{long} {short}\n{long}"));
        assert_eq!(wrap(&format!("{long} {short}y")), format!("{long}\n{short}y"));
        for mark in ["-", "##", "2.", ">"] {
            assert_eq!(wrap(&format!("{long} {short} {mark} z")), format!("{long} {short} {mark}\nz"));
        }
    }

    #[test]
    fn plots_are_embedded_as_files() {
        let mut document = Document::new("Report");
        document.table(["a|b", "n"], [["x".into(), "1".into()]]);
        document.figure("latency", "It rises.", "<svg></svg>".into());
        let expected =
            "# Report\n\n| a\\|b | n |\n|---|---:|\n| x | 1 |\n\n![It rises.](plots/latency.svg)\n\n*It rises.*\n";
        assert_eq!(document.markdown("plots"), expected);
        assert_eq!(format!("# Report\n\n{}", document.markdown_body("plots")), expected);
        assert_eq!(document.figures().collect::<Vec<_>>(), [("latency", "<svg></svg>")]);
    }
}
