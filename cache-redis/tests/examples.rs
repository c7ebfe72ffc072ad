//! The examples, run as programs would be: a web app that is asked over HTTP, and two nodes of a daemon at once.
#![cfg(unix)]

// Each has a `main` of its own, which reads the environment.
#[allow(dead_code)]
#[path = "../examples/daemon.rs"]
mod daemon;
#[allow(dead_code)]
#[path = "../examples/web_app.rs"]
mod web_app;

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use cache_redis::RedisStore;
use cache_testkit::process::DEADLINE;
use cache_testkit::redis::{Server, is_installed};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use common::{SHORT, block_on, number, protected, protector, runtime, wait_until};

/// A store as the examples open it, which waits for no server for long.
fn impatient(server: &Server) -> RedisStore {
    let store = common::impatient(server).validation_deadline(SHORT / 4);
    store.protector(protector()).open().expect("a usable address")
}

#[test]
fn the_web_app_signs_in_calls_and_signs_out_and_prometheus_sees_it() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let metrics = web_app::record().expect("no other recorder");
    let nodes = [(); 2].map(|()| WebApp::start(protected(&server), &metrics));
    let [near, far] = &nodes;

    assert_eq!(near.ask("GET", "/users/alice/call").0, 401);
    assert_eq!(near.ask("POST", "/users/alice").0, 200);
    for _ in 0..10 {
        assert_eq!(near.ask("GET", "/users/alice/call").0, 200);
        assert_eq!(far.ask("GET", "/users/alice/call").0, 200);
    }
    // Only then is what the other node does seen at once.
    wait_until(|| near.number("token_cache_watching") == 2);
    assert_eq!(near.ask("DELETE", "/users/alice"), (200, "signed out, in 1 partitions\n".to_owned()));
    wait_until(|| far.ask("GET", "/users/alice/call").0 == 401);

    assert!(near.number("token_cache_requests{level=\"l1\",result=\"hit\"}") >= 10);
    assert!(near.number("token_cache_requests{level=\"l2\",result=\"miss\"}") >= 2);
    assert!(near.number("token_cache_duration_count{level=\"l2\",op=\"commit\"}") >= 2);
    assert_eq!(near.number("token_cache_breaker_state"), 0);
    let (_, page) = near.ask("GET", "/metrics");
    for text in ["alice", "11111111-1111-4111-8111-111111111111"] {
        assert!(!page.contains(text), "{text} stands in\n{page}");
    }

    // In an outage who is in memory is served, and the others are told to come again.
    let hasty = WebApp::start(impatient(&server), &metrics);
    for (method, path) in [("POST", "/users/bob"), ("GET", "/users/bob/call")] {
        wait_until(|| hasty.ask(method, path).0 == 200);
    }
    server.kill();
    assert_eq!(hasty.ask("GET", "/users/bob/call").0, 200);
    assert_eq!(hasty.ask("POST", "/users/carol").0, 503);
    wait_until(|| {
        hasty.ask("GET", "/users/carol/call");
        near.number("token_cache_breaker_state") >= 1
    });
    assert!(near.number("token_cache_requests{level=\"l2\",result=\"unavailable\"}") >= 1);
    server.restart();
    for (method, path) in [("POST", "/users/carol"), ("GET", "/users/carol/call")] {
        wait_until(|| hasty.ask(method, path).0 == 200);
    }
    for node in nodes.into_iter().chain([hasty]) {
        node.stop();
    }
}

#[test]
fn nodes_of_a_daemon_ask_once_for_each_tenant() {
    const TENANTS: usize = 20;
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let node = |store| Arc::new(daemon::Daemon::over(store));
    let nodes = [(); 2].map(|()| node(protected(&server)));
    let asked = || nodes.iter().map(|node| node.asked()).sum::<usize>();
    block_on(async {
        let (one, other) =
            futures_util::future::join(daemon::work(&nodes[0], TENANTS), daemon::work(&nodes[1], TENANTS)).await;
        one.and(other).expect("a token for each");
    });
    assert_eq!(asked(), TENANTS, "whoever came second waited for the first one");
    for node in &nodes {
        block_on(daemon::work(node, TENANTS)).expect("a token for each");
    }
    assert_eq!(asked(), TENANTS);

    // Without a server each tenant that is not in memory costs a request, and nobody stops.
    let hasty = node(impatient(&server));
    block_on(daemon::work(&hasty, TENANTS)).expect("a token for each");
    drop(server);
    let before = hasty.asked();
    block_on(daemon::work(&hasty, TENANTS + 3)).expect("a token for each");
    assert!(hasty.asked() >= before + 3);
}

/// A node of the web app.
struct WebApp {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<(), String>>,
}

impl WebApp {
    fn start(store: RedisStore, metrics: &PrometheusHandle) -> Self {
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let metrics = metrics.clone();
        let serving = runtime().spawn(async move {
            let stopped = async { drop(stopped.await) };
            web_app::serve(listener, store, metrics, stopped).await.map_err(|error| error.to_string())
        });
        Self { address, stop, serving }
    }

    /// The status and the body of the answer.
    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.address).expect("it listens");
        connection.set_read_timeout(Some(DEADLINE)).expect("a duration");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("answered");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        (status, body.to_owned())
    }

    /// What the page says of this series, which it must.
    #[track_caller]
    fn number(&self, series: &str) -> u64 {
        let (_, page) = self.ask("GET", "/metrics");
        number(&page, series)
    }

    /// Ends as it should: it answers what is under way, and leaves nothing unwritten.
    fn stop(self) {
        self.stop.send(()).expect("it serves");
        block_on(async { tokio::time::timeout(Duration::from_secs(60), self.serving).await })
            .expect("in time")
            .expect("no panic")
            .expect("everything is written");
    }
}
