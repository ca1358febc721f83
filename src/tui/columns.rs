//! How wide the columns of a table are. Pure: must never draw.

/// A column of a table.
pub struct Column {
    pub title: &'static str,
    /// Cells it needs at least.
    pub least: usize,
    /// Cells it is given at most.
    pub most: usize,
    /// Figures stand at the right, and most comes first.
    pub figure: bool,
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
    let mut shown = 0;
    let mut used = 0;
    for column in columns {
        let needs = column.least + if shown == 0 { 0 } else { GAP };
        if used + needs > width {
            break;
        }
        used += needs;
        shown += 1;
    }
    if shown == 0 {
        return vec![width];
    }
    let mut widths: Vec<usize> = columns[..shown].iter().map(|column| column.least).collect();
    let mut left = width - used;
    let short = |at: &usize| columns[*at].most <= SHORT;
    let order = (0..shown).filter(short).chain((0..shown).filter(|at| !short(at)));
    for at in order {
        let given = &mut widths[at];
        let more = want(at).saturating_sub(*given).min(left);
        *given += more;
        left -= more;
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn column(least: usize, most: usize) -> Column {
        Column { title: "T", least, most, figure: false }
    }

    const COLUMNS: [Column; 3] = [column(4, 15), column(3, 4), column(5, 20)];

    #[test]
    fn columns_go_from_the_right_and_the_rest_is_shared() {
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 40), [6, 3, 9]);
        assert_eq!(fit(&COLUMNS, &[99, 99, 99], 16), [5, 4, 5]);
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 13), [6, 3]);
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 4), [4]);
        assert_eq!(fit(&COLUMNS, &[6, 3, 9], 2), [2]);
        assert_eq!(fit(&COLUMNS, &[], 0), [0]);
    }
}
