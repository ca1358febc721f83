//! How a client is made: whom it asks, as whom, and how long it waits.

use super::http::{Http, Key};
use super::url::Base;
use super::{DEFAULT_TIMEOUT, ManagerClient, Orchestrator, WorkerClient};
use crate::errors::Error;
use std::time::Duration;

/// Settings of a client; what is not set has the default that its method names.
///
/// ```standalone_crate
/// use cares::client::Builder;
/// use cares::types::FunctionSpec;
/// use std::time::Duration;
/// # // A real orchestrator on a free port: it may not be up yet, which is what retries are for.
/// # let dir = tempfile::tempdir()?;
/// # let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
/// # let mut args = vec!["cares", "orchestrator", "--headless", "--http-addr", &address, "--grpc-addr", "127.0.0.1:0"];
/// # args.extend(["--data-dir", dir.path().to_str().expect("UTF-8")]);
/// # let args = args.into_iter().map(Into::into).collect();
/// # std::thread::spawn(move || cares::run(args));
/// # let url = format!("http://{address}");
///
/// let cares = Builder::new(&url)
///     .timeout(Duration::from_secs(5))
///     .user_agent("my-program/1.0")
///     .retries(6)
///     .orchestrator()?;
/// println!("CARES {}", cares.version()?.version);
/// let hello = FunctionSpec { name: "hello".into(), image: "hello-world".into(), ..Default::default() };
/// cares.register(&hello)?;
/// assert_eq!(cares.functions()?[0].name, "hello");
///
/// let error = cares.register(&hello).unwrap_err();
/// assert_eq!((error.status(), error.code()), (Some(409), "name_taken"));
/// println!("{error}"); // what happened, to what, and what to do
///
/// for event in cares.past_events()? {
///     println!("{}", event?.message);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing by itself"]
pub struct Builder {
    url: String,
    timeout: Duration,
    token: Option<(Key, String)>,
    user_agent: Option<String>,
    retries: u32,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("url", &self.url).finish_non_exhaustive() // never the token
    }
}

impl Builder {
    /// For the address `http://HOST[:PORT]`. Nothing is sent, and nothing checked yet.
    pub fn new(url: impl Into<String>) -> Builder {
        Builder { url: url.into(), timeout: DEFAULT_TIMEOUT, token: None, user_agent: None, retries: 0 }
    }

    /// How long a request may take, to the answer's last byte; zero for no limit. Default 30 s. For uploads and streams
    /// it bounds each step instead; calls of functions have a limit of their own.
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// Sent with every request, as `Authorization: Bearer TOKEN`. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Builder {
        self.token = Some((Key::Bearer, token.into()));
        self
    }

    /// The same as `X-API-Key: KEY`, which leaves `Authorization` to the functions that are called.
    pub fn api_key(mut self, key: impl Into<String>) -> Builder {
        self.token = Some((Key::Header, key.into()));
        self
    }

    /// What the program calls itself. Default `cares/VERSION`.
    pub fn user_agent(mut self, name: impl Into<String>) -> Builder {
        self.user_agent = Some(name.into());
        self
    }

    /// How often a request is sent again that changes nothing by that: a GET, PUT or DELETE (never a call of a function)
    /// to which no connection could be made, or that was answered 503 with `Retry-After`. Default 0, at most 10. In
    /// between it waits 0.1 s, 0.2 s, … up to 2 s, or as long as it was told, up to 10 s.
    pub fn retries(mut self, retries: u32) -> Builder {
        self.retries = retries;
        self
    }

    /// A client of an orchestrator: all that one can be asked.
    ///
    /// # Errors
    /// `BadUrl` when the address cannot be one.
    pub fn orchestrator(self) -> Result<Orchestrator, Error> {
        let mut http = Http::new(Base::parse(&self.url)?);
        if let Some((key, token)) = self.token {
            (http.key, http.token) = (key, Some(token));
        }
        http.user_agent = self.user_agent;
        http.retries = self.retries;
        Ok(Orchestrator { http, timeout: self.timeout })
    }

    /// A client of an orchestrator's manager API: tasks, and the workers they run on.
    ///
    /// # Errors
    /// `BadUrl` when the address cannot be one.
    pub fn manager(self) -> Result<ManagerClient, Error> {
        self.orchestrator().map(ManagerClient)
    }

    /// A client of a worker's own address.
    ///
    /// # Errors
    /// `BadUrl` when the address cannot be one.
    pub fn worker(self) -> Result<WorkerClient, Error> {
        self.orchestrator().map(WorkerClient)
    }
}
