//! Part of a list: the rows that were asked for by `?limit=` and `?after=`, and the link to what follows.

use super::encode;
use crate::cluster::Cluster;
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, value};
use crate::orchestrator::state::{PIECE, State};
use serde::Serialize;

/// Rows a list gives when not asked for a number, and at most.
pub const ROWS: usize = 100;
pub const ROWS_MAX: usize = 1_000;

/// Some rows of a list, and the link to what follows, if anything does.
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next: Option<String>,
}

/// What one look at a list of the cluster's gives.
pub struct Piece<T> {
    rows: Vec<T>,
    /// The last that was looked at, if more may be wanted from behind it.
    last: Option<String>,
}

impl<T> Piece<T> {
    /// Of a list in the order of its ids, at most so many rows; `shown` answers nothing for those that are not wanted.
    pub fn of<'a, R: 'a>(
        list: impl Iterator<Item = &'a R>,
        most: usize,
        id: fn(&R) -> &str,
        shown: impl Fn(&'a R) -> Option<T>,
    ) -> Self {
        let (mut rows, mut looked_at) = (Vec::new(), 0);
        for row in list.take(PIECE) {
            looked_at += 1;
            rows.extend(shown(row));
            if rows.len() == most || looked_at == PIECE {
                return Piece { rows, last: Some(id(row).into()) };
            }
        }
        Piece { rows, last: None }
    }
}

impl<T> Page<T> {
    /// What was asked for, of all rows in the order of their ids, which are at hand.
    pub fn of(call: &Call, rows: Vec<T>, id: impl Fn(&T) -> String) -> Result<Page<T>, Problem> {
        let limit = limit_or(call, ROWS)?;
        let after = value(&call.query, "after");
        let begin = after.map_or(0, |after| rows.partition_point(|row| id(row).as_str() <= after));
        Ok(Page::first(call, limit, rows.into_iter().skip(begin).take(limit + 1).collect(), id))
    }

    /// What was asked for of a list of the cluster's, `usual` rows unless a number was. Begins where it was told to, and
    /// looks piece by piece, so that calls do not wait for all of it. `piece`: some from behind an id on, at most so many.
    pub fn of_cluster(
        call: &Call,
        usual: usize,
        state: &State,
        id: impl Fn(&T) -> String,
        piece: impl Fn(&Cluster, &str, usize) -> Piece<T>,
    ) -> Result<Page<T>, Problem> {
        let limit = limit_or(call, usual)?;
        let mut rows = Vec::new();
        state.each_piece(value(&call.query, "after").unwrap_or("").into(), |cluster, behind| {
            let piece = piece(cluster, behind, limit + 1 - rows.len());
            rows.extend(piece.rows);
            piece.last.filter(|_| rows.len() <= limit)
        });
        Ok(Page::first(call, limit, rows, id))
    }

    /// Of rows behind the one asked for, among them one more than `limit` where there is one.
    pub fn first(call: &Call, limit: usize, mut rows: Vec<T>, id: impl Fn(&T) -> String) -> Page<T> {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| next_link(call, &id(last)));
        Page { rows, next }
    }

    /// The same rows, shown otherwise.
    pub fn map<U>(self, shown: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(shown).collect(), next: self.next }
    }

    /// The answer, with the rows in another shape.
    pub fn reply_as(self, shape: impl FnOnce(Vec<T>) -> Reply) -> Reply {
        let mut reply = shape(self.rows);
        reply.headers.extend(self.next.map(|link| ("Link", link)));
        reply
    }
}

impl<T: Serialize> Page<T> {
    /// The answer.
    pub fn reply(self) -> Reply {
        self.reply_as(|rows| Reply::json(200, &rows))
    }
}

/// The link to what follows after a row.
pub fn next_link(call: &Call, last: &str) -> String {
    let others = call.query.iter().filter(|(k, _)| k != "after").map(|(k, v)| format!("{}={}&", encode(k), encode(v)));
    format!("<{}?{}after={}>; rel=\"next\"", call.path, others.collect::<String>(), encode(last))
}

/// How many rows were asked for.
pub fn limit(call: &Call) -> Result<usize, Problem> {
    limit_or(call, ROWS)
}

fn limit_or(call: &Call, usual: usize) -> Result<usize, Problem> {
    match value(&call.query, "limit").map(str::parse) {
        None => Ok(usual),
        Some(Ok(n)) if (1..=ROWS_MAX).contains(&n) => Ok(n),
        Some(_) => Err(Problem::new(400, "invalid_field", format!("limit: must be 1 to {ROWS_MAX}"))),
    }
}

/// A word of the query that must be one of these.
pub fn one_of<T: Copy, const N: usize>(
    query: &[(String, String)],
    name: &str,
    all: [T; N],
    word: fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    let Some(said) = value(query, name) else { return Ok(None) };
    all.into_iter().find(|one| word(*one) == said).map(Some).ok_or_else(|| {
        let detail = format!("{name}: '{}' is none of {}", said.escape_debug(), all.map(word).join(", "));
        Problem::new(400, "invalid_field", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Caller;
    use std::collections::BTreeSet;
    use std::ops::Bound;

    fn call(query: &[(&str, &str)]) -> Call {
        let query = query.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Call { params: Vec::new(), query, body: Vec::new(), path: "/rows".into(), by: Caller::default() }
    }

    #[test]
    fn a_piece_begins_where_it_is_told_to_and_looks_at_no_more_than_it_must() {
        let all: BTreeSet<String> = (0..10_000).map(|n| format!("r{n:05}")).collect();
        let piece = |behind: &str, most, every: usize| {
            let mut looked_at = 0;
            let list = all.range::<str, _>((Bound::Excluded(behind), Bound::Unbounded)).inspect(|_| looked_at += 1);
            let wanted = |row: &String| row[1..].parse::<usize>().unwrap() % every == 0;
            let piece = Piece::of(list, most, |row| row, |row| wanted(row).then_some(row));
            (piece.rows.len(), piece.rows.first().map(|row| row.as_str()), piece.last, looked_at)
        };
        assert_eq!(piece("r09000", 11, 1), (11, Some("r09001"), Some("r09011".into()), 11));
        assert_eq!(
            piece("", 1_001, 1),
            (PIECE, Some("r00000"), Some("r00127".into()), PIECE),
            "the next piece is another's"
        );
        assert_eq!(piece("r00127", 3, 4_000), (0, None, Some("r00255".into()), PIECE), "few fit");
        assert_eq!(piece("r09998x", 9, 1), (1, Some("r09999"), None, 1), "from behind one that is not there any more");
        assert_eq!(piece("r09999", 9, 1), (0, None, None, 0));
    }

    #[test]
    fn a_list_at_hand_is_given_from_behind_the_cursor() {
        let rows = || (0..9).map(|n| n.to_string()).collect::<Vec<_>>();
        let page = Page::of(&call(&[("after", "3"), ("limit", "2")]), rows(), String::clone).unwrap();
        assert_eq!((page.rows, page.next.is_some()), (vec!["4".into(), "5".into()], true));
        let page = Page::of(&call(&[("after", "6")]), rows(), String::clone).unwrap();
        assert_eq!((page.rows, page.next), (vec!["7".into(), "8".to_string()], None));
    }
}
