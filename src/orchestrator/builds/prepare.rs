//! What is to be built: told from a source folder's zip, before any node is asked. Must never run anything of it.

use super::Refused;
use crate::bundle;
use crate::clock;
use crate::cluster::{Node, NodeStatus, Reach};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::bundles::{Rejected, Spooled};
use crate::orchestrator::images::OWN;
use crate::orchestrator::store::{BuildRecord, RuntimeUsed};
use crate::runtimes::{Catalog, Runtime, Undetected};
use crate::{ids, rt};
use std::fs;
use std::path::{Path, PathBuf};

/// The file that makes a folder an image's, without a runtime.
const DOCKERFILE: &str = "Dockerfile";
/// Digits of the digest in an image's name: plenty to tell one function's sources apart.
const TAG_DIGITS: usize = 12;

/// What somebody wants built.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The function's name.
    pub name: String,
    pub runtime: Option<String>,
    /// Even if it has been built already, and without what is left of earlier builds.
    pub anew: bool,
}

/// A build that can be given to a node.
#[derive(Clone, Debug)]
pub struct Order {
    pub name: String,
    /// Digest of the source's zip, which is kept.
    pub source: String,
    /// `None`: it has a Dockerfile of its own.
    pub runtime: Option<Runtime>,
    pub base: Option<String>,
    /// What the image is to be called; the same for the same source and runtime.
    pub wanted: String,
    /// A bundle is to be made, no image: no node has a container engine.
    pub bundle: bool,
    pub anew: bool,
}

impl Order {
    /// As it begins.
    pub fn record(&self) -> BuildRecord {
        let runtime = self.runtime.as_ref().map(|r| RuntimeUsed { name: r.name.clone(), base: self.base.clone() });
        BuildRecord {
            name: self.name.clone(),
            source: self.source.clone(),
            wanted: self.wanted.clone(),
            runtime,
            status: "queued".into(),
            created_unix_ms: clock::unix_ms(),
            ..BuildRecord::default()
        }
    }

    /// The one that a build was made by.
    pub fn again(app: &Orchestrator, made: BuildRecord) -> Result<Order, String> {
        let (runtime, base) = match made.runtime {
            None => (None, None),
            Some(used) => {
                let known = app.builds.catalog.get(&used.name).cloned();
                (Some(known.ok_or_else(|| format!("there is no runtime '{}' any more", used.name))?), used.base)
            }
        };
        let bundle = made.image.as_deref().and_then(bundle::digest_in).is_some();
        Ok(Order { name: made.name, source: made.source, runtime, base, wanted: made.wanted, bundle, anew: false })
    }
}

/// Looks a source folder through, keeps it, and tells what is to be done with it.
pub async fn prepare(app: &Orchestrator, spooled: Spooled, wish: Wish) -> Result<Order, Refused> {
    let sketch = Sketch(app.builds.dir.join(format!("sketch-{}", ids::random_hex(8))));
    let (zip, catalog, asked) = (spooled.path().to_owned(), app.builds.catalog.clone(), wish.runtime.clone());
    let told = rt::unblock(move || {
        let wrong = |error| Refused::Source(Rejected::Bundle(error));
        fs::create_dir(&sketch.0)
            .map_err(|e| Refused::Source(Rejected::Disk { path: sketch.0.clone(), why: e.to_string() }))?;
        bundle::sketch(&zip, &sketch.0).map_err(wrong)?;
        told(&catalog, &sketch.0, asked.as_deref()).map_err(Refused::Undetected)
    });
    let runtime = told.await?;
    let bundle = match (any_node(app, "docker"), any_node(app, "process"), &runtime) {
        (true, ..) => false,
        (false, true, Some(_)) => true,
        (false, true, None) => {
            return Err(Refused::NoNode(
                "the folder has a Dockerfile, and no node has a container engine: start Docker on a node, or take the \
                 Dockerfile away if the folder is one of a runtime's"
                    .into(),
            ));
        }
        (false, false, _) => {
            return Err(Refused::NoNode("no node is there to build it: start one with `cares worker`".into()));
        }
    };
    let source = app.bundles.keep_source(spooled).await.map_err(Refused::Source)?;
    let base = runtime.as_ref().and_then(|runtime| {
        let base = app.builds.bases.get(&runtime.name).or(runtime.base.as_ref());
        base.cloned()
    });
    let tag = tag(&source, runtime.as_ref(), base.as_deref());
    let family = if bundle { "bundle" } else { app.registry.place().unwrap_or(OWN) };
    let wanted = format!("{family}/{}:{tag}", wish.name);
    Ok(Order { name: wish.name, source, runtime, base, wanted, bundle, anew: wish.anew })
}

/// The runtime a folder is for; `None`: it has a Dockerfile.
fn told(catalog: &Catalog, dir: &Path, asked: Option<&str>) -> Result<Option<Runtime>, Undetected> {
    let runtime = match asked {
        Some(name) => {
            let known = || catalog.names().map(str::to_owned).collect();
            catalog.get(name).ok_or_else(|| Undetected::Unknown { name: name.into(), known: known() })?
        }
        None if dir.join(DOCKERFILE).is_file() => return Ok(None),
        None => catalog.detect(dir)?,
    };
    runtime.has_all(dir).map(|()| Some(runtime.clone()))
}

/// Whether a node with that engine is there to build, or soon may be.
fn any_node(app: &Orchestrator, engine: &str) -> bool {
    app.state.read(|c| c.nodes().any(|node| builds(node) && node.spec.engines.contains(engine)))
}

/// Whether builds may be given to a node.
pub fn builds(node: &Node) -> bool {
    node.status == NodeStatus::Active && node.reach == Reach::Links && !node.cordoned && !node.revoked
}

/// Tells apart all that makes a difference to what comes out.
fn tag(source: &str, runtime: Option<&Runtime>, base: Option<&str>) -> String {
    let runtime = runtime.map(Runtime::digest).unwrap_or_default();
    let mut digest = crate::auth::hash(format!("{source} {runtime} {}", base.unwrap_or_default()).as_bytes());
    digest.truncate(TAG_DIGITS);
    digest
}

/// A folder that is gone when this is.
struct Sketch(PathBuf);

impl Drop for Sketch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what stays goes at the next start
    }
}
