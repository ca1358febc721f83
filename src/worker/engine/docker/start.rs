//! From a launch to something that runs: create, attach, start, find its address; and the same for what an earlier
//! worker left. Must never return with a container it does not hand over: what fails is removed.

use super::super::output::LastWords;
use super::super::{Adopted, EngineError, Exit, Kind, Launch, Program, Running, Start, at_start};
use super::Shared;
use super::answers::{Container, Created, Summary};
use super::container::{self, ContainerControl, Kept};
use super::frames::{Log, Stdout};
use super::request::{self, ImageName, container_path};
use super::wire::{Verb, WireError};
use super::{freeze, image, reach, trouble};
use crate::clock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The engine sets containers up one after the other in places: with fifty asked for at once the last waits for all.
const CREATE_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(120);
/// For answers that need no work.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// For what was left running to take a connection: it has been up for long.
const ADOPT_KNOCK: Duration = Duration::from_secs(1);

/// Starts it; `wanted` says whether anybody still waits.
pub async fn start(shared: &Arc<Shared>, launch: &Launch, wanted: impl Fn() -> bool) -> Result<Running, EngineError> {
    let Program::Image(name) = &launch.program else {
        return Err(EngineError::Image(format!(
            "function '{}' is a bundle, and containers are made of images; run it as a process",
            launch.function
        )));
    };
    shared.usable()?;
    let image = ImageName::parse(name)?;
    let container_name = request::container_name(&shared.node, &launch.id)?;
    let claim = shared.shelf.claim(&launch.id).ok_or_else(|| {
        EngineError::Resources(format!("{} runs already, or has only just ended; try again", launch.id))
    })?;
    let facts = match shared.images.get(&image) {
        Some(facts) => facts,
        None => image::prepare(shared, &image).await?,
    };
    let given = launch.env.iter().rev().find(|(name, _)| name == "PORT").and_then(|(_, value)| value.parse().ok());
    let port = (launch.kind == Kind::Http).then_some(given.unwrap_or(facts.port));
    let publish = port.is_some() && shared.reach.needs_publishing();
    let files = &launch.secrets.files;
    let secrets = (!files.is_empty()).then(|| shared.secrets.fill(&launch.id, files, !facts.root)).transpose()?;
    let folder = secrets.as_ref().map(|folder| folder.path());
    let body = request::create(&shared.node, launch, image.as_str(), port, publish, folder)?;
    let container = create(shared, &container_name, &image, body).await?;
    let kept = Kept::new(shared, &container, claim, secrets);
    let last_words = Arc::new(LastWords::without(&launch.secrets));
    let log = Log::new(shared.logs.clone(), &launch.function, &launch.id, last_words.clone());
    if launch.kind == Kind::Task {
        run(shared, &kept.held.container).await?;
        let found = inspect(shared, &kept.held.container).await?;
        return Ok(task(shared, kept, log, last_words, &found, None));
    }
    match port {
        None => job(shared, kept, log, last_words).await,
        Some(port) => {
            let running = http(shared, kept, log, last_words, port, publish, &wanted).await?;
            if running.address.is_some() {
                return Ok(running);
            }
            if publish {
                return Err(EngineError::Unavailable(
                    "the container engine gives containers no network on this node, so nothing in them can be called; \
                     start it with a bridge (without --bridge=none), or run the image as a job"
                        .into(),
                ));
            }
            // The bridge leads nowhere from here: once more, with a port of this machine.
            running.control.stop(Duration::ZERO).await;
            drop(running);
            Box::pin(async {
                while shared.shelf.is_claimed(&launch.id) && wanted() {
                    clock::after(Duration::from_millis(20)).await;
                }
                start(shared, launch, wanted).await
            })
            .await
        }
    }
}

