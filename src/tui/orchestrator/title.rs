//! The first rows of a cluster's screens: which cluster, where, how to join it, and how the connection stands. No behaviour.

use super::model::{Connection, Model};
use super::nodes;
use crate::clock;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::Printer;

/// Cells between two parts.
const GAP: usize = 2;

/// Draws it over `rows` rows; `url` is where it is asked for, `heading` what stands first.
pub fn draw(printer: &Printer, rows: usize, model: &Model, url: &str, heading: &str) {
    let (word, tone) = state(&model.connection, clock::now_ms());
    let cluster = model.cluster.as_ref();
    if rows > 0 {
        let id = cluster.map(|cluster| format!("cluster {}", cluster.id)).unwrap_or_default();
        let mut counts = counts(model);
        let all = [heading, &word, &counts, &id].map(|part| text::width(part) + GAP).iter().sum::<usize>();
        if all > printer.size.x
            && let Some((short, _)) = counts.split_once(", ")
        {
            counts = short.to_string();
        }
        line(printer, 0, &[(heading.into(), Tone::Title), (word, tone), (counts, Tone::Plain), (id, Tone::Dim)], 2);
    }
    if rows > 1 {
        let parts = match cluster {
            // What people copy stands first: it is cut last.
            Some(cluster) => vec![
                (format!("join: {}", cluster.join_command), Tone::Accent),
                (format!("{} {}", if cluster.https { "https" } else { "http" }, cluster.http_addr), Tone::Plain),
                (format!("grpc {}", cluster.grpc_addr), Tone::Plain),
            ],
            None => vec![(url.to_string(), Tone::Plain)],
        };
        line(printer, 1, &parts, 1);
    }
}

/// Where there is no room, the first `cut` parts are cut; those behind them are there whole or not at all.
fn line(printer: &Printer, y: usize, parts: &[(String, Tone)], cut: usize) {
    let mut x = 1;
    for (at, (part, tone)) in parts.iter().enumerate().filter(|(_, (part, _))| !part.is_empty()) {
        let room = printer.size.x.saturating_sub(x);
        if at >= cut && text::width(part) > room {
            break;
        }
        let part = text::cut(part, room);
        printer.with_style(tone.style(), |p| p.print((x, y), &part));
        x += text::width(&part) + GAP;
    }
}

/// How the connection stands, in a few words.
pub fn state(connection: &Connection, now_ms: u64) -> (String, Tone) {
    match connection {
        Connection::Connecting => ("◌ connecting".into(), Tone::Warn),
        Connection::Live => ("● live".into(), Tone::Good),
        Connection::Lost { why, again_at_ms } => {
            let left_s = again_at_ms.saturating_sub(now_ms).div_ceil(1000);
            let again = if left_s == 0 { "trying again".into() } else { format!("again in {left_s} s") };
            (format!("✗ lost, {again} ({why}); rows are old"), Tone::Bad)
        }
    }
}

fn counts(model: &Model) -> String {
    let total = model.nodes.len();
    if total == 0 {
        return String::new();
    }
    let of = |word: &str| model.nodes.values().filter(|node| nodes::word(node) == word).count();
    let said = format!("{total} node{}", if total == 1 { "" } else { "s" });
    if of("active") == total {
        return said;
    }
    let parts = ["active", "cordoned", "draining", "disconnected", "revoked"].map(|word| (of(word), word));
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    format!("{said}: {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_countdown_ends_in_a_try() {
        let lost = Connection::Lost { why: "refused".into(), again_at_ms: 5_000 };
        assert!(state(&lost, 2_500).0.contains("again in 3 s (refused)"));
        assert!(state(&lost, 6_000).0.contains("trying again"));
    }
}
