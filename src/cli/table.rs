//! Tables in a frame, as minikube draws them: its scripts read rows from the fourth line on.

/// A frame of these columns; a cell may have several lines.
pub fn framed(headings: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = headings.iter().map(ToString::to_string).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(rows).filter_map(|row| row.get(column));
        cells.flat_map(|cell| cell.lines()).map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let rule = |left: char, middle: &str, right: char| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let mut out = rule('┌', "┬", '┐') + &lines(&head, &widths) + &rule('├', "┼", '┤');
    rows.iter().for_each(|row| out += &lines(row, &widths));
    out + &rule('└', "┴", '┘')
}

/// The lines of one row.
fn lines(row: &[String], widths: &[usize]) -> String {
    let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
    let line = |index: usize| {
        let cell = |(column, width): (usize, &usize)| {
            let text = row.get(column).and_then(|cell| cell.lines().nth(index)).unwrap_or_default();
            format!("{text:<width$}")
        };
        format!("│ {} │\n", widths.iter().enumerate().map(cell).collect::<Vec<_>>().join(" │ "))
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_begin_at_the_fourth_line_and_the_last_line_is_the_frame() {
        let text = framed(&["NAME", "URL"], &[vec!["a".into(), "x\nyy".into()], vec!["bé".into(), String::new()]]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "│ NAME │ URL │");
        assert_eq!(lines[3..], ["│ a    │ x   │", "│      │ yy  │", "│ bé   │     │", "└──────┴─────┘"]);
    }
}
