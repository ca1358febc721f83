//! The terminal itself: its modes, the loop that waits for keys and for what other threads report, and leaving it as it was
//! found, however the screen ends. Nothing here polls. Must never know what is shown.

use crate::tui::backend::{Backend, measured};
use crate::tui::keys::Keys;
use crate::tui::session::Ui;
use crate::tui::theme;
use crate::tui::too_small::TooSmall;
use crate::{clock, logging, rt};
use async_signal::{Signal, Signals};
use cursive::Cursive;
use cursive::backends::crossterm::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use cursive::backends::crossterm::crossterm::terminal::{self, EnterAlternateScreen, LeaveAlternateScreen};
use cursive::backends::crossterm::crossterm::{cursor, execute, style};
use cursive::event::Event;
use futures_lite::StreamExt;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// Between two redraws that no key asked for: about 20 a second, which is as much as anyone can read over ssh.
const FRAME: Duration = Duration::from_millis(50);
/// Reads that wait to be looked at; a terminal sends no faster than that for long.
const READS: usize = 64;
/// Of one read.
const READ_BYTES: usize = 4096;
/// Ended by a second signal, as shells tell it.
const INTERRUPTED: i32 = 130;

/// The terminal is ours now.
static OPEN: AtomicBool = AtomicBool::new(false);
static MOUSE: AtomicBool = AtomicBool::new(false);

/// How a screen ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Somebody left it, or a signal asked, or the terminal went away.
    Quit,
    /// A defect; its message has been printed.
    Panicked,
}

/// Shows what `first` opens, until it is left. Blocks; the terminal is as before when this returns.
///
/// # Errors
/// When there is no terminal to draw on.
pub fn run(first: impl FnOnce(&mut Cursive, Ui)) -> Result<Closed, String> {
    let failed = |e: std::io::Error| format!("cannot use this terminal: {e}. Add --headless to do without a screen");
    let tty = File::options().read(true).write(true).open("/dev/tty").map_err(failed)?;
    let keyboard = tty.try_clone().map_err(failed)?;
    let (wake, woken) = mpsc::sync_channel(1);
    let mut siv = Cursive::new();
    siv.set_theme(theme::theme());
    siv.clear_global_callbacks(Event::CtrlChar('c')); // cursive's would leave without asking
    let ui = Ui::new(siv.cb_sink().clone(), wake.clone());
    watch_signals(ui.clone())?;
    enter(&tty).map_err(failed)?;
    let hook = report_panics();
    let reads = read_keys(keyboard, wake, ui.clone());
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        let backend = Backend::new(tty, reads, Keys::default());
        let size = backend.size();
        let (keyed, resized) = (backend.keyed(), backend.resized());
        let mut runner = siv.into_runner(Box::new(backend));
        first(&mut runner, ui);
        let mut stage = TooSmall::default();
        let mut drawn = clock::now();
        stage.refresh(&mut runner, size.get());
        let mut waiting = false; // something is to be drawn, but not yet
        while runner.is_running() {
            let woke = match waiting {
                true => woken.recv_timeout(FRAME.saturating_sub(drawn.elapsed())),
                false => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if woke == Err(RecvTimeoutError::Disconnected) {
                break; // never: the loop's own sender lives
            }
            stage.step_aside(&mut runner);
            let now = measured();
            resized.set(size.replace(now) != now);
            while runner.process_events() {}
            waiting = !keyed.take() && drawn.elapsed() < FRAME;
            if !waiting && runner.is_running() {
                stage.refresh(&mut runner, size.get());
                drawn = clock::now();
            }
        }
    }));
    leave();
    panic::set_hook(hook);
    Ok(if ended.is_ok() { Closed::Quit } else { Closed::Panicked })
}

/// Whether the mouse has been switched off.
pub fn mouse_is_off() -> bool {
    OPEN.load(Ordering::Relaxed) && !MOUSE.load(Ordering::Relaxed)
}

/// Mouse on or off; off, the terminal itself selects text.
pub fn toggle_mouse() {
    if !OPEN.load(Ordering::Relaxed) {
        return;
    }
    let Ok(mut tty) = File::options().write(true).open("/dev/tty") else { return };
    // What cannot be written shows when the next frame is drawn.
    let _ = match MOUSE.fetch_not(Ordering::Relaxed) {
        true => execute!(tty, DisableMouseCapture),
        false => execute!(tty, EnableMouseCapture),
    };
}

fn enter(mut tty: &File) -> std::io::Result<()> {
    terminal::enable_raw_mode()?;
    OPEN.store(true, Ordering::Relaxed);
    MOUSE.store(true, Ordering::Relaxed);
    let entered = execute!(tty, EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, cursor::Hide);
    entered.inspect_err(|_| leave())
}

/// Gives the terminal back; once is enough.
fn leave() {
    if !OPEN.swap(false, Ordering::Relaxed) {
        return;
    }
    if let Ok(mut tty) = File::options().write(true).open("/dev/tty") {
        let _ = execute!(
            tty,
            style::ResetColor,
            style::SetAttribute(style::Attribute::Reset),
            DisableBracketedPaste,
            DisableMouseCapture,
            LeaveAlternateScreen,
            cursor::Show
        ); // it may be gone, and then there is nothing to give back
    }
    let _ = terminal::disable_raw_mode();
}

type Hook = Box<dyn Fn(&panic::PanicHookInfo<'_>) + Sync + Send>;

/// A panic of the screen gives the terminal back before it is told; any other thread's goes to the log, not over the
/// screen. Returns what was done before.
fn report_panics() -> Hook {
    let before = panic::take_hook();
    let screen = thread::current().id();
    let other = panic::take_hook(); // the default one
    panic::set_hook(Box::new(move |told| {
        if thread::current().id() == screen {
            leave();
            other(told);
        } else {
            logging::tell_panic(told);
        }
    }));
    before
}

/// Reads the keyboard on a thread of its own; the screen closes when the terminal goes away.
fn read_keys(mut keyboard: File, wake: SyncSender<()>, ui: Ui) -> mpsc::Receiver<Vec<u8>> {
    let (send, reads) = mpsc::sync_channel(READS);
    let gone = ui.clone();
    let read = move || {
        let mut buffer = [0; READ_BYTES];
        loop {
            match std::io::Read::read(&mut keyboard, &mut buffer) {
                Ok(0) => break,
                Ok(n) if send.send(buffer[..n].to_vec()).is_err() => return,
                Ok(_) => drop(wake.try_send(())), // full: it will look anyway
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        gone.run(Cursive::quit);
    };
    if thread::Builder::new().name("tui-keys".into()).spawn(read).is_err() {
        ui.run(Cursive::quit); // a screen that hears nothing is of no use
    }
    reads
}

/// SIGTERM, SIGINT and SIGHUP close the screen, and a second one ends the program; SIGWINCH draws it anew.
fn watch_signals(ui: Ui) -> Result<(), String> {
    let signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup, Signal::Winch]);
    let mut signals = signals.map_err(|e| format!("cannot listen for signals: {e}"))?;
    rt::spawn(async move {
        let mut asked = false;
        while let Some(signal) = signals.next().await {
            match signal {
                Ok(Signal::Winch) => ui.redraw(),
                Ok(_) if asked || !OPEN.load(Ordering::Relaxed) => std::process::exit(INTERRUPTED),
                Ok(_) => {
                    asked = true;
                    ui.run(Cursive::quit);
                }
                Err(_) => {}
            }
        }
    });
    Ok(())
}
