//! What a report consists of.

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Of the whole.
    pub title: String,
    /// From top to bottom.
    pub blocks: Vec<Block>,
}

/// A part of a report. All text is plain: what looks like markup is shown as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Begins a section.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// One sentence that decides, and whether it is good news.
    Verdict {
        /// Whether all is well.
        good: bool,
        /// The sentence.
        text: String,
    },
    /// The first column holds names, the others numbers.
    Table {
        /// Column heads.
        head: Vec<String>,
        /// Cells, row by row; each row as long as the head.
        rows: Vec<Vec<String>>,
    },
    /// A plot.
    Figure {
        /// Of its file, without an ending: `latency`.
        name: String,
        /// What one sees in it, for those who do not.
        description: String,
        /// The plot.
        svg: String,
    },
    /// Lines as they are, such as a scenario.
    Code(String),
}

impl Document {
    /// An empty one.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    /// Begins a section.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    /// Adds a sentence that decides.
    pub fn verdict(&mut self, good: bool, text: impl Into<String>) {
        self.blocks.push(Block::Verdict { good, text: text.into() });
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

    /// Adds lines as they are.
    pub fn code(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Code(text.into()));
    }

    /// Name and SVG of each plot.
    pub fn figures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Figure { name, svg, .. } => Some((name.as_str(), svg.as_str())),
            _ => None,
        })
    }
}