/// Creates it and returns its id. An image that has gone meanwhile is pulled again, a leftover of that name removed.
async fn create(shared: &Shared, name: &str, image: &ImageName, body: String) -> Result<String, EngineError> {
    let path = format!("/containers/create?name={name}");
    let mut result = shared.wire.call(Verb::Post, &path, Some(body.clone()), CREATE_LIMIT).await;
    match &result {
        Err(WireError::Refused(404, said)) if said.to_lowercase().contains("no such image") => {
            image::prepare(shared, image).await?;
            result = shared.wire.call(Verb::Post, &path, Some(body), CREATE_LIMIT).await;
        }
        Err(WireError::Refused(409, _)) => {
            let _ = container::remove(shared, name).await; // if it cannot be, the next line says why
            result = shared.wire.call(Verb::Post, &path, Some(body), CREATE_LIMIT).await;
        }
        _ => {}
    }
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            if !matches!(error, WireError::Refused(..)) {
                // It may have been made, or still be.
                let _ = container::remove(shared, name).await;
            }
            return Err(trouble::failed("create the container", &shared.socket, &error));
        }
    };
    let created: Created = serde_json::from_str(&answer).map_err(|e| trouble::unreadable("a create", &e))?;
    if created.id.is_empty() {
        return Err(EngineError::Unavailable("the container engine gave a new container no id; report this".into()));
    }
    created.warnings.iter().filter(|text| !text.is_empty()).for_each(|text| log::debug!("container {name}: {text}"));
    Ok(created.id)
}

async fn run(shared: &Shared, container: &str) -> Result<(), EngineError> {
    let path = container_path(container, "/start");
    let started = shared.wire.call(Verb::Post, &path, None, START_LIMIT).await;
    started.map(drop).map_err(|error| trouble::failed("start the container", &shared.socket, &error))
}

async fn job(shared: &Arc<Shared>, kept: Kept, log: Log, last_words: Arc<LastWords>) -> Result<Running, EngineError> {
    // Before it starts, so that nothing it prints is missed.
    let path = container_path(&kept.held.container, "/attach?stream=1&stdin=1&stdout=1&stderr=1");
    let attached = shared.wire.attach(&path, ASK_LIMIT).await;
    let (from, to) = attached.map_err(|e| trouble::failed("attach to the container", &shared.socket, &e))?;
    run(shared, &kept.held.container).await?;
    Ok(Running {
        address: None,
        stdin: Some(Box::new(to)),
        stdout: Some(Box::new(Stdout::new(from, log))),
        control: Box::new(ContainerControl {
            kept,
            last_words,
            drained: None,
            is_task: false,
            ip: None,
            ports: Vec::new(),
        }),
    })
}

/// Without an address: it runs, but cannot be reached at its own.
async fn http(
    shared: &Arc<Shared>,
    kept: Kept,
    log: Log,
    last_words: Arc<LastWords>,
    port: u16,
    published: bool,
    wanted: &impl Fn() -> bool,
) -> Result<Running, EngineError> {
    run(shared, &kept.held.container).await?;
    let drained = Some(container::follow(shared, &kept.held, None, log));
    let control = Box::new(ContainerControl { kept, last_words, drained, is_task: false, ip: None, ports: Vec::new() });
    let held = control.kept.held.clone();
    let found = inspect(shared, &held.container).await?;
    let mut address = address(&found, port, published);
    if address.is_none() && ended(&found).is_none() && !published {
        shared.reach.bridge_is_out_of_reach(); // no address of its own: rootless, or another kind of network
    }
    if let Some(at) = address {
        let waiting = || wanted() && held.exit().is_none();
        if published {
            reach::until_it_listens(at, waiting).await;
        } else if !shared.reach.try_bridge(at).await && ended(&inspect(shared, &held.container).await?).is_none() {
            shared.reach.bridge_is_out_of_reach();
            address = None;
        }
    }
    if address.is_none()
        && let Some(exit) = ended(&inspect(shared, &held.container).await?)
    {
        held.settle(exit);
        let exit = super::super::Control::ended(&*control).await;
        let words = super::super::Control::last_words(&*control);
        return Err(EngineError::Exited(at_start(Start::Ended(exit), port, &words)));
    }
    Ok(Running { address, stdin: None, stdout: None, control })
}

/// A task that was started, which may have ended since. `since` as for `follow`.
fn task(
    shared: &Arc<Shared>,
    kept: Kept,
    log: Log,
    last_words: Arc<LastWords>,
    found: &Container,
    since: Option<u64>,
) -> Running {
    if let Some(exit) = ended(found) {
        kept.held.settle(exit); // heard of already, but for one that an earlier worker left
    }
    let drained = Some(container::follow(shared, &kept.held, since, log));
    let ip = found.ip().filter(|_| !shared.reach.needs_publishing());
    let control = Box::new(ContainerControl { kept, last_words, drained, is_task: true, ip, ports: found.ports() });
    Running { address: None, stdin: None, stdout: None, control }
}

