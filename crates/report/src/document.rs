//! What a report consists of.

use std::fmt::Debug;

use crate::check_result::CheckResult;
use crate::checks::Checks;
use crate::table::{Cell, Grid, Table};

/// A report: a title, a conclusion, and a list of blocks. All text is plain text: markup in it is
/// escaped, except that text between backticks is code.
///
/// A page shows the conclusion first. `Display` is the report for a terminal, which shows it last,
/// and shows neither plots nor details.
#[derive(Debug)]
pub struct Document {
    /// The title of the report.
    pub title: String,
    pub(crate) conclusion: Vec<(CheckResult, String)>,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a report.
#[derive(Debug)]
pub(crate) enum Block {
    /// The heading of a section.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// The result of a check; its lines are kept.
    Verdict(CheckResult, String),
    Table(Grid),
    Figure {
        /// The name of its file without the extension.
        name: String,
        /// The caption, and the alternative text for screen readers.
        description: String,
        figure: Box<dyn Figure>,
    },
    /// Preformatted text.
    Code(String),
    /// A part that is folded up until a reader wants to see it, and its summary.
    Details(String, Vec<Block>),
}

/// What a figure shows: drawn when a page is rendered.
pub trait Figure: Debug + Send + Sync + 'static {
    /// Draws an SVG document.
    fn svg(&self) -> String;
}

impl Document {
    /// An empty report.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), conclusion: Vec::new(), blocks: Vec::new() }
    }

    /// Sets the conclusion: the verdict in one sentence, and each finding of `checks`.
    pub fn conclude(&mut self, result: CheckResult, verdict: impl Into<String>, checks: &Checks) {
        self.conclusion = std::iter::once((result, verdict.into())).chain(checks.findings()).collect();
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
        self.blocks.push(Block::Verdict(result, text.into()));
    }

    /// Adds a table, unless it has no rows.
    pub fn table<T>(&mut self, table: Table<T>) {
        let grid = table.into_grid();
        if !grid.rows.is_empty() {
            self.blocks.push(Block::Table(grid));
        }
    }

    /// Adds names with their values. `head` is the head of the names, and may be empty.
    pub fn facts<N: ToString, V: Into<Cell>>(&mut self, head: &str, facts: impl IntoIterator<Item = (N, V)>) {
        let facts = facts.into_iter().map(|(name, value)| (name.to_string(), value.into()));
        self.table(Table::of(facts).text(head, |(name, _)| name.clone()).text("", |(_, value)| value.clone()));
    }

    /// Adds a plot. `name` is the name of its file without the extension, such as `latency`;
    /// `description` says what it shows.
    pub fn figure(&mut self, name: &str, description: impl Into<String>, figure: impl Figure) {
        let (name, description) = (name.into(), description.into());
        self.blocks.push(Block::Figure { name, description, figure: Box::new(figure) });
    }

    /// Adds preformatted text, unless it is empty.
    pub fn code(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.blocks.push(Block::Code(text));
        }
    }

    /// Adds a part that a page folds up: only its summary is visible at first. `fill` adds its
    /// blocks.
    pub fn details(&mut self, summary: impl Into<String>, fill: impl FnOnce(&mut Self)) {
        let mut part = Self::new("");
        fill(&mut part);
        self.blocks.push(Block::Details(summary.into(), part.blocks));
    }

    /// The name and the SVG document of each plot.
    pub fn figures(&self) -> impl Iterator<Item = (&str, String)> {
        figures(&self.blocks).into_iter().map(|(name, figure)| (name, figure.svg()))
    }
}

fn figures(blocks: &[Block]) -> Vec<(&str, &dyn Figure)> {
    fn of(block: &Block) -> Vec<(&str, &dyn Figure)> {
        match block {
            Block::Figure { name, figure, .. } => vec![(name, &**figure)],
            Block::Details(_, blocks) => figures(blocks),
            _ => Vec::new(),
        }
    }
    blocks.iter().flat_map(of).collect()
}

/// Splits text at its backticks; every second part is code.
pub(crate) fn code_spans(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.split('`').enumerate().map(|(n, part)| (n % 2 == 1, part))
}
