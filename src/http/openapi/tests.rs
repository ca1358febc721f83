//! The document against the tables it is made from.

use super::document;
use crate::http::codes;
use crate::http::route::{Face, Handler};
use crate::orchestrator::Orchestrator;
use crate::worker::Worker;
use serde_json::Value;
use std::collections::BTreeSet;

fn documents() -> [Value; 2] {
    [document::of("orchestrator", Orchestrator::ROUTES), document::of("worker", Worker::ROUTES)]
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, said)| (format!("{method} {path}"), said))
        })
        .collect()
}

fn whole<S: Face>() {
    for route in S::ROUTES {
        let what = format!("{} {} of the {}", route.method, route.path, S::ROLE);
        let said = &route.operation;
        assert!(!said.id.is_empty(), "{what} says nothing: .says(Operation {{ … }})");
        assert!(!said.tag.is_empty() && !said.summary.is_empty() && !said.answers.is_empty(), "{what}: say more");
        assert!(!said.summary.ends_with('.'), "{what}: a summary is a line, not a sentence");
        for code in document::codes(route) {
            assert!(codes::find(code).is_some(), "{what}: '{code}' is not in codes::CODES");
        }
        let reads = ["GET", "HEAD", "DELETE"].contains(&route.method);
        assert!(!reads || said.body.is_empty(), "{what} takes no body");
        let names: BTreeSet<&str> = said.parameters.iter().map(|p| p.name).collect();
        assert!(
            names.len() == said.parameters.len() && !names.contains("watch")
                || matches!(route.handler, Handler::Stream(_)),
            "{what}"
        );
    }
}

#[test]
fn every_route_says_what_it_is() {
    whole::<Orchestrator>();
    whole::<Worker>();
}

#[test]
fn operations_have_names_of_their_own() {
    for document in documents() {
        let all = operations(&document);
        let ids: BTreeSet<&str> = all.iter().map(|(_, said)| said["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), all.len());
    }
}

#[test]
fn whatever_is_referred_to_is_there() {
    fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                into.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, into));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, into)),
            _ => {}
        }
    }
    for document in documents() {
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn scopes_are_told() {
    let [document, _] = documents();
    let security = |method: &str, path: &str| document["paths"][path][method]["security"].to_string();
    assert_eq!(security("get", "/functions"), r#"[{"bearer":["read"]},{"key":["read"]}]"#);
    assert_eq!(security("post", "/invoke/{name}"), r#"[{"bearer":["invoke"]},{"key":["invoke"]},{}]"#);
    assert_eq!(security("get", "/healthz"), "[]");
    assert_eq!(security("get", "/version"), r#"[{"bearer":[]},{"key":[]}]"#);
}

#[test]
fn a_type_stands_as_its_fields_are_written() {
    let [document, _] = documents();
    let spec = &document["components"]["schemas"]["FunctionSpec"];
    assert_eq!(spec["additionalProperties"], false);
    assert!(spec["properties"]["timeout_s"]["description"].as_str().unwrap().contains("86,400"));
    let call = &document["components"]["schemas"]["CallRecord"];
    assert!(call["properties"]["async"].is_object() && call["required"].as_array().unwrap().contains(&"async".into()));
}

#[test]
fn an_answer_and_an_error_of_one_status_stand_together() {
    let [_, worker] = documents();
    let failed = &worker["paths"]["/api/execution/execute"]["post"]["responses"]["500"];
    assert_eq!(failed["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/ModuleResult");
    assert!(failed["content"]["application/problem+json"].is_object(), "{failed}");
    assert!(failed["description"].as_str().unwrap().contains("It failed.\n`internal`: "), "{failed}");
}

#[test]
fn a_path_said_outright_allows_what_the_document_says_there() {
    let refused = |path| crate::http::route::find::<Orchestrator>(&hyper::Method::PATCH, path).err().unwrap().allow;
    assert_eq!(refused("/tokens/join").as_deref(), Some("POST"));
    assert_eq!(refused("/tokens/other").as_deref(), Some("DELETE"));
}
