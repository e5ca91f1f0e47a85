// SPDX-License-Identifier: GPL-2.0

//! One backend: whether it can be reached, and the connections to it that wait for a request.
//!
//! A connection waits here only between two exchanges: both sides keep it alive and nothing of it is
//! unread. Nobody watches it meanwhile, so whoever takes it looks first, and must be able to repeat
//! its request.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// After a failed attempt, how long the backend is left alone; doubled with each further one.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How many connections may wait, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idling {
    /// As many are opened ahead of requests.
    pub min: usize,
    /// One more is closed instead.
    pub max: usize,
    /// After this long without a request a connection is closed.
    pub timeout: Duration,
}

impl Default for Idling {
    fn default() -> Self {
        Idling {
            min: 0,
            max: 32,
            timeout: Duration::from_secs(30),
        }
    }
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// The one used last is at the back.
    idle: VecDeque<Idle>,
    /// Failed attempts since the last that succeeded.
    failures: u32,
    /// Not tried before this.
    down_until: Option<Instant>,
    /// No connection may wait here any more.
    retired: bool,
}

/// One backend of one pool.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its connections that wait.
    pub idling: Idling,
    state: Mutex<State>,
    /// Connections on their way for the stock, or a probe.
    opening: AtomicUsize,
}

impl Backend {
    /// A backend that is taken to be well.
    pub fn new(address: SocketAddr, idling: Idling) -> Self {
        Backend {
            address,
            idling,
            state: Mutex::default(),
            opening: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that waits for a request, the one used last first.
    pub fn take(&self) -> Option<TcpStream> {
        loop {
            let idle = self.state().idle.pop_back()?;
            if idle.since.elapsed() < self.idling.timeout && quiet(&idle.stream) {
                return Some(idle.stream);
            }
        }
    }

    /// Keeps a connection for the next request, unless it has ended, something of it is unread, or
    /// enough wait already.
    pub fn put(&self, stream: TcpStream) {
        if !quiet(&stream) {
            return;
        }
        let mut state = self.state();
        if state.idle.len() < self.idling.max && !state.retired {
            state.idle.push_back(Idle {
                stream,
                since: Instant::now(),
            });
        }
    }

    /// Connections that wait.
    pub fn waiting(&self) -> usize {
        self.state().idle.len()
    }

    /// Closes those that wait, and every later one at once.
    pub fn retire(&self) {
        let mut state = self.state();
        state.retired = true;
        state.idle.clear();
    }

    /// Closes what has waited too long or was closed by the backend.
    pub fn sweep(&self) {
        let ended: VecDeque<Idle> = {
            let mut state = self.state();
            let (kept, ended) = state.idle.drain(..).partition(|idle| {
                idle.since.elapsed() < self.idling.timeout && quiet(&idle.stream)
            });
            state.idle = kept;
            ended
        };
        drop(ended);
    }

    /// Whether requests should go elsewhere.
    pub fn down(&self) -> bool {
        self.state().down_until.is_some()
    }

    /// An attempt to connect has failed; the connections that wait are worth nothing then.
    pub fn failed(&self) {
        let mut state = self.state();
        let pause = BACK_OFF
            .0
            .saturating_mul(1 << state.failures.min(16))
            .min(BACK_OFF.1);
        state.failures = state.failures.saturating_add(1);
        state.down_until = Some(Instant::now() + pause);
        state.idle.clear();
    }

    /// An attempt has succeeded.
    pub fn reached(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.down_until = None;
    }

    /// Whether a connection should be opened now, since the backend is down and it is time to see,
    /// or fewer wait than should. Whoever gets a permit opens it.
    pub fn wanted(self: &Arc<Self>) -> Option<Opening> {
        let state = self.state();
        let opening = self.opening.load(Ordering::Relaxed);
        let wanted = match state.down_until {
            Some(until) => until <= Instant::now() && opening == 0,
            None => state.idle.len().saturating_add(opening) < self.idling.min.min(self.idling.max),
        };
        (wanted && !state.retired).then(|| {
            self.opening.fetch_add(1, Ordering::Relaxed);
            Opening(self.clone())
        })
    }
}

/// A connection that is being opened ahead of a request.
#[derive(Debug)]
pub struct Opening(Arc<Backend>);

impl Opening {
    /// What became of it. It is kept if there is room.
    pub fn result(self, connected: io::Result<TcpStream>) {
        match connected {
            Ok(stream) => {
                self.0.reached();
                if self.0.idling.min > self.0.waiting() {
                    self.0.put(stream);
                }
            }
            Err(_) => self.0.failed(),
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a connection is open and has nothing unread, which could only be of an exchange that is
/// over.
fn quiet(stream: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match SockRef::from(stream).peek(&mut byte) {
        Err(error) => error.kind() == ErrorKind::WouldBlock,
        Ok(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    const IDLING: Idling = Idling {
        min: 0,
        max: 2,
        timeout: Duration::from_secs(60),
    };

    /// A backend, and a way to open connections to it: the proxy's end, and its own.
    fn backend(idling: Idling) -> (Arc<Backend>, impl Fn() -> (TcpStream, TcpStream)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (Arc::new(Backend::new(address, idling)), move || {
            let near = TcpStream::connect(address).unwrap();
            near.set_nonblocking(true).unwrap();
            (near, listener.accept().unwrap().0)
        })
    }

    fn eventually(what: impl Fn() -> bool) {
        for _ in 0..500 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("in vain");
    }

    #[test]
    fn the_last_one_used_is_used_next() {
        let (backend, open) = backend(IDLING);
        let (first, _far) = open();
        let (second, _far) = open();
        let (third, _far) = open();
        let name = |stream: &TcpStream| stream.local_addr().unwrap();
        let names = [name(&first), name(&second)];
        backend.put(first);
        backend.put(second);
        // There is room for two.
        backend.put(third);
        assert_eq!(name(&backend.take().unwrap()), names[1]);
        assert_eq!(name(&backend.take().unwrap()), names[0]);
        assert!(backend.take().is_none());
    }

    #[test]
    fn what_has_ended_or_said_something_is_not_used() {
        let (backend, open) = backend(IDLING);
        let (closed, far) = open();
        let (talks, mut far_talks) = open();
        backend.put(closed);
        backend.put(talks);
        drop(far);
        far_talks.write_all(b"x").unwrap();
        eventually(|| {
            backend.sweep();
            backend.waiting() == 0
        });
        let (closed, far) = open();
        backend.put(closed);
        drop(far);
        std::thread::sleep(Duration::from_millis(100));
        assert!(backend.take().is_none());
    }

    #[test]
    fn nothing_waits_for_ever_or_after_the_end() {
        let (backend, open) = backend(Idling {
            timeout: Duration::from_millis(50),
            ..IDLING
        });
        let (near, _far) = open();
        backend.put(near);
        std::thread::sleep(Duration::from_millis(60));
        assert!(backend.take().is_none());
        backend.retire();
        let (near, _far) = open();
        backend.put(near);
        assert_eq!(backend.waiting(), 0);
    }

    #[test]
    fn a_backend_that_fails_is_left_alone_for_longer_each_time() {
        let (backend, open) = backend(Idling { min: 1, ..IDLING });
        let until = |backend: &Backend| {
            let until = backend.state().down_until.unwrap();
            until.saturating_duration_since(Instant::now())
        };
        assert!(!backend.down());
        let mut last = Duration::ZERO;
        for n in 0..10 {
            backend.failed();
            let pause = until(&backend);
            assert!(pause > last || n > 5, "{n} {pause:?}");
            assert!(pause <= BACK_OFF.1);
            last = pause;
        }
        assert!(backend.down() && backend.wanted().is_none());
        backend.state().down_until = Some(Instant::now());
        let probe = backend.wanted().unwrap();
        // One at a time.
        assert!(backend.wanted().is_none());
        let (near, _far) = open();
        probe.result(Ok(near));
        assert!(!backend.down());
        assert_eq!(backend.waiting(), 1);
        assert!(backend.wanted().is_none());
        drop(backend.take());
        assert!(backend.wanted().is_some());
    }
}
