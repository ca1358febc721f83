//! Images made by the engine of a source folder: its context as a tar, its log as lines. Must never send anything from
//! outside the folder, nor give a step of the build the engine's socket.

use super::super::{EngineError, ImageBuild};
use super::Shared;
use super::answers::Progress;
use super::context;
use super::frames::Objects;
use super::image;
use super::named;
use super::pulled::Pulled;
use super::request::{self, ImageName};
use super::trouble;
use super::wire::WireError;
use crate::registry_login;
use crate::rt::{self, Sender};
use crate::worker::plain::plain;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Pieces of the context that wait for the engine.
const PIECES: usize = 4;
/// A line of a build's log that has no end yet.
const LINE_BYTES: usize = 16 << 10;
/// Of a Dockerfile, in which registries are looked for.
const DOCKERFILE_BYTES: u64 = 1 << 20;
/// Of an image's id, as the engine shortens it.
const LAYER_DIGITS: usize = 12;
/// How a colour begins, and the one that engines give to what comes from stderr.
const COLOUR: &str = "\u{1b}[";
const OF_STDERR: &str = "\u{1b}[91m";
/// Of a pull within a build: moving bars, which say nothing in a log.
const BARS: [&str; 5] = ["Downloading", "Extracting", "Waiting", "Verifying Checksum", "Download complete"];

