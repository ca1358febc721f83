//! Where panes stand on a screen of any size. Pure: must never draw.

use cursive::{Printer, Vec2};

/// From these columns and rows on panes stand side by side, in boxes.
const WIDE: usize = 100;
const TALL: usize = 16;
/// From these on all boxes have room at once.
const ROOMY: usize = 140;
const HIGH: usize = 40;
/// Rows a pane of several has at least when it is more than its title.
const OPEN: usize = 4;

/// The rows left between title and footer.
pub struct Screen {
    pub title: usize,
    pub body: Area,
    /// The footer's row, if there is room for one.
    pub footer: Option<usize>,
}

/// Title at the top, footer at the bottom.
pub fn screen(size: Vec2, title: usize) -> Screen {
    let title = if low(size) { title.min(1) } else { title }.min(size.y);
    let footer = (size.y > title + 1).then(|| size.y - 1);
    let rows = footer.unwrap_or(size.y) - title;
    Screen { title, body: area(0, title, size.x, rows), footer }
}

/// A part of the screen; unlike cursive's `Rect` it may be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    pub at: Vec2,
    pub size: Vec2,
}

/// An area.
pub fn area(x: usize, y: usize, width: usize, height: usize) -> Area {
    Area { at: Vec2::new(x, y), size: Vec2::new(width, height) }
}

impl Area {
    pub fn contains(&self, place: Vec2) -> bool {
        place.checked_sub(self.at).is_some_and(|within| within.strictly_lt(self.size))
    }

    /// What draws there and nowhere else.
    pub fn printer<'p, 'b>(&self, printer: &Printer<'p, 'b>) -> Printer<'p, 'b> {
        printer.offset(self.at).cropped(self.size)
    }
}

/// Whether there is room for boxes side by side.
pub fn wide(size: Vec2) -> bool {
    size.x >= WIDE && size.y >= TALL
}

/// Whether there is room for one more box.
pub fn roomy(size: Vec2) -> bool {
    size.x >= ROOMY && size.y >= HIGH
}

/// Whether each row counts.
pub fn low(size: Vec2) -> bool {
    size.y < TALL
}

/// Rows for panes above each other, their titles included. `wants` is what each could use; the one with the focus is
/// served first, and what nobody wants goes to the last. Where there is no room for all, the others are only titles, and
/// then nothing.
pub fn stack(height: usize, wants: &[usize], focus: usize) -> Vec<usize> {
    let panes = wants.len();
    if height < panes + 2 {
        return (0..panes).map(|pane| if pane == focus { height } else { 0 }).collect();
    }
    let mut rows = vec![1; panes];
    let mut left = height - panes;
    let mut give = |rows: &mut Vec<usize>, pane: usize, up_to: usize| {
        let more = up_to.min(wants[pane]).saturating_sub(rows[pane]).min(left);
        rows[pane] += more;
        left -= more;
        left
    };
    if give(&mut rows, focus, OPEN) >= (OPEN - 1) * (panes - 1) {
        for pane in 0..panes {
            give(&mut rows, pane, OPEN);
        }
        give(&mut rows, focus, height / 2);
        let mut up_to = OPEN;
        while up_to < height && give(&mut rows, focus, 0) > 0 {
            up_to += 1;
            for pane in 0..panes {
                give(&mut rows, pane, up_to);
            }
        }
    } else {
        give(&mut rows, focus, height);
    }
    let left = give(&mut rows, focus, height);
    rows[panes - 1] += left;
    rows
}

/// Areas of panes above each other, as `stack` has it.
pub fn stacked(body: Area, wants: &[usize], focus: usize) -> Vec<Area> {
    let mut y = body.at.y;
    let place = |rows| {
        let place = area(body.at.x, y, body.size.x, rows);
        y += rows;
        place
    };
    stack(body.size.y, wants, focus).into_iter().map(place).collect()
}

/// Rows for boxes above each other: each gets what it wants, those that want much share, and what is left is shared too.
pub fn share(height: usize, wants: &[usize]) -> Vec<usize> {
    let mut rows = vec![0; wants.len()];
    let mut left = height;
    for content in [false, true] {
        let mut before = usize::MAX;
        while left > 0 && left < before {
            before = left;
            for (rows, want) in rows.iter_mut().zip(wants) {
                let more = usize::from(left > 0 && (content || *rows < *want));
                *rows += more;
                left -= more;
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_focused_pane_is_served_first_and_all_rows_are_used() {
        assert_eq!(stack(21, &[202, 7, 999], 0), [10, 6, 5]);
        assert_eq!(stack(21, &[3, 3, 999], 0), [3, 3, 15], "what nobody wants goes to the last");
        assert_eq!(stack(8, &[202, 7, 999], 1), [1, 6, 1]);
        assert_eq!(stack(3, &[9, 9, 9], 2), [0, 0, 3]);
        assert_eq!(stack(0, &[9, 9, 9], 0), [0, 0, 0]);
        for height in 0..60 {
            for focus in 0..4 {
                let rows = stack(height, &[30, 2, 12, 999], focus);
                assert_eq!(rows.iter().sum::<usize>(), height, "{rows:?}");
                assert!(rows[focus] >= height.min(2), "{rows:?} at {focus}");
            }
        }
    }

    #[test]
    fn boxes_share_what_there_is() {
        assert_eq!(share(30, &[4, 50, 5]), [4, 21, 5]);
        assert_eq!(share(30, &[50, 50, 5]), [13, 12, 5]);
        assert_eq!(share(30, &[4, 5]), [15, 15], "what nobody wants is shared too");
        assert_eq!(share(2, &[4, 5, 6]), [1, 1, 0]);
        assert_eq!(share(9, &[4]), [9]);
        assert!(share(9, &[]).is_empty());
    }

    #[test]
    fn a_screen_without_room_has_no_footer() {
        assert_eq!(screen(Vec2::new(20, 5), 2).footer, Some(4));
        assert_eq!(screen(Vec2::new(20, 2), 2).footer, None);
        assert_eq!(screen(Vec2::new(0, 0), 2).title, 0);
    }
}
