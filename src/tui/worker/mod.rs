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
use crate::tui::panes::border::Frame;
use crate::tui::panes::layout::{Area, area};
use crate::tui::panes::lines::{Lines, Spans};
use crate::tui::panes::pane::{Pane, SessionLog};
use crate::tui::session::Session;
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::types::{Member, Work};
use cursive::event::{Event, EventResult, MouseEvent};
use cursive::{Cursive, Printer, Vec2, View};
use feed::Shared;
use model::WorkerModel;

/// From this width on, what runs stands beside the vitals.
const WIDE: usize = 80;
/// Rows of the title.
const TITLE: usize = 2;
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

/// Which pane has the focus, or is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Vitals,
    Work,
    Log,
}

struct Screen {
    session: Session,
    model: Shared,
    role: Option<&'static str>,
    focus: Part,
    /// What runs here.
    work: Lines,
    log: SessionLog,
    panes: Panes,
}

/// Where the panes are, with their headings.
#[derive(Clone, Copy, Default)]
struct Panes {
    vitals: Area,
    work: Area,
    log: Area,
}

impl Panes {
    fn of(size: Vec2, work: usize) -> Panes {
        let vitals = 1 + VITALS + usize::from(size.y >= TALL);
        let end = size.y.saturating_sub(1);
        let below = |y: usize| area(0, y, size.x, end.saturating_sub(y));
        if size.x >= WIDE {
            // Beside the vitals; what has more rows than these takes some of the log's.
            let rows = (1 + work).min(end.saturating_sub(TITLE) / 3).max(vitals);
            let left = size.x / 2;
            return Panes {
                vitals: area(0, TITLE, left, vitals),
                work: area(left + 1, TITLE, size.x - left - 1, rows),
                log: below(TITLE + rows),
            };
        }
        // Stacked: as many rows as there is work, but the log keeps half of what is left.
        let y = TITLE + vitals;
        let left = end.saturating_sub(y + 2);
        let rows = if left < 4 { 0 } else { 1 + work.clamp(1, left / 2) };
        Panes { vitals: area(0, TITLE, size.x, vitals), work: area(0, y, size.x, rows), log: below(y + rows) }
    }

    fn of_part(&self, part: Part) -> Area {
        match part {
            Part::Vitals => self.vitals,
            Part::Work => self.work,
            Part::Log => self.log,
        }
    }
}

impl Screen {
    fn new(session: &Session, model: Shared, role: Option<&'static str>) -> Screen {
        let log = SessionLog(session.clone());
        let session = session.clone();
        Screen { session, model, role, focus: Part::Log, work: Lines::default(), log, panes: Panes::default() }
    }

    /// What is scrolled there, and in how many rows.
    fn pane(&mut self, part: Part) -> (&mut dyn Pane, usize) {
        let height = self.panes.of_part(part).size.y.saturating_sub(1);
        match part {
            Part::Work => (&mut self.work, height),
            Part::Vitals | Part::Log => (&mut self.log, height),
        }
    }

