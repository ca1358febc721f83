//! What cursive draws on and hears keys from: one buffer a frame, written in one go. cursive's own backend ends the program
//! when the terminal goes away or something is pasted, and polls. Must never block for keys.

use crate::tui::keys::Keys;
use cursive::backends::crossterm::crossterm::style::{
    Attribute, Color, Print, SetAttribute, SetBackgroundColor, SetForegroundColor,
};
use cursive::backends::crossterm::crossterm::terminal::{self, Clear, ClearType, SetTitle};
use cursive::backends::crossterm::crossterm::{cursor, queue};
use cursive::event::Event;
use cursive::theme::{self, BaseColor, ColorPair, Effect};
use cursive::{Vec2, backend};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::sync::mpsc::Receiver;

/// A terminal.
pub struct Backend {
    tty: File,
    /// The frame being drawn. Writing to memory cannot fail.
    frame: RefCell<Vec<u8>>,
    colours: Cell<Option<ColorPair>>,
    reads: Receiver<Vec<u8>>,
    keys: Keys,
    events: VecDeque<Event>,
    size: Rc<Cell<Vec2>>,
    /// Its size has changed since events were last looked at.
    resized: Rc<Cell<bool>>,
    /// An event came since this was last looked at.
    keyed: Rc<Cell<bool>>,
}

impl Backend {
    pub fn new(tty: File, reads: Receiver<Vec<u8>>, keys: Keys) -> Self {
        Backend {
            tty,
            frame: RefCell::default(),
            colours: Cell::new(None),
            reads,
            keys,
            events: VecDeque::new(),
            size: Rc::new(Cell::new(measured())),
            resized: Rc::default(),
            keyed: Rc::default(),
        }
    }

    /// Set by the loop when it finds another size.
    pub fn resized(&self) -> Rc<Cell<bool>> {
        self.resized.clone()
    }

    /// How large frames are; the loop sets it.
    pub fn size(&self) -> Rc<Cell<Vec2>> {
        self.size.clone()
    }

    /// Whether somebody did something; whoever looks takes it.
    pub fn keyed(&self) -> Rc<Cell<bool>> {
        self.keyed.clone()
    }

    fn attribute(&self, attribute: Attribute) {
        let _ = queue!(self.frame.borrow_mut(), SetAttribute(attribute)); // memory
    }
}

/// How large the terminal is now.
pub fn measured() -> Vec2 {
    terminal::size().map_or(Vec2::new(1, 1), Vec2::from)
}

impl backend::Backend for Backend {
    fn poll_event(&mut self) -> Option<Event> {
        if self.resized.take() {
            self.keyed.set(true);
            return Some(Event::WindowResize);
        }
        while self.events.is_empty() {
            let read = self.reads.try_recv().ok()?;
            self.events.extend(self.keys.take(&read));
        }
        self.keyed.set(true);
        self.events.pop_front()
    }

    fn set_title(&mut self, title: String) {
        let _ = queue!(self.frame.borrow_mut(), SetTitle(title)); // memory
    }

    fn refresh(&mut self) {
        let frame = std::mem::take(&mut *self.frame.borrow_mut());
        // A terminal that is gone is noticed by whoever reads its keys.
        let _ = self.tty.write_all(&frame);
    }

    fn has_colors(&self) -> bool {
        true
    }

    fn screen_size(&self) -> Vec2 {
        self.size.get() // measured once a frame, by the loop: layout and drawing must agree
    }

    fn move_to(&self, at: Vec2) {
        let cell = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let _ = queue!(self.frame.borrow_mut(), cursor::MoveTo(cell(at.x), cell(at.y))); // memory
    }

    fn print(&self, text: &str) {
        let _ = queue!(self.frame.borrow_mut(), Print(text)); // memory
    }

    fn clear(&self, colour: theme::Color) {
        self.set_color(ColorPair { front: colour, back: colour });
        let _ = queue!(self.frame.borrow_mut(), Clear(ClearType::All)); // memory
    }

    fn set_color(&self, colours: ColorPair) -> ColorPair {
        let before = self.colours.replace(Some(colours));
        if before != Some(colours) {
            let (front, back) = (translate(colours.front), translate(colours.back));
            let _ = queue!(self.frame.borrow_mut(), SetForegroundColor(front), SetBackgroundColor(back)); // memory
        }
        before.unwrap_or(colours)
    }

    fn set_effect(&self, effect: Effect) {
        match effect {
            Effect::Simple => {}
            Effect::Reverse => self.attribute(Attribute::Reverse),
            Effect::Dim => self.attribute(Attribute::Dim),
            Effect::Bold => self.attribute(Attribute::Bold),
            Effect::Blink => self.attribute(Attribute::SlowBlink),
            Effect::Italic => self.attribute(Attribute::Italic),
            Effect::Strikethrough => self.attribute(Attribute::CrossedOut),
            Effect::Underline => self.attribute(Attribute::Underlined),
        }
    }

    fn unset_effect(&self, effect: Effect) {
        match effect {
            Effect::Simple => {}
            Effect::Reverse => self.attribute(Attribute::NoReverse),
            Effect::Dim | Effect::Bold => self.attribute(Attribute::NormalIntensity),
            Effect::Blink => self.attribute(Attribute::NoBlink),
            Effect::Italic => self.attribute(Attribute::NoItalic),
            Effect::Strikethrough => self.attribute(Attribute::NotCrossedOut),
            Effect::Underline => self.attribute(Attribute::NoUnderline),
        }
    }

    fn is_persistent(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "cares"
    }
}

fn translate(colour: theme::Color) -> Color {
    use theme::Color::{Dark, Light, Rgb, RgbLowRes, TerminalDefault};
    match colour {
        TerminalDefault => Color::Reset,
        Dark(BaseColor::Black) => Color::Black,
        Dark(BaseColor::Red) => Color::DarkRed,
        Dark(BaseColor::Green) => Color::DarkGreen,
        Dark(BaseColor::Yellow) => Color::DarkYellow,
        Dark(BaseColor::Blue) => Color::DarkBlue,
        Dark(BaseColor::Magenta) => Color::DarkMagenta,
        Dark(BaseColor::Cyan) => Color::DarkCyan,
        Dark(BaseColor::White) => Color::Grey,
        Light(BaseColor::Black) => Color::DarkGrey,
        Light(BaseColor::Red) => Color::Red,
        Light(BaseColor::Green) => Color::Green,
        Light(BaseColor::Yellow) => Color::Yellow,
        Light(BaseColor::Blue) => Color::Blue,
        Light(BaseColor::Magenta) => Color::Magenta,
        Light(BaseColor::Cyan) => Color::Cyan,
        Light(BaseColor::White) => Color::White,
        Rgb(r, g, b) => Color::Rgb { r, g, b },
        RgbLowRes(r, g, b) => Color::AnsiValue((16 + 36 * u16::from(r) + 6 * u16::from(g) + u16::from(b)) as u8),
    }
}