/// Makes the image, unless it is here.
pub async fn build(shared: &Shared, order: &ImageBuild, say: &Sender<String>) -> Result<(), EngineError> {
    shared.usable()?;
    let name = ImageName::parse(&order.image)?;
    let before = image::inspect(shared, &name).await?;
    if !order.anew && before.is_some() {
        shared.images.pulled.used(name.as_str());
        let _ = say.send(format!("{} is here: the source has not changed", name.as_str())).await; // or nobody listens
        return Ok(());
    }
    if let Some(base) = order.base.as_deref().filter(|base| *base != "scratch") {
        let base = ImageName::parse(base)?;
        if image::inspect(shared, &base).await?.is_none() {
            let _ = say.send(format!("pulling {}", base.as_str())).await;
        }
        image::prepare(shared, &base).await.map_err(|error| match error {
            EngineError::Image(why) => EngineError::Image(trouble::no_base(&order.runtime, base.as_str(), &why)),
            other => other,
        })?;
    }
    let (to, pieces) = rt::bounded(PIECES);
    let (folder, dockerfile) = (order.folder.clone(), order.dockerfile.clone());
    let packing = rt::spawn_scoped(rt::unblock(move || context::send(&folder, dockerfile.as_deref(), &to)));
    let mut answer = shared.wire.upload(&path(order), context::TYPE, logins(shared, order).await, pieces);
    let mut steps = Steps::new(&shared.images.pulled, say);
    let (mut objects, mut failed) = (Objects::default(), None);
    while let Some(chunk) = answer.next().await {
        let found = match chunk {
            Ok(chunk) => objects.add::<Progress>(&chunk),
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        for said in found {
            if let Some(why) = said.failure() {
                steps.end_line().await;
                return Err(trouble::build_failed(&steps.step, &steps.last, why));
            }
            steps.hear(&said).await;
        }
    }
    steps.end_line().await;
    drop(answer); // no piece is taken any more: packing ends
    if let Err(error) = packing.await {
        return Err(EngineError::Resources(format!("the source folder could not be read: {error}")));
    }
    match failed {
        Some(WireError::Refused(_, why)) => return Err(trouble::build_failed(&steps.step, &steps.last, &why)),
        Some(other) => return Err(trouble::failed("build the image", &shared.socket, &other)),
        None => {}
    }
    // An answer that broke off may have ended like a good one.
    let Some(made) = image::inspect(shared, &name).await? else {
        return Err(EngineError::Unavailable("the container engine ended the build without a result".into()));
    };
    // The one that was called so has no name any more.
    let nameless = before.filter(|before| before.id != made.id);
    steps.left = nameless.map(|before| before.id.trim_start_matches("sha256:").chars().take(LAYER_DIGITS).collect());
    drop(steps);
    shared.images.forget(&name);
    shared.images.pulled.came(&name);
    shared.images.pulled.save();
    Ok(())
}

/// What the engine logs in with where the Dockerfile begins with images of others. It tells no step of the build.
async fn logins(shared: &Shared, order: &ImageBuild) -> Option<(&'static str, String)> {
    let text = match order.dockerfile.clone() {
        Some(text) => text,
        None => {
            let path = order.folder.join("Dockerfile");
            rt::unblock(move || beginning(&path)).await.ok()? // the engine says what is wrong with it
        }
    };
    let mut logins = Vec::new();
    for registry in named::registries(&text) {
        let login = image::login_at(shared, &registry).await;
        logins.extend(login.map(|login| (registry, login)));
    }
    (!logins.is_empty()).then(|| ("X-Registry-Config", registry_login::several(logins)))
}

fn beginning(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(DOCKERFILE_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn path(order: &ImageBuild) -> String {
    let labels = json!({ request::LABEL_FUNCTION: order.function }).to_string();
    let mut path = format!(
        "/build?t={}&rm=1&forcerm=1&labels={}&dockerfile={}",
        request::encode(&order.image),
        request::encode(&labels),
        if order.dockerfile.is_some() { context::DOCKERFILE } else { "Dockerfile" },
    );
    if let Some(base) = &order.base {
        path.push_str(&format!("&buildargs={}", request::encode(&json!({ "BASE": base }).to_string())));
    }
    if let Some(bytes) = order.memory_bytes {
        path.push_str(&format!("&memory={bytes}&memswap={bytes}")); // the same with swap, as functions have it
    }
    if order.anew {
        path.push_str("&nocache=1");
    }
    path
}

/// What the engine tells of its steps, as lines.
struct Steps<'a> {
    pulled: &'a Pulled,
    say: &'a Sender<String>,
    /// Of a line that has not ended.
    text: String,
    /// Such as `Step 2/5 : RUN make`.
    step: String,
    /// What that has said last, on stderr if it has said anything there.
    last: String,
    last_is_stderr: bool,
    /// In what came from stderr: it is coloured from its first line to behind its last.
    in_stderr: bool,
    /// The last layer it made: nothing else refers to those of builds that fail, and of stages that others copy from.
    left: Option<String>,
}

impl<'a> Steps<'a> {
    fn new(pulled: &'a Pulled, say: &'a Sender<String>) -> Self {
        Steps {
            pulled,
            say,
            text: String::new(),
            step: String::new(),
            last: String::new(),
            last_is_stderr: false,
            in_stderr: false,
            left: None,
        }
    }

    async fn hear(&mut self, said: &Progress) {
        if !said.status.is_empty() {
            self.end_line().await;
            if BARS.contains(&said.status.as_str()) {
                return;
            }
            let pulled = said.status.strip_prefix("Status: Downloaded newer image for ");
            if let Some(Ok(base)) = pulled.map(ImageName::parse) {
                self.pulled.came(&base);
            }
            let line = if said.id.is_empty() { said.status.clone() } else { format!("{}: {}", said.id, said.status) };
            let _ = self.say.send(line).await;
            return;
        }
        for piece in said.stream.split_inclusive('\n') {
            self.text.push_str(piece);
            // A step's own line comes without an end.
            if piece.ends_with('\n') || self.text.len() > LINE_BYTES {
                self.end_line().await;
            }
        }
    }

    async fn end_line(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim_end();
        if text.is_empty() || text == " --->" {
            return;
        }
        if text.starts_with("Step ") && text.contains(" : ") {
            self.step = text.into();
            self.last.clear();
            self.last_is_stderr = false;
            if self.begins_stage() {
                self.leave();
            }
        }
        let stderr = text.contains(OF_STDERR) || self.in_stderr && !text.starts_with(COLOUR);
        self.in_stderr = text.rfind(COLOUR).map_or(self.in_stderr, |at| text[at..].starts_with(OF_STDERR));
        let said = plain(text);
        let own = [" --->", "Step ", "Removing intermediate container"].iter().any(|own| said.starts_with(own));
        // The two come in any order.
        if !own && !said.is_empty() && (stderr || !self.last_is_stderr) {
            (self.last, self.last_is_stderr) = (said, stderr);
        }
        let layer = text
            .strip_prefix(" ---> ")
            .filter(|id| id.len() >= LAYER_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit()));
        if let Some(layer) = layer {
            // What a stage begins with is somebody else's.
            self.left = (!self.begins_stage()).then(|| layer.to_string());
        }
        let _ = self.say.send(text.into()).await; // nobody may listen
    }

    fn begins_stage(&self) -> bool {
        self.step.split_once(" : ").is_some_and(|(_, what)| what.to_ascii_uppercase().starts_with("FROM"))
    }

    /// Kept for a while: the next build may go on from it.
    fn leave(&mut self) {
        if let Some(Ok(layer)) = self.left.take().map(|id| ImageName::parse(&id)) {
            self.pulled.came(&layer);
        }
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What is said of an engine's answer, and the images that are noted to be removed one day.
    fn heard(answer: &[u8]) -> (Vec<String>, BTreeSet<String>) {
        let dir = tempfile::tempdir().unwrap();
        let (pulled, (say, said)) = (Pulled::default(), rt::unbounded());
        pulled.remember_in(dir.path().join("pulled"));
        let mut steps = Steps::new(&pulled, &say);
        let mut objects = Objects::default();
        for piece in answer.chunks(7) {
            for one in objects.add::<Progress>(piece) {
                assert_eq!(one.failure(), None);
                rt::block_on(steps.hear(&one));
            }
        }
        rt::block_on(steps.end_line());
        drop(steps);
        pulled.save();
        let noted: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("pulled")).unwrap()).unwrap();
        let noted = noted.as_object().unwrap().keys().cloned().collect();
        (std::iter::from_fn(|| said.try_recv().ok()).collect(), noted)
    }

    #[test]
    fn every_engines_builder_is_followed() {
        for engine in ["20.10", "28", "29-dev"] {
            let path = format!("{}/tests/fixtures/engine/{engine}", env!("CARGO_MANIFEST_DIR"));
            let (lines, noted) = heard(&std::fs::read(format!("{path}/build-stream.txt")).unwrap());
            assert_eq!(lines.first().map(String::as_str), Some("Step 1/6 : FROM scratch"), "{engine}");
            assert_eq!(lines.last().map(String::as_str), Some("Successfully tagged fixture:1"), "{engine}");
            assert!(lines.iter().all(|line| !line.trim().is_empty() && !line.contains('\n')), "{engine}: {lines:?}");
            let image = std::fs::read_to_string(format!("{path}/image.json")).unwrap();
            let image: serde_json::Value = serde_json::from_str(&image).unwrap();
            let id = image["body"]["Id"].as_str().unwrap().trim_start_matches("sha256:");
            let last = noted.first().expect("the last layer");
            assert!(noted.len() == 1 && id.starts_with(last.as_str()), "{engine}: {noted:?}");
        }
    }

    #[test]
    fn what_a_step_says_on_stderr_counts_in_whatever_order_it_comes() {
        let (pulled, (say, _said)) = (Pulled::default(), rt::unbounded());
        let mut steps = Steps::new(&pulled, &say);
        let mut last = |stream: &str| {
            let line = serde_json::json!({ "stream": stream }).to_string();
            rt::block_on(steps.hear(&serde_json::from_str(&line).unwrap()));
            steps.last.clone()
        };
        assert_eq!(last("Step 2/3 : RUN x\n"), "");
        assert_eq!(last("one\n"), "one");
        assert_eq!(last("\u{1b}[91mbad\nworse\n\u{1b}[0m"), "worse");
        assert_eq!(last("two\n"), "worse", "of stdout, behind the colour");
        assert_eq!(last("three\n"), "worse");
        assert_eq!(last("\u{1b}[91mworst\n\u{1b}[0mRemoving intermediate container 1\n"), "worst");
        assert_eq!(last("Step 3/3 : RUN y\n"), "");
        assert_eq!(last("four\n"), "four");
    }

    #[test]
    fn each_stage_leaves_its_last_layer() {
        let said = |text: &str| format!("{}\n", json!({ "stream": text }));
        let layer = |digit: &str| format!(" ---> {}\n", digit.repeat(12));
        let answer: String = [
            "Step 1/5 : FROM r.io/base AS build",
            "\n",
            &layer("a"),
            "Step 2/5 : RUN make",
            "\n",
            " ---> Running in cccccccccccc\n",
            &layer("b"),
            "Step 3/5 : RUN strip",
            "\n",
            " ---> Using cache\n",
            &layer("c"),
            "Step 4/5 : FROM scratch",
            "\n",
            " ---> \n",
            "Step 5/5 : COPY --from=build /x /x",
            "\n",
            &layer("d"),
        ]
        .map(said)
        .concat();
        let pulled = json!({ "status": "Status: Downloaded newer image for r.io/base:latest" });
        let (_, noted) = heard(format!("{pulled}\n{answer}").as_bytes());
        let layers = ["c", "d"].map(|digit| digit.repeat(12));
        assert_eq!(noted, layers.into_iter().chain(["r.io/base:latest".into()]).collect());
    }

    #[test]
    fn what_is_asked_of_the_engine_is_encoded() {
        let order = ImageBuild {
            function: "f".into(),
            image: "localhost:5001/f:0011".into(),
            folder: "/x".into(),
            dockerfile: None,
            runtime: "shell".into(),
            base: Some("a/b:1".into()),
            memory_bytes: Some(7),
            anew: false,
        };
        assert_eq!(
            path(&order),
            "/build?t=localhost%3A5001%2Ff%3A0011&rm=1&forcerm=1&labels=%7B%22io.cares.function%22%3A%22f%22%7D\
             &dockerfile=Dockerfile&buildargs=%7B%22BASE%22%3A%22a%2Fb%3A1%22%7D&memory=7&memswap=7"
        );
    }
}
