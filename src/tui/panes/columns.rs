//! How wide the columns of a table are. Pure: must never draw.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Stands at the right; most comes first.
    Figure,
    /// Likewise, and as wide as there is room.
    Bar,
}

/// A column of a table.
pub struct Column {
    pub title: &'static str,
    /// Cells it needs at least.
    pub least: usize,
    /// Cells it is given at most.
    pub most: usize,
    pub kind: Kind,
    /// Shown only where those before it need not be cut for it.
    pub extra: bool,
}

/// One that is always wanted.
pub const fn column(title: &'static str, least: usize, most: usize, kind: Kind) -> Column {
    Column { title, least, most, kind, extra: false }
}

/// One for where there is room.
pub const fn extra(title: &'static str, least: usize, most: usize, kind: Kind) -> Column {
    Column { title, least, most, kind, extra: true }
}

/// Up to here a column is short: cutting it saves little and costs what it says, so it is served first.
const SHORT: usize = 14;
/// Cells between two columns.
pub const GAP: usize = 1;

/// Cells for each column that fits into `width`, from the left; `wants` is what their content takes. The first is always
/// there, however narrow.
pub fn fit(columns: &[Column], wants: &[usize], width: usize) -> Vec<usize> {
    let want = |at: usize| {
        let column = &columns[at];
        let wanted = wants.get(at).copied().unwrap_or(0).max(column.title.len() + 1);
        wanted.clamp(column.least, column.most.max(column.least))
    };
    let (mut shown, mut used, mut wanted) = (0, 0, 0);
    for (at, column) in columns.iter().enumerate() {
        let gap = if shown == 0 { 0 } else { GAP };
        let before = if column.extra { wanted } else { used };
        if before + column.least + gap > width {
            break;
        }
        used += column.least + gap;
        wanted += if column.kind == Kind::Bar { column.least } else { want(at) } + gap;
        shown += 1;
    }
    if shown == 0 {
        return vec![width];
    }
    let mut widths: Vec<usize> = columns[..shown].iter().map(|column| column.least).collect();
    let mut left = width - used;
    let short = |at: &usize| columns[*at].most <= SHORT;
    for at in (0..shown).filter(short) {
        let more = want(at).saturating_sub(widths[at]).min(left);
        widths[at] += more;
        left -= more;
    }
    // The long ones share the rest, cell by cell.
    while left > 0 {
        let before = left;
        for at in (0..shown).filter(|at| !short(at)) {
            let more = usize::from(left > 0 && widths[at] < want(at));
            widths[at] += more;
            left -= more;
        }
        if left == before {
            break;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [column("T", 4, 15, Kind::Text), column("T", 3, 4, Kind::Figure), column("T", 5, 20, Kind::Text)];

    #[test]
    fn columns_go_from_the_right_and_the_rest_is_shared() {
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 40), [6, 3, 9]);
        assert_eq!(fit(&COLUMNS, &[99, 99, 99], 16), [5, 4, 5]);
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 13), [6, 3]);
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 4), [4]);
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 2), [2]);
        assert_eq!(fit(&COLUMNS, &[], 0), [0]);
    }

    #[test]
    fn an_extra_column_cuts_no_other() {
        let columns = [column("NAME", 4, 20, Kind::Text), extra("MORE", 5, 9, Kind::Text)];
        assert_eq!(fit(&columns, &[10, 5], 15), [15 - 5]);
        assert_eq!(fit(&columns, &[10, 5], 16), [10, 5]);
    }
}
