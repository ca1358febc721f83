//! Modules: functions that somebody has this worker run, over its own HTTP and not by way of its orchestrator, which is
//! only asked what they are. Each is a job; all jobs together are never more than the worker said it runs at once.

use super::Worker;
use super::engine::{Kind, Running};
use super::job::{self, NoOutput};
use super::membership::Standing;
use super::runnable::Runnable;
use crate::body::Body;
use crate::clock;
use crate::ids;
use crate::lock::lock;
use crate::modules::{PAYLOAD_BYTES, WORD_BYTES, payload, timespan};
use crate::rt::{self, Sender};
use crate::types::{ModuleExecution, ModuleResult, WorkerHealth};
use crate::wire::proto::Revision;
use futures_lite::future;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A program's environment is bounded by the system: one variable to 128 KiB.
const VARIABLES: usize = 256;
const VARIABLE_BYTES: usize = 32 * 1024;
const RESULTS_BYTES: usize = 96 * 1024;
/// As a function's own timeout.
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// Of a reason.
const REASON_BYTES: usize = 1_024;

/// The modules that run here now, by execution, and the way to end each.
#[derive(Default)]
pub struct Modules(Mutex<HashMap<String, Sender<String>>>);

/// Why a module was not taken; nothing of it was started.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    Field {
        field: &'static str,
        why: String,
    },
    /// Longer than this.
    TooLarge {
        field: &'static str,
        limit: usize,
    },
    /// An execution of that id runs.
    Twice,
    /// As many jobs run as may.
    Full {
        limit: u32,
    },
    /// The worker finishes what it has.
    Leaving,
}

/// How a module failed, in the words of its answer.
struct Failed {
    kind: &'static str,
    why: String,
    trace: Option<String>,
}

impl Failed {
    fn new(kind: &'static str, why: impl Into<String>) -> Self {
        Failed { kind, why: why.into(), trace: None }
    }

    /// `words`: the last of its stderr.
    fn having_said(self, words: String) -> Self {
        Failed { trace: Some(words).filter(|words| !words.trim().is_empty()), ..self }
    }
}

/// What comes first.
async fn unless<T>(
    stop: impl Future<Output = Failed>,
    done: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    future::or(async { Err(stop.await) }, done).await
}

/// A module's request, looked through.
struct Asked {
    function: String,
    input: Vec<u8>,
    env: Vec<(String, String)>,
    timeout: Option<Duration>,
}

impl Worker {
    /// Executes a module and waits for its end. Dropped, it ends the module.
    pub async fn execute(self: Arc<Self>, request: ModuleExecution) -> Result<ModuleResult, NotTaken> {
        let execution_id = request.execution_id.clone();
        let asked = look_through(request)?;
        if matches!(self.membership.standing(), Standing::Leaving | Standing::Ended { .. }) {
            return Err(NotTaken::Leaving);
        }
        let limit = self.identity.job_slots();
        let (entered, cancelled) = self.modules.enter(&execution_id).ok_or(NotTaken::Twice)?;
        let job = self.pool.jobs.note_below(limit, &execution_id, &asked.function).ok_or(NotTaken::Full { limit })?;
        let slot = self.pool.take_slot().ok_or(NotTaken::Full { limit })?;
        let (started, start_time) = (clock::now(), clock::rfc3339(clock::unix_ms()));
        let cancelled = async {
            let reason = cancelled.recv().await.unwrap_or_default();
            Failed::new("ModuleCancelled", format!("it was cancelled: {reason}"))
        };
        let killed = async {
            self.pool.killed().await;
            Failed::new("ModuleCancelled", "its worker was told to end at once")
        };
        let ended = self.output_of(asked, future::or(cancelled, killed)).await;
        drop((entered, job, slot));
        let mut result = ModuleResult {
            execution_id,
            success: ended.is_ok(),
            duration: timespan::write(started.elapsed()),
            start_time,
            end_time: clock::rfc3339(clock::unix_ms()),
            worker_id: self.id.clone(),
            ..Default::default()
        };
        match ended {
            Ok(output) => {
                let (text, encoding) = payload::encode(&output);
                (result.serialized_result, result.encoding) = (Some(text), encoding);
            }
            Err(Failed { kind, why, trace }) => {
                (result.exception_type, result.error_message, result.stack_trace) =
                    (Some(kind.into()), Some(why), trace);
            }
        }
        Ok(result)
    }

