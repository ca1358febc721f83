//! Threads that answer requests, behind a tiny_http on a private socket: as many requests are handed to it at once, for
//! it has a thread of its own for each; the others wait their turn.

use super::route::Reply;
use crate::lock::{self, lock};
use crate::net::Socket;
use crate::rt;
use crate::turns::{Turn, Turns};
use hyper::Method;
use hyper::http::method::InvalidMethod;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

/// How its socket's name ends; it begins with that of the handlers, and a number where it is not the first.
const SOCKET_END: &str = ".sock";

/// A request, as tiny_http has it.
pub struct Asked(tiny_http::Request);

impl Asked {
    /// Its method.
    pub fn method(&self) -> Result<Method, InvalidMethod> {
        self.0.method().as_str().parse()
    }

    /// Its path, with the query.
    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// The first header of that name.
    pub fn header(&self, name: &'static str) -> Option<String> {
        self.0.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.to_string())
    }

    /// Its body, whole; once.
    pub fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.0.as_reader().read_to_end(&mut body)?;
        Ok(body)
    }

    /// Answers it; who drops it instead closes its connection.
    pub fn answer(self, reply: Reply) {
        let headers =
            reply.headers.iter().filter_map(|(k, v)| tiny_http::Header::from_bytes(k.as_bytes(), v.as_bytes()).ok());
        let (status, length) = (tiny_http::StatusCode(reply.status), reply.body.len());
        let body = io::Cursor::new(reply.body);
        let response = tiny_http::Response::new(status, headers.collect(), body, Some(length), None);
        if let Err(error) = self.0.respond(response) {
            log::debug!("REST: an answer was not taken: {error}");
        }
    }
}

/// The socket, anew when tiny_http has given it up: out of files it takes no more connections, for good. Whoever finds
/// nobody listening opens the next one, and the threads go over to it.
pub struct Handlers {
    name: &'static str,
    dir: PathBuf,
    threads: usize,
    turns: Turns,
    current: Mutex<Current>,
    /// Told of the next one, and of the end.
    changed: Condvar,
}

struct Current {
    server: Arc<tiny_http::Server>,
    /// Of its own for each: a server that is dropped removes its file.
    path: PathBuf,
    number: u64,
    stopping: bool,
}

impl Handlers {
    /// Starts the threads, each of which answers one request after the other; the socket is in `dir`, into which nobody
    /// else may come.
    ///
    /// # Errors
    /// The socket could not be opened there, or a thread not be started.
    pub fn start(
        dir: &Path,
        name: &'static str,
        threads: usize,
        answer: impl Fn(Asked) + Clone + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let handlers = Arc::new(Handlers::open(dir, name, threads)?);
        for n in 0..threads {
            let (handlers, answer) = (handlers.clone(), answer.clone());
            thread::Builder::new().name(format!("{name}-{n}")).spawn(move || {
                while let Some(request) = handlers.next() {
                    answer(request);
                }
            })?;
        }
        Ok(handlers)
    }

    pub(super) fn open(dir: &Path, name: &'static str, threads: usize) -> io::Result<Self> {
        for entry in fs::read_dir(dir)? {
            let (found, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
            let found = found.to_str().filter(|found| found.ends_with(SOCKET_END));
            if found.is_some_and(|found| found.starts_with(name) || nobody_listens(&path)) {
                fs::remove_file(path)?; // of a program that was killed, perhaps an earlier release that had other names
            }
        }
        let (server, path) = listen(dir, name, 0)?;
        let current = Mutex::new(Current { server, path, number: 0, stopping: false });
        Ok(Handlers { name, dir: dir.into(), threads, turns: Turns::default(), current, changed: Condvar::new() })
    }

    /// Waits for one of them; it is taken for as long as the turn is held.
    pub async fn turn(&self) -> Turn {
        self.turns.take(self.threads).await
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.current)
    }

    /// The next request; `None` when stopping.
    pub(super) fn next(&self) -> Option<Asked> {
        let mut current = self.current();
        loop {
            let (server, number) = (current.server.clone(), current.number);
            drop(current);
            if let Ok(request) = server.recv() {
                return Some(Asked(request));
            }
            drop(server);
            let same = |now: &mut Current| now.number == number && !now.stopping;
            current = lock::whole(self.changed.wait_while(self.current(), same));
            if current.stopping {
                return None;
            }
        }
    }

    /// A connection for one request.
    pub async fn connect(self: &Arc<Self>) -> io::Result<Socket> {
        let (path, number) = {
            let current = self.current();
            (current.path.clone(), current.number)
        };
        let failed = match Socket::connect_unix(&path).await {
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => error,
            tried => return tried,
        };
        let this = self.clone();
        let path = rt::unblock(move || this.renew(number, &failed)).await?;
        Socket::connect_unix(&path).await
    }

    /// The path of a server after that one. Blocks.
    fn renew(&self, number: u64, why: &io::Error) -> io::Result<PathBuf> {
        let mut current = self.current();
        if current.stopping || current.number != number {
            return Ok(current.path.clone()); // another was first
        }
        let (server, path) = listen(&self.dir, self.name, number + 1)?;
        log::debug!("the socket of {} is opened anew: {why}", self.name);
        let failed = std::mem::replace(&mut *current, Current { server, path, number: number + 1, stopping: false });
        self.changed.notify_all();
        (0..self.threads).for_each(|_| failed.server.unblock());
        Ok(current.path.clone())
    }

    /// Ends the threads.
    pub fn stop(&self) {
        let mut current = self.current();
        current.stopping = true;
        self.changed.notify_all();
        (0..self.threads).for_each(|_| current.server.unblock());
        let _ = fs::remove_file(&current.path); // the next start removes it otherwise
    }
}

fn nobody_listens(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn listen(dir: &Path, name: &str, number: u64) -> io::Result<(Arc<tiny_http::Server>, PathBuf)> {
    let number = if number > 0 { format!("-{number}") } else { String::new() };
    let path = dir.join(format!("{name}{number}{SOCKET_END}"));
    let _ = fs::remove_file(&path); // of a try that failed half-way
    let server = tiny_http::Server::from_listener(UnixListener::bind(&path)?, None).map_err(io::Error::other)?;
    Ok((Arc::new(server), path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;

    #[test]
    fn a_socket_that_nobody_listens_on_is_opened_anew_and_the_threads_go_over_to_it() {
        let scratch = Scratch::new();
        fs::write(scratch.0.join("rest-9.sock"), "of a program that was killed").unwrap();
        drop(UnixListener::bind(scratch.0.join("api.sock")).unwrap()); // of an earlier release that was
        let answer = |asked: Asked| asked.answer(Reply { status: 204, body: Vec::new(), headers: Vec::new() });
        let handlers = Handlers::start(&scratch.0, "rest", 4, answer).unwrap();
        let sockets = || {
            let names = fs::read_dir(&scratch.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            names.collect::<Vec<_>>()
        };
        for expected in ["rest.sock", "rest-1.sock", "rest-2.sock"] {
            let mut socket = rt::block_on(handlers.connect()).unwrap();
            rt::block_on(socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap();
            let mut answer = [0; 12];
            rt::block_on(socket.read_exact(&mut answer)).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 204");
            assert_eq!(sockets(), [expected]);
            fs::remove_file(scratch.0.join(expected)).unwrap();
        }
        let others = ["looks", "changes"].map(|name| Handlers::open(&scratch.0, name, 1).unwrap());
        assert_eq!(sockets().len(), others.len(), "where somebody listens it stays");
        handlers.stop();
        others.iter().for_each(Handlers::stop);
        assert!(sockets().is_empty());
    }
}
