//! How a store is let in: TLS, users, passwords.
#![cfg(all(unix, feature = "tls"))]

mod common;

use std::fs;

use cache_core::{CacheStore as _, ErrorKind};
use cache_redis::RedisStore;
use cache_testkit::redis::{Server, is_installed};

use common::{SHARED, block_on, failure, patient};

#[test]
fn a_server_behind_tls_is_known_by_its_certificate() {
    if !is_installed() {
        return;
    }
    let server = Server::options().tls().start();
    let at = || patient(RedisStore::at(server.url())).insecure_plaintext();
    assert!(server.url().starts_with("rediss://"));
    let trusted = fs::read(server.ca_certificate()).expect("it was just made");
    let store = at().root_certificate(trusted).open().expect("a usable address");
    assert_eq!(block_on(store.stamp(&SHARED)).expect("it is trusted"), None);

    let another = Server::options().tls().start();
    let others = fs::read(another.ca_certificate()).expect("it was just made");
    for stranger in [at().root_certificate(others), at()] {
        let stranger = stranger.open().expect("a usable address");
        assert_eq!(failure(block_on(stranger.stamp(&SHARED))).kind(), ErrorKind::Denied);
    }
    let error = failure(at().root_certificate("no certificate").open());
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn credentials_are_shown_and_never_told() {
    if !is_installed() {
        return;
    }
    let server = Server::options().user("app", "on >hunter2 ~* +@all").password("master").start();
    let bare = format!("redis://127.0.0.1:{}", server.port());
    let at = |url: &str| patient(RedisStore::at(url)).insecure_plaintext();
    for builder in [
        at(&bare).credentials(Some("app"), "hunter2"),
        at(&bare).credentials(None, "master"),
        at(&format!("redis://app:hunter2@127.0.0.1:{}", server.port())),
    ] {
        assert!(!format!("{builder:?}").contains("hunter2"), "{builder:?}");
        let store = builder.open().expect("a usable address");
        assert!(!format!("{store:?}").contains("hunter2"), "{store:?}");
        assert_eq!(block_on(store.stamp(&SHARED)).expect("it is let in"), None);
    }
    for (builder, what) in [
        (at(&bare), "no password"),
        (at(&bare).credentials(Some("app"), "hunter3"), "a wrong password"),
        (at(&bare).credentials(Some("nobody"), "hunter2"), "a user that is none"),
    ] {
        let store = builder.open().expect("a usable address");
        let error = failure(block_on(store.stamp(&SHARED)));
        assert_eq!(error.kind(), ErrorKind::Denied, "{what}: {error}");
        assert!(!format!("{error}{error:?}").contains("hunter"), "{error:?}");
    }
}
