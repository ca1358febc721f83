//! Whether the engine can be used, and what happens to the containers held: one stream of events, and a question now and
//! then. Must never start or remove anything.

use super::super::{Availability, Exit};
use super::Shared;
use super::answers::{Container, Event, Version};
use super::frames::Objects;
use super::freeze;
use super::held::{Held, Next, Shelf};
use super::request;
use super::trouble;
use super::wire::{Verb, WireError};
use crate::clock;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use futures_lite::future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// For answers that need no work. A busy engine takes a second; one that takes longer is of no use for a cold start.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// Between two questions whether it is still there: the stream of events ends when it stops, but not when it hangs.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Between two tries to reach one that is not there.
const AGAIN: Duration = Duration::from_millis(250);
/// After this long without an engine its containers are taken for lost: short enough that callers learn within 2 s, long
/// enough for one that is only restarted.
const LOST_AFTER: Duration = Duration::from_millis(1500);
/// Until all the engine has to say about a death has come.
const SETTLE: Duration = Duration::from_millis(200);
/// Longer, should nothing yet say why: word of a full memory comes another way through the engine than that of the death
/// (20 ms before it as a rule; 190 ms after it, seen at a load of 30 on four cores).
const SETTLE_UNEXPLAINED: Duration = Duration::from_secs(1);
/// The newest version of the API this was written for; and the oldest, that of 20.10 and of Podman.
const NEWEST: (u32, u32) = (1, 51);
const OLDEST: (u32, u32) = (1, 40);

/// Tells one waiter what is new, the newest only.
pub struct Bell {
    latest: Mutex<Option<Availability>>,
    known: Mutex<Option<Availability>>,
    ring: Sender<()>,
    rung: Receiver<()>,
}

impl Default for Bell {
    fn default() -> Bell {
        let (ring, rung) = rt::bounded(1);
        Bell { latest: Mutex::default(), known: Mutex::default(), ring, rung }
    }
}

impl Bell {
    fn tell(&self, now: Availability) {
        let mut known = lock(&self.known);
        if known.as_ref() == Some(&now) {
            return;
        }
        *known = Some(now.clone());
        *lock(&self.latest) = Some(now);
        let _ = self.ring.try_send(()); // rung already: it will look
    }

    pub async fn changed(&self) -> Availability {
        loop {
            let latest = lock(&self.latest).take();
            if let Some(latest) = latest {
                return latest;
            }
            let _ = self.rung.recv().await; // its other end is in here too
        }
    }

    /// Why it cannot be used, if it is known that it cannot.
    pub fn trouble(&self) -> Option<String> {
        match &*lock(&self.known) {
            Some(now @ Availability::Down { .. }) => Some(now.to_string()),
            _ => None,
        }
    }
}

/// Runs for as long as the engine is wanted.
pub async fn watch(shared: Arc<Shared>) {
    // Events from just before: none is missed between two streams, and to hear one twice does no harm.
    let mut since_ms = clock::unix_ms();
    let mut gone_since = None;
    loop {
        match greet(&shared).await {
            Ok(version) => {
                gone_since = None;
                let from_ms = since_ms;
                let listening = async { listen(&shared, from_ms).await };
                let asking = async {
                    recheck(&shared).await;
                    shared.bell.tell(Availability::Up { version });
                    ask(&shared).await
                };
                let error = future::or(listening, asking).await;
                since_ms = clock::unix_ms().saturating_sub(1_000);
                if let WireError::Slow(_) = error {
                    shared.bell.tell(trouble::down(&shared.socket, &error));
                }
            }
            Err(problem) => {
                shared.bell.tell(problem.said);
                let since = *gone_since.get_or_insert_with(clock::now);
                // One that hangs may still come to; what it started serves on meanwhile.
                if problem.gone && clock::now().duration_since(since) >= LOST_AFTER {
                    shared.shelf.all().iter().for_each(|held| held.settle(Exit::EngineLost));
                }
                clock::after(AGAIN).await;
            }
        }
    }
}

struct Problem {
    said: Availability,
    gone: bool,
}

/// Asks who is there, and settles on a version of the API. Returns its name.
async fn greet(shared: &Shared) -> Result<String, Problem> {
    let problem = |error: WireError| Problem {
        said: trouble::down(&shared.socket, &error),
        gone: matches!(error, WireError::Connect(_)),
    };
    let answer = shared.wire.call_unversioned("/version", ASK_LIMIT).await.map_err(problem)?;
    let broken = |why: String| problem(WireError::Broken(why));
    let version: Version = serde_json::from_str(&answer).map_err(|e| broken(format!("/version: {e}")))?;
    let api = choose(&version).map_err(|said| Problem { said: too_old(&shared.socket, &said), gone: false })?;
    shared.wire.speak(&api);
    *lock(&shared.arch) = version.arch;
    Ok(format!("Docker {} (API {api})", version.version))
}

fn too_old(socket: &Path, said: &str) -> Availability {
    Availability::Down {
        reason: format!("the container engine at {} speaks version {said} of the API", socket.display()),
        fix: format!("update it: {}.{} is the oldest this worker can use (Docker 20.10)", OLDEST.0, OLDEST.1),
    }
}

/// The newest version both know. `Err` is the engine's, when it is too old.
fn choose(version: &Version) -> Result<String, String> {
    let parse = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let theirs = parse(&version.api_version).ok_or_else(|| format!("{:?}", version.api_version))?;
    if theirs < OLDEST {
        return Err(version.api_version.clone());
    }
    let least = parse(&version.min_api_version).unwrap_or(OLDEST);
    let (major, minor) = theirs.min(NEWEST).max(least);
    Ok(format!("{major}.{minor}"))
}

