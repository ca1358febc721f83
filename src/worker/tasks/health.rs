//! Whether a running task is well. Must never take longer for one check than it is given.

use super::super::engine::Control;
use crate::body::Body;
use crate::clock;
use crate::net::Socket;
use crate::rt;
use crate::wire::proto::HealthCheck;
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use std::net::SocketAddr;
use std::time::Duration;

/// Words of a failed check that are shown.
const SHOWN: usize = 300;

/// Checks it again and again; `tell` gets each new state. Ends when it is sick, with why. `beside` runs a command beside
/// the task, where its engine cannot run one inside it.
pub async fn watch<F>(
    check: &HealthCheck,
    control: &dyn Control,
    tell: impl Fn(&'static str),
    beside: impl Fn() -> F,
) -> String
where
    F: Future<Output = Result<i64, String>>,
{
    let ms = Duration::from_millis;
    let protected = clock::now() + ms(check.start_period_ms);
    let (mut failures, mut now) = (0, "starting");
    tell(now);
    loop {
        clock::after(ms(check.interval_ms)).await;
        let limit = ms(check.timeout_ms);
        let checked = clock::timeout(limit, once(check, control, &beside)).await;
        let Err(why) = checked.unwrap_or_else(|| Err(format!("no answer within {limit:?}"))) else {
            failures = 0;
            if now != "healthy" {
                now = "healthy";
                tell(now);
            }
            continue;
        };
        if clock::now() < protected {
            continue;
        }
        failures += 1;
        if failures >= check.retries.max(1) {
            tell("unhealthy");
            let why: String = why.chars().take(SHOWN).collect();
            return format!("its health check failed {failures} times in a row: {why}");
        }
    }
}

async fn once<F>(check: &HealthCheck, control: &dyn Control, beside: &impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<i64, String>>,
{
    let address = || {
        let port = u16::try_from(check.port).unwrap_or(0);
        control.address(port).ok_or_else(|| format!("port {port} cannot be reached from this node: list it in ports"))
    };
    match check.kind.as_str() {
        "http" => http(address()?, &check.path).await,
        "tcp" => Socket::connect_to(address()?).await.map(drop).map_err(|e| e.to_string()),
        _ => {
            let code = match control.run_inside(&check.command).await {
                Some(code) => code?,
                None => beside().await?,
            };
            if code == 0 { Ok(()) } else { Err(format!("the command exited with code {code}")) }
        }
    }
}

async fn http(at: SocketAddr, path: &str) -> Result<(), String> {
    let text = |e: hyper::Error| e.to_string();
    let socket = Socket::connect_to(at).await.map_err(|e| e.to_string())?;
    let (mut requests, connection) = http1::handshake(socket).await.map_err(text)?;
    let _connection = rt::spawn_scoped(async move { drop(connection.await) }); // ends with the check
    let request = Request::get(path).header(HOST, at.to_string()).header(USER_AGENT, "cares-health-check");
    let request = request.body(Body::Empty).map_err(|e| e.to_string())?;
    let status = requests.send_request(request).await.map_err(text)?.status();
    if status < StatusCode::BAD_REQUEST { Ok(()) } else { Err(format!("it answered with {status}")) }
}
