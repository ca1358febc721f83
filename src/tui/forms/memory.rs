//! What a screen remembers while it is open: forms that were closed half filled, and the commands typed. Never written
//! anywhere.

use std::collections::BTreeMap;

/// Forms remembered; more than anybody fills at once.
const DRAFTS_MAX: usize = 32;
/// Commands remembered.
const COMMANDS_MAX: usize = 200;

/// It.
#[derive(Default)]
pub struct Memory {
    drafts: BTreeMap<String, Vec<String>>,
    commands: Vec<String>,
}

impl Memory {
    /// What was in this form when it was closed.
    pub fn draft(&self, form: &str) -> Option<Vec<String>> {
        self.drafts.get(form).cloned()
    }

    /// Keeps what is in a form.
    pub fn keep(&mut self, form: &str, draft: Vec<String>) {
        if self.drafts.len() >= DRAFTS_MAX && !self.drafts.contains_key(form) {
            self.drafts.pop_first();
        }
        self.drafts.insert(form.to_string(), draft);
    }

    /// It was sent, or emptied.
    pub fn forget(&mut self, form: &str) {
        self.drafts.remove(form);
    }

    /// Commands, oldest first.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }

    /// Remembers a command; the same again is the same.
    pub fn command(&mut self, line: &str) {
        self.commands.retain(|old| old != line);
        self.commands.push(line.to_string());
        if self.commands.len() > COMMANDS_MAX {
            self.commands.remove(0);
        }
    }
}
