//! Listings: columns two spaces apart, no lines. The last column may be long; nothing is cut off.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::style::{Role, Style, one_line};

/// A listing with a head. Empty without rows: a head over nothing tells nothing.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], style: &Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let upper = head.iter().map(|name| name.to_uppercase()).collect();
    let lines = lay_out(std::iter::once(upper).chain(rows.iter().cloned()), &[]);
    let painted = lines.iter().enumerate().map(|(at, line)| if at == 0 { style.paint(Role::Dim, line) } else { line.clone() });
    painted.map(|line| line + "\n").collect()
}

/// Rows as lines of equal columns; those named by `right` are aligned to the right. Cells without escapes only.
pub(super) fn lay_out(rows: impl Iterator<Item = Vec<String>>, right: &[usize]) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        // One line a row: a line end inside a cell would tear the columns apart.
        table.add_row(row.iter().map(|cell| one_line(cell).into_owned()).collect::<Vec<_>>());
    }
    table.discover_columns();
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_two_spaces_apart_and_nothing_is_cut() {
        let rows = [vec!["vpc.main".to_owned(), "vpc-1".to_owned()], vec!["instance.应用".to_owned(), "i-1\n2".to_owned()]];
        let text = table(&["address", "id"], &rows, &Style::plain(10));
        assert_eq!(text, "ADDRESS        ID\nvpc.main       vpc-1\ninstance.应用  i-1 2\n");
        assert_eq!(table(&["address"], &[], &Style::plain(80)), "");
    }

    #[test]
    fn amounts_can_stand_at_the_right() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["b".to_owned(), "100".to_owned()]];
        assert_eq!(lay_out(rows.into_iter(), &[1]), ["a    1", "b  100"]);
    }
}
