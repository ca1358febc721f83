//! How this worker shows who it is: it gets a certificate with a join token, keeps it, renews it in time, and dials its
//! orchestrator with it. Without either it dials as it is, which is for its own machine.

use super::Worker;
use crate::auth::Secret;
use crate::clock;
use crate::lock::lock;
use crate::net::Socket;
use crate::rpc::Channel;
use crate::tls::{self, BadJoinToken, Credentials, Dial, JoinToken, MadeKey};
use crate::wire::proto::cluster_service_client::ClusterServiceClient;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tonic::{Code, Status};

/// To connect, and to agree on keys.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ENROLL_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether it is time to renew: clocks are set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);
/// After a renewal that failed.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// Why there is no certificate, or no connection.
pub enum Refused {
    /// Trying again is of no use until somebody does something.
    Always(String),
    Now(String),
}

/// What this worker has to show.
pub struct Passport {
    dir: PathBuf,
    join: Option<JoinToken>,
    /// Some other token to join with.
    token: Option<Secret>,
    held: Mutex<Option<Credentials>>,
}

impl Passport {
    /// What is kept in a worker's folder, and what it is given to join with. `plain`: that is for the orchestrator in this
    /// very process, which needs no TLS unless this worker has used it before.
    pub fn read(dir: &Path, token: Option<&Secret>, plain: bool) -> io::Result<Result<Self, BadJoinToken>> {
        let held = Credentials::read(dir)?;
        let join = match token.map(JoinToken::read).transpose() {
            Ok(join) => join.flatten(),
            Err(bad) => return Ok(Err(bad)),
        };
        let (join, token) = match join {
            Some(join) if plain && held.is_none() => (None, Some(join.secret)),
            Some(join) => (Some(join), None),
            None => (None, token.cloned()),
        };
        Ok(Ok(Passport { dir: dir.into(), join, token, held: Mutex::new(held) }))
    }

    /// Until when the certificate is good; `None`: it has none.
    pub fn expires_unix_ms(&self) -> Option<u64> {
        self.held().as_ref().map(|held| held.validity.expires_unix_ms())
    }

    /// Sent with calls over a connection that shows no certificate.
    pub fn token(&self) -> Option<Secret> {
        self.held().is_none().then(|| self.token.clone()).flatten()
    }

    /// Whether it has something to join with, so that its cluster may ask for that.
    pub fn joins_by_secret(&self) -> bool {
        self.join.is_some() || self.token.is_some() || self.held().is_some()
    }

    fn held(&self) -> MutexGuard<'_, Option<Credentials>> {
        lock(&self.held)
    }

    /// A certificate that is good now, and of the cluster of the join token.
    fn good(&self) -> Option<Credentials> {
        let good = |held: &&Credentials| {
            !held.validity.has_expired(clock::unix_ms())
                && self.join.as_ref().is_none_or(|join| join.fingerprint == held.authority)
        };
        self.held().as_ref().filter(good).cloned()
    }

    /// Sees that there is a certificate to show, if one is needed.
    pub async fn prepare(&self, worker: &Worker) -> Result<(), Refused> {
        if self.good().is_some() || (self.join.is_none() && self.held().is_none()) {
            return Ok(());
        }
        let Some(join) = &self.join else {
            return Err(Refused::Always(
                "this worker's certificate has expired, for it was cut off too long: make a join token with `cares token \
                 join`, and start it with that: --join-token-file FILE, or CARES_JOIN_TOKEN"
                    .into(),
            ));
        };
        let dial = Dial::unknown(join.fingerprint).map_err(|e| Refused::Always(e.to_string()))?;
        let socket = connect(&worker.orchestrator, Some(dial)).await?;
        let channel = Channel::over(socket, &worker.orchestrator).await;
        let channel = channel.map_err(|status| Refused::Now(told(&worker.orchestrator, &status)))?;
        let client = ClusterServiceClient::new(channel.with(Some(&join.secret)));
        self.enroll(worker, client, join.fingerprint).await.map_err(|status| match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Refused::Always(told(&worker.orchestrator, &status)),
            _ => Refused::Now(told(&worker.orchestrator, &status)),
        })?;
        log::info!("This worker has a certificate of its cluster now: it joins with that, and renews it by itself");
        Ok(())
    }

    /// Connects to the orchestrator, as the node this is.
    pub async fn dial(&self, orchestrator: &str) -> Result<Socket, Refused> {
        let dial = self.good().map(|held| Dial::known(&held)).transpose();
        connect(orchestrator, dial.map_err(|e| Refused::Always(e.to_string()))?).await
    }

    async fn enroll(
        &self,
        worker: &Worker,
        mut client: ClusterServiceClient<Channel>,
        authority: [u8; 32],
    ) -> Result<(), Status> {
        let key = MadeKey::new().map_err(Status::internal)?;
        let request = worker.identity.enroll(key.public());
        let answer = clock::timeout(ENROLL_LIMIT, client.enroll(request)).await;
        let certificate = answer.ok_or_else(|| Status::deadline_exceeded("no answer"))??.into_inner().certificate;
        let made = Credentials::new(&key, certificate, authority).map_err(Status::internal)?;
        made.keep(&self.dir).map_err(|error| Status::internal(format!("cannot keep the certificate: {error}")))?;
        *self.held() = Some(made);
        Ok(())
    }
}

