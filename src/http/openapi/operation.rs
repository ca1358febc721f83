//! What a route says of itself: what it takes, what it answers, and the codes of its errors. Constants beside the
//! handlers; the document, its page and its tests are made from them.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// One route, as the document tells it. What follows from the route itself (its path's parameters, its scope, the errors
/// of the front door, `?watch`) is not said again.
#[derive(Clone, Copy)]
pub struct Operation {
    /// For programs that make clients: unique.
    pub id: &'static str,
    /// What it stands under on the page.
    pub tag: &'static str,
    /// One line.
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    /// What must come with it, in any one of these forms; nothing where there is none.
    pub body: &'static [Content],
    /// It also does without.
    pub body_optional: bool,
    pub answers: &'static [Answer],
    /// Codes of `codes::CODES`, beside those that all routes have.
    pub errors: &'static [&'static str],
}

impl Operation {
    /// Says nothing: what is left out of a constant, and what a route has that says nothing yet (a test fails).
    pub const NONE: Operation = Operation {
        id: "",
        tag: "",
        summary: "",
        parameters: &[],
        body: &[],
        body_optional: false,
        answers: &[],
        errors: &[],
    };
}

/// What may come in the query or a header.
#[derive(Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    /// `query` or `header`.
    pub place: &'static str,
    pub kind: Kind,
    pub about: &'static str,
}

impl Parameter {
    /// Of the query.
    pub const fn query(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Parameter { name, place: "query", kind, about }
    }

    /// A header.
    pub const fn header(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Parameter { name, place: "header", kind, about }
    }
}

/// What a parameter's value may be.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    /// `true` or `false`.
    Flag,
    /// From, to.
    Number(u64, u64),
    OneOf(&'static [&'static str]),
}

/// `?limit=` of a list.
pub const LIMIT: Parameter = Parameter::query("limit", Kind::Number(1, 1_000), "Rows at most; 100 when left out.");
/// `?after=` of a list.
pub const AFTER: Parameter =
    Parameter::query("after", Kind::Text, "Rows behind this one; the `Link` of the page before says it.");

/// `?tail=` of a log.
pub const TAIL_OF_A_LOG: Parameter =
    Parameter::query("tail", Kind::Number(0, 10_000), "Lines of the past at most; 200 when left out.");
/// `?since=` of a log.
pub const SINCE: Parameter =
    Parameter::query("since", Kind::Text, "Lines since then: RFC 3339, or seconds since 1970.");
/// `?follow=` of a log.
pub const FOLLOW: Parameter = Parameter::query("follow", Kind::Flag, "Go on with new lines as they come.");
/// `?format=` of a log.
pub const FORMAT: Parameter =
    Parameter::query("format", Kind::OneOf(&["text", "json"]), "Text when left out; json: one object a line.");

/// A form a body has.
#[derive(Clone, Copy)]
pub enum Content {
    Json(SchemaOf),
    /// Server-sent events whose data is each one of these.
    Events(SchemaOf),
    /// One of these a line (`application/x-ndjson`).
    Lines(SchemaOf),
    /// A form: each field's name, whether it must be there, and what it is; `file` is one.
    Form(&'static [(&'static str, bool, &'static str)]),
    /// Bytes of this media type.
    Bytes(&'static str),
    /// Lines of text.
    Text,
}

/// Adds a type to the document.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Of a type.
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Content {
    /// JSON of a type.
    pub const fn json<T: JsonSchema>() -> Self {
        Content::Json(schema_of::<T>)
    }

    /// Server-sent events.
    pub const fn events<T: JsonSchema>() -> Self {
        Content::Events(schema_of::<T>)
    }

    /// JSON, one a line.
    pub const fn lines<T: JsonSchema>() -> Self {
        Content::Lines(schema_of::<T>)
    }
}

/// One answer that is no error.
#[derive(Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub about: &'static str,
    pub content: &'static [Content],
    /// Headers it always has.
    pub headers: &'static [&'static str],
}

impl Answer {
    /// Whatever a function answers: any status, any content.
    pub const ANY: u16 = 0;

    /// Without a body.
    pub const fn of(status: u16, about: &'static str) -> Self {
        Answer { status, about, content: &[], headers: &[] }
    }

    /// With one.
    pub const fn with(self, content: &'static [Content]) -> Self {
        Answer { content, ..self }
    }

    /// With headers.
    pub const fn headers(self, headers: &'static [&'static str]) -> Self {
        Answer { headers, ..self }
    }
}
