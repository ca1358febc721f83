//! Which rows of a list are shown, and in what order. Pure: must never draw.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What a row has in a column, to sort by.
pub enum Value<'a> {
    Text(Cow<'a, str>),
    /// Unknown comes last, whichever way round.
    Number(Option<f64>),
}

/// A row of a list.
pub trait Sortable {
    /// What it has in the column of this number, counted from 0.
    fn value(&self, column: usize) -> Value<'_>;
    /// Whether it holds a text that is in small letters.
    fn matches(&self, text: &str) -> bool;
}

/// The column rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub column: usize,
    pub descending: bool,
}

/// The keys of the rows that hold `filter`, in order; equal ones by their key.
pub fn arrange<T: Sortable>(rows: &BTreeMap<String, T>, sort: Sort, filter: &str) -> Vec<String> {
    let filter = filter.to_lowercase();
    let mut kept: Vec<(Value<'_>, &String)> = rows
        .iter()
        .filter(|(_, row)| filter.is_empty() || row.matches(&filter))
        .map(|(key, row)| (row.value(sort.column), key))
        .collect();
    kept.sort_by(|(a, a_key), (b, b_key)| by_value(a, b, sort.descending).then_with(|| natural(a_key, b_key)));
    kept.into_iter().map(|(_, key)| key.clone()).collect()
}

fn by_value(a: &Value<'_>, b: &Value<'_>, descending: bool) -> Ordering {
    let turn = |order: Ordering| if descending { order.reverse() } else { order };
    match (a, b) {
        (Value::Number(Some(a)), Value::Number(Some(b))) => turn(a.total_cmp(b)),
        (Value::Number(Some(_)), Value::Number(None)) => Ordering::Less,
        (Value::Number(None), Value::Number(Some(_))) => Ordering::Greater,
        (Value::Text(a), Value::Text(b)) => turn(natural(a, b)),
        _ => Ordering::Equal,
    }
}

/// As people sort names: `node-9` before `node-10`, and capital letters where the small ones are.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let (Some(x), Some(y)) = (left.peek().copied(), right.peek().copied()) else {
            return left.peek().is_some().cmp(&right.peek().is_some()).then_with(|| a.cmp(b));
        };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (x, y) = (number(&mut left), number(&mut right));
            x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
        } else {
            left.next();
            right.next();
            x.to_lowercase().cmp(y.to_lowercase())
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits that come next, without zeros before them.
fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        if digit != '0' || !digits.is_empty() {
            digits.push(digit);
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(&'static str, Option<f64>);

    impl Sortable for Row {
        fn value(&self, column: usize) -> Value<'_> {
            if column == 0 { Value::Text(self.0.into()) } else { Value::Number(self.1) }
        }

        fn matches(&self, text: &str) -> bool {
            self.0.to_lowercase().contains(text)
        }
    }

    fn order(column: usize, descending: bool, filter: &str) -> Vec<String> {
        let rows = [Row("n10", Some(1.0)), Row("n9", None), Row("N2", Some(3.0)), Row("x", Some(1.0))];
        let rows = rows.into_iter().map(|row| (row.0.to_string(), row)).collect();
        arrange(&rows, Sort { column, descending }, filter)
    }

    #[test]
    fn names_sort_as_people_do() {
        assert_eq!(order(0, false, ""), ["N2", "n9", "n10", "x"]);
        assert_eq!(order(0, true, ""), ["x", "n10", "n9", "N2"]);
        assert_eq!(natural("n01", "n1"), "n01".cmp("n1"), "different names are never equal");
        assert_eq!(natural("a", "ab"), Ordering::Less);
    }

    #[test]
    fn what_is_unknown_comes_last_and_ties_stay_put() {
        assert_eq!(order(1, false, ""), ["n10", "x", "N2", "n9"]);
        assert_eq!(order(1, true, ""), ["N2", "n10", "x", "n9"]);
    }

    #[test]
    fn filters_do_not_mind_capitals() {
        assert_eq!(order(0, false, "N"), ["N2", "n9", "n10"]);
        assert!(order(0, false, "nothing").is_empty());
    }
}
