//! A document as Markdown, for people who read it beside the code.

use std::fmt::Write;

use crate::{Block, Document};

impl Document {
    /// Markdown that shows the plots from files `<figures>/<name>.svg`, relative to its own.
    pub fn markdown(&self, figures: &str) -> String {
        format!("# {}\n\n{}", self.title, self.markdown_body(figures))
    }

    /// The same without the title: a part of a page.
    pub fn markdown_body(&self, figures: &str) -> String {
        let block = |block| {
            let mut text = String::new();
            put(&mut text, block, figures);
            text
        };
        self.blocks.iter().map(block).collect::<Vec<_>>().join("\n")
    }
}

fn put(text: &mut String, block: &Block, figures: &str) {
    let written = match block {
        Block::Heading(heading) => writeln!(text, "## {heading}"),
        Block::Text(paragraph) => writeln!(text, "{paragraph}"),
        Block::Verdict { text: sentence, .. } => writeln!(text, "**{sentence}**"),
        Block::Table { head, rows } => {
            let line = |cells: &[String]| {
                let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                format!("| {} |\n", cells.join(" | "))
            };
            let rule = format!("|---|{}", "---:|".repeat(head.len().saturating_sub(1)));
            write!(text, "{}{rule}\n{}", line(head), rows.iter().map(|row| line(row)).collect::<String>())
        }
        Block::Figure { name, description, .. } => {
            writeln!(text, "![{}]({figures}/{name}.svg)\n\n*{description}*", description.replace(['[', ']'], ""))
        }
        Block::Code(code) => writeln!(text, "```\n{}\n```", code.trim_end()),
    };
    written.expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use crate::Document;

    #[test]
    fn plots_are_files_beside_it() {
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
