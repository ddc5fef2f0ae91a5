//! Renders a document as one HTML page.

use crate::check_result::CheckResult;
use crate::document::{Block, Document, code_spans};
use crate::table::{Align, Cell, Column, Grid};

const STYLE: &str = include_str!("page.css");

impl Document {
    /// Renders a self-contained HTML page.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let conclusion: String = self.conclusion.iter().map(|(result, text)| verdict(*result, text)).collect();
        let blocks: String = self.blocks.iter().map(render).collect();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n{conclusion}{blocks}</main>\n</body>\n</html>\n"
        )
    }
}

fn render(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h2>{}</h2>\n", escape(text)),
        Block::Text(text) => format!("<p>{}</p>\n", inline(text)),
        Block::Verdict(result, text) => verdict(*result, text),
        Block::Table(grid) => table(grid),
        Block::Figure { description, figure, .. } => format!(
            "<figure>\n{}<figcaption>{}</figcaption>\n</figure>\n",
            scrolling(&figure.svg()),
            inline(description)
        ),
        Block::Code(text) => scrolling(&format!("<pre>{}</pre>", escape(text))),
        Block::Details(summary, blocks) => {
            let blocks: String = blocks.iter().map(render).collect();
            format!("<details>\n<summary>{}</summary>\n{blocks}</details>\n", inline(summary))
        }
    }
}

/// A frame of the width of the page, in which wider content scrolls: by touch, mouse and keyboard.
fn scrolling(content: &str) -> String {
    format!("<div class=\"wide\" tabindex=\"0\">{content}</div>\n")
}

fn verdict(result: CheckResult, text: &str) -> String {
    let class = match result {
        CheckResult::Passed => "good",
        CheckResult::NotChecked => "open",
        CheckResult::Failed => "bad",
    };
    format!("<p class=\"verdict {class}\">{}</p>\n", inline(text))
}

fn table(grid: &Grid) -> String {
    let class = |column: &Column| match column.align {
        Align::Number => "",
        Align::Text => " class=\"text\"",
        Align::Prose => " class=\"text prose\"",
    };
    let heads = grid.columns.iter().map(|it| format!("<th scope=\"col\"{}>{}</th>", class(it), escape(&it.head)));
    let heads: String = heads.collect();
    let head = if grid.has_heads() { format!("<thead><tr>{heads}</tr></thead>\n") } else { String::new() };
    let cell = |(n, (cell, column)): (usize, (&Cell, &Column))| {
        let (class, text) = (class(column), inline(&cell.to_string()));
        if n == 0 { format!("<th scope=\"row\"{class}>{text}</th>") } else { format!("<td{class}>{text}</td>") }
    };
    let row = |row: &Vec<Cell>| {
        format!("<tr>{}</tr>\n", row.iter().zip(&grid.columns).enumerate().map(cell).collect::<String>())
    };
    let rows: String = grid.rows.iter().map(row).collect();
    scrolling(&format!("<table>\n{head}<tbody>\n{rows}</tbody>\n</table>"))
}

/// Text with code between backticks.
fn inline(text: &str) -> String {
    let part = |(is_code, part): (bool, &str)| match (is_code, escape(part)) {
        (true, code) => format!("<code>{code}</code>"),
        (false, text) => text,
    };
    code_spans(text).map(part).collect()
}

/// Escapes text for HTML and XML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::testing::{document, plot};
    use crate::{Document, Figure, Table};

    #[test]
    fn a_page_shows_the_verdict_first() {
        let page = document().html();
        let (_, body) = page.split_once("<main>\n").unwrap();
        let expected = format!(
            "\
<h1>Tux &amp; &lt;Uno&gt;</h1>
<p class=\"verdict bad\">THE STORE BROKE ITS PROMISES</p>
<p class=\"verdict bad\">BROKEN: 1 order is lost</p>
<p class=\"verdict open\">NOT CHECKED: 3 of 5 orders</p>
<h2>Latency</h2>
<p>The <code>p99</code> is *high*.</p>
<div class=\"wide\" tabindex=\"0\"><table>
<thead><tr><th scope=\"col\" class=\"text\">stage</th><th scope=\"col\" class=\"text\">load</th>\
<th scope=\"col\">requests</th><th scope=\"col\">p50 ms</th></tr></thead>
<tbody>
<tr><th scope=\"row\" class=\"text\">steady</th><td class=\"text\">10/s</td><td>17,566</td><td>0.310</td></tr>
<tr><th scope=\"row\" class=\"text\">a|b</th><td class=\"text\">1/s</td><td>3</td><td>4,004</td></tr>
</tbody>
</table></div>
<figure>
<div class=\"wide\" tabindex=\"0\">{0}</div>
<figcaption>It [rises].</figcaption>
</figure>
<p class=\"verdict good\">kept
twice</p>
<div class=\"wide\" tabindex=\"0\"><table>
<tbody>
<tr><th scope=\"row\" class=\"text\">seed</th><td class=\"text\">7</td></tr>
</tbody>
</table></div>
<details>
<summary>round 1 &amp; more</summary>
<figure>
<div class=\"wide\" tabindex=\"0\">{0}</div>
<figcaption>It falls.</figcaption>
</figure>
<div class=\"wide\" tabindex=\"0\"><table>
<thead><tr><th scope=\"col\">ms</th><th scope=\"col\" class=\"text prose\">what happened</th></tr></thead>
<tbody>
<tr><th scope=\"row\">+12</th><td class=\"text prose\">a &lt; b</td></tr>
</tbody>
</table></div>
</details>
</main>
</body>
</html>
",
            plot().svg()
        );
        assert_eq!(body, expected);
        assert!(page.contains("<title>Tux &amp; &lt;Uno&gt;</title>"), "{page}");
    }

    #[test]
    fn a_page_loads_nothing_and_repeats_no_id() {
        // The name of a namespace is not loaded.
        let page = document().html().replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(page.contains("prefers-color-scheme: dark"), "{page}");
        for outside in ["http:", "https:", "@import", "url(", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let mut ids: Vec<_> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{page}");
    }

    /// The frame scrolls, and the page does not.
    #[test]
    fn what_may_be_wide_is_in_a_frame() {
        let mut page = Document::new("Wide");
        let columns = (0..40).fold(Table::of([7_u64]), |table, n| table.number(&format!("column {n}"), |it| *it));
        page.table(columns);
        page.figure("latency", "", plot());
        page.code("x".repeat(500));
        let html = page.html();
        for wide in ["<table>", "<svg ", "<pre>"] {
            assert!(html.contains(&format!("<div class=\"wide\" tabindex=\"0\">{wide}")), "{wide}: {html}");
        }
        assert!(html.contains(".wide { overflow-x: auto; }"));
    }

    #[test]
    fn markup_is_escaped_everywhere() {
        let evil = "<b title=\"&\">";
        let mut page = Document::new(evil);
        page.conclude(crate::CheckResult::Failed, evil, &crate::Checks::default());
        page.heading(evil);
        page.text(format!("{evil} `{evil}`"));
        page.facts(evil, [(evil, evil)]);
        page.figure(evil, evil, crate::Plot { title: evil.into(), ..plot() });
        page.code(evil);
        page.details(evil, |part| part.text(evil));
        let html = page.html();
        assert_eq!(html.matches("<b").count(), html.matches("<body>").count(), "{html}");
        assert!(html.matches("&lt;b title=&quot;&amp;&quot;&gt;").count() >= 13, "{html}");
    }
}