/// Asks again and again; returns what went wrong.
async fn ask(shared: &Shared) -> WireError {
    loop {
        clock::after(ASK_EVERY).await;
        if let Err(error) = shared.wire.call(Verb::Get, "/_ping", None, ASK_LIMIT).await {
            return error;
        }
    }
}

/// Takes the events in; returns how their stream ended.
async fn listen(shared: &Arc<Shared>, since_ms: u64) -> WireError {
    let filter = request::own_filter(&shared.node, true);
    let since = format!("{}.{:09}", since_ms / 1000, since_ms % 1000 * 1_000_000);
    let mut events = shared.wire.stream(Verb::Get, &format!("/events?since={since}&filters={filter}"), None, None);
    let mut objects = Objects::default();
    loop {
        match events.next().await {
            Some(Ok(chunk)) => objects.add::<Event>(&chunk).iter().for_each(|event| take(shared, event)),
            Some(Err(error)) => return error,
            None => return WireError::Broken("the stream of events ended".into()),
        }
    }
}

fn take(shared: &Arc<Shared>, event: &Event) {
    let Some(held) = shared.shelf.get(&event.actor.id) else {
        if is_stray(&shared.shelf, event) {
            let _ = shared.strays.0.try_send(()); // rung already: all is looked at
        }
        return;
    };
    if event.action == "kill" && held.frozen().is_some() {
        let (shared, held) = (shared.clone(), held.clone());
        // What is frozen takes no signal, and whoever sent it waits.
        rt::spawn(async move { freeze::thaw(&shared, &held).await.unwrap_or_else(|why| log::warn!("{why}")) });
    }
    if held.note(event) == Next::SettleSoon {
        let shared = shared.clone();
        rt::spawn(async move {
            held.told_why(SETTLE, SETTLE_UNEXPLAINED).await;
            let asked = if held.exit().is_none() { inspect(&shared, &held).await } else { return };
            match asked {
                // Its removal takes a moment: the word of it comes last.
                Err(WireError::Refused(404, _)) => held.settle(Exit::Removed),
                Ok(container) if container.state.status == "removing" => held.settle(Exit::Removed),
                asked => held.settle_death(asked.is_ok_and(|container| container.state.oom_killed)),
            }
        });
    }
}

/// Whether something has come to be here that nobody here asked for: an engine makes what it was asked for even when who
/// asked was killed meanwhile.
fn is_stray(shelf: &Shelf, event: &Event) -> bool {
    let id = event.actor.attributes.get(request::LABEL_ID).and_then(|id| id.as_deref());
    ["create", "start"].contains(&event.action.as_str()) && id.is_none_or(|id| !shelf.is_claimed(id))
}

/// Looks at all that is held: what happened while nobody listened.
async fn recheck(shared: &Shared) {
    for held in shared.shelf.all() {
        match inspect(shared, &held).await {
            Err(WireError::Refused(404, _)) => held.settle(Exit::Removed),
            Err(_) => {} // the next round will tell
            Ok(container) if container.state.paused && !held.is_paused_by_us() => held.settle(Exit::Paused),
            Ok(container) if ["exited", "dead"].contains(&container.state.status.as_str()) => {
                let code = i32::try_from(container.state.exit_code).unwrap_or(-1);
                held.settle(if container.state.oom_killed { Exit::OutOfMemory } else { Exit::Code(code) });
            }
            Ok(_) => {}
        }
    }
}

async fn inspect(shared: &Shared, held: &Held) -> Result<Container, WireError> {
    let path = request::container_path(&held.container, "/json");
    let answer = shared.wire.call(Verb::Get, &path, None, ASK_LIMIT).await?;
    serde_json::from_str(&answer).map_err(|error| WireError::Broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_both_know_is_spoken() {
        let choose = |theirs: &str, least: &str| {
            choose(&Version { api_version: theirs.into(), min_api_version: least.into(), ..Default::default() })
        };
        assert_eq!(choose("1.41", "1.12").as_deref(), Ok("1.41"));
        assert_eq!(choose("1.56", "1.40").as_deref(), Ok("1.51"));
        assert_eq!(choose("1.60", "1.54").as_deref(), Ok("1.54"));
        assert_eq!(choose("1.41", "").as_deref(), Ok("1.41"));
        assert_eq!(choose("1.39", "1.12"), Err("1.39".into()));
        assert!(choose("", "").is_err() && choose("new", "").is_err());
    }

    #[test]
    fn only_what_nobody_here_starts_is_a_stray() {
        let shelf = Arc::new(Shelf::default());
        let stray = |action: &str, id: &str| {
            let attributes = serde_json::json!({request::LABEL_ID: id});
            let event = serde_json::json!({"Action": action, "Actor": {"ID": "c", "Attributes": attributes}});
            is_stray(&shelf, &serde_json::from_value(event).unwrap())
        };
        let claim = shelf.claim("i-1");
        assert!(!stray("create", "i-1") && !stray("start", "i-1"));
        assert!(stray("create", "i-2") && stray("start", "i-2") && !stray("destroy", "i-2"));
        drop(claim);
        assert!(stray("start", "i-1"));
    }

    #[test]
    fn the_bell_tells_the_newest_once() {
        let bell = Bell::default();
        let up = |version: &str| Availability::Up { version: version.into() };
        bell.tell(up("1"));
        bell.tell(up("2"));
        bell.tell(up("2"));
        assert_eq!(rt::block_on(bell.changed()), up("2"));
        assert_eq!(rt::block_on(clock::timeout(Duration::from_millis(50), bell.changed())), None);
        bell.tell(trouble::down(Path::new("/x"), &WireError::Broken("y".into())));
        assert!(bell.trouble().is_some_and(|text| text.contains("/x")));
        assert!(matches!(rt::block_on(bell.changed()), Availability::Down { .. }));
    }
}