    /// All it wrote, unless something stops it.
    async fn output_of(&self, asked: Asked, stop: impl Future<Output = Failed>) -> Result<Vec<u8>, Failed> {
        let mut stop = pin!(stop);
        let revision = unless(stop.as_mut(), self.module_type(&asked.function)).await?;
        let timeout = asked.timeout.unwrap_or(Duration::from_millis(revision.timeout_ms));
        let late = async {
            clock::after(timeout).await;
            let why = format!("it was ended: it ran longer than its timeout, {}", timespan::write(timeout));
            Failed::new("ModuleTimeout", why)
        };
        let mut stop = pin!(future::or(stop, late));
        let (mut running, _runnable) = unless(stop.as_mut(), self.launch_module(revision, asked.env)).await?;
        let output = async { Ok(job::output_of(&mut running, Body::full(asked.input), PAYLOAD_BYTES).await) };
        match unless(stop, output).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(NoOutput::Ended { exit, words })) => {
                Err(Failed::new("ModuleFailed", format!("the function {exit}")).having_said(words))
            }
            Ok(Err(error @ NoOutput::TooMuch(_))) => Err(Failed::new("ResultTooLarge", error.to_string())),
            Err(stopped) => Err(stopped.having_said(running.control.last_words())),
        }
    }

    async fn module_type(&self, name: &str) -> Result<Revision, Failed> {
        let found = self.pool.upstream.find_function(name).await.map_err(|why| Failed::new("ModuleNotStarted", why))?;
        match found {
            Some(revision) if revision.http => {
                let why =
                    format!("function '{name}' serves HTTP: invoke it; a module is a function that runs as a job");
                Err(Failed::new("UnknownModuleType", why))
            }
            Some(revision) => Ok(revision),
            None => Err(Failed::new("UnknownModuleType", format!("no function '{name}' is registered"))),
        }
    }

    async fn launch_module(
        &self,
        mut revision: Revision,
        env: Vec<(String, String)>,
    ) -> Result<(Running, Runnable), Failed> {
        let not_started = |why: String| Failed::new("ModuleNotStarted", why);
        let runnable = self.pool.runnable(&revision).await.map_err(not_started)?;
        revision.env.extend(env);
        let id = format!("module-{}", ids::random_hex(8));
        let own = [("CARES_CALL_ID", id.clone())];
        let running = self.pool.launch(&id, &revision, &runnable, Kind::Job, &own, None).await;
        Ok((running.map_err(|e| not_started(e.to_string()))?, runnable))
    }

    /// Ends a module that runs; `false`: there is none.
    pub fn cancel_module(&self, execution: &str, reason: &str) -> bool {
        let cancel = self.modules.lock().get(execution).cloned();
        let reason: String = reason.chars().take(REASON_BYTES).collect();
        cancel.is_some_and(|cancel| cancel.try_send(reason).is_ok() || !cancel.is_closed())
    }

    /// How many jobs run, and how many may.
    pub fn module_health(&self) -> WorkerHealth {
        WorkerHealth {
            status: "healthy".into(),
            current_load: self.pool.jobs.running().len() as u32,
            max_load: self.identity.job_slots(),
            timestamp: clock::rfc3339(clock::unix_ms()),
        }
    }
}

/// Takes an execution off the books when dropped.
struct Entered<'a> {
    modules: &'a Modules,
    id: String,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.modules.lock().remove(&self.id);
    }
}

