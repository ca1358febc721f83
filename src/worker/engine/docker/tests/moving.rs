//! Images from one engine to another: what is sent, what is not, and what is not taken.

use super::super::super::{Pieces, Supply};
use super::trouble::OwnEngine;
use super::*;
use bytes::Bytes;
use futures_lite::StreamExt;
use std::sync::atomic::{AtomicU64, AtomicUsize};

/// Of a layer that is to be seen in what is sent.
const BIG: u64 = 3 << 20;

/// The machine's own engine as another node, and what it sent. It may break off, or send something else.
struct Other {
    engine: DockerEngine,
    sent: AtomicU64,
    asked: AtomicUsize,
    breaks: AtomicUsize,
    sends: Mutex<Option<String>>,
}

#[async_trait::async_trait]
impl Supply for Other {
    async fn login(&self, _: &str) -> Option<String> {
        None
    }

    async fn image(&self, image: &str, has: Vec<String>) -> Result<Option<Pieces>, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.engine.holds(image).await.unwrap() {
            return Ok(None);
        }
        let sends = self.sends.lock().unwrap().clone().unwrap_or_else(|| image.into());
        let mut pieces = self.engine.save(&sends, has).await.map_err(|e| e.to_string())?;
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            all.push(piece?);
        }
        let breaks = self.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        if breaks {
            all.truncate(all.len() / 2);
        }
        self.sent.store(all.iter().map(|piece| piece.len() as u64).sum(), Ordering::Relaxed);
        let end = breaks.then(|| Err("its node is gone".to_string()));
        Ok(Some(Box::pin(futures_lite::stream::iter(all.into_iter().map(Ok::<Bytes, String>).chain(end)))))
    }
}

/// Two engines, and images that only the first has; removed at the end.
struct Two {
    own: OwnEngine,
    other: Arc<Other>,
    bench: Bench,
    images: Vec<String>,
}

impl Two {
    fn start() -> Option<Two> {
        let own = OwnEngine::start()?;
        let first = Bench::new()?;
        let other = Arc::new(Other {
            engine: DockerEngine::at(Path::new(DEFAULT_SOCKET), "first", first.logs.clone(), None).unwrap(),
            sent: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            breaks: AtomicUsize::new(0),
            sends: Mutex::default(),
        });
        let up = |engine: &DockerEngine| assert!(matches!(block_on(engine.changed()), Availability::Up { .. }));
        up(&other.engine);
        let logs = first.logs.clone();
        let engine = DockerEngine::at(&own.socket(), "second", logs.clone(), Some(other.clone())).unwrap();
        up(&engine);
        let bench = Bench { engine, logs, node: "second".into(), next: AtomicU32::new(1) };
        Some(Two { own, other, bench, images: Vec::new() })
    }

    /// Makes an image of another and some more, at the first engine.
    fn build(&mut self, name: &str, from: &str, lines: &[&str]) -> String {
        let image = format!("cares/{name}-{}:1", std::process::id());
        let dir = tempfile::TempDir::new().unwrap();
        let noise: Vec<u8> = (0..BIG / 32).flat_map(|_| crate::ids::random_hex(16).into_bytes()).collect();
        std::fs::write(dir.path().join("big"), noise).unwrap();
        std::fs::write(dir.path().join("small"), crate::ids::random_hex(16)).unwrap();
        std::fs::write(dir.path().join("Dockerfile"), format!("FROM {from}\n{}\n", lines.join("\n"))).unwrap();
        let said = Command::new("docker")
            .args(["build", "--quiet", "--tag", &image])
            .arg(dir.path())
            .env("DOCKER_BUILDKIT", "0")
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        self.images.push(image.clone());
        image
    }

    /// Has the second engine get it; how many bytes were sent.
    fn get(&self, image: &str) -> Result<u64, EngineError> {
        block_on(self.bench.engine.prepare(image))?;
        Ok(self.other.sent.load(Ordering::Relaxed))
    }

    fn has(&self, image: &str) -> bool {
        self.own.docker(&["image", "inspect", "--format", "here", image]) == "here"
    }

    /// Whether it does there what it does here.
    fn runs(&self, image: &str) {
        let mut launch = self.bench.launch("", Kind::Job);
        launch.program = Program::Image(image.into());
        let running = block_on(self.bench.engine.start(launch)).unwrap();
        assert_eq!(finish(running, b"words"), (b"WORDS".to_vec(), Exit::Code(0)));
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        self.images.iter().rev().for_each(|image| drop(docker(&["rmi", "--force", image])));
    }
}

#[test]
fn an_image_comes_from_another_engine_without_the_layers_that_are_here() {
    let Some(mut two) = Two::start() else { return };
    let base = two.build("base", "cares-test/upper:1", &["COPY big /big"]);
    let app = two.build("app", &base, &["COPY small /small"]);
    let config = two.build("config", &app, &["ENV A=1"]);
    let all = two.get(&base).unwrap();
    println!("{base}: {all} bytes, of a layer of {BIG}: the lowest layer was there");
    assert!((BIG..BIG + 100_000).contains(&all), "{all}");
    let some = two.get(&app).unwrap();
    println!("{app}: {some} bytes");
    assert!(some < 100_000, "layers that are there were sent again: {some}");
    let none = two.get(&config).unwrap();
    println!("{config}: {none} bytes");
    assert!(none < 20_000, "{none}");
    for image in [&base, &app, &config] {
        two.runs(image);
    }
    assert_eq!(
        two.own.docker(&["image", "inspect", "--format", "{{.Id}}", &app]),
        docker(&["image", "inspect", "--format", "{{.Id}}", &app])
    );

    // Removed there, it comes again; what nobody has is said to be nowhere.
    two.own.docker(&["rmi", "--force", &config, &app, &base]);
    assert!((BIG..BIG + 100_000).contains(&two.get(&app).unwrap()));
    let nowhere = two.get("cares/nowhere:1").unwrap_err().to_string();
    assert!(nowhere.contains("on no node") && nowhere.contains("deploy"), "{nowhere}");
}

#[test]
fn one_transfer_serves_all_who_wait_and_is_tried_again_when_it_breaks() {
    let Some(mut two) = Two::start() else { return };
    let image = two.build("many", "cares-test/upper:1", &["COPY big /big"]);
    two.other.breaks.store(1, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| two.get(&image))).collect();
        asking.into_iter().for_each(|one| assert!(one.join().unwrap().is_ok()));
    });
    assert_eq!(two.other.asked.load(Ordering::Relaxed), 2, "one broke off, one came whole");
    two.runs(&image);
    let left = std::fs::read_dir(two.own.folder().join("data/tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "what broke off is left behind");

    // It breaks off each time: that is said, and nothing of it is here.
    let broken = two.build("broken", &image, &["COPY small /small"]);
    two.other.breaks.store(100, Ordering::Relaxed);
    let said = two.get(&broken).unwrap_err().to_string();
    assert!(said.contains("another node") && said.contains("its node is gone"), "{said}");
    assert!(!two.has(&broken));
}

#[test]
fn an_image_by_another_name_than_was_asked_for_is_not_taken() {
    let Some(mut two) = Two::start() else { return };
    let asked = two.build("asked", "cares-test/upper:1", &["COPY small /small"]);
    let sly = two.build("sly", "cares-test/upper:1", &["COPY small /small"]);
    *two.other.sends.lock().unwrap() = Some(sly.clone());
    let said = two.get(&asked).unwrap_err().to_string();
    assert!(said.contains("by the names") && said.contains(&sly), "{said}");
    assert!(!two.has(&sly) && !two.has(&asked));
}
