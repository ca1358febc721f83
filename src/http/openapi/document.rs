//! Makes the document of one role.

use super::operation::{Answer, Content, Kind, Parameter, SchemaOf, schema_of};
use crate::auth::Needs;
use crate::http::codes;
use crate::http::parameters;
use crate::http::problem::CONTENT_TYPE;
use crate::http::route::{Handler, Route};
use crate::types::Problem;
use crate::version::VERSION;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The methods of a route that takes any.
const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];
const DESCRIPTION: &str = "CARES, one face of one program. Lists take `limit` and `after` and give a `Link` to what \
    follows. Errors are `application/problem+json` with a stable `code`. Where no token has been made yet, nobody needs \
    one.";

/// What the front door may say to anything.
const ALWAYS: [&str; 8] = [
    "invalid_request",
    "host_not_allowed",
    "origin_not_allowed",
    "headers_too_large",
    "too_many_headers",
    "too_many_connections",
    "https_only",
    "internal",
];

/// The codes of all errors that a route may answer with.
pub fn codes<S>(route: &Route<S>) -> BTreeSet<&'static str> {
    let said = &route.operation;
    let json = said.body.iter().any(|body| matches!(body, Content::Json(_)));
    let watched = matches!(route.handler, Handler::Watched(..));
    let mut codes = BTreeSet::from(ALWAYS);
    codes.extend(said.errors);
    let mut when = |holds: bool, more: &[&'static str]| codes.extend(more.iter().filter(|_| holds));
    when(route.needs != Needs::Nothing, &["unauthenticated", "rate_limited"]);
    when(!matches!(route.needs, Needs::Nothing | Needs::Token), &["forbidden"]);
    let rest = !matches!(route.handler, Handler::Stream(_));
    when(rest, &["too_large", "body_timeout", "api_busy", "api_timeout", "stopping"]);
    when(json, &["invalid_json"]);
    when(json || parameters::are_held(route) || parameters::of(route).next().is_some(), &["invalid_field"]);
    when(watched, &["too_many_watchers"]);
    codes
}

/// The document of a role with these routes.
pub fn of<S>(role: &str, routes: &[Route<S>]) -> Value {
    let mut document = Document::new();
    let mut paths = Map::new();
    for route in routes {
        for (path, method, described) in document.route(route) {
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[method.to_ascii_lowercase()] = described;
        }
    }
    let mut tags: Vec<&str> = routes.iter().map(|route| route.operation.tag).collect();
    let mut seen = BTreeSet::new();
    tags.retain(|tag| seen.insert(*tag)); // in the order of the table
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("CARES {role}"),
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "tags": tags.into_iter().map(|tag| json!({"name": tag})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": document.schemas(),
            "responses": document.errors,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    })
}

struct Document {
    /// Of what is sent, and of what is answered: a field with a default may be left out of the one, never of the other.
    taken: SchemaGenerator,
    given: SchemaGenerator,
    /// Error answers, by name.
    errors: BTreeMap<String, Value>,
}

