//! The containers this worker holds, and what became of each. The engine's events are made into an end here, once. Must
//! never call the engine.

use super::super::Exit;
use super::answers::Event;
use super::freeze::Way;
use crate::clock;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// All of them, and the launches under way.
#[derive(Default)]
pub struct Shelf {
    containers: Mutex<HashMap<String, Arc<Held>>>,
    claimed: Mutex<HashSet<String>>,
}

/// A launch's id, taken until its container is gone: what has one is no leftover.
pub struct Claim {
    id: String,
    shelf: Arc<Shelf>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.shelf.claimed).remove(&self.id);
    }
}

impl Shelf {
    /// `None` when it is taken.
    pub fn claim(self: &Arc<Self>, id: &str) -> Option<Claim> {
        lock(&self.claimed).insert(id.into()).then(|| Claim { id: id.into(), shelf: self.clone() })
    }

    pub fn is_claimed(&self, id: &str) -> bool {
        lock(&self.claimed).contains(id)
    }

    /// Nothing is held, and no launch is under way.
    pub fn is_empty(&self) -> bool {
        lock(&self.claimed).is_empty()
    }

    /// Its end is noticed from now on, until it is let go.
    pub fn hold(&self, container: &str) -> Arc<Held> {
        let (over, ended) = rt::bounded(1);
        let state = State { over: Some(over), ..State::default() };
        let held = Arc::new(Held { container: container.into(), ended, state: Mutex::new(state) });
        lock(&self.containers).insert(container.into(), held.clone());
        held
    }

    pub fn let_go(&self, held: &Held) {
        lock(&self.containers).remove(&held.container);
    }

    pub fn all(&self) -> Vec<Arc<Held>> {
        lock(&self.containers).values().cloned().collect()
    }

    pub fn get(&self, container: &str) -> Option<Arc<Held>> {
        lock(&self.containers).get(container).cloned()
    }
}

/// One container, as far as its end is concerned.
pub struct Held {
    pub container: String,
    /// Closed at its end.
    ended: Receiver<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    exit: Option<Exit>,
    over: Option<Sender<()>>,
    /// This worker is ending it.
    ours: bool,
    /// Someone else sent it a signal.
    signalled: bool,
    out_of_memory: bool,
    /// How it is frozen, once that was found out; and whether it is.
    way: Option<Way>,
    frozen: bool,
    /// Until then a word of its being paused may be of this worker's doing.
    pauses_until: Option<Instant>,
    /// It has died with this code; why is not yet clear.
    died: Option<i32>,
}

/// What an event leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// It has died and more about it will come at once: settle it a moment later.
    SettleSoon,
}

impl Held {
    pub async fn ended(&self) -> Exit {
        let _ = self.ended.recv().await; // nothing is ever sent
        self.exit().unwrap_or(Exit::EngineLost)
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        lock(&self.state).exit
    }

    /// What happens to it from now on is this worker's doing.
    pub fn is_ours(&self) {
        lock(&self.state).ours = true;
    }

    /// How it is frozen, if that is known.
    pub fn way(&self) -> Option<Way> {
        lock(&self.state).way.clone()
    }

    /// How it was frozen, if it is.
    pub fn frozen(&self) -> Option<Way> {
        let state = lock(&self.state);
        state.way.clone().filter(|_| state.frozen)
    }

    /// To be called before it is.
    pub fn frozen_by(&self, way: Way) {
        let mut state = lock(&self.state);
        state.way = Some(way);
        state.frozen = true;
    }

    pub fn is_thawed(&self) {
        let mut state = lock(&self.state);
        state.frozen = false;
        if state.way == Some(Way::Pause) {
            state.pauses_until = Some(clock::now() + PAUSE_WORD);
        }
    }

    /// Whether a pause is, or may still be told of, that this worker asked for.
    pub fn is_paused_by_us(&self) -> bool {
        let state = lock(&self.state);
        (state.frozen && state.way == Some(Way::Pause)) || state.pauses_until.is_some_and(|end| clock::now() < end)
    }

    /// It has ended like this; the first to say so is right.
    pub fn settle(&self, exit: Exit) {
        let mut state = lock(&self.state);
        state.exit.get_or_insert(exit);
        state.over = None;
    }

    /// Takes note of what the engine says happened to it.
    pub fn note(&self, event: &Event) -> Next {
        let by_us = self.is_paused_by_us();
        let mut state = lock(&self.state);
        let exit = match event.action.as_str() {
            "kill" => {
                state.signalled = true;
                return Next::Nothing;
            }
            "oom" => {
                state.out_of_memory = true;
                if state.died != Some(KILLED) {
                    return Next::Nothing;
                }
                Exit::OutOfMemory // told late
            }
            "die" => {
                let code = event.actor.attributes.get("exitCode").and_then(|code| code.as_deref()?.parse().ok());
                let code = code.unwrap_or(-1);
                // Killed, or asked to end by someone else: what comes next says by what.
                if !state.ours && (code == KILLED || state.signalled) {
                    state.died = Some(code);
                    return Next::SettleSoon;
                }
                Exit::Code(code)
            }
            "destroy" => Exit::Removed,
            "pause" if !state.ours && !by_us => Exit::Paused,
            // What is frozen cannot be asked how it is.
            "health_status: unhealthy" if !state.ours && !state.frozen => Exit::Unhealthy,
            _ => return Next::Nothing,
        };
        drop(state);
        self.settle(exit);
        Next::Nothing
    }

