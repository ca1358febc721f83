//! Tasks as they are shown to people and told to the orchestrator. Changes nothing but what has been told.

use super::{Entry, Notice, Tasks};
use crate::rt::{self, Receiver};
use crate::types::{TaskStatus, TaskSummary, Work};
use crate::wire::proto;
use prost::Message;
use std::ops::Bound;

/// Told of in one beat.
const IN_A_BEAT: usize = 128;
/// And so many bytes of it, one task's beyond; of a join's. An orchestrator takes messages of 1 MiB.
const BEAT_BYTES: usize = 384 << 10;
const JOIN_BYTES: usize = 640 << 10;

impl Tasks {
    /// One, for people.
    pub fn get(&self, id: &str, node: (&str, &str)) -> Option<TaskStatus> {
        self.book().tasks.get(id).map(|entry| entry.record.status(entry.health, node))
    }

    /// Those behind one of these ids, in the order of their ids; at most so many.
    pub fn list(&self, after: &str, limit: usize, node: &str) -> Vec<TaskSummary> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let book = self.book();
        let rows = book.tasks.range::<str, _>(range).take(limit);
        rows.map(|(_, entry)| entry.record.summary(entry.health, node)).collect()
    }

    /// Those that have not ended, as what runs here; at most so many.
    pub fn work(&self, limit: usize) -> Vec<Work> {
        let book = self.book();
        let live = book.tasks.values().filter(|entry| !entry.record.state().ended());
        let work = live.take(limit).map(|entry| Work {
            id: entry.record.task.id.clone(),
            function: entry.record.task.name.clone(),
            module: None,
            kind: "task".into(),
            status: entry.record.state().word().into(),
            in_flight: 0,
        });
        work.collect()
    }

    /// Those that changed after that, with the new "that", and all ids there are: for who watches.
    pub fn since(&self, version: u64, node: &str) -> (Vec<TaskSummary>, u64, Vec<String>) {
        let book = self.book();
        let new = book.tasks.values().filter(|entry| entry.version > version || version == 0);
        let rows = new.map(|entry| entry.record.summary(entry.health, node)).collect();
        (rows, book.version.max(1), book.tasks.keys().cloned().collect())
    }

    /// Gets a message at each change; several may become one.
    pub fn changes(&self) -> Receiver<()> {
        let (tell, told) = rt::bounded(1);
        self.book().watchers.push(tell);
        told
    }

    /// How many there are, and how many of them have not ended.
    pub fn count(&self) -> (u64, u64) {
        let book = self.book();
        let live = book.tasks.values().filter(|entry| !entry.record.state().ended()).count();
        (book.tasks.len() as u64, live as u64)
    }

    /// For a join: all that the orchestrator must know of.
    /// What it does not hear of it takes for lost, so its own come first, and those that run before others; what makes a
    /// report long is told in beats.
    pub fn report(&self) -> Vec<proto::TaskState> {
        let mut book = self.book();
        let wanted = book.tasks.iter().filter(|(_, entry)| !entry.record.known || !entry.record.state().ended());
        let order = |entry: &Entry| (entry.record.is_local(), entry.record.state().ended());
        let mut wanted: Vec<_> = wanted.map(|(id, entry)| (order(entry), id.clone())).collect();
        wanted.sort();
        let (mut states, mut room) = (Vec::new(), JOIN_BYTES);
        for (_, id) in wanted {
            let Some(entry) = book.tasks.get(&id) else { continue };
            let mut state = entry.record.report(entry.health);
            let more = !std::mem::take(&mut state.last_lines).is_empty();
            let fits = state.encoded_len() <= room;
            if fits {
                room -= state.encoded_len();
                states.push(state);
            }
            if more || !fits {
                book.unreported.insert(id);
            }
        }
        if !book.unreported.is_empty() {
            let _ = self.notices.try_send(Notice::Tasks); // unbounded
        }
        states
    }

    /// For a beat: some of those that changed since the last. Are there more, that is noticed again.
    pub fn take_changed(&self) -> Vec<proto::TaskState> {
        let mut book = self.book();
        let (mut states, mut room) = (Vec::new(), BEAT_BYTES);
        while states.len() < IN_A_BEAT && room > 0 {
            let Some(id) = book.unreported.pop_first() else { break };
            let Some(entry) = book.tasks.get(&id) else { continue };
            let state = entry.record.report(entry.health);
            room = room.saturating_sub(state.encoded_len());
            states.push(state);
        }
        if !book.unreported.is_empty() {
            let _ = self.notices.try_send(Notice::Tasks);
        }
        states
    }
}