impl Document {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        let mut given = settings().for_serialize().into_generator();
        schema_of::<Problem>(&mut given);
        Document { taken: settings().for_deserialize().into_generator(), given, errors: BTreeMap::new() }
    }

    /// All types. One that is both sent and answered is as it may be sent, which holds for both.
    fn schemas(&mut self) -> Map<String, Value> {
        let mut all = self.given.take_definitions(true);
        all.extend(self.taken.take_definitions(true));
        all
    }

    /// Path, method and operation: several where a route takes any method, or more path behind it.
    fn route<S>(&mut self, route: &Route<S>) -> Vec<(String, &'static str, Value)> {
        let paths = match route.path.strip_suffix("/*") {
            Some(path) => vec![path.to_string(), format!("{path}/{{rest}}")],
            None => vec![route.path.to_string()],
        };
        let methods = if route.method == "*" { &METHODS[..] } else { std::slice::from_ref(&route.method) };
        let mut all = Vec::new();
        for path in paths {
            for method in methods {
                let mut described = self.operation(route, &path);
                if route.method == "*" {
                    let below = if path.ends_with("{rest}") { "Below" } else { "" };
                    described["operationId"] = json!(format!("{}{below}_{method}", route.operation.id));
                    described["x-any-method"] = json!(true);
                }
                all.push((path.clone(), *method, described));
            }
        }
        all
    }

    fn operation<S>(&mut self, route: &Route<S>, path: &str) -> Value {
        let said = &route.operation;
        let parameters: Vec<Value> = names(path).map(of_path).chain(parameters::of(route).map(parameter)).collect();
        let mut described = json!({
            "operationId": said.id,
            "tags": [said.tag],
            "summary": said.summary,
            "parameters": parameters,
            "responses": self.responses(route),
            "security": security(route.needs),
        });
        if !said.body.is_empty() {
            let content = self.content(said.body, true);
            described["requestBody"] = json!({"required": !said.body_optional, "content": content});
        }
        described
    }

    fn responses<S>(&mut self, route: &Route<S>) -> Map<String, Value> {
        let said = &route.operation;
        let passes_on = said.answers.iter().any(|answer| answer.status == Answer::ANY);
        let mut responses = Map::new();
        for answer in said.answers {
            let mut headers: Map<String, Value> =
                answer.headers.iter().map(|name| (name.to_string(), header(true))).collect();
            if said.parameters.iter().any(|p| p.name == "after") {
                headers.insert("Link".into(), header(false));
            }
            let mut content = self.content(answer.content, false);
            if answer.status == Answer::ANY {
                content.insert("*/*".into(), json!({}));
            }
            if matches!(route.handler, Handler::Watched(..)) {
                content.insert("text/event-stream".into(), json!({"schema": event(None)}));
            }
            let mut response = json!({"description": answer.about});
            if !headers.is_empty() {
                response["headers"] = headers.into();
            }
            if !content.is_empty() {
                response["content"] = content.into();
            }
            let status = if answer.status == Answer::ANY { "default".into() } else { answer.status.to_string() };
            responses.insert(status, response);
        }
        let mut by_status: BTreeMap<u16, Vec<&codes::Code>> = BTreeMap::new();
        for code in codes(route).into_iter().filter_map(codes::find) {
            by_status.entry(code.status).or_default().push(code);
        }
        for (status, codes) in by_status {
            let name = self.error(status, &codes, passes_on);
            match responses.get_mut(&status.to_string()) {
                Some(own) => also(own, &self.errors[&name]),
                None => {
                    responses.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}));
                }
            }
        }
        responses
    }

    /// An error answer with one of these codes; of a function that answers so by itself, also anything else.
    fn error(&mut self, status: u16, codes: &[&codes::Code], passes_on: bool) -> String {
        let words: Vec<&str> = codes.iter().map(|code| code.code).collect();
        let name = format!("{status}.{}{}", words.join("."), if passes_on { ".any" } else { "" });
        let whens: Vec<String> = codes.iter().map(|code| format!("`{}`: {}.", code.code, code.when)).collect();
        let schema = json!({
            "allOf": [{"$ref": "#/components/schemas/Problem"}],
            "properties": {"status": {"const": status}, "code": {"enum": words}},
            "required": ["status", "code", "title", "detail"],
        });
        let mut content = Map::from_iter([(CONTENT_TYPE.to_string(), json!({"schema": schema}))]);
        if passes_on {
            content.insert("*/*".into(), json!({}));
        }
        let mut response = json!({"description": whens.join("\n"), "content": content});
        match status {
            401 => response["headers"] = json!({"WWW-Authenticate": header(!passes_on)}),
            429 | 503 | 507 => response["headers"] = json!({"Retry-After": header(false)}),
            _ => {}
        }
        self.errors.insert(name.clone(), response);
        name
    }

    fn content(&mut self, forms: &[Content], taken: bool) -> Map<String, Value> {
        let mut add = |schema: SchemaOf| match taken {
            true => schema(&mut self.taken),
            false => schema(&mut self.given),
        };
        let form = |form: &Content| match form {
            Content::Json(schema) => ("application/json".to_string(), json!({"schema": add(*schema)})),
            Content::Events(schema) => {
                ("text/event-stream".to_string(), json!({"schema": event(Some(add(*schema).into()))}))
            }
            Content::Lines(schema) => {
                ("application/x-ndjson".to_string(), json!({"schema": {"type": "string"}, "x-item": add(*schema)}))
            }
            Content::Form(fields) => ("multipart/form-data".to_string(), json!({"schema": of_form(fields)})),
            Content::Bytes(kind) => (kind.to_string(), json!({})),
            Content::Text => ("text/plain".to_string(), json!({"schema": {"type": "string"}})),
        };
        forms.iter().map(form).collect()
    }
}