impl Modules {
    /// Puts it on the books; gives what is told when it is to end.
    fn enter(&self, id: &str) -> Option<(Entered<'_>, rt::Receiver<String>)> {
        let (cancel, cancelled) = rt::bounded(1);
        match self.lock().entry(id.to_string()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(room) => drop(room.insert(cancel)),
        }
        Some((Entered { modules: self, id: id.to_string() }, cancelled))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Sender<String>>> {
        lock(&self.0)
    }
}

fn look_through(request: ModuleExecution) -> Result<Asked, NotTaken> {
    let bad = |field, why: &str| NotTaken::Field { field, why: why.into() };
    let word = |text: &str| !text.is_empty() && text.len() <= WORD_BYTES && !text.chars().any(char::is_control);
    let a_word = format!("must have 1 to {WORD_BYTES} bytes, without control characters");
    if !word(&request.execution_id) {
        return Err(bad("executionId", &a_word));
    }
    if !word(&request.module_type_name) {
        return Err(bad("moduleTypeName", &a_word));
    }
    let timeout = request.timeout.as_deref().map(timespan::parse).transpose().map_err(|why| bad("timeout", why))?;
    if timeout.is_some_and(|t| t.is_zero() || t > TIMEOUT_MAX) {
        return Err(bad("timeout", "must be more than 00:00:00 and at most 1.00:00:00"));
    }
    let mut env: Vec<(String, String)> = request.environment_variables.into_iter().collect();
    let bad_name = |name: &str| name.is_empty() || name.contains(['=', '\0']);
    if env.iter().any(|(name, value)| bad_name(name) || value.contains('\0')) {
        let why = "a name must not be empty or hold '=' or NUL, and no value may hold NUL";
        return Err(bad("environmentVariables", why));
    }
    if env.len() > VARIABLES || env.iter().any(|(name, value)| name.len() + value.len() > VARIABLE_BYTES) {
        let why = format!("at most {VARIABLES} of at most {VARIABLE_BYTES} bytes each");
        return Err(bad("environmentVariables", &why));
    }
    let results = serde_json::to_string(&request.dependency_results).unwrap_or_default(); // strings: cannot fail
    if results.len() > RESULTS_BYTES {
        return Err(NotTaken::TooLarge { field: "dependencyResults", limit: RESULTS_BYTES });
    }
    env.push(("CARES_DEPENDENCY_RESULTS".into(), results));
    if let Some(directory) = request.working_directory.filter(|directory| !directory.is_empty()) {
        if directory.len() > VARIABLE_BYTES || directory.contains('\0') {
            return Err(bad("workingDirectory", "must be a path"));
        }
        env.push(("CARES_WORKING_DIRECTORY".into(), directory));
    }
    let input = payload::decode(request.serialized_module, request.encoding.as_deref());
    let input = input.map_err(|why| bad("serializedModule", &why))?;
    if input.len() > PAYLOAD_BYTES {
        return Err(NotTaken::TooLarge { field: "serializedModule", limit: PAYLOAD_BYTES });
    }
    Ok(Asked { function: request.module_type_name, input, env, timeout })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl FnOnce(&mut ModuleExecution)) -> Result<Asked, NotTaken> {
        let mut request =
            ModuleExecution { execution_id: "e".into(), module_type_name: "f".into(), ..Default::default() };
        change(&mut request);
        look_through(request)
    }

    fn field(change: impl FnOnce(&mut ModuleExecution)) -> &'static str {
        match asked(change).err() {
            Some(NotTaken::Field { field, .. } | NotTaken::TooLarge { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        assert_eq!(field(|r| r.execution_id.clear()), "executionId");
        assert_eq!(field(|r| r.module_type_name = "x".repeat(300)), "moduleTypeName");
        for bad in ["", "5", "00:00:00", "1.00:00:01", "-00:00:01", "soon"] {
            assert_eq!(field(|r| r.timeout = Some(bad.into())), "timeout", "{bad}");
        }
        assert_eq!(field(|r| drop(r.environment_variables.insert("A=B".into(), "c".into()))), "environmentVariables");
        let name_bytes = 4;
        let variables = |n: usize| (0..n).map(|at| (format!("V{at:03}"), String::new())).collect();
        assert!(asked(|r| r.environment_variables = variables(VARIABLES)).is_ok());
        assert_eq!(field(|r| r.environment_variables = variables(VARIABLES + 1)), "environmentVariables");
        let sized = |bytes: usize| [("LONG".into(), "x".repeat(bytes - name_bytes))].into();
        assert!(asked(|r| r.environment_variables = sized(VARIABLE_BYTES)).is_ok());
        assert_eq!(field(|r| r.environment_variables = sized(VARIABLE_BYTES + 1)), "environmentVariables");
        let long = "x".repeat(RESULTS_BYTES);
        assert_eq!(field(|r| drop(r.dependency_results.insert("m".into(), long))), "dependencyResults");
        assert_eq!(field(|r| r.working_directory = Some("\0".into())), "workingDirectory");
        assert_eq!(field(|r| r.encoding = Some("gzip".into())), "serializedModule");
        assert_eq!(field(|r| r.serialized_module = "x".repeat(PAYLOAD_BYTES + 1)), "serializedModule");
    }

    #[test]
    fn all_that_is_said_reaches_the_job() {
        let asked = asked(|r| {
            r.serialized_module = "/w==".into();
            r.encoding = Some("base64".into());
            r.dependency_results.insert("restore".into(), "done".into());
            r.environment_variables.insert("CI".into(), "true".into());
            r.working_directory = Some("/app".into());
            r.timeout = Some("01:00:00".into());
        });
        let Ok(Asked { function, input, env, timeout }) = asked else { panic!("it is valid") };
        assert_eq!((function.as_str(), input.as_slice()), ("f", &[0xff][..]));
        assert_eq!(timeout, Some(Duration::from_secs(3_600)));
        let value = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(value("CI"), Some("true"));
        assert_eq!(value("CARES_DEPENDENCY_RESULTS"), Some(r#"{"restore":"done"}"#));
        assert_eq!(value("CARES_WORKING_DIRECTORY"), Some("/app"));
    }
}
