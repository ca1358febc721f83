//! `cares task …`: things that run somewhere, for a while or for good.

use super::describe::pairs;
use super::task_progress::Progress;
use super::{FAILED, Failure, Outcome, confirm, connect, logs, watch};
use crate::cli::{Format, TaskGet, TaskList, TaskLogs, TaskRm, TaskRun, TaskStart, TaskStop, TaskVerb};
use crate::client::{About, ManagerClient, Tasks};
use crate::output::{self, Column, age, bytes};
use crate::settings::task::request;
use crate::types::{Event, TaskPhase, TaskStatus, TaskSummary};

const COLUMNS: [Column<TaskSummary>; 10] = [
    Column::new("ID", |t, _| t.id.clone()),
    Column::new("NAME", |t, _| t.name.clone()),
    Column::status("STATE", |t, _| t.state.to_string()),
    Column::new("IMAGE", |t, _| output::image(&t.image, output::DIGITS)),
    Column::new("RESTARTS", |t, _| t.restarts.to_string()),
    Column::wide("HEALTH", |t, _| t.health.clone().unwrap_or_default()),
    Column::wide("ATTEMPT", |t, _| t.attempt.to_string()),
    Column::wide("NODE", |t, _| t.node_name.clone().unwrap_or_default()),
    Column::words("REASON", |t, _| match &t.pull {
        Some(pull) => pull.to_string(),
        None => t.reason.clone().unwrap_or_default(),
    }),
    Column::new("AGE", |t, now| age(&t.created_at, now)),
];

pub fn run(verb: &TaskVerb) -> Outcome {
    match verb {
        TaskVerb::Run(flags) => submit(flags),
        TaskVerb::List(flags) => list(flags),
        TaskVerb::Get(flags) => get(flags),
        TaskVerb::Logs(flags) => logs(flags),
        TaskVerb::Stop(flags) => stop(flags),
        TaskVerb::Start(flags) => start(flags),
        TaskVerb::Rm(flags) => remove(flags),
    }
}

fn submit(flags: &TaskRun) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?.manager();
    let task = client.submit(&request(flags).map_err(Failure::Usage)?)?;
    if !flags.wait && !flags.follow {
        let line = format!("submitted {}. Next: cares task logs -f {}", task.id, task.id);
        return Ok(output::print_change(&options, &task, &task.id, &line)?);
    }
    let service = flags.restart.as_deref() == Some("always");
    let started = |task: &TaskStatus| task.state == TaskPhase::Running || task.state.ended();
    let progress = Progress::new(&options);
    progress.follow_pulls(&client, &task.id);
    let mut story = Story::of(&client, progress, &task.id);
    let task = match flags.follow {
        true => {
            story.until(started)?;
            for line in client.task_logs(&task.id, None, None, true)? {
                output::print(&output::line(&line?.line))?;
            }
            story.until(|task| task.state.ended())?
        }
        false => story.until(|task| task.state.ended() || service && started(task))?,
    };
    if !flags.follow {
        let line = format!("{} is {}", task.id, task.state);
        output::print_change(&options, &task, &task.id, &line)?;
    }
    match task.state {
        TaskPhase::Failed => Err(failed(&task)),
        _ => Ok(()),
    }
}

/// What happens to a task, told on stderr once, in order.
struct Story<'a> {
    client: &'a ManagerClient,
    progress: Progress,
    about: About,
    id: &'a str,
    /// The last event.
    told: u64,
}

impl<'a> Story<'a> {
    /// From the beginning.
    fn of(client: &'a ManagerClient, progress: Progress, id: &'a str) -> Self {
        let about = About { kind: Some("task".into()), task: Some(id.into()), ..About::default() };
        Story { client, progress, about, id, told: 0 }
    }

    fn tell(&mut self, event: &Event) {
        self.told = event.id;
        self.progress.event(&event.message);
    }

    fn untold(&self) -> Result<Vec<Event>, Failure> {
        Ok(self.client.events(&self.about)?.into_iter().filter(|event| event.id > self.told).collect())
    }

    /// Goes on until the task is as it should be.
    fn until(&mut self, done: impl Fn(&TaskStatus) -> bool) -> Result<TaskStatus, Failure> {
        loop {
            let task = self.client.task(self.id)?; // also once the orchestrator has ended the stream: it stops, or is back
            if done(&task) {
                self.untold()?.iter().for_each(|event| self.tell(event));
                return Ok(task);
            }
            for event in self.client.watch_events(&self.about, Some(self.told))? {
                self.tell(&event?);
                if done(&self.client.task(self.id)?) {
                    break;
                }
            }
        }
    }
}

fn failed(task: &TaskStatus) -> Failure {
    let why = task.reason.as_deref().unwrap_or("it does not say why");
    output::note(&format!("cares: task {} has failed: {}", task.id, output::printable(why)));
    for line in task.last_lines.as_deref().unwrap_or_default().lines() {
        output::note(&format!("  {}", output::printable(line)));
    }
    Failure::Told(FAILED)
}

