//! What somebody probably meant whose word is none of those there are. Must never guess far.

/// At the end of an error: the word that is at most two letters away, or nothing.
pub fn meant<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> String {
    let near = words.map(|known| (distance(word, known), known)).min();
    // All of a short word may be other letters: then it is no slip.
    let near = near.filter(|(far, known)| *far <= 2 && *far < known.chars().count());
    near.map(|(_, known)| format!("; did you mean '{known}'?")).unwrap_or_default()
}

/// How many letters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let best = (row[j] + 1).min(row[j + 1] + 1).min(corner + usize::from(x != *y));
            corner = row[j + 1];
            row[j + 1] = best;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let words = || ["limit", "after", "up"].into_iter();
        assert_eq!(meant("limt", words()), "; did you mean 'limit'?");
        assert_eq!(meant("atfer", words()), "; did you mean 'after'?");
        for other in ["", "xy", "node", "unlimited"] {
            assert_eq!(meant(other, words()), "", "{other}");
        }
    }
}
