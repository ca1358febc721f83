//! An orchestrator that is to be started: on which data, at which addresses, told what.

use crate::harness::{Cluster, Role, own_ip};
use cares::client::Orchestrator;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use tempfile::TempDir;

pub struct Head {
    data: PathBuf,
    http: String,
    grpc: String,
    flags: Vec<String>,
    env: Vec<(&'static str, OsString)>,
}

impl Head {
    /// Its data is `orchestrator` in that folder; on free ports of an address of its own.
    pub fn of(dir: &Path) -> Head {
        let own = format!("{}:0", own_ip());
        Head { data: dir.join("orchestrator"), http: own.clone(), grpc: own, flags: Vec::new(), env: Vec::new() }
    }

    /// At these addresses.
    pub fn at(self, http: &str, grpc: &str) -> Head {
        Head { http: http.into(), grpc: grpc.into(), ..self }
    }

    /// Where one was: in its place.
    pub fn at_those_of(self, before: &Role) -> Head {
        self.at(before.ready("http"), before.ready("grpc"))
    }

    /// Its data is in this folder.
    pub fn data(self, data: &Path) -> Head {
        Head { data: data.into(), ..self }
    }

    /// With more flags.
    pub fn told(mut self, flags: &[&str]) -> Head {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// With this in its environment.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Head {
        self.env.push((name, value.into()));
        self
    }

    /// With a token that may do everything, so that everybody needs one.
    pub fn guarded(self, token: &str) -> Head {
        self.env("AUTH_TOKEN", token)
    }

    /// Waits until it is ready.
    pub fn start(self) -> Role {
        match self.try_start() {
            Ok(role) => role,
            Err((status, log)) => panic!("the orchestrator ended with {status} instead of being ready:\n{log}"),
        }
    }

    /// `Err` when it ended before it was ready: how, and what it said.
    pub fn try_start(self) -> Result<Role, (ExitStatus, String)> {
        let data = self.data.to_str().expect("UTF-8");
        let usual = ["orchestrator", "--http-addr", &self.http, "--grpc-addr", &self.grpc, "--data-dir", data];
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Role::try_start_with(&[&usual, &flags[..]].concat(), |command| _ = command.envs(self.env))
    }

    /// A cluster of it and nobody else yet.
    pub fn alone(self, dir: TempDir) -> Cluster {
        let head = self.start();
        let client = Orchestrator::new(&head.url()).expect("a URL");
        Cluster { workers: Vec::new(), head, client, dir }
    }
}
