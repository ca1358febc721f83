//! `/build` and `/builds`: source folders that become images or bundles.

use super::functions::rejected;
use super::page::{self, Page};
use crate::body::Body;
use crate::http::multipart::{Multipart, Word};
use crate::http::openapi::{AFTER, Answer, Content, FOLLOW, Kind, LIMIT, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::{Call, Reply, Streamed, flag, value};
use crate::limits::Limit;
use crate::names;
use crate::orchestrator::Orchestrator;
use crate::orchestrator::builds::{self, Build, Refused, Wish};
use crate::orchestrator::bundles::{Rejected, Spool, Spooled, next_piece};
use crate::types;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use std::sync::Arc;

/// Bytes of a form's field that is no file.
const FIELD_BYTES: usize = 1 << 10;

/// What the document says of this.
pub const BUILD: Operation = Operation {
    id: "build",
    tag: "builds",
    summary: "Makes an image, or without a container engine a bundle, of a source folder's zip",
    parameters: &[Parameter::query("detach", Kind::Flag, "Answer at once, and build on.")],
    body: &[Content::Form(&[
        ("file", true, "The folder's zip: sources with a Dockerfile, or of a runtime."),
        ("name", true, "The function's name."),
        ("runtime", false, "What the folder is for; told from its files when left out."),
        ("anew", false, "`true`: even if it has been built already, and without what is left of earlier builds."),
    ])],
    answers: &[
        Answer::of(200, "It is built: `image` says what came of it.").with(&[Content::json::<types::Build>()]),
        Answer::of(202, "It will be built.").with(&[Content::json::<types::Build>()]).headers(&["Location"]),
    ],
    errors: &[
        "invalid_field",
        "invalid_bundle",
        "too_large",
        "body_timeout",
        "build_failed",
        "build_cancelled",
        "nothing_to_build",
        "too_many_builds",
        "no_node",
        "stopping",
        "store_failed",
    ],
    ..Operation::NONE
};

/// `POST /build`: multipart/form-data
pub async fn build(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let detach = flag(&asked.query, "detach")?.unwrap_or(false);
    let (head, body) = asked.request.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let form = Multipart::new(kind).map_err(|bad| Problem::invalid(bad.to_string()))?;
    let (spooled, wish) = read(&app, form, body).await?;
    let order = builds::prepare(&app, spooled, wish).await.map_err(refused)?;
    let waiting = builds::submit(&app, order, &asked.by).await.map_err(refused)?;
    if detach {
        waiting.build().detach();
        let shown = waiting.build().shown();
        return Ok(Reply::json(202, &shown).with("Location", format!("/builds/{}", shown.id)).into());
    }
    let built = waiting.ended().await;
    match built.status.as_str() {
        "succeeded" => Ok(Reply::json(200, &built).into()),
        "cancelled" => {
            Err(Problem::new(409, "build_cancelled", format!("build {} was cancelled; build it again", built.id)))
        }
        _ => {
            let mut detail = built.error.unwrap_or_default();
            let last = waiting.build().last_lines();
            if !last.is_empty() {
                detail.push_str("\nThe log's last lines:\n");
                detail.push_str(&last);
            }
            Err(Problem::new(422, "build_failed", detail))
        }
    }
}

/// The folder's zip, on disk, and what is wanted of it.
async fn read(app: &Orchestrator, mut form: Multipart, mut body: Incoming) -> Result<(Spooled, Wish), Problem> {
    let limit = app.limits.of(Limit::BundleBytes);
    if body.size_hint().lower() > limit + (64 << 10) {
        return Err(rejected(Rejected::TooLarge { limit })); // before it is sent
    }
    let (mut zip, mut wish, mut anew) = (None, Wish::default(), String::new());
    let mut part = Part::Other;
    while let Some(piece) = next_piece(&mut body, app.limits.time(Limit::BodyS)).await.map_err(rejected)? {
        form.add(&piece);
        while let Some(word) = form.next().map_err(|bad| Problem::invalid(bad.to_string()))? {
            match word {
                Word::Part { name, .. } => {
                    part = match name.as_str() {
                        "file" if zip.is_some() => return Err(field("file: came twice; send one zip")),
                        "file" => Part::File(app.bundles.begin(limit).await.map_err(rejected)?),
                        "name" | "runtime" | "anew" => Part::Field(name, Vec::new()),
                        _ => Part::Other, // of a later version, or another program's
                    }
                }
                Word::Data(data) => match &mut part {
                    Part::File(spool) => spool.add(data).await.map_err(rejected)?,
                    Part::Field(name, text) if text.len() + data.len() > FIELD_BYTES => {
                        return Err(field(&format!("{name}: is longer than {FIELD_BYTES} bytes")));
                    }
                    Part::Field(_, text) => text.extend_from_slice(&data),
                    Part::Other => {}
                },
                Word::End => match std::mem::replace(&mut part, Part::Other) {
                    Part::File(spool) => zip = Some(spool.end().await.map_err(rejected)?),
                    Part::Field(name, text) => {
                        let text = String::from_utf8(text).map_err(|_| field(&format!("{name}: is no UTF-8")))?;
                        match name.as_str() {
                            "name" => wish.name = text.trim().into(),
                            "runtime" => {
                                wish.runtime = Some(text.trim().into()).filter(|name: &String| !name.is_empty())
                            }
                            _ => anew = text.trim().into(),
                        }
                    }
                    Part::Other => {}
                },
                Word::Over => {}
            }
        }
    }
    if !form.is_over() {
        return Err(Problem::invalid("the form broke off before its last boundary; send it again"));
    }
    wish.anew = match anew.as_str() {
        "" | "false" => false,
        "true" => true,
        _ => return Err(field("anew: must be true or false")),
    };
    let zip =
        zip.ok_or_else(|| field("file: is missing; send the folder's zip, as `curl -F file=@FOLDER.zip` does"))?;
    if wish.name.is_empty() {
        return Err(field("name: is missing; say what it is to be called, as `curl -F name=NAME` does"));
    }
    names::check_name(&wish.name).map_err(|why| field(&format!("name: {why}")))?;
    Ok((zip, wish))
}

/// What is being read.
enum Part {
    File(Spool),
    Field(String, Vec<u8>),
    Other,
}

fn field(why: &str) -> Problem {
    Problem::new(400, "invalid_field", why)
}

fn refused(refused: Refused) -> Problem {
    match refused {
        Refused::Source(why) => rejected(why),
        Refused::Undetected(why) => Problem::new(422, "nothing_to_build", why.to_string()),
        Refused::NoNode(why) => Problem::new(503, "no_node", why).retry_after(2),
        Refused::Full { limit } => {
            let detail = format!("{limit} builds wait, as many as may");
            Problem::new(429, "too_many_builds", detail).of_limit(Limit::WaitingBuilds).retry_after(5)
        }
        Refused::Stopping => Problem::stopping(),
        Refused::Store(error) => error.into(),
    }
}

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listBuilds",
    tag: "builds",
    summary: "Builds, the newest first",
    parameters: &[LIMIT, AFTER],
    answers: &[Answer::of(200, "A page of them.").with(&[Content::json::<Vec<types::Build>>()])],
    ..Operation::NONE
};