/// Renews the certificate whenever it is time, for as long as this future is polled.
pub async fn renew(worker: Arc<Worker>, client: ClusterServiceClient<Channel>) {
    let passport = &worker.passport;
    loop {
        let Some(held) = passport.good() else { return };
        let wait = held.validity.renew_unix_ms().saturating_sub(clock::unix_ms());
        if wait > 0 {
            clock::after(LOOK_AGAIN.min(Duration::from_millis(wait))).await;
            continue;
        }
        match passport.enroll(&worker, client.clone(), held.authority).await {
            Ok(()) => {
                let until = passport.expires_unix_ms().map(clock::rfc3339).unwrap_or_default();
                log::info!("This worker's certificate is renewed: good until {until}");
            }
            Err(status) => {
                log::warn!("this worker's certificate is not renewed: {}; trying again", status.message());
                clock::after(RENEW_AGAIN).await;
            }
        }
    }
}

fn told(orchestrator: &str, status: &Status) -> String {
    format!("the orchestrator at {orchestrator} gave this worker no certificate: {}", status.message())
}

async fn connect(orchestrator: &str, dial: Option<Dial>) -> Result<Socket, Refused> {
    let socket = Socket::connect(orchestrator, CONNECT_LIMIT).await;
    let socket = socket.map_err(|error| {
        Refused::Now(format!("cannot reach the orchestrator at {orchestrator}: {error}. Is it running?"))
    })?;
    let Some(dial) = dial else { return Ok(socket) };
    let connection = dial.connection().map_err(|e| Refused::Always(e.to_string()))?;
    match clock::timeout(CONNECT_LIMIT, socket.secure(connection)).await {
        Some(Ok(socket)) => Ok(socket),
        Some(Err(error)) => Err(unsafe_there(orchestrator, &error)),
        None => Err(Refused::Now(format!("{orchestrator} does not answer as an orchestrator's gRPC port over TLS"))),
    }
}

/// Why TLS with the orchestrator failed.
fn unsafe_there(orchestrator: &str, error: &io::Error) -> Refused {
    use rustls::{CertificateError::UnknownIssuer, Error::InvalidCertificate};
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(InvalidCertificate(UnknownIssuer)) => Refused::Always(format!(
            "{orchestrator} is not the orchestrator that this worker's join token or certificate is of: its authority \
             has another fingerprint. Somebody may be in between, or the cluster was set up anew; then make a new join \
             token there with `cares token join`"
        )),
        Some(other) => Refused::Now(format!("no safe connection to {orchestrator}: {}", tls::explain(other))),
        None => Refused::Now(format!("no safe connection to {orchestrator}: {error}; it must be its gRPC port")),
    }
}
