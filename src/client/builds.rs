//! Builds: a source folder's zip is sent, its log is read while it is built.

use super::http::{Ask, Limit, Sent};
use super::stream::BuildLog;
use super::{Orchestrator, SILENCE_LIMIT, url};
use crate::errors::Error;
use crate::types::Build;
use std::io::Read;

/// What is to be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildSpec {
    /// The function's name.
    pub name: String,
    /// What the folder is for; `None`: told from its files.
    pub runtime: Option<String>,
    /// Even if it has been built already, and without what is left of earlier builds.
    pub anew: bool,
}

impl Orchestrator {
    /// `POST /build?detach=true`: streams `len` bytes of a source folder's zip; answers when it is queued. `Api` with code
    /// `nothing_to_build` when nothing tells what the folder is, `no_node` when no node can build it.
    pub fn build(&self, spec: &BuildSpec, zip: &mut dyn Read, len: u64) -> Result<Build, Error> {
        let boundary = format!("cares-{}", crate::ids::random_hex(16));
        let mut head = String::new();
        let anew = spec.anew.then(|| "true".to_string());
        let fields = [("name", Some(spec.name.clone())), ("runtime", spec.runtime.clone()), ("anew", anew)];
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            head.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"source.zip\"\r\n\
             Content-Type: application/zip\r\n\r\n"
        ));
        let tail = format!("\r\n--{boundary}--\r\n");
        let whole = head.len() as u64 + len + tail.len() as u64;
        let mut body = head.as_bytes().chain(zip).chain(tail.as_bytes());
        let (_, bytes) = self.http.bytes(Ask {
            method: "POST",
            url: self.at("/build?detach=true"),
            headers: vec![("content-type".to_string(), format!("multipart/form-data; boundary={boundary}"))],
            body: Sent::Stream(&mut body, Some(whole)),
            limit: Limit::Steps(self.timeout),
        })?;
        self.http.json(&bytes)
    }

    /// `GET /builds`, all pages: the newest first.
    pub fn builds(&self) -> Result<Vec<Build>, Error> {
        self.all("/builds")
    }

    /// `GET /builds/ID`.
    pub fn build_by_id(&self, id: &str) -> Result<Build, Error> {
        self.get(&format!("/builds/{}", url::encode(id)))
    }

    /// `GET /builds/ID/log`: what it printed, a line at a time, and, if it `follow`s, until its end.
    pub fn build_log(&self, id: &str, follow: bool) -> Result<BuildLog, Error> {
        let limit = Limit::Alive(SILENCE_LIMIT);
        let url = self.at(&format!("/builds/{}/log?follow={follow}", url::encode(id)));
        let ask = Ask { method: "GET", url, headers: Vec::new(), body: Sent::Nothing, limit };
        Ok(BuildLog::new(&self.http, self.http.accepted(ask)?.into_body(), limit))
    }

    /// `DELETE /builds/ID`: ends one that waits or runs. `Api` with code `build_ended` when there is nothing to end.
    pub fn cancel_build(&self, id: &str) -> Result<Build, Error> {
        let (_, bytes) = self.http.bytes(self.ask("DELETE", self.at(&format!("/builds/{}", url::encode(id)))))?;
        self.http.json(&bytes)
    }
}