    /// It has died: waits for `settle` until all is told, and up to `longer` should nothing yet say why.
    pub async fn told_why(&self, settle: Duration, longer: Duration) {
        clock::after(settle).await;
        if !self.is_explained() {
            clock::timeout(longer, self.ended()).await;
        }
    }

    fn is_explained(&self) -> bool {
        let state = lock(&self.state);
        state.exit.is_some() || state.out_of_memory || state.signalled
    }

    /// It has died, and all that is to be known about it is here. `out_of_memory` is what the engine says when asked.
    pub fn settle_death(&self, out_of_memory: bool) {
        let state = lock(&self.state);
        let Some(code) = state.died else { return };
        let exit = if (out_of_memory || state.out_of_memory) && code == KILLED {
            Exit::OutOfMemory
        } else if state.signalled {
            Exit::Stopped
        } else {
            Exit::Code(code)
        };
        drop(state);
        self.settle(exit);
    }
}

/// A pause that this worker ended may be told of this much later.
const PAUSE_WORD: Duration = Duration::from_secs(5);

/// The code of what SIGKILL ended.
pub const KILLED: i32 = 137;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, zip};
    use serde_json::json;

    fn event(action: &str, code: &str) -> Event {
        serde_json::from_value(json!({"Action": action, "Actor": {"Attributes": {"exitCode": code}}})).unwrap()
    }

    /// What is told when these happen, and then the moment is over.
    fn told(ours: bool, oom_on_asking: bool, events: &[(&str, &str)]) -> Option<Exit> {
        let held = Shelf::default().hold("c");
        if ours {
            held.is_ours();
        }
        let next: Vec<Next> = events.iter().map(|(action, code)| held.note(&event(action, code))).collect();
        if next.contains(&Next::SettleSoon) {
            held.settle_death(oom_on_asking);
        }
        held.exit()
    }

    #[test]
    fn the_events_tell_why_it_ended() {
        assert_eq!(told(false, false, &[("die", "3")]), Some(Exit::Code(3)));
        assert_eq!(told(false, false, &[("kill", ""), ("die", "0"), ("stop", "")]), Some(Exit::Stopped));
        assert_eq!(told(false, false, &[("kill", ""), ("die", "137"), ("destroy", "")]), Some(Exit::Removed));
        assert_eq!(told(false, false, &[("oom", ""), ("die", "137")]), Some(Exit::OutOfMemory));
        assert_eq!(told(false, false, &[("die", "137"), ("oom", "")]), Some(Exit::OutOfMemory));
        assert_eq!(told(false, true, &[("die", "137")]), Some(Exit::OutOfMemory));
        assert_eq!(told(false, false, &[("die", "137")]), Some(Exit::Code(137)));
        assert_eq!(told(false, false, &[("pause", ""), ("die", "3")]), Some(Exit::Paused));
        assert_eq!(told(true, false, &[("kill", ""), ("die", "143"), ("destroy", "")]), Some(Exit::Code(143)));
        assert_eq!(told(false, false, &[("kill", ""), ("start", ""), ("exec_create", "")]), None);
        assert_eq!(told(false, false, &[("destroy", "")]), Some(Exit::Removed));
        let sick = "health_status: unhealthy";
        assert_eq!(told(false, false, &[("health_status: healthy", ""), (sick, "")]), Some(Exit::Unhealthy));
        assert_eq!(told(true, false, &[(sick, ""), ("die", "0")]), Some(Exit::Code(0)));
    }

    #[test]
    fn a_full_memory_told_late_is_waited_for_no_longer_than_until_then() {
        let held = Shelf::default().hold("c");
        assert_eq!(held.note(&event("die", "137")), Next::SettleSoon);
        let settled = async {
            held.told_why(Duration::from_millis(1), Duration::from_secs(3_600)).await;
            held.settle_death(false); // as the engine says when it is asked too early
        };
        let oom = async {
            clock::after(Duration::from_millis(30)).await;
            held.note(&event("oom", ""));
        };
        block_on(zip(settled, oom));
        assert_eq!(held.exit(), Some(Exit::OutOfMemory));
        // Of one that ended by itself it tells nothing: it was a child of it.
        assert_eq!(told(false, false, &[("oom", ""), ("die", "3")]), Some(Exit::Code(3)));
    }

    #[test]
    fn a_pause_of_our_own_is_no_end() {
        let held = Shelf::default().hold("c");
        held.frozen_by(Way::Pause);
        held.note(&event("pause", ""));
        assert_eq!((held.exit(), held.frozen()), (None, Some(Way::Pause)));
        held.is_thawed();
        held.note(&event("pause", "")); // heard late
        assert_eq!((held.exit(), held.frozen()), (None, None));
        let way = Way::Cgroup { file: "/x".into(), freeze: "1", thaw: "0" };
        let other = Shelf::default().hold("d");
        other.frozen_by(way);
        other.note(&event("pause", ""));
        assert_eq!(other.exit(), Some(Exit::Paused), "that was not us");
    }

    #[test]
    fn an_id_is_claimed_once() {
        let shelf = Arc::new(Shelf::default());
        let claim = shelf.claim("a").unwrap();
        assert!(shelf.claim("a").is_none() && shelf.is_claimed("a"));
        drop(claim);
        assert!(!shelf.is_claimed("a") && shelf.claim("a").is_some());
    }
}