/// How it ended, if it has.
fn ended(container: &Container) -> Option<Exit> {
    let state = &container.state;
    let over = ["exited", "dead", "removing"].contains(&state.status.as_str());
    let code = i32::try_from(state.exit_code).unwrap_or(-1);
    over.then_some(if state.oom_killed { Exit::OutOfMemory } else { Exit::Code(code) })
}

fn address(container: &Container, port: u16, published: bool) -> Option<SocketAddr> {
    match published {
        true => container.published(port).map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
        false => container.ip().map(|ip| SocketAddr::new(ip, port)),
    }
}

async fn inspect(shared: &Shared, container: &str) -> Result<Container, EngineError> {
    let answer = shared.wire.call(Verb::Get, &container_path(container, "/json"), None, ASK_LIMIT).await;
    let answer = answer.map_err(|e| trouble::failed("look the container up", &shared.socket, &e))?;
    serde_json::from_str(&answer).map_err(|e| trouble::unreadable("a container", &e))
}

/// Takes over what serves, removes what does not; of this node's containers, those nobody here holds.
pub async fn adopt(shared: &Arc<Shared>) -> Result<Vec<Adopted>, EngineError> {
    shared.usable()?;
    let path = format!("/containers/json?all=1&filters={}", request::own_filter(&shared.node, false));
    let answer = shared.wire.call(Verb::Get, &path, None, ASK_LIMIT).await;
    let answer = answer.map_err(|e| trouble::failed("list containers", &shared.socket, &e))?;
    let all: Vec<Summary> = serde_json::from_str(&answer).map_err(|e| trouble::unreadable("a list", &e))?;
    let mut adopted = Vec::new();
    for leftover in all {
        let label = |name: &str| leftover.labels.get(name).and_then(|value| value.as_deref());
        // The engine filtered; but what is not ours is never touched, whatever it answers.
        if label(request::LABEL_NODE) != Some(&shared.node) {
            continue;
        }
        let id = label(request::LABEL_ID).unwrap_or(&leftover.id);
        let Some(claim) = shared.shelf.claim(id) else { continue };
        let kept = Kept::new(shared, &leftover.id, claim, shared.secrets.found(id));
        let function = label(request::LABEL_FUNCTION).unwrap_or_default();
        if label(request::LABEL_TASK).is_some() && leftover.state != "created" {
            let Ok(found) = inspect(shared, &leftover.id).await else { continue };
            let last_words = Arc::new(LastWords::default());
            let log = Log::new(shared.logs.clone(), function, id, last_words.clone()).stamped();
            let running = task(shared, kept, log, last_words, &found, None);
            let (id, function) = (id.into(), function.into());
            adopted.push(Adopted { id, function, revision: 0, kind: Kind::Task, running });
            continue;
        }
        let number = |name: &str| label(name).and_then(|value| value.parse().ok());
        let port = number(request::LABEL_PORT).and_then(|port: u64| u16::try_from(port).ok());
        let (Some(port), Some(revision), "running" | "paused") =
            (port, number(request::LABEL_REVISION), &*leftover.state)
        else {
            log::info!("Removing container {id} of function '{function}' that an earlier worker left");
            continue; // dropping it removes it
        };
        let Ok(found) = inspect(shared, &leftover.id).await else { continue };
        freeze::thaw_leftover(shared, &kept.held, &found).await;
        let at = address(&found, port, found.published(port).is_some());
        let Some(at) = at.filter(|_| found.state.running) else { continue };
        if !reach::listens(at, ADOPT_KNOCK).await {
            log::info!("Removing container {id} of function '{function}', which takes no connections");
            continue;
        }
        log::info!("Function '{function}': taking over {id}, which an earlier worker left running");
        let last_words = Arc::new(LastWords::default());
        let log = Log::new(shared.logs.clone(), function, id, last_words.clone());
        let drained = Some(container::follow(shared, &kept.held, Some(clock::unix_ms() / 1000), log));
        let control =
            Box::new(ContainerControl { kept, last_words, drained, is_task: false, ip: None, ports: Vec::new() });
        adopted.push(Adopted {
            id: id.into(),
            function: function.into(),
            revision,
            kind: Kind::Http,
            running: Running { address: Some(at), stdin: None, stdout: None, control },
        });
    }
    shared.secrets.sweep(|id| shared.shelf.is_claimed(id));
    Ok(adopted)
}
