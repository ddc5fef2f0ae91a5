//! What a report consists of.

use crate::check_result::CheckResult;

/// A report: a title and a list of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The title of the report.
    pub title: String,
    /// The blocks, from top to bottom.
    pub blocks: Vec<Block>,
}

/// A part of a report. All text is plain text: markup in it is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The heading of a section.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// The result of a check, in one sentence.
    Verdict {
        /// Whether the check passed.
        result: CheckResult,
        /// The sentence that states the result.
        text: String,
    },
    /// A table whose first column contains names and whose other columns contain numbers.
    Table {
        /// The column headings.
        head: Vec<String>,
        /// The cells, row by row. Each row is as long as `head`.
        rows: Vec<Vec<String>>,
    },
    /// A plot with a caption.
    Figure {
        /// The name of its file without the extension, such as `latency`.
        name: String,
        /// What the plot shows: its caption, and its alternative text for screen readers.
        description: String,
        /// The SVG document.
        svg: String,
    },
    /// Preformatted text, such as a scenario.
    Code(String),
}

impl Document {
    /// An empty report.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    /// Adds the heading of a section.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    /// Adds the result of a check.
    pub fn verdict(&mut self, result: CheckResult, text: impl Into<String>) {
        self.blocks.push(Block::Verdict { result, text: text.into() });
    }

    /// Adds a table.
    pub fn table<const N: usize>(&mut self, head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        let head = head.map(str::to_owned).to_vec();
        self.blocks.push(Block::Table { head, rows: rows.into_iter().map(Vec::from).collect() });
    }

    /// Adds a plot.
    pub fn figure(&mut self, name: &str, description: impl Into<String>, svg: String) {
        self.blocks.push(Block::Figure { name: name.into(), description: description.into(), svg });
    }

    /// Adds preformatted text.
    pub fn code(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Code(text.into()));
    }

    /// The name and the SVG document of each plot.
    pub fn figures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Figure { name, svg, .. } => Some((name.as_str(), svg.as_str())),
            _ => None,
        })
    }
}
