//! A search in a log: what is looked for, which lines have it, which one was gone to. Must never scroll or draw.

use crate::tui::log::Log;
use std::collections::VecDeque;

/// What is looked for, and where it is.
#[derive(Default)]
pub struct Search {
    words: Vec<char>,
    /// Capitals in it mean themselves.
    exact: bool,
    /// Numbers of the lines that have it, counted since the start.
    lines: VecDeque<u64>,
    /// Up to which line `lines` is complete.
    upto: u64,
    /// The one gone to last.
    at: Option<u64>,
}

impl Search {
    /// For these words; nothing is looked at yet.
    pub fn new(words: &str) -> Search {
        let exact = words.chars().any(char::is_uppercase);
        Search { words: words.chars().collect(), exact, ..Default::default() }
    }

    /// Where it is in a text: first characters.
    pub fn places(&self, text: &[char]) -> Vec<usize> {
        let count = self.words.len();
        if count == 0 || text.len() < count {
            return Vec::new();
        }
        let fold = |c: char| if self.exact { c } else { c.to_lowercase().next().unwrap_or(c) };
        let same = |start: &usize| text[*start..*start + count].iter().zip(&self.words).all(|(a, b)| fold(*a) == *b);
        (0..=text.len() - count).filter(same).collect()
    }

    /// Looks at the lines that are new, and forgets those that are gone.
    pub fn update(&mut self, log: &Log) {
        let first = log.dropped();
        while self.lines.front().is_some_and(|line| *line < first) {
            self.lines.pop_front();
        }
        if self.words.is_empty() {
            return;
        }
        let from = self.upto.max(first);
        for (number, line) in (from..).zip(log.lines().skip((from - first) as usize)) {
            let text: Vec<char> = line.text.chars().collect();
            if !self.places(&text).is_empty() {
                self.lines.push_back(number);
            }
        }
        self.upto = first + log.lines().len() as u64;
    }

    /// The next line that has it, or the one before; round the ends.
    pub fn step(&mut self, forward: bool, from: u64) -> Option<u64> {
        let found = match (forward, self.at) {
            (true, Some(at)) => self.lines.iter().find(|line| **line > at),
            (true, None) => self.lines.iter().find(|line| **line >= from),
            (false, at) => self.lines.iter().rev().find(|line| **line < at.unwrap_or(from)),
        };
        let end = if forward { self.lines.front() } else { self.lines.back() };
        self.at = found.or(end).copied();
        self.at
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// How many characters are looked for.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether no line has it.
    pub fn found_nothing(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether this line is the one gone to last.
    pub fn is_at(&self, line: u64) -> bool {
        self.at == Some(line)
    }

    /// `match 3 of 17`.
    pub fn told(&self) -> String {
        let place = self.at.and_then(|at| self.lines.iter().position(|line| *line == at));
        match (self.lines.len(), place) {
            _ if self.words.is_empty() => String::new(),
            (0, _) => "no match".to_string(),
            (all, Some(place)) => format!("match {} of {all}", place + 1),
            (1, None) => "1 match".to_string(),
            (all, None) => format!("{all} matches"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(words: &str, text: &str) -> Vec<usize> {
        Search::new(words).places(&text.chars().collect::<Vec<_>>())
    }

    #[test]
    fn capitals_mean_themselves_when_there_are_some() {
        assert_eq!(places("ab", "AB ab aB"), [0, 3, 6]);
        assert_eq!(places("aB", "AB ab aB"), [6]);
        assert_eq!(places("é日", "É日é日"), [0, 2]);
        assert_eq!((places("", "a"), places("abc", "ab")), (vec![], vec![]));
        assert_eq!(places("aa", "aaa"), [0, 1]);
    }
}
