//! A table on the screen: selection by key, scrolling, sorting, an inline filter. Draws what is visible; must never copy rows.

use super::columns::{self, Column, Kind};
use super::order::{Sort, Sortable, arrange};
use super::pane::{Pane, WHEEL};
use super::rows::Rows;
use crate::tui::bars;
use crate::tui::keymap::Action;
use crate::tui::paste;
use crate::tui::scroll;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::event::{Event, Key};
use cursive::theme::Effect;
use cursive::{Printer, Vec2};
use std::borrow::Cow;
use std::marker::PhantomData;

/// What stands in a cell.
pub enum Cell<'a> {
    Text(Cow<'a, str>, Tone),
    /// A percentage.
    Bar(Option<f64>),
}

/// A row of a table.
pub trait Row: Sortable {
    const COLUMNS: &'static [Column];
    /// How rows are sorted until someone sorts them.
    const SORT: Sort = Sort { column: 0, descending: false };

    fn cell(&self, column: usize) -> Cell<'_>;
}

/// The longest filter that can be typed.
const FILTER_MAX: usize = 100;

/// Where one is in a list, and how it is arranged.
pub struct Table<T> {
    /// Keys, as shown.
    order: Vec<String>,
    /// The rows' revision `order` is of; `None` when it must be made anew.
    arranged: Option<u64>,
    wants: Vec<usize>,
    sort: Sort,
    filter: String,
    editing: bool,
    selected: Option<String>,
    /// Whether someone chose that row; until then it is the first one, and the view stays at the top however rows move.
    chosen: bool,
    top: usize,
    /// Rows that fit, without the head.
    height: usize,
    /// Whether the selected row must be visible: not while the wheel looks elsewhere.
    pinned: bool,
    row: PhantomData<fn() -> T>,
}

impl<T: Row> Default for Table<T> {
    fn default() -> Self {
        Table {
            order: Vec::new(),
            arranged: None,
            wants: Vec::new(),
            sort: T::SORT,
            filter: String::new(),
            editing: false,
            selected: None,
            chosen: false,
            top: 0,
            height: 0,
            pinned: true,
            row: PhantomData,
        }
    }
}

impl<T: Row> Table<T> {
    /// Filters and sorts again, when something changed since.
    pub fn arrange(&mut self, rows: &Rows<T>) {
        if self.arranged == Some(rows.revision()) {
            return;
        }
        let at = self.position().unwrap_or(0);
        self.order = arrange(rows, self.sort, &self.filter);
        self.arranged = Some(rows.revision());
        self.wants = (0..T::COLUMNS.len()).map(|column| want(rows, column)).collect();
        if !self.chosen {
            self.selected = self.order.first().cloned();
        } else if self.position().is_none() {
            // The selected row is gone: the one that has taken its place.
            self.selected = self.order.get(at.min(self.order.len().saturating_sub(1))).cloned();
        }
    }

    /// Makes it fit what is known and the size of its pane, head included.
    pub fn layout(&mut self, rows: &Rows<T>, size: Vec2) {
        self.arrange(rows);
        self.height = size.y.saturating_sub(1);
        if let Some(at) = self.position().filter(|_| self.pinned) {
            self.top = self.top.clamp((at + 1).saturating_sub(self.height).min(at), at);
        }
        self.top = self.top.min(self.order.len().saturating_sub(self.height));
    }

    fn position(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.order.iter().position(|key| key == selected)
    }

    /// The key of the row that actions are for.
    pub fn selected(&self) -> Option<&str> {
        self.selected.as_deref().filter(|_| !self.order.is_empty())
    }

    /// Whether all rows are shown in the order of the first column.
    pub fn as_given(&self) -> bool {
        self.filter.is_empty() && self.sort == Sort { column: 0, descending: false }
    }

    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Whether keys go into the filter.
    pub fn editing(&self) -> bool {
        self.editing
    }

    /// Rows there are to see.
    pub fn shown(&self) -> usize {
        self.order.len()
    }

