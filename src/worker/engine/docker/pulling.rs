//! How far the pulls are that go on: by layer as the engine tells, in all as others are told. Must never ask the engine.

use super::answers::Progress;
use crate::lock::lock;
use crate::output::bytes as shown;
use crate::wire::proto::ImagePull;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

/// Layers of one image that are looked at; engines have far lower limits.
const LAYERS: usize = 1_000;
/// Pulls that others are told of.
const TOLD: usize = 64;

/// Those that go on, the oldest first.
#[derive(Default)]
pub struct Pulling(Mutex<Book>);

#[derive(Default)]
struct Book {
    next: u64,
    pulls: BTreeMap<u64, ImagePull>,
}

impl Pulling {
    /// One begins; it is over when what is returned is dropped.
    pub fn begin(&self, image: &str) -> Pull<'_> {
        let mut book = self.lock();
        book.next += 1;
        let number = book.next;
        book.pulls.insert(number, ImagePull { image: image.into(), ..Default::default() });
        Pull { all: self, number, layers: HashMap::new() }
    }

    /// How far they are; what is pulled twice is told once.
    pub fn now(&self) -> Vec<ImagePull> {
        let mut all: Vec<ImagePull> = Vec::new();
        for pull in self.lock().pulls.values() {
            if all.len() < TOLD && all.iter().all(|told| told.image != pull.image) {
                all.push(pull.clone());
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        lock(&self.0)
    }
}

/// One of them.
pub struct Pull<'a> {
    all: &'a Pulling,
    number: u64,
    layers: HashMap<String, Layer>,
}

#[derive(Clone, Copy, Default)]
struct Layer {
    bytes: u64,
    here: u64,
    done: bool,
}

impl Pull<'_> {
    /// What the engine says next.
    pub fn hear(&mut self, said: Progress) {
        let known = matches!(
            said.status.as_str(),
            "Pulling fs layer"
                | "Waiting"
                | "Downloading"
                | "Verifying Checksum"
                | "Download complete"
                | "Extracting"
                | "Pull complete"
                | "Already exists"
        );
        if !known || said.id.is_empty() || self.layers.len() >= LAYERS && !self.layers.contains_key(&said.id) {
            return;
        }
        let layer = self.layers.entry(said.id).or_default();
        match said.status.as_str() {
            "Downloading" => {
                // Of some, such as small ones, no size is said.
                layer.bytes = u64::try_from(said.progress_detail.total).unwrap_or(0).max(layer.bytes);
                layer.here = u64::try_from(said.progress_detail.current).unwrap_or(0).min(layer.bytes);
            }
            "Verifying Checksum" | "Download complete" | "Extracting" => layer.here = layer.bytes,
            "Pull complete" | "Already exists" => (layer.here, layer.done) = (layer.bytes, true),
            _ => {}
        }
    }

    /// Has others see what was heard.
    pub fn note(&self) {
        if let Some(pull) = self.all.lock().pulls.get_mut(&self.number) {
            self.sum(pull);
        }
    }

    /// So much has come from another node, which does not say how much it will be.
    pub fn came(&self, bytes: u64) {
        if let Some(pull) = self.all.lock().pulls.get_mut(&self.number) {
            pull.bytes_done = bytes;
        }
    }

    /// For the worker's log.
    pub fn so_far(&self) -> String {
        let mut pull = ImagePull::default();
        self.sum(&mut pull);
        let ImagePull { layers, layers_done, bytes, bytes_done, .. } = pull;
        format!("{layers_done} of {layers} layers are here, and {} of {}", shown(bytes_done), shown(bytes))
    }

    fn sum(&self, pull: &mut ImagePull) {
        let layers = self.layers.values();
        pull.layers = layers.len() as u32;
        (pull.layers_done, pull.bytes, pull.bytes_done) = (0, 0, 0);
        for layer in layers {
            pull.layers_done += u32::from(layer.done);
            pull.bytes = pull.bytes.saturating_add(layer.bytes);
            pull.bytes_done = pull.bytes_done.saturating_add(layer.here);
        }
    }
}

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.all.lock().pulls.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hear(pull: &mut Pull, id: &str, status: &str, current: i64, total: i64) {
        let detail = json!({"current": current, "total": total});
        let said = json!({"id": id, "status": status, "progressDetail": detail});
        pull.hear(serde_json::from_value(said).expect("an answer"));
        pull.note();
    }

    fn figures(all: &Pulling) -> Vec<(u32, u32, u64, u64)> {
        all.now().iter().map(|p| (p.layers_done, p.layers, p.bytes_done, p.bytes)).collect()
    }

    #[test]
    fn layers_add_up() {
        let all = Pulling::default();
        let mut pull = all.begin("a");
        assert_eq!(figures(&all), [(0, 0, 0, 0)]);
        hear(&mut pull, "latest", "Pulling from library/a", 0, 0); // the tag, no layer
        for id in ["x", "y", "z"] {
            hear(&mut pull, id, "Pulling fs layer", 0, 0);
        }
        hear(&mut pull, "x", "Downloading", 10, 100);
        hear(&mut pull, "y", "Downloading", 5, -1);
        assert_eq!(figures(&all), [(0, 3, 10, 100)]);
        hear(&mut pull, "x", "Download complete", 0, 0);
        hear(&mut pull, "x", "Extracting", 3, 100);
        assert_eq!(figures(&all), [(0, 3, 100, 100)]);
        hear(&mut pull, "x", "Pull complete", 0, 0);
        hear(&mut pull, "z", "Already exists", 0, 0);
        assert_eq!(figures(&all), [(2, 3, 100, 100)]);
        assert_eq!(pull.so_far(), "2 of 3 layers are here, and 100B of 100B");
        let other = all.begin("a");
        other.came(7);
        assert_eq!(figures(&all).len(), 1);
        drop(pull);
        assert_eq!(figures(&all), [(0, 0, 7, 0)]);
        drop(other);
        assert_eq!(figures(&all), []);
    }

    #[test]
    fn an_engine_that_never_ends_is_bounded() {
        let all = Pulling::default();
        let mut pull = all.begin("a");
        for n in 0..2 * LAYERS {
            hear(&mut pull, &n.to_string(), "Downloading", i64::MAX, i64::MAX);
        }
        assert_eq!(figures(&all), [(0, LAYERS as u32, u64::MAX, u64::MAX)]);
        let many: Vec<_> = (0..2 * TOLD).map(|n| all.begin(&n.to_string())).collect();
        assert_eq!((all.now().len(), many.len()), (TOLD, 2 * TOLD));
    }
}
