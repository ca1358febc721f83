//! Asynchronous calls: asking for one, looking what became of it, its result, cancelling it, and listing calls.

use super::http::{Ask, Limit, Sent};
use super::invoke::{Answer, Invoke};
use super::{Orchestrator, url};
use crate::errors::Error;
use crate::types::{Call, CallRecord};
use std::io::Read;
use std::time::Duration;

/// The answer to an asynchronous call is a small thing.
const MAX_ACCEPTED_BYTES: u64 = 1 << 20;

/// What an asynchronous call may ask for beside the call itself.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// An `http://` address that its result is POSTed to.
    pub callback: Option<String>,
    /// The same key is the same call: asking twice makes one.
    pub idempotency_key: Option<String>,
}

/// Which calls are listed.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub function: Option<String>,
    pub node: Option<String>,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub status: Option<String>,
    /// Only asynchronous ones, or none of them.
    pub asynchronous: Option<bool>,
    /// At most; 0 for as many as the orchestrator gives.
    pub limit: u32,
}

impl Orchestrator {
    /// `POST /async-function/NAME`: accepted when this returns, and kept from then on; it runs when there is room.
    ///
    /// # Errors
    /// `Api` when it was not accepted: `function_not_found`, `queue_full`, `idempotency_key_reused`, …
    pub fn invoke_later(&self, name: &str, call: Invoke, later: Later) -> Result<Call, Error> {
        let Later { callback, idempotency_key } = later;
        let mut call = call;
        call.headers.extend(callback.map(|url| ("x-callback-url".to_string(), url)));
        call.headers.extend(idempotency_key.map(|key| ("idempotency-key".to_string(), key)));
        let answer = self.send_call("/async-function", name, call)?;
        let mut bytes = Vec::new();
        answer.reader.take(MAX_ACCEPTED_BYTES).read_to_end(&mut bytes)?;
        match answer.status {
            202 => self.http.json(&bytes),
            status => Err(Error::Api(self.http.problem(status, &bytes))),
        }
    }

    /// `GET /calls/ID`: what became of an asynchronous call.
    pub fn call(&self, id: &str) -> Result<Call, Error> {
        self.get(&format!("/calls/{}", url::encode(id)))
    }

    /// `GET /calls/ID/result`: what its function answered, of whatever status; a problem with code `call_not_ended` as
    /// long as it has not.
    pub fn call_result(&self, id: &str) -> Result<Answer, Error> {
        let url = self.at(&format!("/calls/{}/result", url::encode(id)));
        let limit = Limit::Whole(Duration::ZERO); // it may be large, and the line slow
        self.answer(Ask { method: "GET", url, headers: Vec::new(), body: Sent::Nothing, limit })
    }

    /// `DELETE /calls/ID`: ends what runs of it. `Api` with code `call_ended` when it has ended otherwise.
    pub fn cancel_call(&self, id: &str) -> Result<Call, Error> {
        self.change::<(), _>("DELETE", &format!("/calls/{}", url::encode(id)), None)
    }

    /// `GET /calls`: those of late and those to come, newest first.
    pub fn find_calls(&self, which: &Calls) -> Result<Vec<CallRecord>, Error> {
        let limit = (which.limit > 0).then(|| which.limit.to_string());
        let asynchronous = which.asynchronous.map(|only| only.to_string());
        let given = [
            ("function", &which.function),
            ("node", &which.node),
            ("status", &which.status),
            ("async", &asynchronous),
            ("limit", &limit),
        ];
        self.get(&url::with("/calls", &given))
    }
}
