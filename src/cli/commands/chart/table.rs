//! Tables and encodings as Helm prints them (`-o table|json|yaml`).

use super::{Problem, printing};
use crate::charts::decode;
use serde::Serialize;

/// How something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            _ => Err("invalid format type".into()),
        }
    }
}

/// Rows whose cells are padded to the widest of their column, at most `limit` letters, with tabs between.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    limit: usize,
}

impl Table {
    /// A table whose cells are cut at `limit` letters; 0 cuts none.
    pub fn new(limit: usize) -> Self {
        Self { rows: Vec::new(), limit }
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let widest = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| widest_line(cell)).max();
            let widest = widest.unwrap_or(0);
            if self.limit > 0 { widest.min(self.limit) } else { widest }
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| fitted(cell, *width)).collect();
            writeln!(f, "{}", cells.join("\t"))?;
        }
        Ok(())
    }
}

fn letters(text: &str) -> usize {
    text.chars().filter(|letter| *letter != '\n').count()
}

fn widest_line(cell: &str) -> usize {
    cell.split('\n').map(letters).max().unwrap_or(0)
}

/// A cell of some width. One of several lines is taken for a long line, as by Helm.
fn fitted(cell: &str, width: usize) -> String {
    let own = letters(cell);
    if own <= width {
        return format!("{cell}{}", " ".repeat(width - own));
    }
    // Line ends have no width.
    let mut room = width.saturating_sub(3).max(1);
    let fits = |letter: &char| {
        let fits = room > 0;
        room = room.saturating_sub(usize::from(*letter != '\n'));
        fits
    };
    format!("{}...", cell.chars().take_while(fits).collect::<String>())
}

/// JSON on one line, or YAML; `None` for a table.
pub fn encoded(format: Format, value: &impl Serialize) -> Result<Option<String>, Problem> {
    Ok(match format {
        Format::Table => None,
        Format::Json => Some(printing::json(value)?),
        Format::Yaml => Some(decode::to_yaml(&serde_json::to_value(value)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_two_lines_is_cut_to_the_longer_one() {
        let mut table = Table::new(0);
        table.row(["1", "first line\nsecond, longer line"]);
        assert_eq!(table.to_string(), "1\tfirst line\nsecond...\n");
    }

    #[test]
    fn cells_are_padded_and_cut() {
        let mut table = Table::new(10);
        table.row(["NAME", "B"]);
        table.row(["a-very-long-name", "x"]);
        assert_eq!(table.to_string(), "NAME      \tB\na-very-...\tx\n");
    }
}
