//! A pipeline's document, looked through: a graph for the core, and what each module runs. Every refusal names the module
//! and the field.

use crate::cluster::Constraints;
use crate::cluster::pipeline::{Condition, Graph, PipelineKey, Planned};
use crate::orchestrator::spec;
use crate::types::{FunctionSpec, Mode, ModuleSpec, PipelineSpec};
use crate::{cluster, names};
use std::collections::BTreeMap;
use std::sync::Arc;

const NAME_BYTES: usize = 128;
const RETRIES: u32 = 20;
const TIMEOUT_MAX_S: f64 = 86_400.0;
const VARIABLES: usize = 256;
const VARIABLE_BYTES: usize = 32 * 1024;
const ENTRIES: usize = 64;

/// A document that can be run.
pub struct Plan {
    pub spec: PipelineSpec,
    pub graph: Arc<Graph>,
    pub stop: bool,
    /// By module: what its job's node must have beside what the function asks for.
    wants: Vec<Arc<Constraints>>,
    /// Of each group a module of it.
    pub groups: Vec<usize>,
    /// Of each module the first that runs the same: they share a function.
    first: Vec<usize>,
}

/// # Errors
/// What is wrong, the field first.
pub fn plan(spec: PipelineSpec) -> Result<Plan, String> {
    if spec.name.as_ref().is_some_and(|name| name.len() > NAME_BYTES || name.chars().any(char::is_control)) {
        return Err(format!("name: at most {NAME_BYTES} bytes, and no control characters"));
    }
    let stop = match spec.failure_policy.as_deref() {
        None | Some("stop") => true,
        Some("continue") => false,
        Some(_) => return Err("failurePolicy: must be stop or continue".into()),
    };
    let (mut planned, mut wants, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let (mut known, mut firsts, mut first) = (BTreeMap::<String, u32>::new(), BTreeMap::new(), Vec::new());
    for (index, module) in spec.modules.iter().enumerate().take(cluster::pipeline::MODULES + 1) {
        let wrong = |why: String| format!("modules: '{}': {why}", shown(&module.name));
        check(module).map_err(wrong)?;
        let asked = module.requirements.clone().unwrap_or_default();
        let runs = format!("{:?} {:?} {:?}", module.function, module.image, module.command);
        let like = format!("{runs} {asked:?}");
        first.push(*firsts.entry(runs).or_insert(index));
        let group = *known.entry(like).or_insert_with(|| {
            groups.push(index);
            groups.len() as u32 - 1
        });
        wants.push(Arc::new(Constraints {
            os: asked.os,
            arch: asked.arch,
            tools: asked.tools.into_iter().collect(),
            tags: asked.tags,
            takes_inputs: true,
        }));
        planned.push(Planned {
            name: module.name.as_str().into(),
            after: module.depends_on.iter().map(|name| name.as_str().into()).collect(),
            condition: condition(module).map_err(wrong)?,
            retries: module.retries.unwrap_or(0),
            group,
        });
    }
    let graph = Arc::new(Graph::new(planned).map_err(|bad| bad.to_string())?);
    Ok(Plan { spec, graph, stop, wants, groups, first })
}

fn shown(name: &str) -> String {
    name.chars().take(80).collect::<String>().escape_debug().to_string()
}

fn condition(module: &ModuleSpec) -> Result<Condition, String> {
    let word = module.condition.as_deref().unwrap_or("success");
    Condition::of(word).ok_or_else(|| "condition: must be success, always or failure".to_string())
}

fn check(module: &ModuleSpec) -> Result<(), String> {
    names::check_name(&module.name).map_err(|why| format!("name: {why}"))?;
    match (&module.function, &module.image) {
        (Some(function), None) => names::check_name(function).map_err(|why| format!("function: {why}"))?,
        (None, Some(_)) => {
            drop(spec::revision(of_image(module, "x".into()), 0).map_err(|e| format!("{}: {}", e.field, e.why))?)
        }
        (Some(_), Some(_)) => return Err("image: stands beside function: leave one out".into()),
        (None, None) => return Err("function: give the name of one, or an image".into()),
    }
    if module.command.is_some() && module.image.is_none() {
        return Err("command: means nothing without image".into());
    }
    if module.retries.is_some_and(|retries| retries > RETRIES) {
        return Err(format!("retries: must be 0 to {RETRIES}"));
    }
    if module.timeout_s.is_some_and(|seconds| !(seconds > 0.0 && seconds <= TIMEOUT_MAX_S)) {
        return Err(format!("timeout_s: must be more than 0, at most {TIMEOUT_MAX_S}"));
    }
    let bytes: usize = module.env.iter().map(|(name, value)| name.len() + value.len()).sum();
    if module.env.len() > VARIABLES || bytes > VARIABLE_BYTES {
        return Err(format!("env: at most {VARIABLES} variables and {VARIABLE_BYTES} bytes"));
    }
    let odd = |(name, value): (&String, &String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
    if module.env.iter().any(odd) || module.env.keys().any(|name| name.starts_with("CARES_")) {
        return Err(
            "env: a name must not be empty, hold '=' or NUL, or begin with CARES_, and no value may hold NUL".into()
        );
    }
    let asked = module.requirements.iter().map(|asked| asked.tools.len() + asked.tags.len()).sum::<usize>();
    if asked > ENTRIES {
        return Err(format!("requirements: at most {ENTRIES} tools and tags"));
    }
    Ok(())
}

/// The function that an image's module is for as long as its pipeline runs.
fn of_image(module: &ModuleSpec, name: String) -> FunctionSpec {
    FunctionSpec {
        name,
        image: module.image.clone().unwrap_or_default(),
        mode: Some(Mode::Job),
        command: module.command.clone(),
        ..FunctionSpec::default()
    }
}

impl Plan {
    fn own_name(key: PipelineKey, index: usize) -> String {
        format!("pipeline-{key}-{index}")
    }

    /// What a module's node must have beside what the function asks for; the instances of one that serves HTTP are where
    /// they are.
    pub fn wants(&self, index: usize, job: bool) -> Arc<Constraints> {
        if job { self.wants[index].clone() } else { Arc::default() }
    }

    /// What runs a module.
    pub fn function(&self, key: PipelineKey, index: usize) -> String {
        let module = &self.spec.modules[index];
        module.function.clone().unwrap_or_else(|| Self::own_name(key, self.first[index]))
    }

    /// Functions that are there for this pipeline alone.
    pub fn own_functions(&self, key: PipelineKey) -> Vec<FunctionSpec> {
        let all = self.spec.modules.iter().enumerate();
        let of_images = all.filter(|(index, module)| module.image.is_some() && self.first[*index] == *index);
        let own = of_images.map(|(index, module)| FunctionSpec {
            description: Some(format!("Of pipeline {key} (module '{}'): it goes with the pipeline's end", module.name)),
            ..of_image(module, Self::own_name(key, index))
        });
        own.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_module_and_field() {
        let why = |text: &str| {
            let spec: PipelineSpec = serde_json::from_str(text).expect("the shape is right");
            plan(spec).err().unwrap_or_else(|| panic!("taken: {text}"))
        };
        let module = |more: &str| why(&format!(r#"{{"modules":[{{"name":"a"{more}}}]}}"#));
        for (more, field) in [
            ("", "function"),
            (r#","function":"F""#, "function"),
            (r#","function":"f","image":"i""#, "image"),
            (r#","image":"a b""#, "image"),
            (r#","function":"f","command":["x"]"#, "command"),
            (r#","function":"f","retries":21"#, "retries"),
            (r#","function":"f","timeout_s":0"#, "timeout_s"),
            (r#","function":"f","env":{"A=":"x"}"#, "env"),
            (r#","function":"f","env":{"CARES_PATH":"x"}"#, "env"),
            (r#","function":"f","condition":"maybe""#, "condition"),
            (r#","function":"f","dependsOn":["b"]"#, "dependsOn"),
            (r#","function":"f","dependsOn":["a"]"#, "dependsOn"),
        ] {
            let why = module(more);
            assert!(why.starts_with(&format!("modules: 'a': {field}: ")), "{more}: {why}");
        }
        assert!(why(r#"{"modules":[]}"#).starts_with("modules: "));
        assert!(why(r#"{"modules":[{"name":"A b","function":"f"}]}"#).starts_with("modules: 'A b': name: "));
        assert!(why(r#"{"failurePolicy":"never","modules":[]}"#).starts_with("failurePolicy: "));
    }
}
