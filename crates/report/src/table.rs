//! Tables, described column by column.

use std::fmt;

use crate::number::{count, number};
use crate::statistics::Spread;

/// The value of one cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A count.
    Count(u64),
    /// A measured value. The head of its column names the unit.
    Number(f64),
    /// Repeated measurements.
    Spread(Spread),
    /// There is no value.
    Missing,
}

impl Cell {
    fn exact(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Spread(spread) => spread.median.to_string(),
            Self::Missing => String::new(),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(value) => f.write_str(&count(*value)),
            Self::Number(value) => f.write_str(&number(*value)),
            Self::Spread(spread) => spread.fmt(f),
            Self::Missing => f.write_str("–"),
        }
    }
}

macro_rules! cells {
    ($($from:ty: $cell:expr),*) => {
        $(impl From<$from> for Cell {
            fn from(value: $from) -> Self {
                $cell(value)
            }
        })*
    };
}

cells!(String: Cell::Text, u64: Cell::Count, f64: Cell::Number, Spread: Cell::Spread);

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

/// A table of `T`s: one row for each. Each call adds a column, from left to right.
#[derive(Debug)]
pub struct Table<T> {
    items: Vec<T>,
    grid: Grid,
}

impl<T> Table<T> {
    /// A table with a row for each of `items`, and no columns yet.
    pub fn of(items: impl IntoIterator<Item = T>) -> Self {
        let items: Vec<_> = items.into_iter().collect();
        let rows = items.iter().map(|_| Vec::new()).collect();
        Self { items, grid: Grid { columns: Vec::new(), rows } }
    }

    /// Adds a column of text, aligned on the left.
    #[must_use]
    pub fn text<C: ToString>(self, head: &str, cell: impl Fn(&T) -> C) -> Self {
        self.columns([head.to_owned()], Align::Text, |item| [Cell::Text(cell(item).to_string())])
    }

    /// Adds a column of sentences: a page wraps them.
    #[must_use]
    pub fn prose<C: ToString>(self, head: &str, cell: impl Fn(&T) -> C) -> Self {
        self.columns([head.to_owned()], Align::Prose, |item| [Cell::Text(cell(item).to_string())])
    }

    /// Adds a column of values, aligned on the right. `head` has their unit.
    #[must_use]
    pub fn number<C: Into<Cell>>(self, head: &str, cell: impl Fn(&T) -> C) -> Self {
        self.numbers([head], |item| [cell(item)])
    }

    /// Adds several columns of values.
    #[must_use]
    pub fn numbers<C: Into<Cell>, const N: usize>(self, heads: [&str; N], cells: impl Fn(&T) -> [C; N]) -> Self {
        self.columns(heads.map(str::to_owned), Align::Number, |item| cells(item).map(Into::into))
    }

    /// Adds columns of times in microseconds, which are shown in milliseconds.
    #[must_use]
    pub fn ms<const N: usize>(self, heads: [&str; N], us: impl Fn(&T) -> [u64; N]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
        let ms = |us: u64| Cell::Number(us as f64 / 1e3);
        self.columns(heads.map(|head| format!("{head} ms")), Align::Number, |item| us(item).map(ms))
    }

    fn columns<const N: usize>(mut self, heads: [String; N], align: Align, cells: impl Fn(&T) -> [Cell; N]) -> Self {
        self.grid.columns.extend(heads.map(|head| Column { head, align }));
        for (row, item) in self.grid.rows.iter_mut().zip(&self.items) {
            row.extend(cells(item));
        }
        self
    }

    /// The table as CSV, for programs: exact values, and nothing where there is no value.
    pub fn csv(&self) -> String {
        let Grid { columns, rows } = &self.grid;
        let heads = columns.iter().map(|column| quoted(&column.head)).collect();
        let rows = rows.iter().map(|row| row.iter().map(|cell| quoted(&cell.exact())).collect());
        std::iter::once(heads).chain(rows).map(|line: Vec<_>| line.join(",") + "\n").collect()
    }

    pub(crate) fn into_grid(self) -> Grid {
        self.grid
    }
}

/// A field of CSV.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

/// The columns and cells of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) columns: Vec<Column>,
    /// Each row has a cell for each column. The first cell is the row's name.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) head: String,
    pub(crate) align: Align,
}

/// How the cells of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// On the left, on one line.
    Text,
    /// On the left, on as many lines as needed.
    Prose,
    /// On the right.
    Number,
}

impl Grid {
    /// Whether a column has a head. A list of names and values has none.
    pub(crate) fn has_heads(&self) -> bool {
        self.columns.iter().any(|column| !column.head.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_has_exact_values() {
        let rows = [("Tux", Some(17_566_u64), 0.1234), ("\"a\", b", None, 2.0)];
        let table = Table::of(rows).text("name", |row| row.0).number("count", |row| row.1).number("s", |row| row.2);
        assert_eq!(table.csv(), "name,count,s\nTux,17566,0.1234\n\"\"\"a\"\", b\",,2\n");
    }
}