    /// Its name, and how many rows there are and are shown.
    pub fn title(&self, name: &str, rows: &Rows<T>) -> String {
        match (rows.len(), self.shown()) {
            (0, _) => name.to_string(),
            (all, shown) if shown < all => format!("{name} ({shown} of {all})"),
            (all, _) => format!("{name} ({all})"),
        }
    }

    /// The filter, that its rows are old, and which of them fit.
    pub fn note(&self, old: bool) -> String {
        let filter = match self.editing {
            true => Some(format!("/{}▏", self.filter)),
            false => (!self.filter.is_empty()).then(|| format!("/{} esc clears", self.filter)),
        };
        let notes = [filter, old.then(|| "old".to_string()), self.range()];
        notes.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }

    /// `3-12 of 40` when not all rows fit.
    pub fn range(&self) -> Option<String> {
        (self.order.len() > self.height && self.height > 0).then(|| {
            format!("{}-{} of {}", self.top + 1, (self.top + self.height).min(self.order.len()), self.order.len())
        })
    }

    /// Moves, sorts or filters; `false` when the action is not its own.
    pub fn act(&mut self, action: Action, number: usize) -> bool {
        match action {
            Action::Sort => return self.sort_by(number),
            Action::Filter => self.editing = true,
            Action::Back if !self.filter.is_empty() => self.set_filter(String::new()),
            _ => {
                let (at, last) = (self.position().unwrap_or(0), self.order.len().saturating_sub(1));
                let Some(to) = scroll::to(action, at, self.height, last) else { return false };
                self.select(to);
            }
        }
        true
    }

    /// Selects a row by its key, if it is there to be seen.
    pub fn select_key(&mut self, key: &str) -> bool {
        let at = self.order.iter().position(|shown| shown == key);
        at.inspect(|at| self.select(*at)).is_some()
    }

    fn select(&mut self, at: usize) {
        self.selected = self.order.get(at).cloned();
        self.chosen = self.selected.is_some();
        self.pinned = true;
    }

    fn sort_by(&mut self, number: usize) -> bool {
        let Some(column) = number.checked_sub(1).filter(|column| *column < T::COLUMNS.len()) else { return false };
        self.sort = match self.sort.column == column {
            true => Sort { column, descending: !self.sort.descending },
            false => Sort { column, descending: T::COLUMNS[column].kind != Kind::Text },
        };
        self.arranged = None;
        self.pinned = true;
        true
    }

    fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arranged = None;
        self.pinned = true;
    }

    fn extend_filter(&mut self, text: &str) {
        self.set_filter(self.filter.chars().chain(text.chars()).take(FILTER_MAX).collect());
    }

    /// A key while the filter is typed: all of them are text, or end it.
    fn type_filter(&mut self, event: &Event) {
        match event {
            Event::Char(c) if !c.is_control() => self.extend_filter(&c.to_string()),
            Event::Unknown(pasted) => self.extend_filter(&paste::text(pasted, true)),
            Event::Key(Key::Backspace) => {
                let mut filter = self.filter.clone();
                filter.pop();
                self.set_filter(filter);
            }
            Event::CtrlChar('u') => self.set_filter(String::new()),
            Event::Key(Key::Esc) => {
                self.editing = false;
                self.set_filter(String::new());
            }
            Event::Key(Key::Enter) => self.editing = false,
            Event::Key(Key::Up) => drop(self.act(Action::Up, 0)),
            Event::Key(Key::Down) => drop(self.act(Action::Down, 0)),
            _ => {}
        }
    }

    /// Draws head and rows over the whole of the printer.
    pub fn draw(&self, printer: &Printer, rows: &Rows<T>, focused: bool, stale: bool) {
        let widths = columns::fit(T::COLUMNS, &self.wants, printer.size.x);
        self.draw_head(printer, &widths);
        for (y, key) in self.order.iter().skip(self.top).take(printer.size.y.saturating_sub(1)).enumerate() {
            let Some(row) = rows.get(key) else { continue };
            let mut line = printer.clone();
            if self.selected.as_ref() == Some(key) {
                line.set_style(if focused { Tone::Selected.style() } else { Tone::Unfocused.style() });
                line.print_hline((0, y + 1), printer.size.x, " ");
            }
            if stale {
                line.set_effect(Effect::Dim);
            }
            let mut x = 0;
            for (column, wide) in widths.iter().enumerate() {
                match row.cell(column) {
                    Cell::Bar(percent) => bars::bar(&line, (x, y + 1), *wide, percent),
                    Cell::Text(content, tone) => {
                        let right = T::COLUMNS[column].kind != Kind::Text;
                        let content = if right { text::right(&content, *wide) } else { text::left(&content, *wide) };
                        line.with_style(tone.style(), |p| p.print((x, y + 1), &content));
                    }
                }
                x += wide + columns::GAP;
            }
        }
    }

    fn draw_head(&self, printer: &Printer, widths: &[usize]) {
        let mut x = 0;
        for (column, wide) in widths.iter().enumerate() {
            let mark = match (self.sort.column == column, self.sort.descending) {
                (false, _) => "",
                (true, false) => "▲",
                (true, true) => "▼",
            };
            let title = format!("{}{mark}", text::cut(T::COLUMNS[column].title, wide - text::width(mark).min(*wide)));
            let title = if T::COLUMNS[column].kind != Kind::Text {
                text::right(&title, *wide)
            } else {
                text::left(&title, *wide)
            };
            printer.with_style(Tone::Title.style(), |p| p.print((x, 0), &title));
            x += wide + columns::GAP;
        }
    }
}

impl<T: Row> Pane for Table<T> {
    fn act(&mut self, action: Action, number: usize, _: usize) -> bool {
        Table::act(self, action, number)
    }

    fn wheel(&mut self, down: bool, _: usize) {
        self.pinned = false;
        let last = self.order.len().saturating_sub(self.height);
        self.top = if down { (self.top + WHEEL).min(last) } else { self.top.saturating_sub(WHEEL) };
    }

    /// Sorts at the head; else selects.
    fn click(&mut self, at: Vec2, width: usize) -> bool {
        if at.y == 0 {
            let mut right = 0;
            for (column, wide) in columns::fit(T::COLUMNS, &self.wants, width).into_iter().enumerate() {
                right += wide + columns::GAP;
                if at.x < right {
                    self.sort_by(column + 1);
                    break;
                }
            }
            return false;
        }
        let row = self.top + at.y - 1;
        let again = self.position() == Some(row);
        if row < self.order.len() {
            self.select(row);
        }
        again
    }

    fn typing(&self) -> bool {
        self.editing
    }

    fn type_key(&mut self, key: &Event) {
        self.type_filter(key);
    }
}

