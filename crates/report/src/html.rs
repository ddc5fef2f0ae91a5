//! Renders a document as one HTML page.

use std::fmt::Write;

use crate::check_result::CheckResult;
use crate::document::{Block, Document};

const STYLE: &str = include_str!("page.css");

impl Document {
    /// Renders a self-contained HTML page.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n"
        );
        self.blocks.iter().for_each(|block| write_block(&mut page, block));
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }
}

fn write_block(page: &mut String, block: &Block) {
    let written = match block {
        Block::Heading(text) => writeln!(page, "<h2>{}</h2>", escape(text)),
        Block::Text(text) => writeln!(page, "<p>{}</p>", escape(text)),
        Block::Verdict { result, text } => {
            let class = match result {
                CheckResult::Passed => "good",
                CheckResult::NotChecked => "open",
                CheckResult::Failed => "bad",
            };
            writeln!(page, "<p class=\"verdict {class}\">{}</p>", escape(text))
        }
        Block::Table { head, rows } => {
            let heads: Vec<_> = head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell))).collect();
            let rows: Vec<_> = rows.iter().map(|row| format!("<tr>{}</tr>", cells(row))).collect();
            let (heads, rows) = (heads.concat(), rows.join("\n"));
            writeln!(
                page,
                "<div class=\"wide\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>"
            )
        }
        Block::Figure { description, svg, .. } => {
            writeln!(
                page,
                "<figure>\n<div class=\"wide\">{svg}</div>\n<figcaption>{}</figcaption>\n</figure>",
                escape(description)
            )
        }
        Block::Code(text) => writeln!(page, "<pre class=\"wide\">{}</pre>", escape(text)),
    };
    written.expect("writing to a string cannot fail");
}

fn cells(row: &[String]) -> String {
    let cell = |(column, text): (usize, &String)| match column {
        0 => format!("<th scope=\"row\">{}</th>", escape(text)),
        _ => format!("<td>{}</td>", escape(text)),
    };
    row.iter().enumerate().map(cell).collect()
}

/// Escapes text for HTML and XML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::{CheckResult, Document};

    #[test]
    fn a_page_contains_all_blocks_and_loads_nothing() {
        let mut document = Document::new("Tux & <Uno>");
        document.heading("Latency");
        document.verdict(CheckResult::Failed, "p99 was 51 ms, and not below 50 ms");
        document.verdict(CheckResult::NotChecked, "3 orders could not be read");
        document.table(["stage", "p99 ms"], [["steady".into(), "51".into()]]);
        document.figure("latency", "It rises.", "<svg></svg>".into());
        document.code("rate = 100");
        let page = document.html();
        assert!(page.contains("<h1>Tux &amp; &lt;Uno&gt;</h1>"), "{page}");
        assert!(page.contains("<tr><th scope=\"row\">steady</th><td>51</td></tr>"), "{page}");
        assert!(page.contains("<p class=\"verdict bad\">p99 was 51 ms, and not below 50 ms</p>"), "{page}");
        assert!(page.contains("<p class=\"verdict open\">3 orders could not be read</p>"), "{page}");
        assert!(page.contains("prefers-color-scheme: dark"), "{page}");
        for outside in ["http:", "https:", "@import", "url(", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