/// A form's fields.
fn of_form(fields: &[(&str, bool, &str)]) -> Value {
    let property = |(name, _, about): &(&str, bool, &str)| {
        let said = match *name {
            "file" => json!({"type": "string", "contentMediaType": "application/zip", "description": about}),
            _ => json!({"type": "string", "description": about}),
        };
        (name.to_string(), said)
    };
    let required: Vec<&str> = fields.iter().filter(|(_, must, _)| *must).map(|(name, ..)| *name).collect();
    json!({"type": "object", "properties": fields.iter().map(property).collect::<Map<_, _>>(), "required": required})
}

/// Which tokens open a route: either way to send one will do.
fn security(needs: Needs) -> Value {
    let scopes = match needs {
        Needs::Nothing => return json!([]),
        Needs::Token => vec![],
        Needs::Admin => vec!["admin"],
        Needs::Deploy => vec!["deploy"],
        Needs::Invoke | Needs::Cancel => vec!["invoke"],
        Needs::Result => vec!["invoke", "read"], // one of them
        Needs::Read => vec!["read"],
        Needs::Built => vec!["read", "deploy"], // one of them
        Needs::Worker => vec!["worker"],
        Needs::Submit => vec!["invoke", "deploy"], // as its parts need
    };
    let mut ways = vec![json!({"bearer": scopes}), json!({"key": scopes})];
    if needs == Needs::Invoke {
        ways.push(json!({})); // of a public function
    }
    ways.into()
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn of_path(name: &str) -> Value {
    let about = match name {
        "name" => "A function's name.",
        "rest" => "The rest of the path, which the function sees; it may have several parts.",
        _ => "An id; of a node or token also its name.",
    };
    let schema = json!({"type": "string", "minLength": 1});
    json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
}

fn parameter(said: &Parameter) -> Value {
    let schema = match said.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Number(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
    };
    json!({"name": said.name, "in": said.place, "required": false, "description": said.about, "schema": schema})
}

/// One server-sent event whose data is JSON.
fn event(of: Option<Value>) -> Value {
    let mut data = json!({"type": "string", "contentMediaType": "application/json"});
    if let Some(of) = of {
        data["contentSchema"] = of;
    }
    let text = json!({"type": "string"});
    json!({"type": "object", "properties": {"event": text, "id": text, "data": data}})
}

/// An answer of a route's own whose status an error has too: it may be either.
fn also(own: &mut Value, error: &Value) {
    own["description"] =
        [&own["description"], &error["description"]].map(|text| text.as_str().unwrap_or_default()).join("\n").into();
    for part in ["content", "headers"] {
        let Some(more) = error[part].as_object() else { continue };
        let mut both = own[part].as_object().cloned().unwrap_or_default();
        both.extend(more.clone());
        own[part] = both.into();
    }
}

fn header(always: bool) -> Value {
    json!({"required": always, "schema": {"type": "string"}})
}
