//! A terminal for tests: tmux, into which keys are typed and of which the screen is read. Without tmux the tests that
//! need it say so and pass, unless CARES_REQUIRE_DOCKER=1.

use crate::harness::{PATIENCE, cares, wait_for};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One tmux server with one pane. Killed when dropped.
pub struct Terminal {
    server: String,
}

/// Whether there is a tmux.
pub fn tmux_is_there() -> bool {
    let there = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(
        std::env::var("CARES_REQUIRE_DOCKER").as_deref() != Ok("1"),
        "CARES_REQUIRE_DOCKER=1, but there is no tmux"
    );
    eprintln!("skipped, as there is no tmux to test the screens with");
    false
}

impl Terminal {
    /// Runs `cares ARGS` in a pane of this size, its folders in `dir`, on free ports, with more environment if given.
    pub fn open(columns: u32, rows: u32, dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Terminal {
        let terminal = Terminal::shell(columns, rows, dir, env);
        let program = cares().get_program().to_str().expect("UTF-8").to_string();
        terminal.types(&format!("exec {program} {}\n", args.join(" ")));
        terminal
    }

    /// A plain shell in a pane.
    pub fn shell(columns: u32, rows: u32, dir: &Path, env: &[(&str, &str)]) -> Terminal {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let server = format!("cares-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let terminal = Terminal { server };
        let size = [columns.to_string(), rows.to_string()];
        let mut command = terminal.tmux();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1]]);
        command.arg("-c").arg(dir);
        let data = dir.join("data");
        for (key, value) in [
            ("XDG_DATA_HOME", data.to_str().expect("UTF-8")),
            ("CARES_HTTP_ADDR", "127.0.0.1:0"),
            ("CARES_GRPC_ADDR", "127.0.0.1:0"),
        ]
        .iter()
        .chain(env)
        {
            command.args(["-e", &format!("{key}={value}")]);
        }
        for variable in ["API_URL", "AUTH_TOKEN", "CARES_JOIN_TOKEN", "CARES_DATA_DIR", "NO_COLOR", "TMUX"] {
            command.env_remove(variable);
        }
        let made = command.arg("env -u NO_COLOR sh").status().expect("tmux runs");
        assert!(made.success(), "tmux makes a session");
        wait_for("the shell is there", || terminal.screen().contains(['$', '#']));
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.server]);
        command
    }

    fn told(&self, args: &[&str]) -> String {
        let out = self.tmux().args(args).output().expect("tmux runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Types text as it stands; a line feed is Enter.
    pub fn types(&self, text: &str) {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.press("Enter");
            }
            if !line.is_empty() {
                self.told(&["send-keys", "-l", "--", line]);
            }
        }
    }

    /// Presses a key by tmux's name, such as `Enter`, `Escape`, `BSpace`, `Down`, `C-c`.
    pub fn press(&self, key: &str) {
        self.told(&["send-keys", key]);
    }

    /// Pastes text as a terminal does, in brackets where the program asked for them.
    pub fn pastes(&self, text: &str) {
        self.told(&["set-buffer", "--", text]);
        self.told(&["paste-buffer", "-p"]);
    }

    /// Changes the pane's size.
    pub fn resize(&self, columns: u32, rows: u32) {
        self.told(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.told(&["capture-pane", "-p"])
    }

    /// The process in the pane.
    pub fn pid(&self) -> u32 {
        self.told(&["display-message", "-p", "#{pane_pid}"]).trim().parse().expect("a process")
    }

    /// Whether the pane is still there: it goes with its program.
    pub fn is_open(&self) -> bool {
        !self.told(&["list-panes"]).is_empty()
    }

    /// Waits until the screen shows `what`; fails with what it shows instead. Answers the screen.
    #[track_caller]
    pub fn shows(&self, what: &str) -> String {
        self.shows_where(what, |screen| screen.contains(what))
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub fn shows_where(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "never showed {what}, but:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- screen of {}:\n{}", self.server, self.screen());
        }
        let _ = self.tmux().arg("kill-server").stderr(Stdio::null()).status();
    }
}
