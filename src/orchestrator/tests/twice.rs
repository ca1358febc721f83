//! What is asked for a second time while its first is on its way to the disk: waits for that, and looks at nothing meanwhile.

use crate::auth::Caller;
use crate::clock;
use crate::cluster::backlog::{Idempotency, Submission};
use crate::orchestrator::queue::{Headers, Request, Taken};
use crate::orchestrator::{self, Orchestrator, Running};
use crate::rt;
use crate::types::{ModuleSpec, PipelineSpec};
use futures_lite::future::{self, Boxed};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;
use tempfile::TempDir;

/// Many times as long as anybody who looks again would wait before that.
const WATCHED: Duration = Duration::from_millis(100);

/// Asks under a key; answers with the id.
type Ask = fn(Arc<Orchestrator>, u64) -> Boxed<Option<String>>;

#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn idempotency(key: u64) -> Option<Idempotency> {
    Some(Idempotency { key: key.to_string().into(), digest: "same".into() })
}

fn call(app: Arc<Orchestrator>, key: u64) -> Boxed<Option<String>> {
    let body = Taken::inline(b"");
    let request =
        Request { method: "POST".into(), path: "/".into(), headers: Headers::default(), body: body.stored().clone() };
    let asked = Submission {
        function: "f".into(),
        bytes: 0,
        max_attempts: 1,
        idempotency: idempotency(key),
        callback: None,
        scheduled_for: None,
    };
    Box::pin(async move { app.queue.submit(asked, request, body).await.ok().map(|key| key.to_string()) })
}

fn pipeline(app: Arc<Orchestrator>, key: u64) -> Boxed<Option<String>> {
    let module = ModuleSpec { name: "a".into(), image: Some("hello-world".into()), ..ModuleSpec::default() };
    let spec = PipelineSpec { modules: vec![module], ..PipelineSpec::default() };
    Box::pin(async move {
        let asked = app.pipelines.submit(&app, spec, idempotency(key), &None, &Caller::default()).await;
        asked.ok().map(|key| key.to_string())
    })
}

/// Asked for, and not on disk: nobody goes on with it until it is waited for.
fn under_way(app: &Arc<Orchestrator>, ask: Ask) -> (u64, Boxed<Option<String>>) {
    for key in 0.. {
        let mut first = ask(app.clone(), key);
        if rt::block_on(future::poll_once(&mut first)).is_none() {
            return (key, first);
        }
    }
    unreachable!()
}

fn check(running: &Running, ask: Ask) {
    let app = &running.app;
    let (key, first) = under_way(app, ask);
    let mut second = ask(app.clone(), key);
    let woken = Arc::new(Woken::default());
    let waker = woken.clone().into();
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "the first is not on disk");
    rt::block_on(clock::after(WATCHED));
    assert_eq!(woken.0.load(Ordering::Relaxed), 0, "it looks though nothing has happened");
    let id = rt::block_on(first);
    assert!(id.is_some() && woken.0.load(Ordering::Relaxed) > 0, "it is told");
    assert_eq!(second.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(id));
}

#[test]
fn the_second_waits_for_the_first_without_looking() {
    let dir = TempDir::new().unwrap();
    let running = orchestrator::start(&super::config(dir.path())).unwrap();
    check(&running, call);
    check(&running, pipeline);
    running.stop();
}