/// Cells the content of a column takes; a bar takes what it is given.
fn want<T: Row>(rows: &Rows<T>, column: usize) -> usize {
    let wide = |row: &T| match row.cell(column) {
        Cell::Text(content, _) => text::width(&content),
        Cell::Bar(_) => T::COLUMNS[column].most,
    };
    rows.values().map(wide).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::panes::order::Value;

    struct One(String, f64);

    impl Sortable for One {
        fn value(&self, column: usize) -> Value<'_> {
            if column == 0 { Value::Text(self.0.as_str().into()) } else { Value::Number(Some(self.1)) }
        }

        fn matches(&self, text: &str) -> bool {
            self.0.contains(text)
        }
    }

    impl Row for One {
        const COLUMNS: &'static [Column] =
            &[columns::column("NAME", 4, 10, Kind::Text), columns::column("N", 4, 4, Kind::Figure)];

        fn cell(&self, _: usize) -> Cell<'_> {
            Cell::Text(self.0.as_str().into(), Tone::Plain)
        }
    }

    fn rows(names: &[(&str, f64)]) -> Rows<One> {
        let mut rows = Rows::default();
        for (name, n) in names {
            rows.insert(name.to_string(), One(name.to_string(), *n));
        }
        rows
    }

    const SIZE: Vec2 = Vec2 { x: 20, y: 3 };

    #[test]
    fn the_selection_stays_on_its_row_while_rows_move_and_goes_to_the_next_when_it_is_gone() {
        let mut rows = rows(&[("a", 1.0), ("b", 2.0), ("c", 3.0)]);
        let mut table = Table::default();
        table.layout(&rows, SIZE);
        assert_eq!(table.selected(), Some("a"));
        table.act(Action::Down, 0);
        table.act(Action::Sort, 2);
        table.layout(&rows, SIZE);
        assert_eq!((table.order.join(""), table.selected()), ("cba".into(), Some("b")));
        rows.insert("b".into(), One("b".into(), 0.0));
        table.layout(&rows, SIZE);
        assert_eq!((table.order.join(""), table.selected(), table.top), ("cab".into(), Some("b"), 1));
        rows.remove("b");
        table.layout(&rows, SIZE);
        assert_eq!(table.selected(), Some("a"), "the last one, where it was the last");
        rows.clear();
        table.layout(&rows, SIZE);
        assert_eq!(table.selected(), None);
    }

    #[test]
    fn until_a_row_is_chosen_the_first_is_selected() {
        let mut rows = rows(&[("b", 1.0), ("c", 2.0)]);
        let mut table = Table::default();
        table.layout(&rows, SIZE);
        table.act(Action::Sort, 2);
        table.layout(&rows, SIZE);
        assert_eq!(table.selected(), Some("c"));
        table.act(Action::Top, 0);
        rows.insert("a".into(), One("a".into(), 9.0));
        table.layout(&rows, SIZE);
        assert_eq!((table.order.join(""), table.selected()), ("acb".into(), Some("c")));
    }

    #[test]
    fn it_is_arranged_only_when_something_changed() {
        let rows = rows(&[("a", 1.0)]);
        let mut table = Table::default();
        table.layout(&rows, SIZE);
        table.order.push("mark".into());
        table.layout(&rows, SIZE);
        assert_eq!(table.order.len(), 2, "not again");
        table.act(Action::Sort, 1);
        table.layout(&rows, SIZE);
        assert_eq!(table.order.len(), 1);
    }

    #[test]
    fn a_paste_goes_into_the_filter_as_text() {
        let rows = rows(&[("q-1", 1.0), ("b", 2.0)]);
        let mut table = Table::default();
        table.layout(&rows, SIZE);
        table.act(Action::Filter, 0);
        table.type_filter(&Event::Unknown(b"q-\r\n".to_vec()));
        table.type_filter(&Event::Char('1'));
        table.layout(&rows, SIZE);
        assert_eq!((table.filter(), table.order.join("")), ("q-1", "q-1".into()));
        table.type_filter(&Event::Unknown("日".repeat(5_000).into_bytes()));
        assert_eq!(table.filter().chars().count(), FILTER_MAX);
    }

    #[test]
    fn the_wheel_looks_elsewhere_and_a_key_comes_back() {
        let names: Vec<String> = (10..60).map(|n| format!("n{n}")).collect();
        let rows = rows(&names.iter().map(|n| (n.as_str(), 0.0)).collect::<Vec<_>>());
        let mut table = Table::default();
        table.layout(&rows, SIZE);
        table.wheel(true, 2);
        table.layout(&rows, SIZE);
        assert_eq!((table.top, table.selected()), (3, Some("n10")));
        table.act(Action::Down, 0);
        table.layout(&rows, SIZE);
        assert_eq!((table.top, table.selected()), (1, Some("n11")));
        table.act(Action::Bottom, 0);
        table.layout(&rows, SIZE);
        assert_eq!((table.top, table.range().as_deref()), (48, Some("49-50 of 50")));
        table.layout(&rows, Vec2 { x: 0, y: 0 });
        assert_eq!(table.range(), None);
    }
}
