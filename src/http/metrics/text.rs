//! The text that Prometheus reads (its exposition format, version 0.0.4). Knows nothing of what is measured.

use crate::cluster::Histogram;
use std::fmt::{Display, Write};

/// The media type of it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A document on its way. What is written to a `String` is always taken.
#[derive(Default)]
pub struct Text(String);

/// What labels a sample has.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Text {
    /// Begins a metric that only grows; its name must end with `_total`.
    pub fn counter<'a>(&'a mut self, name: &'static str, help: &str) -> Family<'a> {
        self.family(name, "counter", help)
    }

    /// Begins one that goes up and down.
    pub fn gauge<'a>(&'a mut self, name: &'static str, help: &str) -> Family<'a> {
        self.family(name, "gauge", help)
    }

    /// Begins one that tells how long things took.
    pub fn histogram<'a>(&'a mut self, name: &'static str, help: &str) -> Family<'a> {
        self.family(name, "histogram", help)
    }

    fn family<'a>(&'a mut self, name: &'static str, kind: &str, help: &str) -> Family<'a> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: &mut self.0, name }
    }

    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// A metric whose samples are being written.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// One sample.
    pub fn is(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.sample("", labels, None, value);
        self
    }

    /// A sample for each of these, told apart by one label.
    pub fn each<'a, V: Display>(&mut self, label: &'static str, all: impl IntoIterator<Item = (&'a str, V)>) {
        for (name, value) in all {
            self.is(&[(label, name)], value);
        }
    }

    /// A histogram's samples, in seconds.
    pub fn took(&mut self, labels: Labels<'_>, took: &Histogram) -> &mut Self {
        for (bound_us, count) in took.up_to() {
            self.sample("_bucket", labels, Some(&seconds(bound_us).to_string()), count);
        }
        self.sample("_bucket", labels, Some("+Inf"), took.count());
        self.sample("_sum", labels, None, seconds(took.sum_us()));
        self.sample("_count", labels, None, took.count());
        self
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(value, self.text);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn escape(value: &str, to: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            other => to.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.counter("a_total", "Of a\\b\nc.").is(&[], 3).is(&[("x", "q\"\\\n"), ("y", "")], 0.25);
        text.gauge("g", "G.").each("state", [("warm", 1_u64), ("frozen", 2)]);
        let text = String::from_utf8(text.into_bytes()).unwrap();
        let expected = "# HELP a_total Of a\\\\b\\nc.\n# TYPE a_total counter\na_total 3\n\
             a_total{x=\"q\\\"\\\\\\n\",y=\"\"} 0.25\n\
             # HELP g G.\n# TYPE g gauge\ng{state=\"warm\"} 1\ng{state=\"frozen\"} 2\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_histogram_adds_up_in_seconds() {
        let mut took = Histogram::default();
        [400, 700, 2_000_000, 100_000_000].into_iter().for_each(|us| took.add(us));
        let mut text = Text::default();
        text.histogram("h_seconds", "H.").took(&[("f", "x")], &took);
        let text = String::from_utf8(text.into_bytes()).unwrap();
        for line in [
            "h_seconds_bucket{f=\"x\",le=\"0.0005\"} 1",
            "h_seconds_bucket{f=\"x\",le=\"0.001\"} 2",
            "h_seconds_bucket{f=\"x\",le=\"60\"} 3",
            "h_seconds_bucket{f=\"x\",le=\"+Inf\"} 4",
            "h_seconds_sum{f=\"x\"} 102.0011",
            "h_seconds_count{f=\"x\"} 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
        }
    }
}