    /// Draws a heading, and gives the printer of what is below it.
    fn frame<'p, 'b>(&self, printer: &Printer<'p, 'b>, part: Part, title: &str, note: &str) -> Printer<'p, 'b> {
        let focused = self.focus == part;
        Frame { title, note, tone: Tone::Dim, focused, boxed: false, keep: 0 }.draw(printer, self.panes.of_part(part))
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
}

/// What runs here, line by line; `None` when that is not known.
fn work(member: Option<&Member>) -> Vec<Spans> {
    let said = |text: &str| vec![vec![(text.to_string(), Tone::Dim)]];
    match member {
        None => said("N/A"),
        Some(member) if member.work.is_empty() => said("nothing runs here now"),
        Some(member) => member.work.iter().map(work_line).collect(),
    }
}

fn work_line(work: &Work) -> Spans {
    let (glyph, tone) = match work.status.as_str() {
        "warm" | "running" => ("●", Tone::Good),
        "frozen" => ("◌", Tone::Plain),
        _ => ("◐", Tone::Warn),
    };
    let what = match (work.kind.as_str(), &work.module, work.in_flight) {
        ("task", ..) => "task".into(),
        ("job", Some(_), _) => "module".into(),
        ("job", None, _) => "job".into(),
        (_, _, 1) => "1 call".into(),
        (_, _, calls) => format!("{calls} calls"),
    };
    let name = match &work.module {
        Some(module) if *module != work.function => format!("{module} ({})", work.function),
        _ => work.function.clone(),
    };
    vec![
        (format!("{glyph} "), tone),
        (text::left(&format!("{} {what}", work.status), 18), Tone::Plain),
        (format!(" {name} "), Tone::Plain),
        (work.id.clone(), Tone::Dim),
    ]
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

impl View for Screen {
    fn draw(&self, printer: &Printer) {
        let size = printer.size;
        if size.x < 4 || size.y < 4 {
            return;
        }
        let model = self.model.lock();
        self.draw_title(printer, &model);
        self.draw_vitals(&self.frame(printer, Part::Vitals, "Vitals", ""), &model);
        let rows = self.panes.work.size.y;
        if rows > 0 {
            let range = self.work.range(rows - 1);
            let inner = self.frame(printer, Part::Work, "Runs now", &range);
            self.work.draw(&inner.offset((1, 0)));
        }
        drop(model); // release first: the feeds take the two the other way round
        let session = self.session.model();
        let note = if session.log.following() { "" } else { "paused, G follows" };
        session.log.draw(&self.frame(printer, Part::Log, "Log", note));
        drop(session);
        keybar::draw(printer, size.y.saturating_sub(1), Place::Worker, None, &[]);
    }

    fn layout(&mut self, size: Vec2) {
        self.work.lines = work(self.model.lock().fresh(clock::now_ms()));
        self.panes = Panes::of(size, self.work.lines.len());
    }

    fn required_size(&mut self, room: Vec2) -> Vec2 {
        room
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        if let Event::Mouse { event, position, offset } = event {
            let at = position.saturating_sub(offset);
            let Some(part) = [Part::Work, Part::Log].into_iter().find(|part| self.panes.of_part(*part).contains(at))
            else {
                return EventResult::Ignored;
            };
            match event {
                MouseEvent::WheelUp | MouseEvent::WheelDown => {
                    let (pane, height) = self.pane(part);
                    pane.wheel(event == MouseEvent::WheelDown, height);
                }
                MouseEvent::Press(_) => self.focus = part,
                _ => return EventResult::Ignored,
            }
            return EventResult::consumed();
        }
        let Some((action, number)) = keymap::action(Place::Worker, &event) else { return EventResult::Ignored };
        match action {
            Action::NextPane | Action::PreviousPane => {
                self.focus = if self.focus == Part::Log { Part::Work } else { Part::Log };
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
            action => {
                let (pane, height) = self.pane(self.focus);
                pane.act(action, number, height);
            }
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
            _ => ["── ", "━━ ", "q quit"].iter().any(|part| line.contains(part)).then(|| line.to_string()),
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
                module: None,
                kind: kind.into(),
                status: "running".into(),
                in_flight: 2,
            };
            let module = Work { module: Some("size".into()), ..work("check", "job") };
            member.work = vec![work("日本語の関数", "instance"), work("tick", "job"), module, work("cache", "task")];
            member.name = "ノード".into();
            model.lock().heard(member, clock::now_ms());
            say(&session, "Function 'tick': received");
            let text = puppet.text();
            let mut shown =
                vec!["CARES worker", "ノード (n-1)", "● joined", "CPU Usage:", "42%", "Memory Usage:", "N/A"];
            shown.extend(["3/256 in use", "[INFO] Function 'tick'", "q quit"]);
            if rows >= 20 {
                let work =
                    ["日本語の関数", "running job", "running module     size (check)", "running task       cache"];
                shown.extend(work.into_iter().chain(["process"]));
            }
            for what in shown {
                assert!(text.contains(what), "'{what}' at {columns}x{rows}:\n{text}");
            }
        }
        screen(20, 5).0.shows("needs 40x10");
    }

    #[test]
    fn what_runs_scrolls_while_it_has_the_focus_or_the_mouse() {
        let (mut puppet, _session, model) = screen(80, 24);
        let mut member = member("joined");
        member.work = (10..40)
            .map(|n| Work {
                id: format!("t{n}"),
                function: format!("task-{n}"),
                module: None,
                kind: "task".into(),
                status: "running".into(),
                in_flight: 0,
            })
            .collect();
        model.lock().heard(member, clock::now_ms());
        puppet.shows("── Runs now · 1-6 of 30");
        puppet.types("G"); // the log's
        puppet.shows("task-10");
        puppet.types("\tG");
        puppet.shows("━━ Runs now · 25-30 of 30");
        puppet.shows("task-39");
        let event = MouseEvent::WheelUp;
        puppet.press(Event::Mouse { offset: Vec2::zero(), position: Vec2::new(60, 5), event });
        puppet.shows("22-27 of 30");
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
        puppet.shows("━ Log · paused, G follows ━");
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
