//! A browser for tests: headless Chromium, driven over chromedriver's own HTTP. Without the two the tests that need them say
//! so and pass, unless CARES_REQUIRE_BROWSER=1.

use crate::harness::PATIENCE;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// As many run at once: each is several processes.
const AT_ONCE: usize = 2;
/// To start one.
const TRIES: usize = 5;
/// Between two looks at a page.
const LOOK: Duration = Duration::from_millis(40);
/// What WebDriver calls a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// No sandbox, as tests run as root too; and nothing a browser does for itself.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// Finds what a person would point at: by what it is called, among what can be seen.
const FIND: &str = r#"
const [kind, name] = arguments;
const kinds = {button: 'button, a, [role=tab], [role=button], summary', field: 'input, select, textarea', any: '*'};
const called = (el) => (el.getAttribute('aria-label') ?? (kind === 'field' ? el.labels?.[0]?.textContent : el.textContent) ?? '').trim();
const box = document.querySelector('dialog[open]') ?? document;
return [...box.querySelectorAll(kinds[kind])].find((el) => (el.checkVisibility() || el.type === 'file') && called(el) === name) ?? null;"#;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// One browser with one page. Ended when dropped.
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: TempDir,
}

/// Whether there is one.
pub fn browser_is_there() -> bool {
    let there = |program: &str| {
        let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    if there("chromium") && there("chromedriver") {
        return true;
    }
    assert!(!required(), "CARES_REQUIRE_BROWSER=1, but there is no chromium or no chromedriver");
    eprintln!("skipped, as there is no chromium and chromedriver to test the dashboard with");
    false
}

/// Whether a test that cannot look must fail.
pub fn required() -> bool {
    std::env::var("CARES_REQUIRE_BROWSER").as_deref() == Ok("1")
}

/// chromedriver, and where it listens; now and then it ends, as somebody else has taken that port.
fn start_driver() -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver runs");
    let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    if port.is_none() {
        let _ = driver.kill();
        let _ = driver.wait();
    }
    thread::spawn(move || lines.for_each(drop));
    Some((driver, port?))
}

