//! What of a folder is left out when it is packed: patterns as `.dockerignore` has them. Pure: must never touch the disk.

/// The patterns, in order; the last that fits a path decides.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
    /// Names at the top that stay, whatever the rules say.
    kept: Vec<String>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// Names of a path, each with `*`, `?` and `[a-z]`, or `**` for any number of them.
    parts: Vec<String>,
    /// Began with `!`: what fits is wanted after all.
    wanted: bool,
}

/// Steps that fitting one name may take: patterns of many stars would take for ever.
const STEPS: usize = 10_000;

impl Ignore {
    /// A line each; empty lines and those that begin with `#` say nothing.
    pub fn parse(text: &str) -> Ignore {
        let mut ignore = Ignore::default();
        text.lines().map(str::trim).filter(|line| !line.starts_with('#')).for_each(|line| ignore.add(line));
        ignore
    }

    /// One more: a path from the folder's top, or with `!` before it one that is wanted.
    pub fn add(&mut self, pattern: &str) {
        let (pattern, wanted) = match pattern.strip_prefix('!') {
            Some(rest) => (rest.trim(), true),
            None => (pattern, false),
        };
        let parts = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned);
        let parts: Vec<String> = parts.collect();
        if !parts.is_empty() {
            self.rules.push(Rule { parts, wanted });
        }
    }

    /// A name that is left out wherever it is; with `/` before it only at the top.
    pub fn add_name(&mut self, name: &str) {
        match name.strip_prefix('/') {
            Some(name) => self.add(name),
            None => self.add(&format!("**/{name}")),
        }
    }

    /// Has what is called so at the top, and all in it, stay.
    pub fn keep(&mut self, name: &str) {
        self.kept.push(name.into());
    }

    /// Whether it is left out: itself, or a folder it is in.
    pub fn leaves_out(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        if self.kept.iter().any(|kept| kept == names[0]) {
            return false;
        }
        let mut out = false;
        for rule in &self.rules {
            let fits = || (1..=names.len()).any(|n| all_fit(&rule.parts, &names[..n]));
            if out == rule.wanted && fits() {
                out = !rule.wanted;
            }
        }
        out
    }

    /// Whether nothing in a folder that is left out can be wanted.
    pub fn leaves_out_all(&self, folder: &str) -> bool {
        self.leaves_out(folder) && !self.rules.iter().any(|rule| rule.wanted)
    }
}

fn all_fit(parts: &[String], names: &[&str]) -> bool {
    match parts.split_first() {
        None => names.is_empty(),
        Some((part, rest)) if part == "**" => (0..=names.len()).any(|n| all_fit(rest, &names[n..])),
        Some((part, rest)) => names.split_first().is_some_and(|(name, names)| {
            let (part, name): (Vec<char>, Vec<char>) = (part.chars().collect(), name.chars().collect());
            fits(&part, &name, &mut 0) && all_fit(rest, names)
        }),
    }
}

fn fits(part: &[char], name: &[char], steps: &mut usize) -> bool {
    *steps += 1;
    if *steps > STEPS {
        return false;
    }
    match part.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|n| fits(rest, &name[n..], steps)),
        Some(('?', rest)) => !name.is_empty() && fits(rest, &name[1..], steps),
        Some(('[', rest)) => match (class(rest), name.split_first()) {
            (Some((set, rest)), Some((c, name))) => among(set, *c) && fits(rest, name, steps),
            _ => false,
        },
        Some(('\\', [c, rest @ ..])) => name.first() == Some(c) && fits(rest, &name[1..], steps),
        Some((c, rest)) => name.first() == Some(c) && fits(rest, &name[1..], steps),
    }
}

/// What stands between brackets, and what behind them.
fn class(text: &[char]) -> Option<(&[char], &[char])> {
    let end = text.iter().skip(1).position(|c| *c == ']')? + 1;
    Some((&text[..end], &text[end + 1..]))
}

fn among(set: &[char], c: char) -> bool {
    let (set, otherwise) = match set {
        ['^', rest @ ..] => (rest, true),
        _ => (set, false),
    };
    let mut found = false;
    let mut rest = set;
    while let Some((first, after)) = rest.split_first() {
        if let ['-', last, after @ ..] = after {
            found |= (*first..=*last).contains(&c);
            rest = after;
        } else {
            found |= *first == c;
            rest = after;
        }
    }
    found != otherwise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let ignore = Ignore::parse(
            "# of nobody's business\n\n*.log\n/build\nnode_modules/\n**/cache\ndocs/**/*.md\n!docs/a/keep.md\n[a-c]?.txt\n\
             x[^0-9]\n",
        );
        for out in [
            "a.log",
            "build",
            "build/deep/down",
            "node_modules/x/y.js",
            "cache",
            "a/b/cache/z",
            "docs/x.md",
            "docs/a/b/x.md",
            "b1.txt",
            "xa",
        ] {
            assert!(ignore.leaves_out(out), "{out}");
        }
        for stays in ["src/a.log", "src/build", "src/node_modules", "cached", "docs/a/keep.md", "docs", "d1.txt", "x1"]
        {
            assert!(!ignore.leaves_out(stays), "{stays}");
        }
        assert!(!ignore.leaves_out_all("build"), "something may be wanted");
        assert!(Ignore::parse("build").leaves_out_all("build"));
        let mut all = Ignore::parse("**");
        all.keep("Dockerfile");
        assert!(all.leaves_out("a/Dockerfile") && !all.leaves_out("Dockerfile"));
        assert!(!Ignore::default().leaves_out("anything"));
        let mut names = Ignore::default();
        names.add_name("__pycache__");
        names.add_name("/venv");
        assert!(names.leaves_out("a/__pycache__/b") && names.leaves_out("venv/x") && !names.leaves_out("a/venv"));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let ignore = Ignore::parse(&"*a".repeat(40));
        assert!(!ignore.leaves_out(&"a".repeat(200).replace("aa", "ab")));
    }
}
