//! A proxy between a worker and its orchestrator that plays a bad network: it holds, delays or cuts what goes through, and
//! lets it through again.

use crate::wire::ReadSome;
use std::io::Write;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sky {
    /// It carries all at once.
    Clear,
    /// Nothing arrives and nobody is told: a pulled cable, a firewall that forgot the connection.
    Still,
    /// All arrives this much later, and each twentieth piece twice as much more, as one that was lost and sent again.
    Slow(Duration),
    /// It carries so many bytes, of all connections together, and then is still.
    Stuck(u64),
    /// Connections break, and none can be made.
    Torn,
}

/// Of one connection: pieces on their way.
const UNDER_WAY: usize = 4_096;
const PIECE_BYTES: usize = 16 * 1024;

/// The proxy. It lives as long as the test's process.
pub struct Weather(Arc<Air>);

struct Air {
    at: SocketAddr,
    to: SocketAddr,
    sky: Mutex<Sky>,
    changed: Condvar,
    carried: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
}

impl Weather {
    /// Listens on a port of its own and passes on to there.
    pub fn before(to: SocketAddr) -> Weather {
        Weather::at(crate::harness::own_ip(), to)
    }

    /// The same at this address.
    pub fn at(ip: IpAddr, to: SocketAddr) -> Weather {
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let at = listener.local_addr().expect("its address");
        let (sky, changed) = (Mutex::new(Sky::Clear), Condvar::new());
        let air = Arc::new(Air { at, to, sky, changed, carried: AtomicU64::new(0), connections: Mutex::default() });
        let accepting = air.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let air = accepting.clone();
                thread::spawn(move || air.carry(stream));
            }
        });
        Weather(air)
    }

    /// What a worker is to connect to.
    pub fn address(&self) -> String {
        self.0.at.to_string()
    }

    pub fn becomes(&self, sky: Sky) {
        *self.0.sky.lock().unwrap() = sky;
        self.0.changed.notify_all();
        if sky == Sky::Torn {
            self.0.connections.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }
}

impl Air {
    /// Waits until something arrives; how much later it does.
    fn arrives(&self) -> Option<Duration> {
        let mut sky = self.sky.lock().unwrap();
        loop {
            match *sky {
                Sky::Clear => return Some(Duration::ZERO),
                Sky::Slow(by) => return Some(by),
                Sky::Torn => return None,
                Sky::Stuck(after) if self.carried.load(Ordering::Relaxed) < after => return Some(Duration::ZERO),
                Sky::Still | Sky::Stuck(_) => sky = self.changed.wait(sky).unwrap(),
            }
        }
    }

    fn carry(self: Arc<Self>, near: TcpStream) {
        if self.arrives().is_none() {
            return;
        }
        let Ok(far) = TcpStream::connect(self.to) else { return };
        for stream in [&near, &far] {
            let _ = stream.set_nodelay(true); // it may have closed
            self.connections.lock().unwrap().extend(stream.try_clone());
        }
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
            let (send, sent) = mpsc::sync_channel(UNDER_WAY);
            let (taking, giving) = (self.clone(), self.clone());
            thread::spawn(move || taking.take(from, &send));
            thread::spawn(move || giving.give(to, &sent));
        }
    }

    fn take(&self, mut from: TcpStream, send: &SyncSender<(Instant, Vec<u8>)>) {
        let mut piece = vec![0; PIECE_BYTES];
        for number in 1.. {
            let n = from.read_some(&mut piece).unwrap_or(0);
            let Some(later) = self.arrives() else { return };
            let later = if number % 20 == 0 { later * 3 } else { later };
            // Nothing is the word that it closed: it takes its time too.
            if send.send((Instant::now() + later, piece[..n].to_vec())).is_err() || n == 0 {
                return;
            }
        }
    }

    fn give(&self, mut to: TcpStream, sent: &Receiver<(Instant, Vec<u8>)>) {
        for (due, piece) in sent {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.arrives().is_none() || piece.is_empty() || to.write_all(&piece).is_err() {
                break;
            }
            // Here, and not where it was taken: so many bytes do come through, whichever thread is the faster.
            self.carried.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        let _ = to.shutdown(Shutdown::Both); // it may have closed
    }
}
