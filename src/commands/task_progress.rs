//! What is told on stderr while somebody waits for a task: what happens to it, and how far the pull of its image is, on a
//! terminal always in the same line.

use crate::cli::ClientOptions;
use crate::client::ManagerClient;
use crate::lock::lock;
use crate::output;
use crate::types::Change;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// Who tells; clones share the line.
#[derive(Clone)]
pub struct Progress {
    quiet: bool,
    terminal: bool,
    /// The last line told of a pull, and may be overwritten.
    of_pull: Arc<Mutex<bool>>,
}

impl Progress {
    pub fn new(options: &ClientOptions) -> Progress {
        Progress { quiet: options.quiet, terminal: output::redraws(), of_pull: Arc::default() }
    }

    /// Something happened.
    pub fn event(&self, text: &str) {
        self.line(text, false);
    }

    /// Tells how far pulls are, as the orchestrator says it, until the task has ended or this program does.
    pub fn follow_pulls(&self, client: &ManagerClient, id: &str) {
        if self.quiet {
            return;
        }
        let (told, client, id) = (self.clone(), client.clone(), id.to_string());
        // On a thread of its own, for what happens comes as another stream. A stream that breaks costs only these lines.
        std::thread::spawn(move || {
            let Ok(watch) = client.watch_task(&id) else { return };
            let mut last = None;
            for change in watch {
                match change {
                    Ok(Change::Put(task)) if task.state.ended() => return,
                    Ok(Change::Put(task)) => {
                        if let Some(pull) = task.pull.filter(|pull| last.as_ref() != Some(pull)) {
                            told.line(&format!("Task '{id}' is {pull}"), true);
                            last = Some(pull);
                        }
                    }
                    Ok(Change::Synced) => {}
                    Ok(Change::Gone(_)) | Err(_) => return,
                }
            }
        });
    }

    fn line(&self, text: &str, of_pull: bool) {
        if self.quiet {
            return;
        }
        let mut before = lock(&self.of_pull);
        let over = self.terminal && std::mem::replace(&mut *before, of_pull) && of_pull;
        let (up, text) = (if over { "\x1b[1A\x1b[2K" } else { "" }, output::one_line(text));
        let _ = writeln!(io::stderr().lock(), "{up}{text}"); // that nobody reads it is no reason to fail
    }
}