impl Browser {
    /// A new one, at this address.
    pub fn open(url: &str) -> Browser {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= AT_ONCE {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        drop(running);
        let profile = tempfile::tempdir().expect("a folder");
        let (driver, port) = (0..TRIES).find_map(|_| start_driver()).expect("chromedriver starts");
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(2 * PATIENCE));
        let mut browser = Browser {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent: config.build().into(),
            _profile: profile,
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let mut flags: Vec<&str> = FLAGS.to_vec();
        flags.extend(["--window-size=1280,900", &profile]);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": flags},
        }}});
        let made = browser.ask("POST", "", &wanted);
        let id = made["sessionId"].as_str().expect("a session").to_string();
        browser.session = format!("{}/{id}", browser.session);
        browser.go(url);
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let answer = match method {
            "GET" => self.agent.get(&url).call(),
            "DELETE" => self.agent.delete(&url).call(),
            _ => self.agent.post(&url).content_type("application/json").send(body.to_string()),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|e| e.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer.status().is_success() {
            Ok(value["value"].clone())
        } else {
            Err(value["value"]["message"].to_string())
        }
    }

    /// Opens an address.
    pub fn go(&self, url: &str) {
        self.ask("POST", "/url", &json!({"url": url}));
    }

    /// Runs a function's body in the page; its arguments are `arguments`.
    pub fn js(&self, script: &str, arguments: Value) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// The same, of one that is still to come: its last argument is called with what it answers.
    pub fn js_later(&self, script: &str, arguments: Value) -> Value {
        self.ask("POST", "/timeouts", &json!({"script": 60_000}));
        self.ask("POST", "/execute/async", &json!({"script": script, "args": arguments}))
    }

    /// What can be read on the page.
    pub fn text(&self) -> String {
        self.js("return document.body.innerText", json!([])).as_str().unwrap_or_default().to_string()
    }

    /// Waits until something is true of the page, said in JavaScript; where what it looks at is not there yet it is not.
    #[track_caller]
    pub fn is_so(&self, what: &str, script: &str) {
        let look = || self.try_ask("POST", "/execute/sync", &json!({"script": script, "args": []}));
        self.until(what, || look().is_ok_and(|found| found == true));
    }

    /// Waits until a text can be read on the page.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.until(&format!("it shows '{text}'"), || self.text().contains(text));
    }

    /// Waits until it cannot be read there any more.
    #[track_caller]
    pub fn hides(&self, text: &str) {
        self.until(&format!("it does not show '{text}' any more"), || !self.text().contains(text));
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "waited in vain until {what}; the page:\n{}", self.text());
            thread::sleep(LOOK);
        }
    }

    #[track_caller]
    fn find(&self, kind: &str, name: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.js(FIND, json!([kind, name]));
            if let Some(id) = found[ELEMENT].as_str() {
                return id.to_string();
            }
            assert!(Instant::now() < end, "there is no {kind} '{name}'; the page:\n{}", self.text());
            thread::sleep(LOOK);
        }
    }

    /// Clicks on what is called so: a button, link or tab; in the dialog if one is open.
    #[track_caller]
    pub fn click(&self, name: &str) {
        self.click_on("button", name);
    }

    /// Clicks on the check box that is called so.
    #[track_caller]
    pub fn check(&self, name: &str) {
        self.click_on("field", name);
    }

    /// It may move while one points at it, and be made anew.
    #[track_caller]
    fn click_on(&self, kind: &str, name: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let element = self.find(kind, name);
            let _ = self.try_ask(
                "POST",
                "/execute/sync",
                &json!({"script": "arguments[0].scrollIntoView({block: 'center'})", "args": [{ELEMENT: element}]}),
            );
            match self.try_ask("POST", &format!("/element/{element}/click"), &json!({})) {
                Ok(_) => return,
                Err(why) => assert!(Instant::now() < end, "{name}: {why}"),
            }
            thread::sleep(LOOK);
        }
    }

    /// Types into the field with this label, in place of what is there.
    #[track_caller]
    pub fn fill(&self, label: &str, text: &str) {
        let element = self.find("field", label);
        if self.js("return arguments[0].tagName", json!([{ELEMENT: element}])) != "SELECT" {
            self.ask("POST", &format!("/element/{element}/clear"), &json!({}));
        }
        self.ask("POST", &format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Gives a file or folder to what is called so.
    #[track_caller]
    pub fn give(&self, label: &str, path: &Path) {
        let element = self.find("field", label);
        self.ask("POST", &format!("/element/{element}/value"), &json!({"text": path.to_str().expect("UTF-8")}));
    }

    /// Presses keys where the focus is; WebDriver has letters of its own for those without.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.ask("POST", "/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// A command of the browser itself.
    pub fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// `light` or `dark`, as the system would say; and that nothing should move.
    pub fn colours(&self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.cdp("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// A window of this size; narrow ones are phones.
    pub fn size(&self, width: u32, height: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.cdp("Emulation.setDeviceMetricsOverride", screen);
    }

    /// Puts what it shows into a file.
    pub fn picture(&self, file: &Path) {
        self.try_picture(file).expect("a picture");
    }

    fn try_picture(&self, file: &Path) -> Result<(), String> {
        let png = self.try_ask("GET", "/screenshot", &Value::Null)?;
        let png = STANDARD.decode(png.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        std::fs::write(file, png).map_err(|error| error.to_string())
    }

    /// Another window of the same browser, which then is the one that is driven.
    pub fn window(&self, url: &str) {
        let made = self.ask("POST", "/window/new", &json!({"type": "window"}));
        self.ask("POST", "/window", &json!({"handle": made["handle"]}));
        self.go(url);
    }

    /// What the browser complained about, but for connections that were away.
    pub fn complaints(&self) -> Vec<String> {
        let said = self.ask("POST", "/se/log", &json!({"type": "browser"}));
        let said = said.as_array().into_iter().flatten().filter(|line| line["level"] == "SEVERE");
        let said = said.map(|line| line["message"].as_str().unwrap_or_default().to_string());
        said.filter(|line| !line.contains("Failed to load resource")).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(dir) = std::env::var("CARES_SHOTS")
        {
            let name = thread::current().name().unwrap_or("test").replace("::", "-");
            let _ = self.try_picture(&Path::new(&dir).join(format!("failed-{name}.png")));
        }
        let _ = self.try_ask("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}
