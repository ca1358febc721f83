//! A worker's screen: who it is and how it stands with its cluster, this machine's vitals, what runs, and the log.

mod feed;
mod model;

use crate::clock;
use crate::tui::bars;
use crate::tui::forms::ask;
use crate::tui::forms::help;
use crate::tui::forms::viewer;
use crate::tui::keybar;
use crate::tui::keymap::{self, Action, Place};
use crate::tui::session::Session;
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::types::Member;
use cursive::event::{Event, EventResult, MouseEvent};
use cursive::{Cursive, Printer, Vec2, View};
use feed::Shared;
use model::WorkerModel;

/// From this width on, what runs stands beside the vitals.
const WIDE: usize = 80;
/// Rows of the vitals: CPU, memory, slots; and the engines from this height on.
const VITALS: usize = 3;
const TALL: usize = 14;
/// Cells right of the labels from which on bars leave a third to their history.
const HISTORY_FROM: usize = 24;
/// Cells of `Memory Usage: `.
const LABEL: usize = 14;

/// Shows it and starts its feeds. `role` is what runs in this process and ends with the screen.
pub fn open(siv: &mut Cursive, session: &Session, role: Option<&'static str>) {
    let model = Shared::default();
    feed::start(session, &model);
    siv.add_fullscreen_layer(Screen::new(session, model, role));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pane {
    Work,
    Log,
}

struct Screen {
    session: Session,
    model: Shared,
    role: Option<&'static str>,
    focus: Pane,
    /// The first row of work shown.
    work_top: usize,
    panes: Panes,
}

/// Where the panes are: first row, height; without their headings.
#[derive(Clone, Copy, Default)]
struct Panes {
    /// Rows of the vitals.
    vitals: usize,
    /// Its first column too.
    work: (usize, usize, usize),
    log: (usize, usize),
}

impl Panes {
    fn of(size: Vec2, work: usize) -> Panes {
        let vitals = VITALS + usize::from(size.y >= TALL);
        let vitals_end = 3 + vitals;
        let end = size.y.saturating_sub(1);
        if size.x >= WIDE {
            let log = vitals_end + 1;
            return Panes { vitals, work: (size.x / 2 + 1, 3, vitals), log: (log, end.saturating_sub(log)) };
        }
        // Stacked: as many rows as there is work, but the log keeps half of what is left.
        let left = end.saturating_sub(vitals_end + 2);
        let rows = if left < 4 { 0 } else { work.clamp(1, left / 2) };
        let log = if rows == 0 { vitals_end + 1 } else { vitals_end + 1 + rows + 1 };
        Panes { vitals, work: (0, vitals_end + 1, rows), log: (log, end.saturating_sub(log)) }
    }
}

impl Screen {
    fn new(session: &Session, model: Shared, role: Option<&'static str>) -> Screen {
        let session = session.clone();
        Screen { session, model, role, focus: Pane::Log, work_top: 0, panes: Panes::default() }
    }

    fn scroll(&mut self, pane: Pane, action: Action) {
        if pane == Pane::Log {
            return self.session.model().log.scroll(action, self.panes.log.1);
        }
        let rows = self.panes.work.2.max(1);
        let last = self.model.lock().last().map_or(0, |member| member.work.len()).saturating_sub(rows);
        let top = match action {
            Action::Up => self.work_top.saturating_sub(1),
            Action::Down => self.work_top + 1,
            Action::PageUp => self.work_top.saturating_sub(rows),
            Action::PageDown => self.work_top + rows,
            Action::Top => 0,
            _ => last,
        };
        self.work_top = top.min(last);
    }

    /// The pane at a place of the screen.
    fn pane_at(&self, at: Vec2) -> Option<Pane> {
        let (column, row, rows) = self.panes.work;
        if at.x >= column && (row..row + rows).contains(&at.y) {
            return Some(Pane::Work);
        }
        (at.y >= self.panes.log.0).then_some(Pane::Log)
    }

    fn draw_title(&self, printer: &Printer, model: &WorkerModel) {
        let width = printer.size.x;
        let name = model.last().map_or_else(String::new, |member| format!("{} ({})", member.name, member.id));
        let head = "CARES worker";
        printer.with_style(Tone::Title.style(), |p| p.print((1, 0), &text::cut(head, width - 1)));
        let at = 1 + head.len() + 2;
        printer.print((at, 0), &text::cut(&name, width.saturating_sub(at)));
        let (tone, standing) = model.standing(clock::now_ms());
        printer.with_style(tone.style(), |p| p.print((1, 1), &text::cut(&standing, width - 1)));
    }

    fn draw_vitals(&self, printer: &Printer, model: &WorkerModel) {
        let member = model.fresh(clock::now_ms());
        let width = printer.size.x;
        let rows = [
            ("CPU Usage:", member.and_then(|m| m.cpu_percent), &model.cpu),
            ("Memory Usage:", member.and_then(|m| m.memory_percent), &model.memory),
        ];
        // The history takes a third, where there is room for one.
        let room = width.saturating_sub(LABEL + 1);
        let history = if room >= HISTORY_FROM { room / 3 } else { 0 };
        for (y, (label, percent, past)) in rows.into_iter().enumerate() {
            printer.print((1, y), label);
            bars::bar(printer, (1 + LABEL, y), room - history - usize::from(history > 0), percent);
            let past: Vec<_> = past.iter().copied().collect();
            let line = bars::sparkline(&past, history);
            printer.with_style(Tone::Dim.style(), |p| p.print((width - history, y), &line));
        }
        let rows = [("Slots:", member.map(slots)), ("Engines:", member.map(engines))];
        for (y, (label, words)) in (2..printer.size.y).zip(rows) {
            let tone = if words.is_some() { Tone::Plain } else { Tone::Dim };
            let words = words.unwrap_or("N/A".into());
            printer.print((1, y), label);
            printer.with_style(tone.style(), |p| p.print((1 + LABEL, y), &text::cut(&words, room)));
        }
    }

    fn draw_work(&self, printer: &Printer, model: &WorkerModel) {
        let (width, rows) = (printer.size.x, printer.size.y);
        let Some(member) = model.fresh(clock::now_ms()) else {
            return printer.with_style(Tone::Dim.style(), |p| p.print((1, 0), "N/A"));
        };
        if member.work.is_empty() {
            return printer.with_style(Tone::Dim.style(), |p| p.print((1, 0), "nothing runs here now"));
        }
        for (y, work) in member.work.iter().skip(self.work_top).take(rows).enumerate() {
            let (glyph, tone) = match work.status.as_str() {
                "warm" | "running" => ("●", Tone::Good),
                "frozen" => ("◌", Tone::Plain),
                _ => ("◐", Tone::Warn),
            };
            let calls = match (work.kind.as_str(), work.in_flight) {
                ("job", _) => "job".into(),
                (_, 1) => "1 call".into(),
                (_, calls) => format!("{calls} calls"),
            };
            printer.with_style(tone.style(), |p| p.print((1, y), glyph));
            let status = text::left(&format!("{} {}", work.status, calls), 18);
            printer.print((3, y), &text::cut(&status, width.saturating_sub(3)));
            printer.print((22, y), &text::cut(&work.function, width.saturating_sub(22)));
            let used = 22 + text::width(&work.function) + 1;
            printer.with_style(Tone::Dim.style(), |p| {
                p.print((used, y), &text::cut(&work.id, width.saturating_sub(used)))
            });
        }
    }
}

fn slots(member: &Member) -> String {
    format!("{}/{} in use, jobs {}/{}", member.running, member.slots, member.jobs, member.job_slots)
}

fn engines(member: &Member) -> String {
    let names = if member.engines.is_empty() { "none".to_string() } else { member.engines.join(", ") };
    match member.engine_trouble.as_str() {
        "" => names,
        trouble => format!("{names} ({trouble})"),
    }
}

/// `── Log ─────`; the pane with the focus has a strong heading.
fn heading(printer: &Printer, at: (usize, usize), width: usize, title: &str, focused: bool) {
    printer.with_style(Tone::Dim.style(), |p| p.print_hline(at, width, "─"));
    let tone = if focused { Tone::Title } else { Tone::Dim };
    printer.with_style(tone.style(), |p| p.print((at.0 + 2, at.1), &text::cut(&format!(" {title} "), width - 2)));
}

impl View for Screen {
    fn draw(&self, printer: &Printer) {
        let size = printer.size;
        if size.x < 4 || size.y < 4 {
            return;
        }
        let model = self.model.lock();
        self.draw_title(printer, &model);
        let (column, row, rows) = self.panes.work;
        let vitals = if size.x >= WIDE { column - 1 } else { size.x };
        heading(printer, (0, 2), vitals, "Vitals", false);
        self.draw_vitals(&printer.offset((0, 3)).cropped((vitals, self.panes.vitals)), &model);
        if rows > 0 {
            let width = size.x - column;
            heading(printer, (column, row - 1), width, "Runs now", self.focus == Pane::Work);
            self.draw_work(&printer.offset((column, row)).cropped((width, rows)), &model);
        }
        drop(model); // release first: the feeds take the two the other way round
        let (row, rows) = self.panes.log;
        let session = self.session.model();
        let title = if session.log.following() { "Log" } else { "Log (scrolled; G follows)" };
        heading(printer, (0, row - 1), size.x, title, self.focus == Pane::Log);
        session.log.draw(&printer.offset((0, row)).cropped((size.x, rows)));
        drop(session);
        keybar::draw(printer, size.y.saturating_sub(1), Place::Worker, None, &[]);
    }

    fn layout(&mut self, size: Vec2) {
        let work = self.model.lock().last().map_or(0, |member| member.work.len());
        self.panes = Panes::of(size, work);
        self.work_top = self.work_top.min(work.saturating_sub(self.panes.work.2.max(1)));
    }

    fn required_size(&mut self, room: Vec2) -> Vec2 {
        room
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        if let Event::Mouse { event, position, offset } = event {
            let Some(pane) = self.pane_at(position.saturating_sub(offset)) else { return EventResult::Ignored };
            match event {
                MouseEvent::WheelUp => self.scroll(pane, Action::Up),
                MouseEvent::WheelDown => self.scroll(pane, Action::Down),
                MouseEvent::Press(_) => self.focus = pane,
                _ => return EventResult::Ignored,
            }
            return EventResult::consumed();
        }
        let Some((action, _)) = keymap::action(Place::Worker, &event) else { return EventResult::Ignored };
        match action {
            Action::NextPane | Action::PreviousPane => {
                self.focus = if self.focus == Pane::Log { Pane::Work } else { Pane::Log };
            }
            Action::Mouse => return EventResult::Ignored, // the same everywhere: see `opened`
            Action::Help => return EventResult::with_cb_once(|siv| help::open(siv, Place::Worker)),
            Action::Quit => {
                let role = self.role;
                return EventResult::with_cb_once(move |siv| ask::quit(siv, role));
            }
            Action::Logs => {
                let session = self.session.clone();
                return EventResult::with_cb_once(move |siv| viewer::open_log(siv, &session, None));
            }
            action => self.scroll(self.focus, action),
        }
        EventResult::consumed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::log::Line;
    use crate::tui::puppet::Puppet;
    use crate::types::Work;
    use model::tests::member;

    const NOWHERE: &str = "http://127.0.0.1:1";

    /// A screen without feeds.
    fn screen(columns: usize, rows: usize) -> (Puppet, Session, Shared) {
        let mut puppet = Puppet::new(columns, rows);
        let (session, model) = (puppet.session(NOWHERE), Shared::default());
        puppet.runner.add_fullscreen_layer(Screen::new(&session, model.clone(), Some("this worker")));
        (puppet, session, model)
    }

    fn say(session: &Session, text: &str) {
        let line = Line { time: "2026-01-01T12:34:56.000Z".into(), level: "info".into(), text: text.into() };
        session.update(|model| model.log.push(line));
    }

    #[test]
    fn the_readme_shows_it() {
        let (mut puppet, _session, _model) = screen(80, 16);
        // Its keys and headings as they are, and its labels.
        puppet.is_in_the_readme(|line| match line.split_once(':') {
            Some((label, _)) if !line.contains('[') => Some(label.to_string()),
            _ => ["── ", "q quit"].iter().any(|part| line.contains(part)).then(|| line.to_string()),
        });
    }

    #[test]
    fn it_shows_all_there_is_at_every_size() {
        for (columns, rows) in [(40, 10), (60, 20), (80, 24), (200, 60)] {
            let (mut puppet, session, model) = screen(columns, rows);
            let mut member = member("joined");
            let work = |function: &str, kind: &str| Work {
                id: "i-1".into(),
                function: function.into(),
                kind: kind.into(),
                status: "running".into(),
                in_flight: 2,
            };
            member.work = vec![work("日本語の関数", "instance"), work("tick", "job")];
            member.name = "ノード".into();
            model.lock().heard(member, clock::now_ms());
            say(&session, "Function 'tick': received");
            let text = puppet.text();
            let mut shown =
                vec!["CARES worker", "ノード (n-1)", "● joined", "CPU Usage:", "42%", "Memory Usage:", "N/A"];
            shown.extend(["3/256 in use", "[INFO] Function 'tick'", "q quit"]);
            if rows >= 20 {
                shown.extend(["日本語の関数", "tick", "process"]);
            }
            for what in shown {
                assert!(text.contains(what), "'{what}' at {columns}x{rows}:\n{text}");
            }
        }
        screen(20, 5).0.shows("needs 40x10");
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let (mut puppet, _, model) = screen(80, 24);
        puppet.shows("asking the worker");
        model.lock().heard(member("joined"), clock::now_ms());
        puppet.shows("42%");
        model.lock().lost("connection refused".into());
        puppet.lacks("42%");
        puppet.shows("does not answer: connection refused");
        let text = puppet.text();
        assert!(text.matches("N/A").count() >= 4, "{text}");
    }

    #[test]
    fn a_lost_orchestrator_is_told_with_a_countdown() {
        let (mut puppet, _, model) = screen(80, 24);
        model.lock().heard(member("joined"), clock::now_ms());
        model.lock().heard(member("waiting"), clock::now_ms());
        puppet.shows("connection lost, again in 5 s: cannot reach the orchestrator");
        puppet.shows("42%");
        puppet.shows("again in 4 s");
    }

    #[test]
    fn its_log_scrolls_and_its_keys_work() {
        let (mut puppet, session, _) = screen(80, 24);
        (0..100).for_each(|n| say(&session, &format!("line {n}.")));
        puppet.shows("line 99.");
        puppet.types("g");
        puppet.shows("line 0.");
        puppet.shows("Log (scrolled; G follows)");
        say(&session, "line 100.");
        puppet.lacks("line 100.");
        puppet.types("G");
        puppet.shows("line 100.");
        puppet.types("\tk?");
        puppet.shows("leave (a running role asks first)");
        puppet.types("\x1bq");
        puppet.shows("Stop this worker?");
        puppet.types("\n");
        assert!(puppet.runner.is_running(), "the default is no");
    }

    #[test]
    fn feeds_bring_status_and_log_and_tell_when_they_break() {
        let member = serde_json::to_string(&member("joined")).expect("JSON");
        let put = format!("event: put\ndata: {member}\n\nevent: synced\ndata: {{}}\n\n");
        // Each stream may be asked for first.
        let answer = move |path: &str| match path.contains("/status") {
            true => crate::client::canned::json("200 OK", &put),
            false => {
                let record = r#"{"id":1,"time":"2026-01-01T12:34:56.000Z","level":"warn","message":"from afar"}"#;
                crate::client::canned::json("200 OK", record)
            }
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                use std::io::{BufRead, BufReader, Write};
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
                let first = lines.next().expect("a request").expect("a line");
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                stream.write_all(answer(&first).as_bytes()).expect("sent");
            }
        });
        let mut puppet = Puppet::new(80, 24);
        let session = puppet.session(&url);
        open(&mut puppet.runner, &session, None);
        puppet.shows("box-0001 (n-1)");
        puppet.shows("[WARN] from afar");
        puppet.shows("this worker does not answer");
        server.join().expect("the server");
        puppet.types("q");
        assert!(!puppet.runner.is_running(), "nothing here ends with the screen");
    }
}
