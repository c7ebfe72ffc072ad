//! A wire between a store and its server that can be cut while both ends believe it whole.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cache_testkit::redis::Server;

/// Carries bytes both ways as they come, also those that nobody asked for.
pub(crate) struct Wire {
    url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Whether connections that changes are pushed by carry nothing any more.
    is_cut: AtomicBool,
    /// What was sent to the server by other connections.
    requests: AtomicUsize,
}

impl Wire {
    /// A wire to the server.
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("redis://{}", listener.local_addr().expect("bound"));
        let (port, state) = (server.port(), Arc::<State>::default());
        std::thread::spawn({
            let state = Arc::clone(&state);
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    // Until one of the two ends is gone.
                    let _ = carry(client, port, &state);
                }
            }
        });
        Self { url, state }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Swallows what goes over connections that changes are pushed by, those to come included; or ends that.
    pub(crate) fn cut_pushes(&self, is_cut: bool) {
        self.state.is_cut.store(is_cut, Ordering::SeqCst);
    }

    /// How many times something was sent by connections that changes are not pushed by.
    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

fn carry(client: TcpStream, port: u16, state: &Arc<State>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    let ways = [(client.try_clone()?, server.try_clone()?, true), (server, client, false)];
    let pushes = Arc::new(AtomicBool::new(false));
    for (from, to, is_request) in ways {
        let (state, pushes) = (Arc::clone(state), Arc::clone(&pushes));
        std::thread::spawn(move || {
            let _ = carry_one_way(&from, &to, is_request, &state, &pushes);
            for end in [from, to] {
                let _ = end.shutdown(Shutdown::Both);
            }
        });
    }
    Ok(())
}

fn carry_one_way(
    mut from: &TcpStream,
    mut to: &TcpStream,
    is_request: bool,
    state: &State,
    pushes: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        let bytes = &bytes[..count];
        // Only a connection to be pushed by greets in the newer protocol.
        if is_request && bytes.windows(5).any(|part| part == b"HELLO") {
            pushes.store(true, Ordering::SeqCst);
        }
        let is_push = pushes.load(Ordering::SeqCst);
        if is_request && !is_push {
            state.requests.fetch_add(1, Ordering::SeqCst);
        }
        if !is_push || !state.is_cut.load(Ordering::SeqCst) {
            to.write_all(bytes)?;
        }
    }
}
