//! Renders a document as Markdown, to be read beside the code.

use crate::document::{Block, Document, code_spans};
use crate::html;
use crate::table::{Align, Grid};
use crate::text::wrap;

impl Document {
    /// Renders Markdown that embeds the plots as `<figures>/<name>.svg`, relative to its own file.
    pub fn markdown(&self, figures: &str) -> String {
        format!("# {}\n\n{}", escape(&self.title), self.markdown_body(figures))
    }

    /// Like [`Document::markdown`], without the title: a section of another page.
    pub fn markdown_body(&self, figures: &str) -> String {
        let conclusion = self.conclusion.iter().map(|(_, sentence)| verdict(sentence));
        let blocks = self.blocks.iter().map(|block| render(block, figures));
        conclusion.chain(blocks).map(|block| block + "\n").collect::<Vec<_>>().join("\n")
    }
}

/// The part of a page between two marker lines.
pub fn section<'a>(page: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(begin)?;
    rest.split_once(end).map(|(section, _)| section.trim())
}

/// Replaces the part of a page between two marker lines. `None` if the page does not have them.
pub fn replace_section(page: &str, begin: &str, end: &str, section: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", section.trim()))
}

fn render(block: &Block, figures: &str) -> String {
    match block {
        Block::Heading(heading) => format!("## {}", escape(heading)),
        Block::Text(paragraph) => wrap(&escape(paragraph)),
        Block::Verdict(_, sentence) => verdict(sentence),
        Block::Table(grid) => table(grid),
        Block::Figure { name, description, .. } => {
            let image = format!("![{}]({figures}/{name}.svg)", escape(&description.replace(['[', ']'], "")));
            format!("{}\n\n{}", wrap(&image), wrap(&format!("*{}*", escape(description))))
        }
        Block::Code(code) => format!("```\n{}\n```", code.trim_end()),
        // GitHub folds it up, too. Markdown begins again after an empty line.
        Block::Details(summary, blocks) => {
            let blocks: Vec<_> = blocks.iter().map(|block| render(block, figures) + "\n\n").collect();
            let summary = html::escape(summary);
            format!("<details>\n<summary>{summary}</summary>\n\n{}</details>", blocks.concat())
        }
    }
}

fn verdict(sentence: &str) -> String {
    wrap(&format!("**{}**", escape(sentence.trim())))
}

fn table(grid: &Grid) -> String {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let cell = |cell: &dyn ToString| escape(&cell.to_string()).replace('|', "\\|");
    let head = grid.columns.iter().map(|column| cell(&column.head)).collect();
    let rule: String =
        grid.columns.iter().map(|column| if column.align == Align::Number { "---:|" } else { "---|" }).collect();
    let rows = grid.rows.iter().map(|row| line(row.iter().map(|it| cell(it)).collect()));
    [line(head), format!("|{rule}")].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// Escapes what Markdown would read as markup, except code.
fn escape(text: &str) -> String {
    let escaped = |(is_code, part): (bool, &str)| {
        if is_code { part.to_owned() } else { part.replace('<', "\\<").replace('*', "\\*") }
    };
    code_spans(text).map(escaped).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Figure;
    use crate::testing::{document, plot};

    #[test]
    fn plots_are_embedded_as_files() {
        let body = "\
**THE STORE BROKE ITS PROMISES**

**BROKEN: 1 order is lost**

**NOT CHECKED: 3 of 5 orders**

## Latency

The `p99` is \\*high\\*.

| stage | load | requests | p50 ms |
|---|---|---:|---:|
| steady | 10/s | 17,566 | 0.310 |
| a\\|b | 1/s | 3 | 4,004 |

![It rises.](plots/latency.svg)

*It [rises].*

**kept twice**

|  |  |
|---|---|
| seed | 7 |

<details>
<summary>round 1 &amp; more</summary>

![It falls.](plots/folded.svg)

*It falls.*

| ms | what happened |
|---:|---|
| +12 | a \\< b |

</details>
";
        assert_eq!(document().markdown("plots"), format!("# Tux & \\<Uno>\n\n{body}"));
        assert_eq!(document().markdown_body("plots"), body);
        let figures = [("latency", plot().svg()), ("folded", plot().svg())];
        assert_eq!(document().figures().collect::<Vec<_>>(), figures);
    }

    #[test]
    fn a_section_of_a_page_is_replaced() {
        let page = "# Mine\n<!-- begin -->\nold\n<!-- end -->\nlast\n";
        let replace = |page| replace_section(page, "<!-- begin -->", "<!-- end -->", "new\n");
        let replaced = replace(page).unwrap();
        assert_eq!(replaced, "# Mine\n<!-- begin -->\n\nnew\n\n<!-- end -->\nlast\n");
        assert_eq!(section(&replaced, "<!-- begin -->", "<!-- end -->"), Some("new"));
        assert_eq!(replace(&replaced).as_ref(), Some(&replaced));
        assert_eq!(replace("# Mine\n"), None);
    }
}