/// `GET /builds`
pub fn list(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let limit = page::limit(call)?;
    let after = value(&call.query, "after");
    let behind = app.builds.list().into_iter().skip_while(|build| after.is_some_and(|id| *build.id() >= *id));
    let rows = behind.take(limit + 1).map(|build| build.shown()).collect();
    Ok(Page::first(call, limit, rows, |build: &types::Build| build.id.clone()).reply())
}

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getBuild",
    tag: "builds",
    summary: "One build",
    answers: &[Answer::of(200, "The build.").with(&[Content::json::<types::Build>()])],
    errors: &["build_not_found"],
    ..Operation::NONE
};

/// `GET /builds/ID`
pub fn get(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &find(app, call.param(0))?.shown()))
}

/// What the document says of this.
pub const CANCEL: Operation = Operation {
    id: "cancelBuild",
    tag: "builds",
    summary: "Ends a build that waits or runs",
    answers: &[Answer::of(202, "It is being ended.").with(&[Content::json::<types::Build>()])],
    errors: &["build_not_found", "build_ended"],
    ..Operation::NONE
};

/// `DELETE /builds/ID`
pub fn cancel(app: &Orchestrator, call: &Call) -> Result<Reply, Problem> {
    let build = find(app, call.param(0))?;
    if build.has_ended() {
        let shown = build.shown();
        return Err(Problem::new(409, "build_ended", format!("build {} has ended: {}", shown.id, shown.status)));
    }
    build.cancel();
    Ok(Reply::json(202, &build.shown()))
}

/// What the document says of this.
pub const LOG: Operation = Operation {
    id: "getBuildLog",
    tag: "builds",
    summary: "What a build printed",
    parameters: &[FOLLOW],
    answers: &[Answer::of(200, "Lines.").with(&[Content::Text])],
    errors: &["build_not_found"],
    ..Operation::NONE
};

/// `GET /builds/ID/log?follow=true`
pub async fn log(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let build = find(&app, asked.params.first().map_or("", String::as_str))?;
    let follow = flag(&asked.query, "follow")?.unwrap_or(false);
    let mut response = Response::new(builds::read_log(&app.builds, &build, follow).await);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

fn find(app: &Orchestrator, id: &str) -> Result<Arc<Build>, Problem> {
    let unknown = || {
        Problem::new(
            404,
            "build_not_found",
            format!(
                "no build '{}' is known, or no longer: 'cares build list' and GET /builds show them",
                names::shown(id)
            ),
        )
    };
    app.builds.find(id).ok_or_else(unknown)
}
