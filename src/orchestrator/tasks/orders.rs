//! What nodes are told of tasks: said until it is heard or the node's session is over, for then it reports what it has. A
//! start is not said before its attempt is on disk, nor a forget before the end is: nothing is run twice, and no end lost.

use super::spec::request;
use crate::clock;
use crate::cluster::{Command, NodeStatus, Task, TaskKey, TaskState};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::dispatch::link::Session;
use crate::orchestrator::dispatch::link::Unmet;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries: a node that has just joined has no link yet.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_LAST: Duration = Duration::from_secs(5);

/// Has a node run a task.
pub async fn start(app: Arc<Orchestrator>, key: TaskKey, to: Session, attempt: u64) {
    let mut again = AGAIN_FIRST;
    loop {
        let here = |t: &&Task| t.state == TaskState::Scheduled && t.attempt == attempt && t.node == Some(to.node);
        let wanted = app.state.read(|c| c.task(key).filter(here).map(|t| (t.id.clone(), t.spec.clone())));
        let Some((id, spec)) = wanted.filter(|_| current(&app, to)) else { return };
        let sent = match app.store.all_kept().await {
            Ok(()) => {
                let task = crate::tasks::to_wire(&id, attempt, &request(&spec));
                app.links.start_task(to, &task).await
            }
            Err(error) => Err(Unmet::Unheard(error.to_string())),
        };
        match sent {
            Ok(()) => return,
            Err(Unmet::Refused(why) | Unmet::Unknown(why)) => {
                let _ = app.state.apply(Command::TaskRefused { task: key, node: to.node, attempt, why }); // elsewhere by now
                return;
            }
            Err(Unmet::Unheard(why)) => wait(&mut again, &id, &why).await,
        }
    }
}

/// Has a node stop an attempt.
pub async fn stop(app: Arc<Orchestrator>, id: Arc<str>, to: Session, attempt: u64) {
    let mut again = AGAIN_FIRST;
    while current(&app, to) {
        match app.links.stop_task(to, &id, attempt).await {
            Ok(()) => return,
            Err(Unmet::Refused(why) | Unmet::Unknown(why)) => {
                log::debug!("task {id}, attempt {attempt}: {why}");
                if let Some(task) = app.state.read(|c| c.find_task(&id).map(|t| t.key)) {
                    let _ = app.state.apply(Command::TaskMissing { task, node: to.node, attempt }); // elsewhere by now
                }
                return;
            }
            Err(Unmet::Unheard(why)) => wait(&mut again, &id, &why).await,
        }
    }
}

/// Tells a node that it need not keep the end of an attempt any longer.
pub async fn forget(app: Arc<Orchestrator>, id: Arc<str>, to: Session, attempt: u64) {
    let mut again = AGAIN_FIRST;
    while current(&app, to) {
        let kept = app.store.all_kept().await.map_err(|error| Unmet::Unheard(error.to_string()));
        let told = match kept {
            Ok(()) => app.links.forget_task(to, &id, attempt).await,
            Err(unmet) => Err(unmet),
        };
        match told {
            Ok(()) | Err(Unmet::Refused(_) | Unmet::Unknown(_)) => return,
            Err(Unmet::Unheard(why)) => wait(&mut again, &id, &why).await,
        }
    }
}

fn current(app: &Orchestrator, to: Session) -> bool {
    let node = |c: &crate::cluster::Cluster| c.node(to.node).map(|n| (n.session, n.status));
    app.state.read(node).is_some_and(|(session, status)| session == to.session && status != NodeStatus::Disconnected)
}

async fn wait(again: &mut Duration, id: &str, why: &str) {
    log::debug!("task {id}: its node has not heard yet: {why}");
    clock::after(*again).await;
    *again = (*again * 2).min(AGAIN_LAST);
}