fn list(flags: &TaskList) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?.manager();
    if flags.watch {
        return watch::run(&options, client.watch_tasks()?, &COLUMNS, |t| &t.id);
    }
    let which = Tasks {
        state: flags.state.clone(),
        node: flags.node.clone(),
        name: flags.name.clone(),
        label: flags.label.clone(),
    };
    let tasks = client.tasks(&which)?;
    if tasks.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(&options, "No such tasks. Run one: cares task run IMAGE");
        return Ok(());
    }
    Ok(output::print_list(&options, &tasks, &COLUMNS)?)
}

fn get(flags: &TaskGet) -> Outcome {
    let options = flags.client();
    let task = connect(&options)?.manager().task(&flags.id)?;
    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(&task)?,
        Format::Name => format!("{}\n", task.id),
        _ => text(&task),
    };
    Ok(output::print(&text)?)
}

fn logs(flags: &TaskLogs) -> Outcome {
    let options = flags.client();
    let lines = connect(&options)?.manager().task_logs(&flags.id, flags.tail, flags.since.as_deref(), flags.follow)?;
    logs::show(lines, &options)
}

fn stop(flags: &TaskStop) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?.manager();
    let mut story = Story::of(&client, Progress::new(&options), &flags.id);
    if flags.wait {
        story.told = story.untold()?.last().map_or(0, |event| event.id); // what was is not of interest
    }
    let mut task = client.stop(&flags.id)?;
    if flags.wait {
        task = story.until(|task| task.state.ended())?;
    }
    let line = match task.state.ended() {
        true => format!("{} is {}. Next: cares task rm {}", task.id, task.state, task.id),
        false => format!("stopping {}. Next: cares task get {}", task.id, task.id),
    };
    Ok(output::print_change(&options, &task, &task.id, &line)?)
}

fn start(flags: &TaskStart) -> Outcome {
    let options = flags.client();
    let task = connect(&options)?.manager().start(&flags.id)?;
    let line = format!("starting {} once more. Next: cares task logs -f {}", task.id, task.id);
    Ok(output::print_change(&options, &task, &task.id, &line)?)
}

fn remove(flags: &TaskRm) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?.manager();
    confirm(&options, &format!("Forget the task '{}', or stop it if it has not ended?", flags.id))?;
    let (answer, line) = match client.delete_task(&flags.id)? {
        Some(task) => {
            let line = format!("stopping {}; once it has ended: cares task rm {}", task.id, task.id);
            (serde_json::json!({ "id": task.id, "status": "stopping" }), line)
        }
        None => {
            let answer = serde_json::json!({ "id": flags.id, "status": "removed" });
            (answer, format!("removed {}. Next: cares task list", flags.id))
        }
    };
    Ok(output::print_change(&options, &answer, &flags.id, &line)?)
}

fn text(task: &TaskStatus) -> String {
    let asked = &task.request;
    let port = |p: &crate::types::TaskPort| {
        let protocol = p.protocol.as_deref().unwrap_or("tcp");
        match p.host {
            Some(host) => format!("{host} -> {}/{protocol}", p.container),
            None => format!("{}/{protocol}", p.container),
        }
    };
    let time = |time: &Option<String>| time.clone().unwrap_or_default();
    output::fields(&[
        ("ID", task.id.clone()),
        ("Name", asked.name.clone()),
        ("State", task.state.to_string()),
        ("Pull", task.pull.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Reason", task.reason.clone().unwrap_or_default()),
        ("Last lines", task.last_lines.clone().unwrap_or_default()),
        ("Exit code", task.exit_code.map(|code| code.to_string()).unwrap_or_default()),
        ("Health", task.health.clone().unwrap_or_default()),
        ("Node", task.node_name.clone().unwrap_or_default()),
        ("Attempt", format!("{} ({} restarts in it)", task.attempt, task.restarts)),
        ("Image", asked.image.clone()),
        ("Command", asked.command.join(" ")),
        ("Ports", asked.ports.iter().map(port).collect::<Vec<_>>().join("\n")),
        ("CPU", asked.cpu.map(|cores| format!("{cores} cores")).unwrap_or_default()),
        ("Memory", asked.memory.map(bytes).unwrap_or_default()),
        ("Disk", asked.disk.map(bytes).unwrap_or_default()),
        ("Restart", asked.restart_policy.as_ref().map_or("never".into(), |restart| restart.policy.clone())),
        ("Scheduler", asked.scheduler.clone().unwrap_or_else(|| "cost".into())),
        ("Labels", pairs(&asked.labels)),
        ("Created", task.created_at.clone()),
        ("Started", time(&task.started_at)),
        ("Ended", time(&task.ended_at)),
    ])
}
